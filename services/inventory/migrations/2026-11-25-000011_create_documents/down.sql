drop function unlooked_tenants(date, int);
drop table dead_stock_look;
drop table dead_stock_alert;
drop index movement_seq;
alter table movement drop column behind;
drop table stock_document;
