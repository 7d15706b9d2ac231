-- What the label of a batch says, its recall and its end, what was said of its expiry, and who bought of it.

alter table batch
  add column mfg         date,
  add column mrp         numeric(18, 2) constraint batch_mrp_check check (mrp > 0 and mrp <> 'NaN'),
  add column recalled_at timestamptz,
  add column disposed_at timestamptz,
  add constraint batch_mfg_check check (mfg <= expiry),
  add constraint batch_recalled_check check (recalled_at is null or blocked),
  add constraint batch_disposed_check check (disposed_at is null or blocked);

create index movement_batch on movement (tenant_id, batch_id, seq)
  where batch_id <> '00000000-0000-0000-0000-000000000000';

-- The memory of batch.expiring: one row for each time something was said.
create table expiry_alert (
  tenant_id   uuid           not null,
  batch_id    uuid           not null,
  location_id uuid           not null,
  threshold   int            not null constraint expiry_alert_threshold_check check (threshold in (0, 7, 30, 60, 90)),
  days_left   int            not null,
  qty         numeric(18, 3) not null constraint expiry_alert_qty_check check (qty > 0 and qty <> 'NaN'),
  value       numeric(18, 2) not null constraint expiry_alert_value_check check (value >= 0 and value <> 'NaN'),
  raised_at   timestamptz    not null,
  constraint expiry_alert_pkey primary key (tenant_id, batch_id, location_id, threshold)
);
select tenancy.protect('public.expiry_alert');

-- Invoices that took goods of a batch, as far as their event says who bought: what a recall needs.
create table batch_buyer (
  tenant_id   uuid not null,
  invoice_id  uuid not null,
  number      text not null constraint batch_buyer_number_check check (octet_length(number) <= 100),
  date        date,
  customer_id uuid,
  gstin       text constraint batch_buyer_gstin_check check (octet_length(gstin) <= 60),
  constraint batch_buyer_pkey primary key (tenant_id, invoice_id)
);
select tenancy.protect('public.batch_buyer');

-- How long a batch must still keep for a customer or a group of customers, for one product or for all.
create table shelf_life_rule (
  tenant_id      uuid   not null,
  id             uuid   not null,
  customer_id    uuid,
  customer_group text   constraint shelf_life_rule_group_check check (octet_length(customer_group) between 1 and 800),
  product_id     uuid,
  min_days       int    not null constraint shelf_life_rule_days_check check (min_days between 0 and 3650),
  version        bigint not null default 1,
  constraint shelf_life_rule_pkey primary key (tenant_id, id),
  constraint shelf_life_rule_whom_check check ((customer_id is null) <> (customer_group is null)),
  constraint shelf_life_rule_key unique nulls not distinct (tenant_id, customer_id, customer_group, product_id)
);
select tenancy.protect('public.shelf_life_rule');

-- The job that warns looks for tenants with batches near their end: the owner, and nobody else, may see batches of
-- every tenant that have a last day.
do $$ begin
  execute format('create policy sweep on public.batch for select to %I using (expiry is not null)', current_user);
end $$;
create function expiring_tenants(until date) returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select distinct b.tenant_id from public.batch b
    where b.expiry <= until and b.disposed_at is null order by b.tenant_id $$;
revoke all on function expiring_tenants(date) from public;
grant execute on function expiring_tenants(date) to bahi_inventory_app;
