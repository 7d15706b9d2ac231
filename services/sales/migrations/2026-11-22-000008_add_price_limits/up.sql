-- What holds for units that cost more than price_limit: footwear to 2,500 rupees a pair is taxed at 5 %, above at 18 %.
alter table tax_rate
  add column price_limit numeric(19,4),
  add column rate_above  numeric(6,3),
  add column cess_above  numeric(7,3),
  add constraint tax_rate_above_check check (num_nulls(price_limit, rate_above, cess_above) in (0, 3)),
  add constraint tax_rate_above_numeric_check
    check (price_limit <> 'NaN' and rate_above <> 'NaN' and cess_above <> 'NaN');
