drop table public.erasure_part;
drop table public.erasure;
