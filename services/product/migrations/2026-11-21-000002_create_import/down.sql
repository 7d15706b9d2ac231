drop function public.import_jobs_to_clear(timestamptz);
drop function public.import_jobs_waiting(timestamptz);
drop table public.import_error, public.import_key, public.import_row, public.import_job;
