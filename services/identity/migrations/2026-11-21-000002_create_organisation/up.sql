-- The company, its GST registrations, and where it does business.

create table public.company (
  tenant_id  uuid        not null,
  legal_name text        not null,
  trade_name text,
  pan        text,
  currency   text        not null,
  version    bigint      not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint company_pkey primary key (tenant_id),
  constraint company_tenant_fkey foreign key (tenant_id) references public.tenant (tenant_id),
  constraint company_legal_name_check check (char_length(legal_name) between 1 and 200),
  constraint company_trade_name_check check (char_length(trade_name) between 1 and 200),
  constraint company_pan_check check (pan ~ '^[A-Z]{5}[0-9]{4}[A-Z]$'),
  constraint company_currency_check check (currency ~ '^[A-Z]{3}$')
);
select tenancy.protect('public.company');

create table public.registration (
  tenant_id  uuid        not null,
  id         uuid        not null,
  gstin      text,
  state_code text        not null,
  legal_name text        not null,
  active     boolean     not null default true,
  version    bigint      not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint registration_pkey primary key (tenant_id, id),
  constraint registration_company_fkey foreign key (tenant_id) references public.company (tenant_id),
  constraint registration_gstin_key unique (tenant_id, gstin),
  constraint registration_gstin_check check (gstin ~ '^[0-9A-Z]{15}$'),
  constraint registration_state_code_check check (state_code ~ '^[0-9]{2}$'),
  constraint registration_legal_name_check check (char_length(legal_name) between 1 and 200)
);
select tenancy.protect('public.registration');

create table public.branch (
  tenant_id       uuid        not null,
  id              uuid        not null,
  registration_id uuid        not null,
  code            text        not null,
  name            text        not null,
  active          boolean     not null default true,
  version         bigint      not null default 1,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  constraint branch_pkey primary key (tenant_id, id),
  constraint branch_registration_fkey foreign key (tenant_id, registration_id) references public.registration (tenant_id, id),
  constraint branch_registration_key unique (tenant_id, id, registration_id),
  constraint branch_code_key unique (tenant_id, code),
  constraint branch_code_check check (code ~ '^[A-Z0-9][A-Z0-9-]{0,11}$'),
  constraint branch_name_check check (char_length(name) between 1 and 200)
);
create index branch_registration on public.branch (tenant_id, registration_id);
select tenancy.protect('public.branch');

create table public.location (
  tenant_id  uuid        not null,
  id         uuid        not null,
  branch_id  uuid        not null,
  code       text        not null,
  name       text        not null,
  active     boolean     not null default true,
  version    bigint      not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint location_pkey primary key (tenant_id, id),
  constraint location_branch_fkey foreign key (tenant_id, branch_id) references public.branch (tenant_id, id),
  constraint location_branch_key unique (tenant_id, id, branch_id),
  constraint location_code_key unique (tenant_id, code),
  constraint location_code_check check (code ~ '^[A-Z0-9][A-Z0-9-]{0,11}$'),
  constraint location_name_check check (char_length(name) between 1 and 200)
);
create index location_branch on public.location (tenant_id, branch_id);
select tenancy.protect('public.location');

-- A till sells under its branch's registration, so its series is unique there, retired tills included:
-- a number must never be given twice.
create table public.till (
  tenant_id       uuid        not null,
  id              uuid        not null,
  branch_id       uuid        not null,
  registration_id uuid        not null,
  location_id     uuid        not null,
  code            text        not null,
  name            text        not null,
  series          text        not null,
  round_to_rupee  boolean     not null,
  active          boolean     not null default true,
  version         bigint      not null default 1,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  constraint till_pkey primary key (tenant_id, id),
  constraint till_branch_fkey foreign key (tenant_id, branch_id, registration_id) references public.branch (tenant_id, id, registration_id),
  constraint till_location_fkey foreign key (tenant_id, location_id, branch_id) references public.location (tenant_id, id, branch_id),
  constraint till_code_key unique (tenant_id, code),
  constraint till_series_key unique (tenant_id, registration_id, series),
  constraint till_code_check check (code ~ '^[A-Z0-9][A-Z0-9-]{0,11}$'),
  constraint till_name_check check (char_length(name) between 1 and 200),
  constraint till_series_check check (series ~ '^[A-Z0-9][A-Z0-9/-]{0,2}$')
);
create index till_branch on public.till (tenant_id, branch_id);
create index till_location on public.till (tenant_id, location_id);
select tenancy.protect('public.till');
