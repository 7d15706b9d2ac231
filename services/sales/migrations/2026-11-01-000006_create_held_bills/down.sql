drop function expire_held_bills(timestamptz);
drop table held_bill;
