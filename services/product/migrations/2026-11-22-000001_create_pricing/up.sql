-- Prices: price lists and their entries, promotions and their coupons, and rates of tax that depend on the price.
--
-- Branches and groups of customers are other services' and are not looked up here: a rule for one that nobody sells in
-- fits no basket.

-- Which list gives a price must never depend on chance: of two lists for the same audience and priority no day is in both.
create table public.price_list (
  tenant_id          uuid        not null,
  id                 uuid        not null,
  version            bigint      not null,
  name               text        not null,
  name_key           text        not null,
  priority           integer     not null,
  price_includes_tax boolean     not null,
  branch_id          uuid,
  customer_group_id  uuid,
  valid_from         date,
  valid_to           date,                     -- the first day on which it no longer holds
  created_at         timestamptz not null,
  updated_at         timestamptz not null,
  constraint price_list_pkey primary key (tenant_id, id),
  constraint price_list_name_key unique (tenant_id, name_key),
  constraint price_list_name_check check (char_length(name) between 1 and 200),
  constraint price_list_priority_check check (priority between -1000 and 1000),
  constraint price_list_period_check check (valid_to > valid_from),
  constraint price_list_ambiguous exclude using gist
    (tenant_id with =, priority with =,
     (coalesce(branch_id, '00000000-0000-0000-0000-000000000000'::uuid)) with =,
     (coalesce(customer_group_id, '00000000-0000-0000-0000-000000000000'::uuid)) with =,
     daterange(valid_from, valid_to) with &&)
);
select tenancy.protect('public.price_list');

create table public.price_entry (
  tenant_id     uuid           not null,
  id            uuid           not null,
  price_list_id uuid           not null,
  product_id    uuid           not null,
  unit_id       uuid           not null,
  min_qty       numeric(18, 3) not null,
  price         numeric(19, 4) not null,
  valid_from    date,
  valid_to      date,
  constraint price_entry_pkey primary key (tenant_id, id),
  constraint price_entry_list_fkey foreign key (tenant_id, price_list_id)
    references public.price_list (tenant_id, id) on delete cascade,
  constraint price_entry_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade,
  constraint price_entry_unit_fkey foreign key (tenant_id, unit_id) references public.unit (tenant_id, id),
  constraint price_entry_min_qty_check check (min_qty <> 'NaN' and min_qty >= 0),
  constraint price_entry_price_check check (price <> 'NaN' and price >= 0),
  constraint price_entry_period_check check (valid_to > valid_from),
  constraint price_entry_overlap exclude using gist
    (tenant_id with =, price_list_id with =, product_id with =, unit_id with =, min_qty with =,
     daterange(valid_from, valid_to) with &&)
);
create index price_entry_list on public.price_entry (tenant_id, price_list_id, product_id, id);
create index price_entry_product on public.price_entry (tenant_id, product_id);
create index price_entry_unit on public.price_entry (tenant_id, unit_id);
select tenancy.protect('public.price_entry');

create table public.promotion (
  tenant_id         uuid           not null,
  id                uuid           not null,
  version           bigint         not null,
  name              text           not null,
  status            text           not null,
  priority          integer        not null,
  stackable         boolean        not null,
  needs_coupon      boolean        not null,
  branch_id         uuid,
  customer_group_id uuid,
  valid_from        date,
  valid_to          date,
  scope             jsonb          not null,
  min_qty           numeric(18, 3),
  min_amount        numeric(17, 2),
  rule              jsonb          not null,
  created_at        timestamptz    not null,
  updated_at        timestamptz    not null,
  constraint promotion_pkey primary key (tenant_id, id),
  constraint promotion_name_check check (char_length(name) between 1 and 200),
  constraint promotion_status_check check (status in ('draft', 'active', 'ended')),
  constraint promotion_priority_check check (priority between -1000 and 1000),
  constraint promotion_period_check check (valid_to > valid_from),
  constraint promotion_min_qty_check check (min_qty <> 'NaN' and min_qty > 0),
  constraint promotion_min_amount_check check (min_amount <> 'NaN' and min_amount > 0)
);
create index promotion_active on public.promotion (tenant_id, id) where status = 'active';
select tenancy.protect('public.promotion');

-- Uses are counted where they happen: by sales, in the transaction of the sale.
create table public.coupon (
  tenant_id          uuid        not null,
  id                 uuid        not null,
  version            bigint      not null,
  promotion_id       uuid        not null,
  code               text        not null,      -- in capitals
  enabled            boolean     not null,
  use_limit          integer,
  limit_per_customer integer,
  valid_from         date,
  valid_to           date,
  created_at         timestamptz not null,
  updated_at         timestamptz not null,
  constraint coupon_pkey primary key (tenant_id, id),
  constraint coupon_code_key unique (tenant_id, code),
  constraint coupon_promotion_fkey foreign key (tenant_id, promotion_id)
    references public.promotion (tenant_id, id) on delete cascade,
  constraint coupon_code_check check (code ~ '^[A-Z0-9][A-Z0-9-]{2,39}$'),
  constraint coupon_use_limit_check check (use_limit > 0),
  constraint coupon_limit_per_customer_check check (limit_per_customer > 0),
  constraint coupon_period_check check (valid_to > valid_from)
);
create index coupon_promotion on public.coupon (tenant_id, promotion_id, code);
select tenancy.protect('public.coupon');

-- Footwear to 2,500 rupees a pair is taxed at 5 %, above at 18 %: what holds for dearer units than price_limit.
alter table public.tax_rate
  add column price_limit numeric(19, 4),
  add column rate_above  numeric(6, 3),
  add column cess_above  numeric(7, 3),
  add constraint tax_rate_above_check check (num_nulls(price_limit, rate_above, cess_above) in (0, 3)),
  add constraint tax_rate_price_limit_check check (price_limit <> 'NaN' and price_limit > 0),
  add constraint tax_rate_rate_above_check check (rate_above <> 'NaN' and rate_above between 0 and 100),
  add constraint tax_rate_cess_above_check check (cess_above <> 'NaN' and cess_above between 0 and 1000);
