delete from public.ticket where kind = 'email_verification';
alter table public.ticket
  drop constraint ticket_kind_check,
  add constraint ticket_kind_check check (kind in ('invitation', 'password_reset', 'mfa_challenge', 'mfa_enrolment'));
alter table public.app_user drop column email_verified_at;
