delete from public.ticket where kind in ('mfa_challenge', 'mfa_enrolment');
alter table public.ticket
  drop constraint ticket_kind_check,
  add constraint ticket_kind_check check (kind in ('invitation', 'password_reset'));
alter table public.company drop column require_mfa;
alter table public.session drop column amr;
drop table public.recovery_code;
drop table public.mfa;
