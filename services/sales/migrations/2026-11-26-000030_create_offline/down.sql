drop table session_supplement;
drop table offline_number;
delete from number_counter where purpose like 'offline%';
alter table number_counter
  drop constraint number_counter_purpose_check,
  add constraint number_counter_purpose_check check (purpose in ('invoice', 'credit_note'));
drop table offline_series;
