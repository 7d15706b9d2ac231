-- What goods cost us, by product and location, as inventory last told: enough to notice that a price is below it.
create table product_cost (
  tenant_id   uuid          not null,
  product_id  uuid          not null,
  location_id uuid          not null,
  cost        numeric(19,4) not null,
  -- of the event that told it
  epoch       bigint        not null,
  told_at     timestamptz   not null,
  primary key (tenant_id, product_id, location_id),
  constraint product_cost_check check (cost >= 0 and cost <> 'NaN')
);
select tenancy.protect('public.product_cost');

-- Where the branch is paid by UPI.
alter table branch add column upi_vpa text;
