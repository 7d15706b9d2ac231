alter table session_count drop column denominations;
alter table pos_session drop column exchanged;
alter table credit_note_tender drop constraint credit_note_tender_method_check,
  add constraint credit_note_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher'));
alter table invoice_tender drop constraint invoice_tender_method_check,
  add constraint invoice_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher'));
drop table exchange;
