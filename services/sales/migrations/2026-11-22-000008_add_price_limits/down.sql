alter table tax_rate drop column price_limit, drop column rate_above, drop column cess_above;
