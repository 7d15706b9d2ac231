alter table public.branch drop column upi_vpa;
