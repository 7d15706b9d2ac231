drop function expiring_tenants(date);
drop policy sweep on batch;
drop table shelf_life_rule;
drop table batch_buyer;
drop table expiry_alert;
drop index movement_batch;
alter table batch
  drop constraint batch_mfg_check, drop constraint batch_recalled_check, drop constraint batch_disposed_check,
  drop column mfg, drop column mrp, drop column recalled_at, drop column disposed_at;
