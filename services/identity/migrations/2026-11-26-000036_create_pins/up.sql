-- The short secret with which somebody approves at a colleague's till. Its owner sets it with his password.
create table public.pin (
  tenant_id uuid        not null,
  user_id   uuid        not null,
  hash      text        not null,
  -- in a row, until one was right; a short secret is not to be guessed by patience
  failures  int         not null default 0,
  set_at    timestamptz not null,
  constraint pin_pkey primary key (tenant_id, user_id),
  constraint pin_user_fkey foreign key (tenant_id, user_id) references public.app_user (tenant_id, id),
  constraint pin_failures_check check (failures >= 0)
);
select tenancy.protect('public.pin');
