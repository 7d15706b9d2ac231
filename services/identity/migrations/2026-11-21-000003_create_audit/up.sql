-- Sensitive operations of every service: only ever added to.

create table public.audit (
  tenant_id      uuid        not null,
  id             uuid        not null,
  at             timestamptz not null,
  service        text        not null,
  actor_type     text        not null,
  actor_id       text        not null,
  action         text        not null,
  object_type    text        not null,
  object_id      text        not null,
  reason         text,
  details        jsonb       not null,
  correlation_id uuid,
  constraint audit_pkey primary key (tenant_id, id)
);
create index audit_at on public.audit (tenant_id, at, id);
create index audit_object on public.audit (tenant_id, object_id, at);
create index audit_actor on public.audit (tenant_id, actor_id, at);
select tenancy.protect('public.audit');

create function public.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is only ever added to', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger audit_unchanged before update or delete on public.audit
  for each row execute function public.refuse_change();
create trigger audit_kept before truncate on public.audit
  for each statement execute function public.refuse_change();
