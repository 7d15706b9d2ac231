-- Which day a movement belongs to, which days are closed, and what there was at the end of each month.

-- The business date in India, which has one offset all year.
create function business_date(at timestamptz) returns date language sql immutable parallel safe
  return ((at at time zone 'UTC') + interval '330 minutes')::date;
create function month_of(day date) returns date language sql immutable parallel safe
  return day - (extract(day from day)::int - 1);

-- The column is filled by a change of type: movements are never updated, and here nothing but this column changes.
alter table movement add column posting_date date;
alter table movement alter column posting_date type date using business_date(recorded_at);
alter table movement alter column posting_date set not null;
alter table movement add constraint movement_posting_check check (posting_date <= business_date(recorded_at));
-- Posted to a month that was over when it was written: the only ones that a snapshot of that month may lack.
alter table movement add column late boolean not null
  generated always as (posting_date < month_of(business_date(recorded_at))) stored;
create index movement_posting on movement (tenant_id, posting_date);
create index movement_late on movement (tenant_id, seq) where late;

-- The books of a business: everything up to closed_through is closed. Whoever posts to an earlier month shares the
-- row; whoever closes, opens or takes a snapshot has it alone.
create table calendar (
  tenant_id      uuid   not null,
  closed_through date,
  version        bigint not null default 0,
  constraint calendar_pkey primary key (tenant_id)
);
select tenancy.protect('public.calendar');

-- What there was at the end of a month, by posting date, of all movements before `fence` in the ledger's order.
create table stock_snapshot (
  tenant_id uuid        not null,
  month     date        not null constraint stock_snapshot_month_check check (month = month_of(month)),
  fence     bigint      not null,
  taken_at  timestamptz not null,
  constraint stock_snapshot_pkey primary key (tenant_id, month)
);
select tenancy.protect('public.stock_snapshot');

create table stock_snapshot_line (
  tenant_id   uuid           not null,
  month       date           not null,
  product_id  uuid           not null,
  location_id uuid           not null,
  batch_id    uuid           not null,
  status      text           not null,
  qty         numeric(18, 3) not null constraint stock_snapshot_line_qty_check check (qty <> 'NaN'),
  value       numeric(18, 2) not null constraint stock_snapshot_line_value_check check (value <> 'NaN'),
  constraint stock_snapshot_line_pkey primary key (tenant_id, month, product_id, location_id, batch_id, status),
  constraint stock_snapshot_line_snapshot_fkey foreign key (tenant_id, month) references stock_snapshot (tenant_id, month)
);
select tenancy.protect('public.stock_snapshot_line');

-- The job looks for businesses that lack a snapshot: the owner, and nobody else, may see which there are.
do $$ begin
  execute format('create policy sweep on public.location for select to %I using (true)', current_user);
  execute format('create policy sweep on public.stock_snapshot for select to %I using (true)', current_user);
end $$;
create function lacking_snapshot(of_month date, most int) returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select distinct l.tenant_id from public.location l
    where not exists (select from public.stock_snapshot s where s.tenant_id = l.tenant_id and s.month = of_month)
    order by l.tenant_id limit most $$;
revoke all on function lacking_snapshot(date, int) from public;
grant execute on function lacking_snapshot(date, int) to bahi_inventory_app;
