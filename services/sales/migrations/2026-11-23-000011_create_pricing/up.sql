-- Copies of product's price lists, promotions and coupons, and how often coupons were used.
-- A product that was heard of before has these from its next event, or when its topic is read again.
alter table product
  add column stock_unit_id uuid,
  add column category_id   uuid,
  add column brand_id      uuid;

create table category (
  tenant_id   uuid    not null,
  category_id uuid    not null,
  parent_id   uuid,
  -- stays, so that a late update does not bring it back; likewise below
  deleted     boolean not null,
  epoch       bigint  not null,
  version     bigint  not null,
  primary key (tenant_id, category_id)
);
select tenancy.protect('public.category');

create table price_list (
  tenant_id          uuid    not null,
  price_list_id      uuid    not null,
  priority           int     not null,
  price_includes_tax boolean not null,
  branch_id          uuid,
  customer_group_id  uuid,
  valid_from         date,
  valid_to           date,
  deleted            boolean not null,
  epoch              bigint  not null,
  version            bigint  not null,
  primary key (tenant_id, price_list_id),
  constraint price_list_period_check check (valid_from < valid_to)
);
select tenancy.protect('public.price_list');

-- The version of all prices that a list has for a product, also where it has none any more.
create table price_list_product (
  tenant_id     uuid   not null,
  price_list_id uuid   not null,
  product_id    uuid   not null,
  epoch         bigint not null,
  version       bigint not null,
  primary key (tenant_id, price_list_id, product_id)
);
select tenancy.protect('public.price_list_product');

create table price_entry (
  tenant_id     uuid          not null,
  product_id    uuid          not null,
  price_list_id uuid          not null,
  entry_id      uuid          not null,
  unit_id       uuid          not null,
  min_qty       numeric(18,3) not null,
  price         numeric(19,4) not null,
  valid_from    date,
  valid_to      date,
  -- by product: a sale asks for those of its basket
  primary key (tenant_id, product_id, price_list_id, entry_id),
  constraint price_entry_period_check check (valid_from < valid_to),
  constraint price_entry_numeric_check check (min_qty >= 0 and min_qty <> 'NaN' and price >= 0 and price <> 'NaN')
);
create index price_entry_list on price_entry (tenant_id, price_list_id);
select tenancy.protect('public.price_entry');

create table promotion (
  tenant_id         uuid    not null,
  promotion_id      uuid    not null,
  -- product's statuses, and `deleted`
  status            text    not null,
  needs_coupon      boolean not null,
  branch_id         uuid,
  customer_group_id uuid,
  valid_from        date,
  valid_to          date,
  -- the whole, as its event tells
  terms             jsonb   not null,
  epoch             bigint  not null,
  version           bigint  not null,
  primary key (tenant_id, promotion_id),
  constraint promotion_period_check check (valid_from < valid_to)
);
create index promotion_active on promotion (tenant_id) where status = 'active';
select tenancy.protect('public.promotion');

create table coupon (
  tenant_id          uuid    not null,
  coupon_id          uuid    not null,
  promotion_id       uuid    not null,
  code               text    not null,
  enabled            boolean not null,
  use_limit          bigint,
  limit_per_customer bigint,
  valid_from         date,
  valid_to           date,
  deleted            boolean not null,
  epoch              bigint  not null,
  version            bigint  not null,
  primary key (tenant_id, coupon_id),
  constraint coupon_period_check check (valid_from < valid_to)
);
create index coupon_code on coupon (tenant_id, code) where not deleted;
select tenancy.protect('public.coupon');

-- How often a coupon was used, by all (the zero id) and by each customer. `most` is the limit at the last use; none after
-- uses that a restore has brought back, which are never refused.
create table coupon_counter (
  tenant_id   uuid   not null,
  coupon_id   uuid   not null,
  customer_id uuid   not null,
  used        bigint not null,
  most        bigint,
  primary key (tenant_id, coupon_id, customer_id),
  constraint coupon_counter_used_check check (used > 0 and used <= most)
) with (fillfactor = 50);
select tenancy.protect('public.coupon_counter');

create table coupon_use (
  tenant_id   uuid        not null,
  coupon_id   uuid        not null,
  invoice_id  uuid        not null,
  customer_id uuid,
  used_at     timestamptz not null,
  primary key (tenant_id, coupon_id, invoice_id),
  constraint coupon_use_invoice_fkey foreign key (tenant_id, invoice_id) references invoice deferrable initially deferred
);
create index coupon_use_invoice on coupon_use (tenant_id, invoice_id);
select tenancy.protect('public.coupon_use');
create trigger frozen before update or delete on coupon_use for each row execute function invoice_frozen();

-- How it got its prices, where that is more than the product's own; as in `invoice.issued`.
alter table invoice add column pricing jsonb;
alter table invoice_line add column pricing jsonb;
