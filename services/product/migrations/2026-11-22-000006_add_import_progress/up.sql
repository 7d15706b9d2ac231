-- What the speed of an import is measured from: the rows that were dealt with before the running phase began.
alter table public.import_job
  add column format text not null default 'csv',
  add column phase_base bigint not null default 0,
  add constraint import_job_format_check check (format in ('csv', 'xlsx')),
  add constraint import_job_phase_base_check check (phase_base >= 0);
