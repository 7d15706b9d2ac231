alter table branch drop column upi_vpa;
drop table product_cost;
