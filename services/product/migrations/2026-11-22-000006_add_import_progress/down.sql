alter table public.import_job drop column phase_base, drop column format;
