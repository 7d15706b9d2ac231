-- The catalogue: units, tax profiles, brands, categories, products, barcodes.
--
-- A column called *_key holds the folded form of the one before it (fold() in src/text.rs): names and SKUs are
-- unique without regard to case. It is a column and not an expression, because under row-level security an index
-- serves only operators that PostgreSQL calls leakproof, and lower() is none.

create extension if not exists pg_trgm;
create extension if not exists btree_gin;
create extension if not exists btree_gist;

create table public.unit (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  code       text        not null,
  code_key   text        not null,
  name       text        not null,
  uqc        text        not null,
  decimals   smallint    not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint unit_pkey primary key (tenant_id, id),
  constraint unit_code_key unique (tenant_id, code_key),
  constraint unit_code_check check (char_length(code) between 1 and 20),
  constraint unit_name_check check (char_length(name) between 1 and 200),
  constraint unit_uqc_check check (uqc ~ '^[A-Z]{2,3}$'),
  constraint unit_decimals_check check (decimals between 0 and 3)
);
select tenancy.protect('public.unit');

create table public.tax_profile (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  name       text        not null,
  name_key   text        not null,
  hsn        text        not null,
  category   text        not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint tax_profile_pkey primary key (tenant_id, id),
  constraint tax_profile_name_key unique (tenant_id, name_key),
  constraint tax_profile_name_check check (char_length(name) between 1 and 200),
  constraint tax_profile_hsn_check check (hsn ~ '^([0-9]{4}|[0-9]{6}|[0-9]{8})$'),
  constraint tax_profile_category_check check (category in ('taxable', 'nil', 'exempt', 'non_gst'))
);
create index tax_profile_hsn on public.tax_profile (tenant_id, hsn);
select tenancy.protect('public.tax_profile');

create table public.tax_rate (
  tenant_id      uuid          not null,
  tax_profile_id uuid          not null,
  valid_from     date          not null,
  valid_to       date,                      -- the first day on which it no longer holds
  rate           numeric(6, 3) not null,
  cess           numeric(7, 3) not null,
  constraint tax_rate_pkey primary key (tenant_id, tax_profile_id, valid_from),
  constraint tax_rate_profile_fkey foreign key (tenant_id, tax_profile_id)
    references public.tax_profile (tenant_id, id) on delete cascade,
  constraint tax_rate_period_check check (valid_to > valid_from),
  constraint tax_rate_rate_check check (rate <> 'NaN' and rate between 0 and 100),
  constraint tax_rate_cess_check check (cess <> 'NaN' and cess between 0 and 1000),
  constraint tax_rate_overlap exclude using gist
    (tenant_id with =, tax_profile_id with =, daterange(valid_from, valid_to) with &&)
);
select tenancy.protect('public.tax_rate');

create table public.brand (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  name       text        not null,
  name_key   text        not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint brand_pkey primary key (tenant_id, id),
  constraint brand_name_key unique (tenant_id, name_key),
  constraint brand_name_check check (char_length(name) between 1 and 200)
);
select tenancy.protect('public.brand');

create table public.category (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  parent_id  uuid,
  name       text        not null,
  name_key   text        not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint category_pkey primary key (tenant_id, id),
  constraint category_parent_fkey foreign key (tenant_id, parent_id) references public.category (tenant_id, id),
  constraint category_parent_check check (parent_id <> id),
  constraint category_name_key unique nulls not distinct (tenant_id, parent_id, name_key),
  constraint category_name_check check (char_length(name) between 1 and 200)
);
create index category_name on public.category (tenant_id, name_key);
select tenancy.protect('public.category');

