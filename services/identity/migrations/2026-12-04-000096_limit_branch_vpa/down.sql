alter table public.branch drop constraint branch_upi_vpa_check;
alter table public.branch
  add constraint branch_upi_vpa_check check (upi_vpa ~ '^[A-Za-z0-9._-]{2,256}@[A-Za-z0-9]{2,64}$');
