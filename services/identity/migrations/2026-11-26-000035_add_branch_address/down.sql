alter table public.branch drop column phone, drop column address;
