create or replace function invoice_frozen() returns trigger language plpgsql as $$
declare
  header constant text[] := array['returned', 'returned_credit', 'status', 'version', 'paid', 'bounced', 'credited',
    'credited_credit', 'debited', 'open', 'salesperson_id', 'reference', 'note', 'delivery_contact'];
  line constant text[] := array['returned_qty', 'returned_taxable', 'returned_cgst', 'returned_sgst', 'returned_igst',
    'returned_cess', 'credited_taxable', 'credited_cgst', 'credited_sgst', 'credited_igst', 'credited_cess',
    'debited_taxable', 'debited_cgst', 'debited_sgst', 'debited_igst', 'debited_cess'];
begin
  if tg_op = 'DELETE' then
    raise exception 'an issued document is never deleted' using errcode = '23514', constraint = 'invoice_frozen';
  end if;
  if tg_table_name = 'invoice' then
    if (to_jsonb(new) - header) <> (to_jsonb(old) - header)
       or new.returned < old.returned or new.credited < old.credited or new.debited < old.debited
       or new.bounced < old.bounced or new.version <= old.version
       or old.status = 'cancelled' and new.status <> 'cancelled' then
      raise exception 'an issued invoice does not change' using errcode = '23514', constraint = 'invoice_frozen';
    end if;
  elsif tg_table_name = 'invoice_line' then
    if (to_jsonb(new) - line) <> (to_jsonb(old) - line)
       or new.returned_qty < old.returned_qty
       or new.credited_taxable < old.credited_taxable or new.debited_taxable < old.debited_taxable then
      raise exception 'an issued line does not change' using errcode = '23514', constraint = 'invoice_frozen';
    end if;
  else
    raise exception 'an issued document does not change' using errcode = '23514', constraint = 'invoice_frozen';
  end if;
  return new;
end $$;

create or replace function receipt_frozen() returns trigger language plpgsql as $$
declare
  moving constant text[] := array['allocated', 'refunded', 'status', 'reversal_reason', 'reversed_at', 'version'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) or old.status = 'reversed'
     or new.version <= old.version then
    raise exception 'a posted receipt does not change' using errcode = '23514', constraint = 'receipt_frozen';
  end if;
  return new;
end $$;

drop function words_taken(jsonb, jsonb, text[]);
