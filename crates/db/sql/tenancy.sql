-- Tenancy: one function that puts a table under forced row-level security, the grants of the runtime role,
-- and the table of idempotency keys. {app} is the runtime role.

create schema tenancy;
grant usage on schema tenancy, public to {app};
alter default privileges in schema public grant select, insert, update, delete on tables to {app};
alter default privileges in schema public grant usage on sequences to {app};

-- Called once for each tenant table, in the migration that makes it.
create function tenancy.protect(t regclass) returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security', t);
  execute format('alter table %s force row level security', t);
  execute format('create policy tenant on %s using (tenant_id = current_setting(''app.tenant_id'')::uuid)
                  with check (tenant_id = current_setting(''app.tenant_id'')::uuid)', t);
end $$;
revoke all on function tenancy.protect(regclass) from public;

create table public.idempotency (
  tenant_id    uuid        not null,
  principal    text        not null,
  route        text        not null,
  key          text        not null check (octet_length(key) between 1 and 200),
  request_hash bytea       not null,
  answer       jsonb,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, principal, route, key)
);
create index idempotency_created_at on public.idempotency (tenant_id, created_at);
select tenancy.protect('public.idempotency');

-- Row-level security is forced on the owner too, so this goes tenant by tenant.
create function tenancy.purge_idempotency() returns void language plpgsql security definer
  set search_path = pg_catalog, public as $$
begin
  -- A policy of its own lets the owner, and nobody else, see old keys of every tenant.
  delete from public.idempotency where created_at < now() - interval '7 days';
end $$;
revoke all on function tenancy.purge_idempotency() from public;
grant execute on function tenancy.purge_idempotency() to {app};
do $$ begin
  execute format('create policy purge on public.idempotency to %I using (created_at < now() - interval ''7 days'')', current_user);
end $$;
