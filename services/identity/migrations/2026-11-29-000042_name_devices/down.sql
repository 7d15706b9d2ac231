alter table public.session drop column device;
