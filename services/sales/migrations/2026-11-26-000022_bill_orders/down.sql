drop index invoice_line_of_order;
alter table invoice_line drop column of_order;
