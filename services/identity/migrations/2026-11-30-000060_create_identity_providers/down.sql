drop function directory.purge_logins(timestamptz, int);
drop function directory.tenant_of(text);
alter table public.ticket drop column amr;
drop table public.oidc_login;
drop table public.linked_identity;
drop table public.identity_provider;
alter table public.app_user add constraint app_user_password_check check (status <> 'active' or password_hash is not null) not valid;
