drop table public.till, public.location, public.branch, public.registration, public.company;
