drop function due_orders(timestamptz, timestamptz, int);
drop table fulfilment_line;
drop table fulfilment;
drop table sales_order_line;
drop table sales_order;
