-- Keys with which programs call: each is a principal of its tenant.
create table public.api_key (
  tenant_id    uuid        not null,
  id           uuid        not null,
  name         text        not null,
  prefix       text        not null,            -- tells keys apart; the secret follows it
  hash         bytea       not null,
  permissions  text[]      not null,
  rate         int         not null,            -- requests a minute
  made_by      uuid        not null,            -- who has seen the secret
  not_before   bigint      not null default 0,  -- what was believed of it before this Unix second is void
  version      bigint      not null default 1,
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  expires_at   timestamptz not null,
  last_used_at timestamptz,
  revoked_at   timestamptz,
  constraint api_key_pkey primary key (tenant_id, id),
  constraint api_key_maker_fkey foreign key (tenant_id, made_by) references public.app_user (tenant_id, id),
  constraint api_key_name_check check (char_length(name) between 1 and 60),
  constraint api_key_prefix_check check (prefix ~ '^[a-z2-7]{8}$'),
  constraint api_key_hash_check check (octet_length(hash) = 32),
  constraint api_key_permissions_check check (cardinality(permissions) between 1 and 200 and array_position(permissions, null) is null),
  constraint api_key_rate_check check (rate between 1 and 60000)
);
create index api_key_made_by on public.api_key (tenant_id, made_by);
select tenancy.protect('public.api_key');

-- A key is known by its prefix before its tenant is.
create table directory.api_key (
  prefix    text not null constraint api_key_pkey primary key,
  tenant_id uuid not null,
  id        uuid not null
);

create function directory.claim_api_key(prefix text, tenant_id uuid, id uuid) returns boolean
  language sql security definer set search_path = pg_catalog as $$
  with claimed as (insert into directory.api_key values (prefix, tenant_id, id) on conflict do nothing returning 1)
  select exists (select from claimed)
$$;

create function directory.find_api_key(prefix text) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select k.tenant_id, k.id from directory.api_key k where k.prefix = find_api_key.prefix
$$;

do $$
declare
  app text := (select a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = 'tenancy' and a.privilege_type = 'USAGE' and a.grantee <> n.nspowner limit 1);
  f text;
begin
  foreach f in array array['claim_api_key(text, uuid, uuid)', 'find_api_key(text)'] loop
    execute format('revoke all on function directory.%s from public', f);
    execute format('grant execute on function directory.%s to %s', f, app);
  end loop;
end $$;
