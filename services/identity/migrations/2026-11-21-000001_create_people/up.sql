-- Who may sign in, as what, and where he is signed in.

create table public.tenant (
  tenant_id  uuid        not null,
  slug       text        not null,
  name       text        not null,
  version    bigint      not null default 1,
  created_at timestamptz not null,
  constraint tenant_pkey primary key (tenant_id),
  constraint tenant_slug_check check (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
  constraint tenant_name_check check (char_length(name) between 1 and 200)
);
select tenancy.protect('public.tenant');

create table public.app_user (
  tenant_id     uuid        not null,
  id            uuid        not null,
  email         text        not null,
  name          text        not null,
  status        text        not null,
  password_hash text,
  not_before    bigint      not null default 0,  -- access tokens issued before this Unix second are void
  version       bigint      not null default 1,
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  constraint app_user_pkey primary key (tenant_id, id),
  constraint app_user_tenant_fkey foreign key (tenant_id) references public.tenant (tenant_id),
  constraint app_user_email_key unique (tenant_id, email),
  constraint app_user_email_check check (email = lower(email) and char_length(email) between 3 and 254),
  constraint app_user_name_check check (char_length(name) between 1 and 200),
  constraint app_user_status_check check (status in ('invited', 'active', 'disabled')),
  constraint app_user_password_check check (status <> 'active' or password_hash is not null)
);
-- Sign-in looks across tenants.
create index app_user_email on public.app_user (email);
select tenancy.protect('public.app_user');

create table public.role (
  tenant_id   uuid        not null,
  id          uuid        not null,
  name        text        not null,
  permissions text[]      not null,
  is_owner    boolean     not null default false,  -- the role that can never be lost
  version     bigint      not null default 1,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  constraint role_pkey primary key (tenant_id, id),
  constraint role_tenant_fkey foreign key (tenant_id) references public.tenant (tenant_id),
  constraint role_name_check check (char_length(name) between 1 and 60),
  constraint role_permissions_check check (cardinality(permissions) <= 200 and array_position(permissions, null) is null)
);
create unique index role_name_key on public.role (tenant_id, lower(name));
create unique index role_owner_key on public.role (tenant_id) where is_owner;
select tenancy.protect('public.role');

create table public.user_role (
  tenant_id uuid not null,
  user_id   uuid not null,
  role_id   uuid not null,
  constraint user_role_pkey primary key (tenant_id, user_id, role_id),
  constraint user_role_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint user_role_role_fkey foreign key (tenant_id, role_id) references public.role (tenant_id, id)
);
create index user_role_role on public.user_role (tenant_id, role_id);
select tenancy.protect('public.user_role');

-- A session is a family of refresh tokens, of which each replaces the one before.
create table public.session (
  tenant_id    uuid        not null,
  id           uuid        not null,
  user_id      uuid        not null,
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  expires_at   timestamptz not null,
  revoked_at   timestamptz,
  revoked_for  text,
  ip           text,
  user_agent   text,
  constraint session_pkey primary key (tenant_id, id),
  constraint session_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint session_revoked_check check ((revoked_at is null) = (revoked_for is null)),
  constraint session_ip_check check (char_length(ip) <= 45),
  constraint session_user_agent_check check (char_length(user_agent) <= 200)
);
create index session_of_user on public.session (tenant_id, user_id, created_at);
create index session_expires_at on public.session (expires_at);
select tenancy.protect('public.session');

create table public.refresh_token (
  tenant_id  uuid        not null,
  hash       bytea       not null,
  session_id uuid        not null,
  issued_at  timestamptz not null,
  rotated_at timestamptz,
  constraint refresh_token_pkey primary key (tenant_id, hash),
  constraint refresh_token_session_fkey foreign key (tenant_id, session_id) references public.session (tenant_id, id),
  constraint refresh_token_hash_check check (octet_length(hash) = 32)
);
create index refresh_token_session on public.refresh_token (tenant_id, session_id);
select tenancy.protect('public.refresh_token');

-- A token handed over by hand: an invitation or a password reset.
create table public.ticket (
  tenant_id  uuid        not null,
  id         uuid        not null,
  kind       text        not null,
  user_id    uuid        not null,
  hash       bytea       not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at    timestamptz,
  constraint ticket_pkey primary key (tenant_id, id),
  constraint ticket_hash_key unique (tenant_id, hash),
  constraint ticket_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint ticket_kind_check check (kind in ('invitation', 'password_reset')),
  constraint ticket_hash_check check (octet_length(hash) = 32)
);
create index ticket_of_user on public.ticket (tenant_id, user_id);
create index ticket_expires_at on public.ticket (expires_at);
select tenancy.protect('public.ticket');

-- What the gateway must no longer let pass: one session, or all tokens of a user from before a second.
create table public.revocation (
  tenant_id  uuid        not null,
  id         uuid        not null,
  session_id uuid,
  user_id    uuid,
  not_before bigint,
  at         timestamptz not null,
  constraint revocation_pkey primary key (tenant_id, id),
  constraint revocation_kind_check check ((session_id is null) <> (user_id is null) and (user_id is null) = (not_before is null))
);
create index revocation_at on public.revocation (at);
select tenancy.protect('public.revocation');

-- Failed sign-ins. They happen before the tenant is known, so they are kept under the nil tenant.
create table public.attempt (
  tenant_id     uuid        not null,
  key           bytea       not null,  -- keyed hash of the e-mail or address: nothing readable is kept
  failures      int         not null,
  blocked_until timestamptz not null,
  last_at       timestamptz not null,
  constraint attempt_pkey primary key (tenant_id, key),
  constraint attempt_key_check check (octet_length(key) = 32),
  constraint attempt_failures_check check (failures >= 0)
);
create index attempt_last_at on public.attempt (last_at);
select tenancy.protect('public.attempt');

-- The directory: all that looks across tenants. Functions that run as the owner, each as narrow as its purpose;
-- policies of the owner let them, and nobody else, see the rows they need.
create schema directory;
revoke all on schema directory from public;

create table directory.slug (
  slug      text not null constraint slug_pkey primary key,
  tenant_id uuid not null constraint slug_tenant_key unique
);

create function directory.claim_slug(slug text, tenant_id uuid) returns boolean language sql security definer
  set search_path = pg_catalog as $$
  with claimed as (insert into directory.slug values (slug, tenant_id) on conflict do nothing returning 1)
  select exists (select from claimed)
$$;

-- Ten tenants at most: each costs a password check. Whoever has more names the tenant.
create function directory.sign_in(email text, slug text) returns table (tenant_id uuid, user_id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select u.tenant_id, u.id
    from public.app_user u join directory.slug s on s.tenant_id = u.tenant_id
   where u.email = sign_in.email and (sign_in.slug is null or s.slug = sign_in.slug)
     and u.status = 'active'
   order by s.slug limit 10
$$;

create function directory.revocations(since timestamptz)
  returns table (session_id uuid, user_id uuid, not_before bigint)
  language sql stable security definer set search_path = pg_catalog as $$
  select r.session_id, null::uuid, null::bigint from public.revocation r
   where r.at >= since and r.session_id is not null
  union all
  select null, r.user_id, max(r.not_before) from public.revocation r
   where r.at >= since and r.user_id is not null group by r.user_id
$$;

-- Forgets what no longer matters: at most `many` rows a table, so that one call stays short.
create function directory.purge(now timestamptz, many int) returns bigint language plpgsql security definer
  set search_path = pg_catalog as $$
declare
  gone bigint := 0;
  n bigint;
begin
  delete from public.revocation where (tenant_id, id) in
    (select r.tenant_id, r.id from public.revocation r where r.at < now - interval '1 hour' limit many);
  get diagnostics n = row_count; gone := gone + n;
  delete from public.attempt where (tenant_id, key) in
    (select a.tenant_id, a.key from public.attempt a where a.last_at < now - interval '1 day' limit many);
  get diagnostics n = row_count; gone := gone + n;
  delete from public.ticket where (tenant_id, id) in
    (select t.tenant_id, t.id from public.ticket t where t.expires_at < now - interval '30 days' limit many);
  get diagnostics n = row_count; gone := gone + n;
  delete from public.refresh_token where (tenant_id, hash) in
    (select t.tenant_id, t.hash from public.session s
       join public.refresh_token t on t.tenant_id = s.tenant_id and t.session_id = s.id
      where s.expires_at < now limit many);
  get diagnostics n = row_count; gone := gone + n;
  delete from public.session where (tenant_id, id) in
    (select s.tenant_id, s.id from public.session s
      where s.expires_at < now - interval '30 days'
        and not exists (select from public.refresh_token t where t.tenant_id = s.tenant_id and t.session_id = s.id)
      limit many);
  get diagnostics n = row_count; gone := gone + n;
  return gone;
end $$;

do $$
declare
  t text;
  -- The runtime role is the one that may use the schema tenancy.
  app text := (select a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = 'tenancy' and a.privilege_type = 'USAGE' and a.grantee <> n.nspowner limit 1);
begin
  execute format('create policy directory on public.app_user for select to %I using (true)', current_user);
  foreach t in array array['revocation', 'attempt', 'ticket', 'session', 'refresh_token'] loop
    execute format('create policy directory on public.%I to %I using (true)', t, current_user);
  end loop;
  revoke all on all functions in schema directory from public;
  execute format('grant usage on schema directory to %s', app);
  execute format('grant execute on all functions in schema directory to %s', app);
end $$;
