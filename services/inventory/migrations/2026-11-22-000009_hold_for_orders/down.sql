drop index reservation_order_key;
alter table reservation drop column order_id;
