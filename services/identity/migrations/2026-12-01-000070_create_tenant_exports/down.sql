drop function directory.exports_due(timestamptz);
drop table public.tenant_export_part;
drop table public.tenant_export;
