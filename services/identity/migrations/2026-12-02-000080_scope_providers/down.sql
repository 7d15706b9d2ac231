alter table public.identity_provider drop column branch_ids;
