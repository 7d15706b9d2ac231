-- What documents of a branch show: a tax invoice needs the supplier's address (rule 46 of the CGST Rules).
alter table public.branch
  add column address text,
  add column phone   text,
  add constraint branch_address_check check (char_length(address) between 1 and 500),
  add constraint branch_phone_check check (phone ~ '^\+?[0-9 -]{4,20}$');
