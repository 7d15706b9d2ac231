-- A return and a sale in one: the credit note pays the invoice, as a means of payment of both.
create table exchange (
  tenant_id      uuid          not null,
  invoice_id     uuid          not null,
  credit_note_id uuid          not null,
  -- what of the credit note pays the invoice; the rest of either is refunded or paid
  amount         numeric(17,2) not null,
  primary key (tenant_id, invoice_id),
  constraint exchange_note_key unique (tenant_id, credit_note_id),
  constraint exchange_invoice_fkey foreign key (tenant_id, invoice_id) references invoice,
  constraint exchange_note_fkey foreign key (tenant_id, credit_note_id) references credit_note,
  constraint exchange_amount_check check (amount >= 0 and amount <> 'NaN')
);
select tenancy.protect('public.exchange');
create trigger frozen before update or delete on exchange for each row execute function invoice_frozen();

alter table invoice_tender drop constraint invoice_tender_method_check,
  add constraint invoice_tender_method_check check
    (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher', 'exchange'));
alter table credit_note_tender drop constraint credit_note_tender_method_check,
  add constraint credit_note_tender_method_check check
    (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher', 'exchange'));

-- Received for sales and refunded for returns alike, in the same transaction: it never was in the drawer.
alter table pos_session add column exchanged numeric(17,2) not null default 0,
  add constraint pos_session_exchanged_check check (exchanged >= 0 and exchanged <> 'NaN');

-- How the cash was counted, by note and coin.
alter table session_count add column denominations jsonb;
