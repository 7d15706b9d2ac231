drop table public.pin;
