drop function public.search_products(text, int);
drop table public.product_text, public.barcode_range, public.barcode, public.product, public.category,
  public.brand, public.tax_rate, public.tax_profile, public.unit;
drop extension btree_gist;
drop extension btree_gin;
drop extension pg_trgm;
