-- When somebody has shown that he reads the mail of his address.
alter table public.app_user add column email_verified_at timestamptz;

alter table public.ticket
  drop constraint ticket_kind_check,
  add constraint ticket_kind_check check
    (kind in ('invitation', 'password_reset', 'mfa_challenge', 'mfa_enrolment', 'email_verification'));
