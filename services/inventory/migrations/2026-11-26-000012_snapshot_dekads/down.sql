drop function lacking_snapshot(date, int);
truncate stock_snapshot_line, stock_snapshot;
alter table stock_snapshot_line rename column dekad to month;
alter table stock_snapshot drop constraint stock_snapshot_dekad_check;
alter table stock_snapshot rename column dekad to month;
alter table stock_snapshot add constraint stock_snapshot_month_check check (month = month_of(month));
create function lacking_snapshot(of_month date, most int) returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select distinct l.tenant_id from public.location l
    where not exists (select from public.stock_snapshot s where s.tenant_id = l.tenant_id and s.month = of_month)
    order by l.tenant_id limit most $$;
revoke all on function lacking_snapshot(date, int) from public;
grant execute on function lacking_snapshot(date, int) to bahi_inventory_app;
drop index movement_late;
alter table movement drop column late;
alter table movement add column late boolean not null
  generated always as (posting_date < month_of(business_date(recorded_at))) stored;
create index movement_late on movement (tenant_id, seq) where late;
drop function dekad_end(date);
drop function dekad_of(date);
