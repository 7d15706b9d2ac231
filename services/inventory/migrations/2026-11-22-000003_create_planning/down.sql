drop function stale_levels(date, int);
drop index movement_recorded;
drop table reorder_level;
