-- Where a branch is paid by UPI: the virtual payment address that its tills show as QR.
alter table public.branch
  add column upi_vpa text,
  add constraint branch_upi_vpa_check check (upi_vpa ~ '^[A-Za-z0-9._-]{2,256}@[A-Za-z0-9]{2,64}$');
