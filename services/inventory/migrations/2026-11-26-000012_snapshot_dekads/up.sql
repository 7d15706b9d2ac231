-- A snapshot for every dekad (the first, the second and the last third of a month) instead of every month: nothing asked
-- of the past is further than five days from one.

create function dekad_of(day date) returns date language sql immutable parallel safe
  return month_of(day) + 10 * least((extract(day from day)::int - 1) / 10, 2);
create function dekad_end(dekad date) returns date language sql immutable parallel safe
  return case when extract(day from dekad) < 21 then dekad + 9 else month_of(dekad + 15) - 1 end;

-- Posted to a dekad that was over when it was written: the only ones that a snapshot of that dekad may lack.
drop index movement_late;
alter table movement drop column late;
alter table movement add column late boolean not null
  generated always as (posting_date < dekad_of(business_date(recorded_at))) stored;
create index movement_late on movement (tenant_id, seq) where late;

-- The job takes them anew.
truncate stock_snapshot_line, stock_snapshot;
alter table stock_snapshot drop constraint stock_snapshot_month_check;
alter table stock_snapshot rename column month to dekad;
alter table stock_snapshot add constraint stock_snapshot_dekad_check check (dekad = dekad_of(dekad));
alter table stock_snapshot_line rename column month to dekad;
drop function lacking_snapshot(date, int);
create function lacking_snapshot(of_dekad date, most int) returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select distinct l.tenant_id from public.location l
    where not exists (select from public.stock_snapshot s where s.tenant_id = l.tenant_id and s.dekad = of_dekad)
    order by l.tenant_id limit most $$;
revoke all on function lacking_snapshot(date, int) from public;
grant execute on function lacking_snapshot(date, int) to bahi_inventory_app;
