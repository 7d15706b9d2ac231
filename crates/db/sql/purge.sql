-- Forgets old idempotency keys in steps: at most so many, so that one call stays short however many there are; how many it
-- were. {app} is the runtime role. The function without a number is for those who run from before.
create function tenancy.purge_idempotency(many int) returns bigint language sql security definer
  set search_path = pg_catalog as $$
  with gone as (delete from public.idempotency where (tenant_id, principal, route, key) in
    (select i.tenant_id, i.principal, i.route, i.key from public.idempotency i
      where i.created_at < now() - interval '7 days' limit many) returning 1)
  select count(*) from gone
$$;
revoke all on function tenancy.purge_idempotency(int) from public;
grant execute on function tenancy.purge_idempotency(int) to {app};
