drop table public.barcode_prefix;
drop table public.barcode_pattern;
alter table public.barcode drop constraint barcode_unit_fkey, drop column unit_id;
drop table public.product_unit;
alter index public.product_stock_unit rename to product_unit;
alter table public.product drop constraint product_units_check, drop column units;
