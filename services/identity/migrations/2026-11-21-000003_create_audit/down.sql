drop table public.audit;
drop function public.refuse_change();
