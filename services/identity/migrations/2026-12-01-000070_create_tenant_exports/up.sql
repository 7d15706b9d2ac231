-- Exports of all data of a tenant, and what each service has answered.
create table public.tenant_export (
  tenant_id   uuid        not null constraint tenant_export_tenant_fkey references public.tenant,
  id          uuid        not null,
  status      text        not null default 'running',
  asked_by    text        not null,
  asked_at    timestamptz not null,
  deadline_at timestamptz not null,
  finished_at timestamptz,
  expires_at  timestamptz,
  swept_at    timestamptz,
  version     bigint      not null default 1,
  constraint tenant_export_pkey primary key (tenant_id, id),
  constraint tenant_export_status_check check (status in ('running', 'ready', 'failed', 'expired')),
  constraint tenant_export_end_check check (
    (status = 'running') = (finished_at is null) and (finished_at is null) = (expires_at is null)),
  constraint tenant_export_swept_check check (swept_at is null or status = 'expired')
);
create unique index tenant_export_running on public.tenant_export (tenant_id) where status = 'running';
create index tenant_export_asked_at on public.tenant_export (tenant_id, asked_at, id);
create index tenant_export_open on public.tenant_export (asked_at) where swept_at is null;
select tenancy.protect('public.tenant_export');

create table public.tenant_export_part (
  tenant_id   uuid   not null,
  export_id   uuid   not null,
  service     text   not null,
  status      text   not null default 'waiting',
  object_key  text,
  tables      bigint,
  row_count   bigint,
  objects     bigint,
  bytes       bigint,
  sha256      text,
  reason      text,
  answered_at timestamptz,
  constraint tenant_export_part_pkey primary key (tenant_id, export_id, service),
  constraint tenant_export_part_export_fkey foreign key (tenant_id, export_id) references public.tenant_export,
  constraint tenant_export_part_status_check check (status in ('waiting', 'ready', 'failed')),
  constraint tenant_export_part_answer_check check (
    (status = 'waiting') = (answered_at is null) and (status = 'ready') = (object_key is not null)
    and (status = 'failed') = (reason is not null))
);
select tenancy.protect('public.tenant_export_part');

-- Exports whose time is over: nobody waits any longer, or nobody may fetch them, or their objects are still there.
create function directory.exports_due(moment timestamptz) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select e.tenant_id, e.id from public.tenant_export e
   where e.swept_at is null
     and (e.status = 'running' and e.deadline_at <= moment
       or e.status in ('ready', 'failed') and e.expires_at <= moment
       or e.status = 'expired')
   order by e.asked_at limit 100
$$;

do $$
declare
  app text := (select a.grantee::regrole::text from pg_namespace n, aclexplode(n.nspacl) a
                where n.nspname = 'tenancy' and a.privilege_type = 'USAGE' and a.grantee <> n.nspowner limit 1);
begin
  execute format('create policy directory on public.tenant_export for select to %I using (swept_at is null)', current_user);
  revoke all on function directory.exports_due(timestamptz) from public;
  execute format('grant execute on function directory.exports_due(timestamptz) to %s', app);
end $$;
