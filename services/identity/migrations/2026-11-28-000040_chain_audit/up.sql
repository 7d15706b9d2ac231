-- Each record of a tenant's trail is numbered and carries a hash over itself and the one before it, so that a record
-- that was changed, taken out or put in later is found by whoever sums the trail up again.

-- Where each trail ends.
create table public.audit_end (
  tenant_id uuid   not null primary key,
  number    bigint not null check (number >= 0),
  hash      bytea  not null check (octet_length(hash) = 32)
);
select tenancy.protect('public.audit_end');

alter table public.audit add number bigint, add hash bytea;

-- SHA-256 over the hash of the record before, 32 zero bytes for the first, and the record as a JSON array in UTF-8 as
-- PostgreSQL writes one; its time is microseconds since 1970.
create function public.audit_hash(previous bytea, r public.audit) returns bytea language sql stable as $$
  select sha256(previous || convert_to(jsonb_build_array(
    r.tenant_id, r.number, r.id, (extract(epoch from r.at) * 1000000)::bigint, r.service, r.actor_type, r.actor_id,
    r.action, r.object_type, r.object_id, r.reason, r.details, r.correlation_id)::text, 'UTF8'))
$$;

-- What was written before has the order of its times.
alter table public.audit no force row level security;
alter table public.audit_end no force row level security;
alter table public.audit disable trigger audit_unchanged;
do $$
declare
  r public.audit;
  previous bytea;
  last uuid;
  n bigint;
begin
  for r in select * from public.audit order by tenant_id, at, id loop
    if r.tenant_id is distinct from last then
      last := r.tenant_id; n := 0; previous := decode(repeat('00', 32), 'hex');
    end if;
    n := n + 1;
    r.number := n;
    previous := public.audit_hash(previous, r);
    update public.audit set number = n, hash = previous where tenant_id = r.tenant_id and id = r.id;
    insert into public.audit_end values (last, n, previous)
      on conflict (tenant_id) do update set number = excluded.number, hash = excluded.hash;
  end loop;
end $$;
alter table public.audit enable trigger audit_unchanged;
alter table public.audit force row level security;
alter table public.audit_end force row level security;

alter table public.audit alter number set not null, alter hash set not null;
create unique index audit_number on public.audit (tenant_id, number);

-- Appends, whoever inserts: one after the other for each tenant, and a record that is there already not again.
create function public.append_audit() returns trigger language plpgsql as $$
declare
  previous bytea;
begin
  insert into public.audit_end as e values (new.tenant_id, 0, decode(repeat('00', 32), 'hex'))
    on conflict (tenant_id) do update set number = e.number returning e.number + 1, e.hash into new.number, previous;
  if exists (select from public.audit where tenant_id = new.tenant_id and id = new.id) then
    return null;
  end if;
  new.hash := public.audit_hash(previous, new);
  update public.audit_end set number = new.number, hash = new.hash where tenant_id = new.tenant_id;
  return new;
end $$;
create trigger audit_appended before insert on public.audit for each row execute function public.append_audit();
