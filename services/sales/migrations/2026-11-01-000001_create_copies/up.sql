-- What sales needs to know of others, as their events last told: identity's organisation, product's catalogue.
-- A change is applied only when its (epoch, version) is greater than what stands here. There are no foreign
-- keys between copies: events of different aggregates arrive in any order.

create table registration (
  tenant_id       uuid   not null,
  registration_id uuid   not null,
  gstin           text,
  state_code      text   not null,
  legal_name      text   not null,
  active          boolean not null,
  epoch           bigint not null,
  version         bigint not null,
  primary key (tenant_id, registration_id)
);
select tenancy.protect('public.registration');

create table branch (
  tenant_id       uuid   not null,
  branch_id       uuid   not null,
  code            text   not null,
  name            text   not null,
  registration_id uuid   not null,
  active          boolean not null,
  epoch           bigint not null,
  version         bigint not null,
  primary key (tenant_id, branch_id)
);
select tenancy.protect('public.branch');

create table location (
  tenant_id   uuid   not null,
  location_id uuid   not null,
  branch_id   uuid   not null,
  code        text   not null,
  name        text   not null,
  active      boolean not null,
  epoch       bigint not null,
  version     bigint not null,
  primary key (tenant_id, location_id)
);
select tenancy.protect('public.location');

create table till (
  tenant_id      uuid   not null,
  till_id        uuid   not null,
  branch_id      uuid   not null,
  location_id    uuid   not null,
  code           text   not null,
  name           text   not null,
  series         text   not null,
  round_to_rupee boolean not null,
  active         boolean not null,
  epoch          bigint not null,
  version        bigint not null,
  primary key (tenant_id, till_id)
);
select tenancy.protect('public.till');

create table product (
  tenant_id          uuid          not null,
  product_id         uuid          not null,
  sku                text          not null,
  name               text          not null,
  stocked            boolean       not null,
  hsn                text          not null,
  tax_profile_id     uuid,
  uqc                text          not null,
  price              numeric(19,4) not null,
  price_includes_tax boolean       not null,
  mrp                numeric(17,2),
  -- product's statuses, and `deleted`, which stays so that a late update does not bring it back
  status             text          not null,
  epoch              bigint        not null,
  version            bigint        not null,
  primary key (tenant_id, product_id),
  constraint product_numeric_check check (price <> 'NaN' and mrp <> 'NaN')
);
create index product_sku on product (tenant_id, lower(sku));
select tenancy.protect('public.product');

create table barcode (
  tenant_id  uuid not null,
  barcode    text not null,
  product_id uuid not null,
  primary key (tenant_id, barcode, product_id)
);
create index barcode_product on barcode (tenant_id, product_id);
select tenancy.protect('public.barcode');

create table tax_profile (
  tenant_id      uuid   not null,
  tax_profile_id uuid   not null,
  hsn            text   not null,
  category       text   not null,
  epoch          bigint not null,
  version        bigint not null,
  primary key (tenant_id, tax_profile_id)
);
select tenancy.protect('public.tax_profile');

create table tax_rate (
  tenant_id      uuid         not null,
  tax_profile_id uuid         not null,
  valid_from     date         not null,
  valid_to       date,
  rate           numeric(6,3) not null,
  cess           numeric(7,3) not null,
  primary key (tenant_id, tax_profile_id, valid_from),
  constraint tax_rate_numeric_check check (rate <> 'NaN' and cess <> 'NaN')
);
select tenancy.protect('public.tax_rate');
