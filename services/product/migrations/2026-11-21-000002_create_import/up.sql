-- Bulk imports: the job, its staged rows, the keys they claim, and what is wrong with them.

create table public.import_job (
  tenant_id       uuid        not null,
  id              uuid        not null,
  version         bigint      not null,
  status          text        not null,
  dry_run         boolean     not null,
  bytes           bigint      not null,
  rows            bigint      not null,  -- staged
  checked         bigint      not null,  -- of them checked, or refused before
  applied         bigint      not null,  -- of them applied, or refused before
  created         bigint      not null,
  updated         bigint      not null,
  unchanged       bigint      not null,
  refused         bigint      not null,
  "cursor"        bigint      not null,  -- the last line the running phase has dealt with
  ignored_columns jsonb       not null,
  reason          text,                  -- why it is invalid or has failed
  actor           jsonb       not null,  -- who uploaded it: its events are his
  correlation_id  uuid        not null,
  lease_until     timestamptz not null,  -- until then some process works on it
  staged          boolean     not null,  -- rows and keys are still there
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  finished_at     timestamptz,
  constraint import_job_pkey primary key (tenant_id, id),
  constraint import_job_status_check check (status in ('uploading', 'uploaded', 'validating', 'invalid', 'ready',
    'applying', 'completed', 'completed_with_errors', 'failed', 'cancelled')),
  constraint import_job_counts_check check (bytes >= 0 and rows >= 0 and checked >= 0 and applied >= 0
    and created >= 0 and updated >= 0 and unchanged >= 0 and refused >= 0)
);
create index import_job_waiting on public.import_job (lease_until)
  where status in ('uploaded', 'validating', 'ready', 'applying');
create index import_job_staged on public.import_job (updated_at) where staged;
select tenancy.protect('public.import_job');

create table public.import_row (
  tenant_id uuid    not null,
  job_id    uuid    not null,
  line      bigint  not null,  -- on which the row begins in the file
  cells     jsonb   not null,
  refused   boolean not null,
  constraint import_row_pkey primary key (tenant_id, job_id, line),
  constraint import_row_job_fkey foreign key (tenant_id, job_id) references public.import_job (tenant_id, id) on delete cascade
);
select tenancy.protect('public.import_row');

-- A SKU or barcode may stand in one row of a file only; the first row has it.
create table public.import_key (
  tenant_id uuid   not null,
  job_id    uuid   not null,
  key       text   not null,
  line      bigint not null,
  constraint import_key_pkey primary key (tenant_id, job_id, key),
  constraint import_key_job_fkey foreign key (tenant_id, job_id) references public.import_job (tenant_id, id) on delete cascade
);
select tenancy.protect('public.import_key');

create table public.import_error (
  tenant_id uuid   not null,
  job_id    uuid   not null,
  line      bigint not null,
  "column"  text   not null,
  value     text   not null,
  reason    text   not null,
  constraint import_error_pkey primary key (tenant_id, job_id, line, "column"),
  constraint import_error_job_fkey foreign key (tenant_id, job_id) references public.import_job (tenant_id, id) on delete cascade
);
select tenancy.protect('public.import_error');

-- Jobs of every tenant that nobody works on, and those whose staged rows can go. The owner sees no job but these.
do $$ begin
  execute format('create policy work on public.import_job for select to %I using (
    staged or status in (''uploaded'', ''validating'', ''ready'', ''applying''))', current_user);
end $$;
create function public.import_jobs_waiting(moment timestamptz) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select j.tenant_id, j.id from public.import_job j
   where (j.status in ('uploaded', 'validating', 'applying') or j.status = 'ready' and not j.dry_run)
     and j.lease_until < moment
   order by j.lease_until limit 20
$$;
create function public.import_jobs_to_clear(moment timestamptz) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select j.tenant_id, j.id from public.import_job j
   where j.staged
     and (j.status in ('invalid', 'completed', 'completed_with_errors', 'failed', 'cancelled')
          or j.status = 'uploading' and j.lease_until < moment
          or j.status = 'ready' and j.updated_at < moment - interval '7 days')
   order by j.updated_at limit 20
$$;
revoke all on function public.import_jobs_waiting(timestamptz), public.import_jobs_to_clear(timestamptz) from public;
do $$ declare app text := regexp_replace(current_user, '_owner$', '_app'); begin
  execute format('grant execute on function public.import_jobs_waiting(timestamptz) to %I', app);
  execute format('grant execute on function public.import_jobs_to_clear(timestamptz) to %I', app);
end $$;
