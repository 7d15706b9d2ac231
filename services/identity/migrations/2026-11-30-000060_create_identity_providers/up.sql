-- Third parties that say who somebody is (OpenID Connect).
create table public.identity_provider (
  tenant_id     uuid        not null,
  id            uuid        not null,
  name          text        not null,
  issuer        text        not null,
  client_id     text        not null,
  sealed        bytea,                    -- the client secret, encrypted; a public client has none
  redirect_uris text[]      not null,
  domains       text[]      not null,     -- of e-mail addresses for which it speaks
  link_by_email boolean     not null,     -- whether a verified address in a domain finds its user
  role_id       uuid,                     -- what unknown people become; none: they stay outside
  trusts_mfa    boolean     not null,     -- whether its second factor counts as ours
  active        boolean     not null,
  version       bigint      not null default 1,
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  constraint identity_provider_pkey primary key (tenant_id, id),
  constraint identity_provider_tenant_fkey foreign key (tenant_id) references public.tenant (tenant_id),
  constraint identity_provider_role_fkey foreign key (tenant_id, role_id) references public.role (tenant_id, id),
  constraint identity_provider_issuer_key unique (tenant_id, issuer),
  constraint identity_provider_name_check check (char_length(name) between 1 and 60),
  constraint identity_provider_redirects_check check (cardinality(redirect_uris) between 1 and 10 and array_position(redirect_uris, null) is null),
  constraint identity_provider_domains_check check (cardinality(domains) <= 50 and array_position(domains, null) is null),
  constraint identity_provider_reach_check check (cardinality(domains) > 0 or (not link_by_email and role_id is null))
);
create index identity_provider_role on public.identity_provider (tenant_id, role_id);
select tenancy.protect('public.identity_provider');

-- Who somebody is at an issuer: the pair of issuer and subject, which never passes to somebody else.
create table public.linked_identity (
  tenant_id    uuid        not null,
  id           uuid        not null,
  issuer       text        not null,
  subject      text        not null,
  provider_id  uuid        not null,
  user_id      uuid        not null,
  email        text,                      -- as the provider said when it was linked
  created_at   timestamptz not null,
  last_used_at timestamptz,
  constraint linked_identity_pkey primary key (tenant_id, id),
  constraint linked_identity_subject_key unique (tenant_id, issuer, subject),
  constraint linked_identity_provider_fkey foreign key (tenant_id, provider_id) references public.identity_provider (tenant_id, id),
  constraint linked_identity_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint linked_identity_subject_check check (char_length(subject) between 1 and 255)
);
create index linked_identity_user on public.linked_identity (tenant_id, user_id);
create index linked_identity_provider on public.linked_identity (tenant_id, provider_id);
select tenancy.protect('public.linked_identity');

-- A sign-in that has left for a provider. Verifier and nonce follow from the id, so neither is kept.
create table public.oidc_login (
  tenant_id    uuid        not null,
  id           uuid        not null,
  provider_id  uuid        not null,
  hash         bytea       not null,      -- of the state
  redirect_uri text        not null,
  user_id      uuid,                      -- who links, where somebody does who is signed in
  created_at   timestamptz not null,
  expires_at   timestamptz not null,
  used_at      timestamptz,
  constraint oidc_login_pkey primary key (tenant_id, id),
  constraint oidc_login_hash_key unique (tenant_id, hash),
  constraint oidc_login_provider_fkey foreign key (tenant_id, provider_id) references public.identity_provider (tenant_id, id),
  constraint oidc_login_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint oidc_login_hash_check check (octet_length(hash) = 32)
);
create index oidc_login_expires_at on public.oidc_login (expires_at);
create index oidc_login_provider on public.oidc_login (tenant_id, provider_id);
select tenancy.protect('public.oidc_login');

-- Who comes in by a provider may have no password.
alter table public.app_user drop constraint app_user_password_check;

-- How the holder of a ticket has shown who he is so far.
alter table public.ticket
  add column amr text[] not null default array['pwd'],
  add constraint ticket_amr_check check (array_position(amr, null) is null);

create function directory.tenant_of(slug text) returns uuid
  language sql stable security definer set search_path = pg_catalog as $$
  select s.tenant_id from directory.slug s where s.slug = tenant_of.slug
$$;

create function directory.purge_logins(now timestamptz, many int) returns bigint
  language sql security definer set search_path = pg_catalog as $$
  with gone as (delete from public.oidc_login where (tenant_id, id) in
    (select l.tenant_id, l.id from public.oidc_login l where l.expires_at < now - interval '1 hour' limit many) returning 1)
  select count(*) from gone
$$;

do $$
declare
  app text := (select a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = 'tenancy' and a.privilege_type = 'USAGE' and a.grantee <> n.nspowner limit 1);
  f text;
begin
  execute format('create policy directory on public.oidc_login to %I using (true)', current_user);
  foreach f in array array['tenant_of(text)', 'purge_logins(timestamptz, int)'] loop
    execute format('revoke all on function directory.%s from public', f);
    execute format('grant execute on function directory.%s to %s', f, app);
  end loop;
end $$;
