drop function approved_counts(int);
drop table policy, count_line, count_session;
drop index shortage_place;
alter table movement_header drop column handled, drop column late_at, drop column epoch, drop column txid;
