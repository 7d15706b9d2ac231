-- PostgreSQL takes no count above 255 in a pattern, so that the constraint before this one let no address in at all.
alter table public.branch drop constraint branch_upi_vpa_check;
alter table public.branch
  add constraint branch_upi_vpa_check check (length(upi_vpa) <= 321 and upi_vpa ~ '^[A-Za-z0-9._-]{2,}@[A-Za-z0-9]{2,64}$');
