-- A second factor: the secret of an authenticator app (RFC 6238), and codes for the day when it is lost.
create table public.mfa (
  tenant_id    uuid        not null,
  user_id      uuid        not null,
  sealed       bytea       not null,            -- the secret, encrypted
  last_step    bigint      not null default 0,  -- of the last code that was taken: none is taken twice
  created_at   timestamptz not null,
  confirmed_at timestamptz,                     -- null until a first code has shown that the app has the secret
  constraint mfa_pkey primary key (tenant_id, user_id),
  constraint mfa_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id)
);
select tenancy.protect('public.mfa');

create table public.recovery_code (
  tenant_id uuid  not null,
  user_id   uuid  not null,
  hash      bytea not null,
  used_at   timestamptz,
  constraint recovery_code_pkey primary key (tenant_id, user_id, hash),
  constraint recovery_code_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint recovery_code_hash_check check (octet_length(hash) = 32)
);
select tenancy.protect('public.recovery_code');

-- How its user has shown who he is (RFC 8176).
alter table public.session
  add column amr text[] not null default array['pwd'],
  add constraint session_amr_check check (array_position(amr, null) is null);

-- Whether everybody needs a second factor.
alter table public.company add column require_mfa boolean not null default false;

-- Between the password and the second factor, or the enrolment of one.
alter table public.ticket
  drop constraint ticket_kind_check,
  add constraint ticket_kind_check check (kind in ('invitation', 'password_reset', 'mfa_challenge', 'mfa_enrolment'));
