alter table public.app_user drop column branch_ids;
