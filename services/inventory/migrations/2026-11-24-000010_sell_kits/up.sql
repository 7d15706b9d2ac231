-- A line of an invoice, or of a return, may be of a kit and move several products: whatever is kept of a line is kept of
-- each product of it.

-- Row-level security is forced on the owner too; for once it has to see every tenant's settlements.
alter table shortage no force row level security;
alter table shortage_settlement no force row level security;
alter table shortage_settlement drop constraint shortage_settlement_shortage_fkey;
alter table shortage drop constraint shortage_pkey;
alter table shortage add constraint shortage_pkey primary key (tenant_id, invoice_id, line, product_id);
-- Absent in what an older version writes meanwhile: there its line has one product.
alter table shortage_settlement add column product_id uuid;
update shortage_settlement t set product_id = s.product_id from shortage s
  where s.tenant_id = t.tenant_id and s.invoice_id = t.invoice_id and s.line = t.line;
alter table shortage_settlement add constraint shortage_settlement_shortage_fkey
  foreign key (tenant_id, invoice_id, line, product_id) references shortage (tenant_id, invoice_id, line, product_id);
alter table shortage force row level security;
alter table shortage_settlement force row level security;

alter table return_line drop constraint return_line_pkey;
alter table return_line add constraint return_line_pkey primary key (tenant_id, credit_note_id, line, product_id);

-- {product_id: qty of one kit}, as the hold was granted; empty where that is not known.
alter table reservation_kit add column components jsonb not null default '{}'
  constraint reservation_kit_components_check check (jsonb_typeof(components) = 'object');

-- Lines of issued invoices that were of kits, and of what one of them consisted.
create table sale_kit (
  tenant_id  uuid           not null,
  invoice_id uuid           not null,
  line       int            not null,
  kit_id     uuid           not null,
  qty        numeric(18, 3) not null constraint sale_kit_qty_check check (qty > 0 and qty <> 'NaN'),
  components jsonb          not null constraint sale_kit_components_check check (jsonb_typeof(components) = 'object'),
  constraint sale_kit_pkey primary key (tenant_id, invoice_id, line)
);
create index sale_kit_kit on sale_kit (tenant_id, kit_id);
select tenancy.protect('public.sale_kit');

-- From which hold a delivery was issued, and what was asked for: {line: qty}, absent for everything. Told again it must be
-- the same.
create table delivery (
  tenant_id      uuid  not null,
  fulfilment_id  uuid  not null,
  reservation_id uuid  not null,
  lines          jsonb constraint delivery_lines_check check (jsonb_typeof(lines) = 'object'),
  constraint delivery_pkey primary key (tenant_id, fulfilment_id)
);
select tenancy.protect('public.delivery');

-- When a job last looked at a hold without coming to an end with it. It comes after those that wait for their turn, so that
-- what cannot be decided now stands in nobody's way.
alter table reservation add column tried_at timestamptz;
create or replace function due_holds(owners text[], at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, invoice_id uuid, attempt int)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.invoice_id, r.attempt from public.reservation r
    where r.state = 'pending' and r.deadline <= at and r.owner = any (owners) and r.answer is null
    order by greatest(r.tried_at, r.deadline) limit most $$;
create or replace function unheard_sales(at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, answer jsonb)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.answer from public.reservation r
    where r.state = 'pending' and r.answer is not null and r.answered_at <= at
    order by greatest(r.tried_at, r.answered_at) limit most $$;

-- Levels to be planned anew, but for tenants where that has just failed.
create function stale_levels(today date, most int, besides uuid[])
  returns table (tenant_id uuid, location_id uuid, product_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select l.tenant_id, l.location_id, l.product_id from public.reorder_level l
    where not l.demand_stated and l.planned_on < today and l.tenant_id <> all (besides)
    order by l.planned_on limit most $$;
revoke all on function stale_levels(date, int, uuid[]) from public;
grant execute on function stale_levels(date, int, uuid[]) to bahi_inventory_app;
