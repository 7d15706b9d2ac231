drop table public.product_arrival;
drop table public.product_change;
drop function public.product_change_is_immutable();
drop table public.kit_component, public.product_option;
drop index public.product_variant_key;
alter table public.product no force row level security;
delete from public.product where kind = 'kit';
alter table public.product
  drop constraint product_variant_fkey,
  drop column variant_of, drop column template, drop column options, drop column overrides, drop column components,
  drop constraint product_kind_check,
  add constraint product_kind_check check (kind in ('goods', 'service'));
alter table public.product force row level security;
drop table public.attribute_value, public.attribute;
