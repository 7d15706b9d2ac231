-- Attributes and variants, kits, and what happened to products.

create table public.attribute (
  tenant_id  uuid        not null,
  id         uuid        not null,
  version    bigint      not null,
  name       text        not null,
  name_key   text        not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint attribute_pkey primary key (tenant_id, id),
  constraint attribute_name_key unique (tenant_id, name_key),
  constraint attribute_name_check check (char_length(name) between 1 and 200)
);
select tenancy.protect('public.attribute');

-- The constraints hold at the end of a statement, so that two values can change places.
create table public.attribute_value (
  tenant_id    uuid not null,
  id           uuid not null,
  attribute_id uuid not null,
  position     int  not null,
  name         text not null,
  name_key     text not null,
  code         text not null,  -- what stands for it in the SKU of a variant
  constraint attribute_value_pkey primary key (tenant_id, id),
  constraint attribute_value_attribute_fkey foreign key (tenant_id, attribute_id)
    references public.attribute (tenant_id, id) on delete cascade,
  constraint attribute_value_position_key unique (tenant_id, attribute_id, position) deferrable,
  constraint attribute_value_name_key unique (tenant_id, attribute_id, name_key) deferrable,
  constraint attribute_value_code_key unique (tenant_id, attribute_id, code) deferrable,
  constraint attribute_value_name_check check (char_length(name) between 1 and 200),
  constraint attribute_value_code_check check (code ~ '^[A-Z0-9]{1,20}$')
);
select tenancy.protect('public.attribute_value');

-- What kits and variants are made of stands in the product's own row, which is its snapshot; the tables below it are
-- the references, by which what is used cannot be deleted, and the indexes of the way back.
--
-- The new foreign key is checked against the rows that there are, and the policies bind the owner as well.
alter table public.product no force row level security;
alter table public.product
  add column variant_of uuid,
  add column template   boolean not null default false,
  add column options    jsonb   not null default '[]',  -- [{attribute_id, value_id}], in order of attribute_id
  add column overrides  jsonb   not null default '[]',  -- names of the fields that a variant says itself
  add column components jsonb   not null default '[]',  -- [{product_id, qty}], as given
  drop constraint product_kind_check,
  add constraint product_kind_check check (kind in ('goods', 'service', 'kit')),
  add constraint product_variant_fkey foreign key (tenant_id, variant_of) references public.product (tenant_id, id),
  add constraint product_variant_check check (variant_of is null or variant_of <> id and not template),
  add constraint product_template_check check (not template or status = 'draft' and kind <> 'kit'),
  add constraint product_options_check check (jsonb_typeof(options) = 'array' and (variant_of is null) = (options = '[]')),
  add constraint product_overrides_check check (jsonb_typeof(overrides) = 'array'),
  add constraint product_components_check check (jsonb_typeof(components) = 'array' and (kind = 'kit') = (components <> '[]'));
alter table public.product force row level security;
create unique index product_variant_key on public.product (tenant_id, variant_of, options) where variant_of is not null;

create table public.product_option (
  tenant_id  uuid not null,
  value_id   uuid not null,
  product_id uuid not null,
  constraint product_option_pkey primary key (tenant_id, value_id, product_id),
  constraint product_option_value_fkey foreign key (tenant_id, value_id) references public.attribute_value (tenant_id, id),
  constraint product_option_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade
);
create index product_option_product on public.product_option (tenant_id, product_id);
select tenancy.protect('public.product_option');

create table public.kit_component (
  tenant_id    uuid not null,
  component_id uuid not null,
  kit_id       uuid not null,
  constraint kit_component_pkey primary key (tenant_id, component_id, kit_id),
  constraint kit_component_component_fkey foreign key (tenant_id, component_id) references public.product (tenant_id, id),
  constraint kit_component_kit_fkey foreign key (tenant_id, kit_id)
    references public.product (tenant_id, id) on delete cascade,
  constraint kit_component_check check (component_id <> kit_id)
);
create index kit_component_kit on public.kit_component (tenant_id, kit_id);
select tenancy.protect('public.kit_component');

-- Who changed what, when. It is written in the transaction of the change, never changed, and outlives the product.
create table public.product_change (
  tenant_id      uuid        not null,
  product_id     uuid        not null,
  version        bigint      not null,
  action         text        not null constraint product_change_action_check check (action in ('created', 'updated', 'deleted')),
  at             timestamptz not null,
  actor          jsonb       not null,
  correlation_id uuid        not null,
  fields         jsonb       not null,  -- {field: {old, new}}
  constraint product_change_pkey primary key (tenant_id, product_id, version)
);
select tenancy.protect('public.product_change');

create function public.product_change_is_immutable() returns trigger language plpgsql as $$
begin
  raise exception 'what happened is never changed' using errcode = 'restrict_violation';
end $$;
create trigger product_change_immutable before update or delete on public.product_change
  for each row execute function public.product_change_is_immutable();
create trigger product_change_kept before truncate on public.product_change
  for each statement execute function public.product_change_is_immutable();
do $$ begin
  execute format('revoke update, delete, truncate on public.product_change from %I', regexp_replace(current_user, '_owner$', '_app'));
end $$;

-- How often goods of a product have come in. Whoever archives a product asks inventory what there is before, and sees by
-- this number whether something has come since.
create table public.product_arrival (
  tenant_id  uuid   not null,
  product_id uuid   not null,
  count      bigint not null,
  constraint product_arrival_pkey primary key (tenant_id, product_id),
  constraint product_arrival_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade
);
select tenancy.protect('public.product_arrival');
