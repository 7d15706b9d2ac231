alter table number_counter drop constraint number_counter_purpose_check, add constraint number_counter_purpose_check check
  (purpose in ('invoice', 'credit_note')) not valid;
alter table series drop constraint series_purpose_check, add constraint series_purpose_check check
  (purpose in ('invoice', 'credit_note')) not valid;
alter table pos_session drop column receipts, drop column collected, drop column repaid, drop column cancels,
  drop column cancelled, drop column cancelled_tax;
alter table account_entry drop constraint account_entry_receipt_fkey;
drop table receipt_refund, receipt_allocation, receipt;
drop function receipt_frozen;
create or replace function invoice_frozen() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'an issued document is never deleted' using errcode = '23514', constraint = 'invoice_frozen';
  end if;
  if tg_table_name = 'invoice' then
    if (to_jsonb(new) - array['returned', 'returned_credit', 'status', 'version'])
       <> (to_jsonb(old) - array['returned', 'returned_credit', 'status', 'version'])
       or new.returned < old.returned or new.version <= old.version then
      raise exception 'an issued invoice does not change' using errcode = '23514', constraint = 'invoice_frozen';
    end if;
  elsif tg_table_name = 'invoice_line' then
    if (to_jsonb(new) - array['returned_qty', 'returned_taxable', 'returned_cgst', 'returned_sgst', 'returned_igst', 'returned_cess'])
       <> (to_jsonb(old) - array['returned_qty', 'returned_taxable', 'returned_cgst', 'returned_sgst', 'returned_igst', 'returned_cess'])
       or new.returned_qty < old.returned_qty then
      raise exception 'an issued line does not change' using errcode = '23514', constraint = 'invoice_frozen';
    end if;
  else
    raise exception 'an issued document does not change' using errcode = '23514', constraint = 'invoice_frozen';
  end if;
  return new;
end $$;
alter table invoice_line
  drop constraint invoice_line_whole_check, drop constraint invoice_line_given_check,
  drop column credited_taxable, drop column credited_cgst, drop column credited_sgst, drop column credited_igst,
  drop column credited_cess, drop column debited_taxable, drop column debited_cgst, drop column debited_sgst,
  drop column debited_igst, drop column debited_cess,
  add constraint invoice_line_whole_check check
    (returned_qty < qty or (returned_taxable, returned_cgst, returned_sgst, returned_igst, returned_cess) = (taxable, cgst, sgst, igst, cess)) not valid;
drop index invoice_customer;
alter table invoice
  drop constraint invoice_open_check, drop constraint invoice_refund_check, drop constraint invoice_status_check,
  drop column open, drop column paid, drop column bounced, drop column credited, drop column credited_credit,
  drop column debited, drop column reference, drop column note, drop column delivery_contact,
  add constraint invoice_status_check check (status in ('issued', 'credited_partially', 'credited_fully')) not valid,
  add constraint invoice_refund_check check
    (returned_credit between 0 and credit and returned - returned_credit between 0 and total - credit) not valid;
