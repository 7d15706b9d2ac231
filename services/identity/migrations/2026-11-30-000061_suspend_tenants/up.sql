-- A suspended tenant keeps everything and is let in nowhere.
alter table public.tenant
  add column suspended_at  timestamptz,
  add column suspended_for text,
  add constraint tenant_suspended_check check (
    (suspended_at is null) = (suspended_for is null) and char_length(suspended_for) between 1 and 200);

-- Who is suspended now: few at any time, and asked for every second.
create index tenant_suspended on public.tenant (suspended_at) where suspended_at is not null;

create function directory.suspended() returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select t.tenant_id from public.tenant t where t.suspended_at is not null
$$;

create function directory.tenants() returns table (tenant_id uuid, slug text)
  language sql stable security definer set search_path = pg_catalog as $$
  select s.tenant_id, s.slug from directory.slug s order by s.slug
$$;

do $$
declare
  app text := (select a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = 'tenancy' and a.privilege_type = 'USAGE' and a.grantee <> n.nspowner limit 1);
  f text;
begin
  execute format('create policy directory on public.tenant for select to %I using (true)', current_user);
  foreach f in array array['suspended()', 'tenants()'] loop
    execute format('revoke all on function directory.%s from public', f);
    execute format('grant execute on function directory.%s to %s', f, app);
  end loop;
end $$;
