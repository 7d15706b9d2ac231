drop schema directory cascade;
drop table public.attempt, public.revocation, public.ticket, public.refresh_token, public.session,
  public.user_role, public.role, public.app_user, public.tenant;
