drop trigger audit_appended on public.audit;
drop function public.append_audit();
drop function public.audit_hash(bytea, public.audit);
alter table public.audit drop number, drop hash;
drop table public.audit_end;
