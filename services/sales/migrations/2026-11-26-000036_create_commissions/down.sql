drop policy gather on invoice;
drop trigger commission_due on invoice;
drop function gather_commissions(bigint), look_back_for_commissions(int), commission_tenants(int), commission_due();
drop table inbox.commission_walk;
drop table commission_due, commission_entry, commission_standing, commission_sale, commission_plan;
drop function commission_plan_frozen();
drop index invoice_txid;
alter table invoice drop column txid;
