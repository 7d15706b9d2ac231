-- Erasures of people, and what each service has answered.
create table public.erasure (
  tenant_id   uuid        not null constraint erasure_tenant_fkey references public.tenant,
  id          uuid        not null,
  subject     text        not null,
  subject_id  uuid        not null,
  reason      text        not null,
  asked_by    text        not null,
  asked_at    timestamptz not null,
  finished_at timestamptz,
  version     bigint      not null default 1,
  constraint erasure_pkey primary key (tenant_id, id),
  constraint erasure_subject_key unique (tenant_id, subject, subject_id),
  constraint erasure_subject_check check (subject in ('customer', 'user')),
  constraint erasure_reason_check check (char_length(reason) between 1 and 200)
);
create index erasure_asked_at on public.erasure (tenant_id, asked_at, id);
select tenancy.protect('public.erasure');

create table public.erasure_part (
  tenant_id   uuid        not null,
  erasure_id  uuid        not null,
  service     text        not null,
  answered_at timestamptz,
  erased      jsonb,
  kept        jsonb,
  constraint erasure_part_pkey primary key (tenant_id, erasure_id, service),
  constraint erasure_part_erasure_fkey foreign key (tenant_id, erasure_id) references public.erasure,
  constraint erasure_part_answer_check check (
    (answered_at is null) = (erased is null) and (answered_at is null) = (kept is null))
);
select tenancy.protect('public.erasure_part');
