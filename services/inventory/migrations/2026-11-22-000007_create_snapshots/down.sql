drop function lacking_snapshot(date, int);
drop policy sweep on location;
drop table stock_snapshot_line, stock_snapshot, calendar;
alter table movement drop column late, drop column posting_date;
drop function month_of(date);
drop function business_date(timestamptz);
