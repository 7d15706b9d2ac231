-- When to buy again, for each product at each location, and on which side of that point it stands.

create table reorder_level (
  tenant_id       uuid           not null,
  location_id     uuid           not null,
  product_id      uuid           not null,
  -- What people state. The point and the ceiling are worked out where they are absent.
  min_qty         numeric(18, 3) constraint reorder_level_min_check check (min_qty >= 0 and min_qty <> 'NaN'),
  max_qty         numeric(18, 3) constraint reorder_level_max_check check (max_qty > 0 and max_qty <> 'NaN'),
  lead_days       numeric(9, 3)  not null constraint reorder_level_lead_check check (lead_days >= 0 and lead_days <> 'NaN'),
  lead_sigma      numeric(9, 3)  not null constraint reorder_level_lead_sigma_check check (lead_sigma >= 0 and lead_sigma <> 'NaN'),
  service_z       numeric(6, 3)  not null constraint reorder_level_z_check check (service_z >= 0 and service_z <> 'NaN'),
  moq             numeric(18, 3) not null constraint reorder_level_moq_check check (moq >= 0 and moq <> 'NaN'),
  pack            numeric(18, 3) not null constraint reorder_level_pack_check check (pack > 0 and pack <> 'NaN'),
  shelf_life_days int            constraint reorder_level_shelf_check check (shelf_life_days > 0),
  on_order        numeric(18, 3) not null constraint reorder_level_order_check check (on_order >= 0 and on_order <> 'NaN'),
  demand_stated   boolean        not null,
  window_days     int            not null constraint reorder_level_window_check check (window_days between 7 and 365),
  -- What follows from it, from the ledger as of the day it was worked out.
  demand_mean     numeric(18, 4) not null constraint reorder_level_mean_check check (demand_mean >= 0 and demand_mean <> 'NaN'),
  demand_sigma    numeric(18, 4) not null constraint reorder_level_sigma_check check (demand_sigma >= 0 and demand_sigma <> 'NaN'),
  demand_days     int            not null,
  reorder_point   numeric(18, 3) not null constraint reorder_level_point_check check (reorder_point >= 0 and reorder_point <> 'NaN'),
  planned_on      date           not null,
  -- The memory of inventory.low_stock: said when this turns true, and not again before it has turned false.
  low             boolean        not null default false,
  version         bigint         not null default 1,
  updated_at      timestamptz    not null,
  constraint reorder_level_pkey primary key (tenant_id, location_id, product_id),
  constraint reorder_level_range_check check (max_qty >= min_qty)
);
create index reorder_level_planned on reorder_level (planned_on) where not demand_stated;
select tenancy.protect('public.reorder_level');

-- Movements are written in the order of time: pages outside a period are skipped, at next to no cost for a sale.
create index movement_recorded on movement using brin (recorded_at) with (pages_per_range = 16);

-- The job that plans anew looks for work over all tenants.
do $$ begin
  execute format('create policy sweep on public.reorder_level for select to %I using (not demand_stated)', current_user);
end $$;
create function stale_levels(today date, most int) returns table (tenant_id uuid, location_id uuid, product_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select l.tenant_id, l.location_id, l.product_id from public.reorder_level l
    where not l.demand_stated and l.planned_on < today order by l.planned_on limit most $$;
revoke all on function stale_levels(date, int) from public;
grant execute on function stale_levels(date, int) to bahi_inventory_app;
