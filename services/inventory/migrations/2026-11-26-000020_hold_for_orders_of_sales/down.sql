drop table billed_delivery;
alter table delivery drop column refused;
drop index reservation_order_key;
create unique index reservation_order_key on reservation (tenant_id, order_id, location_id)
  where owner = 'order' and state = 'pending';