create table public.product (
  tenant_id          uuid           not null,
  id                 uuid           not null,
  version            bigint         not null,
  sku                text           not null,
  sku_key            text           not null,
  name               text           not null,
  kind               text           not null,
  status             text           not null,
  category_id        uuid,
  brand_id           uuid,
  unit_id            uuid           not null,
  uqc                text           not null,  -- of the unit, which may not change it while products use it
  tax_profile_id     uuid           not null,
  hsn                text           not null,  -- of the tax profile, likewise
  track_batch        boolean        not null,
  track_serial       boolean        not null,
  track_expiry       boolean        not null,
  barcodes           text[]         not null,
  price              numeric(19, 4) not null,
  price_includes_tax boolean        not null,
  mrp                numeric(17, 2),
  transacted         boolean        not null default false,  -- stock has moved; some fields are frozen from then on
  created_at         timestamptz    not null,
  updated_at         timestamptz    not null,
  constraint product_pkey primary key (tenant_id, id),
  constraint product_sku_key unique (tenant_id, sku_key),
  constraint product_category_fkey foreign key (tenant_id, category_id) references public.category (tenant_id, id),
  constraint product_brand_fkey foreign key (tenant_id, brand_id) references public.brand (tenant_id, id),
  constraint product_unit_fkey foreign key (tenant_id, unit_id) references public.unit (tenant_id, id),
  constraint product_tax_profile_fkey foreign key (tenant_id, tax_profile_id)
    references public.tax_profile (tenant_id, id),
  constraint product_sku_check check (char_length(sku) between 1 and 64),
  constraint product_name_check check (char_length(name) between 1 and 200),
  constraint product_kind_check check (kind in ('goods', 'service')),
  constraint product_status_check check (status in ('draft', 'active', 'discontinued', 'archived')),
  constraint product_tracking_check check (track_batch or not track_expiry),
  constraint product_barcodes_check check (cardinality(barcodes) <= 20 and array_position(barcodes, null) is null),
  constraint product_price_check check (price <> 'NaN' and price >= 0),
  constraint product_mrp_check check (mrp <> 'NaN' and mrp > 0)
);
create index product_name on public.product (tenant_id, name, id);
create index product_category on public.product (tenant_id, category_id) where category_id is not null;
create index product_brand on public.product (tenant_id, brand_id) where brand_id is not null;
create index product_unit on public.product (tenant_id, unit_id);
create index product_tax_profile on public.product (tenant_id, tax_profile_id);
create index product_hsn on public.product (tenant_id, hsn);
select tenancy.protect('public.product');

-- Which product a barcode stands for: one claim at a time. Archived products hold no claims.
create table public.barcode (
  tenant_id  uuid not null,
  gtin       text not null,  -- as GTIN-14, so that a UPC-A and the same EAN-13 are one code
  product_id uuid not null,
  constraint barcode_gtin_key primary key (tenant_id, gtin),
  constraint barcode_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade,
  constraint barcode_gtin_check check (gtin ~ '^[0-9]{14}$')
);
create index barcode_product on public.barcode (tenant_id, product_id);
select tenancy.protect('public.barcode');

-- The next number of the range 29, from which barcodes of our own are made.
create table public.barcode_range (
  tenant_id uuid   not null,
  next      bigint not null,
  constraint barcode_range_pkey primary key (tenant_id),
  constraint barcode_range_next_check check (next between 1 and 10000000000)
);
select tenancy.protect('public.barcode_range');

-- What a search looks through: name, SKU and barcodes in lower case.
create table public.product_text (
  tenant_id  uuid not null,
  product_id uuid not null,
  text       text not null,
  constraint product_text_pkey primary key (tenant_id, product_id),
  constraint product_text_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade
);
create index product_text_trigram on public.product_text using gin (tenant_id, text gin_trgm_ops);
select tenancy.protect('public.product_text');

-- The trigram operators are not leakproof, so a policy in the query would keep them from the index and every
-- search would read the whole table. The owner, and nobody else, reads this one table without the policy, in a
-- function that takes the tenant from where the policy takes it.
do $$ begin
  execute format('create policy search on public.product_text for select to %I using (true)', current_user);
end $$;
-- It asks for likeness first and takes what is less alike only where there is nothing better: `bisciut` finds biscuits,
-- at 0.5, while `biscuit` does not rank every product that shares four letters with it.
create function public.search_products(query text, most int) returns table (product_id uuid)
  language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp
  set cpu_operator_cost = 0.05                 -- what comparing trigrams costs; the planner takes it for a comparison of numbers
as $$
declare likeness text;
begin
  foreach likeness in array array['0.75', '0.6', '0.4'] loop
    perform set_config('pg_trgm.word_similarity_threshold', likeness, true);
    return query
      select c.product_id
        from (select t.product_id, t.text from public.product_text t
               where t.tenant_id = current_setting('app.tenant_id')::uuid and query <% t.text
               limit 2000) c
       order by strpos(c.text, query) > 0 desc, word_similarity(query, c.text) desc, c.product_id
       limit most;
    if found then return; end if;
  end loop;
end
$$;
revoke all on function public.search_products(text, int) from public;
do $$ begin
  execute format('grant execute on function public.search_products(text, int) to %I', regexp_replace(current_user, '_owner$', '_app'));
end $$;
