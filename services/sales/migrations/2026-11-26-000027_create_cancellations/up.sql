-- Invoices that were cancelled, and what of invoices was edited.
create table cancellation (
  tenant_id    uuid          not null,
  invoice_id   uuid          not null,
  reason_code  text          not null,
  note         text,
  cancelled_at timestamptz   not null,
  cancelled_by uuid,
  session_id   uuid,
  -- taken off what is owed, and given back
  credited     numeric(17,2) not null,
  refunded     numeric(17,2) not null,
  primary key (tenant_id, invoice_id),
  constraint cancellation_invoice_fkey foreign key (tenant_id, invoice_id) references invoice,
  constraint cancellation_reason_check check (reason_code in ('data_entry', 'duplicate', 'order_cancelled', 'other')),
  constraint cancellation_amounts_check check (least(credited, refunded) >= 0 and 'NaN' <> all (array[credited, refunded]))
);
select tenancy.protect('public.cancellation');

create table cancellation_tender (
  tenant_id  uuid          not null,
  invoice_id uuid          not null,
  tender     int           not null,
  method     text          not null,
  amount     numeric(17,2) not null,
  reference  text,
  primary key (tenant_id, invoice_id, tender),
  constraint cancellation_tender_cancellation_fkey foreign key (tenant_id, invoice_id) references cancellation,
  constraint cancellation_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'voucher')),
  constraint cancellation_tender_amount_check check (amount > 0 and amount <> 'NaN')
);
select tenancy.protect('public.cancellation_tender');

create table invoice_edit (
  tenant_id  uuid        not null,
  invoice_id uuid        not null,
  version    bigint      not null,
  edited_at  timestamptz not null,
  edited_by  uuid,
  -- {field: {"from": .., "to": ..}}
  changes    jsonb       not null,
  primary key (tenant_id, invoice_id, version),
  constraint invoice_edit_invoice_fkey foreign key (tenant_id, invoice_id) references invoice
);
select tenancy.protect('public.invoice_edit');

create trigger frozen before update or delete on cancellation for each row execute function invoice_frozen();
create trigger frozen before update or delete on cancellation_tender for each row execute function invoice_frozen();
create trigger frozen before update or delete on invoice_edit for each row execute function invoice_frozen();
