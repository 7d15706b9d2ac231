-- Statutory numbers (S4). A counter is a row, not a sequence: a sale that is rolled back gives its number back.

-- The series opened for documents that belong to no till. Tills bring their own.
create table series (
  tenant_id       uuid        not null,
  registration_id uuid        not null,
  prefix          text        not null,
  purpose         text        not null,
  opened_at       timestamptz not null,
  primary key (tenant_id, registration_id, prefix),
  constraint series_prefix_check check (prefix = upper(prefix) and length(prefix) between 1 and 5),
  constraint series_purpose_check check (purpose in ('invoice', 'credit_note'))
);
select tenancy.protect('public.series');

-- A prefix serves one purpose in a year, so no two documents of a registration and year share a number: numbers
-- are equal only where prefix, year and running number are.
create table number_counter (
  tenant_id       uuid   not null,
  registration_id uuid   not null,
  prefix          text   not null,
  fiscal_year     int    not null,
  purpose         text   not null,
  next            bigint not null,
  primary key (tenant_id, registration_id, prefix, fiscal_year),
  constraint number_counter_prefix_check check (prefix = upper(prefix) and length(prefix) between 1 and 5),
  constraint number_counter_purpose_check check (purpose in ('invoice', 'credit_note')),
  constraint number_counter_next_check check (next > 0)
) with (fillfactor = 50);
select tenancy.protect('public.number_counter');
