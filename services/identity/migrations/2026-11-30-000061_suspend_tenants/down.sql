drop function directory.tenants();
drop function directory.suspended();
drop policy directory on public.tenant;
alter table public.tenant drop column suspended_for, drop column suspended_at;
