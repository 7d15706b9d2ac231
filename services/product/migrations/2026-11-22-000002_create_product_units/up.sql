-- Units of products besides the stock unit, barcodes that stand for one of them, and patterns of in-store barcodes.

-- A product's row carries its units as it carries its barcodes: what is locked and versioned together is read
-- together. A list that is read beside a row that was waited for is older than the row.
alter table public.product
  add column units jsonb not null default '[]',
  add constraint product_units_check check (jsonb_typeof(units) = 'array' and jsonb_array_length(units) <= 20);

-- An index had the name that the table needs.
alter index public.product_unit rename to product_stock_unit;

-- The same once more as rows: a unit in use stays, and no factor is zero whoever writes it.
create table public.product_unit (
  tenant_id   uuid           not null,
  product_id  uuid           not null,
  unit_id     uuid           not null,
  numerator   bigint         not null,  -- one of it is numerator / denominator stock units
  denominator bigint         not null,
  price       numeric(19, 4),
  constraint product_unit_pkey primary key (tenant_id, product_id, unit_id),
  constraint product_unit_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade,
  constraint product_unit_unit_fkey foreign key (tenant_id, unit_id) references public.unit (tenant_id, id),
  constraint product_unit_factor_check check (numerator between 1 and 1000000000 and denominator between 1 and 1000000000),
  constraint product_unit_price_check check (price <> 'NaN' and price >= 0)
);
create index product_unit_unit on public.product_unit (tenant_id, unit_id);
select tenancy.protect('public.product_unit');

-- Not validated: the column is new, and a look through the table would have to be some tenant's.
alter table public.barcode
  add column unit_id uuid,  -- which unit it stands for; null for the stock unit
  add constraint barcode_unit_fkey foreign key (tenant_id, product_id, unit_id)
    references public.product_unit (tenant_id, product_id, unit_id) on delete cascade not valid;

-- What the digits of in-store barcodes mean: 21.....{NNDDD} is an item of five digits and a weight.
create table public.barcode_pattern (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  name       text        not null,
  pattern    text        not null,
  meaning    text        not null,
  position   integer     not null,  -- the first that fits counts
  active     boolean     not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint barcode_pattern_pkey primary key (tenant_id, id),
  constraint barcode_pattern_pattern_key unique (tenant_id, pattern),
  constraint barcode_pattern_name_check check (char_length(name) between 1 and 200),
  constraint barcode_pattern_pattern_check check (pattern ~ '^[0-9]{2}[0-9.C{ND}]{10,14}$'),
  constraint barcode_pattern_meaning_check check (meaning in ('weight', 'price', 'quantity')),
  constraint barcode_pattern_position_check check (position between 0 and 1000)
);
select tenancy.protect('public.barcode_pattern');

-- The company prefix that GS1 has given a tenant, and the next of its item references.
create table public.barcode_prefix (
  tenant_id uuid   not null,
  prefix    text   not null,
  next      bigint not null,
  constraint barcode_prefix_pkey primary key (tenant_id, prefix),
  constraint barcode_prefix_prefix_check check (prefix ~ '^[0-9]{4,11}$'),
  constraint barcode_prefix_next_check check (next between 0 and power(10, 12 - char_length(prefix))::bigint)
);
select tenancy.protect('public.barcode_prefix');
