alter table public.tax_rate drop column price_limit, drop column rate_above, drop column cess_above;
drop table public.coupon, public.promotion, public.price_entry, public.price_list;
