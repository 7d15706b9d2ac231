-- A confirmed order's hold lasts until the order closes; what leaves for a delivery is that delivery's.
alter table reservation add column order_id uuid;
alter table reservation add constraint reservation_order_check check ((owner = 'order') = (order_id is not null));
create unique index reservation_order_key on reservation (tenant_id, order_id, location_id)
  where owner = 'order' and state = 'pending';
