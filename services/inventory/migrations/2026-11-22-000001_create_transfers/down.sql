drop table transfer_part, transfer_line, transfer, registration, branch;
drop index cost_layer_in_transit;
alter table cost_layer drop column origin;
alter table movement drop constraint movement_kind_check;
alter table movement add constraint movement_kind_check check (kind in
  ('receipt', 'issue', 'adjust_in', 'adjust_out', 'return_in', 'scrap', 'status_change'));
alter table movement drop constraint movement_status_check;
alter table movement add constraint movement_status_check check (status in ('sellable', 'quarantine', 'scrap'));
alter table stock_item drop constraint stock_item_status_check;
alter table stock_item add constraint stock_item_status_check check (status in ('sellable', 'quarantine', 'scrap'));
