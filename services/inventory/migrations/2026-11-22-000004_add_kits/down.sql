drop table reservation_kit;
alter table product drop column components;
