-- {order_id, line, fulfilment_id}, of a line that bills an order. Frozen with the rest of the line.
alter table invoice_line add column of_order jsonb;
create index invoice_line_of_order on invoice_line (tenant_id, (of_order->>'order_id')) where of_order is not null;
