drop function claim_print_tasks(timestamptz, int);
drop table print_task, print_file, print_log;
alter table branch drop column phone, drop column address;
