create table quotation (
  tenant_id       uuid          not null,
  quotation_id    uuid          not null,
  registration_id uuid          not null,
  fiscal_year     int           not null,
  series          text          not null,
  running         bigint        not null,
  number          text          not null,
  date            date          not null,
  valid_until     date          not null,
  status          text          not null default 'draft',
  branch_id       uuid          not null,
  location_id     uuid          not null,
  customer_id     uuid,
  -- who buys, at which prices, line by line; a revision replaces it whole
  offer           jsonb         not null,
  total           numeric(17,2) not null,
  note            text,
  -- the order that it was accepted with
  order_id        uuid,
  reason          text,
  created_by      uuid,
  created_at      timestamptz   not null,
  sent_at         timestamptz,
  ended_at        timestamptz,
  version         bigint        not null default 1,
  primary key (tenant_id, quotation_id),
  constraint quotation_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint quotation_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint quotation_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint quotation_status_check check (status in ('draft', 'sent', 'accepted', 'declined')),
  constraint quotation_ended_check check ((status in ('accepted', 'declined')) = (ended_at is not null)),
  constraint quotation_order_check check ((status = 'accepted') = (order_id is not null)),
  constraint quotation_valid_check check (valid_until >= date),
  constraint quotation_numeric_check check (total >= 0 and total <> 'NaN')
);
create index quotation_created_at on quotation (tenant_id, created_at, quotation_id);
create index quotation_customer on quotation (tenant_id, customer_id, created_at) where customer_id is not null;
select tenancy.protect('public.quotation');
