drop table count_serial;
drop table shortage_serial;
drop table serial_gap;
drop table movement_serial;
drop table serial;
alter table product drop column serial_tracked;
