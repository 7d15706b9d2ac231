alter table invoice_line drop column pricing;
alter table invoice drop column pricing;
drop table coupon_use, coupon_counter, coupon, promotion, price_entry, price_list_product, price_list, category;
alter table product drop column stock_unit_id, drop column category_id, drop column brand_id;
