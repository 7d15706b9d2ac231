-- What is paid and given back of an invoice after its issue. Its fiscal fields stay as they are.
alter table invoice
  -- by receipts
  add column paid            numeric(17,2) not null default 0,
  -- by receipts that were reversed afterwards
  add column bounced         numeric(17,2) not null default 0,
  -- by notes that lower prices, or by its cancellation; `credited_credit` of it was taken off what is owed
  add column credited        numeric(17,2) not null default 0,
  add column credited_credit numeric(17,2) not null default 0,
  -- by notes that raise prices; owed
  add column debited         numeric(17,2) not null default 0,
  -- what is still to be paid
  add column open            numeric(17,2) not null generated always as
    (credit + debited - returned_credit - credited_credit - paid) stored,
  drop constraint invoice_refund_check,
  -- S7; what was refunded of a receipt that bounced later is owed again
  add constraint invoice_open_check check (open >= 0 and least(paid, bounced, debited, returned_credit, credited_credit) >= 0),
  add constraint invoice_refund_check check
    (returned >= returned_credit and credited >= credited_credit
     and returned - returned_credit + credited - credited_credit <= total - credit + paid + bounced),
  drop constraint invoice_status_check,
  add constraint invoice_status_check check (status in ('issued', 'credited_partially', 'credited_fully', 'cancelled')),
  add constraint invoice_settled_numeric_check check
    ('NaN' <> all (array[paid, bounced, credited, credited_credit, debited, open])),
  -- not fiscal, and so free to be edited
  add column reference        text,
  add column note             text,
  add column delivery_contact text;
create index invoice_open on invoice (tenant_id, customer_id, date, issued_at, invoice_id) where open > 0;
create index invoice_customer on invoice (tenant_id, customer_id, issued_at, invoice_id) where customer_id is not null;

alter table invoice_line
  add column credited_taxable numeric(17,2) not null default 0,
  add column credited_cgst    numeric(17,2) not null default 0,
  add column credited_sgst    numeric(17,2) not null default 0,
  add column credited_igst    numeric(17,2) not null default 0,
  add column credited_cess    numeric(17,2) not null default 0,
  add column debited_taxable  numeric(17,2) not null default 0,
  add column debited_cgst     numeric(17,2) not null default 0,
  add column debited_sgst     numeric(17,2) not null default 0,
  add column debited_igst     numeric(17,2) not null default 0,
  add column debited_cess     numeric(17,2) not null default 0,
  -- S3 with notes: what is all back has given back all of its amounts, and nothing gives back more
  drop constraint invoice_line_whole_check,
  add constraint invoice_line_whole_check check
    (returned_qty < qty or
     (returned_taxable + credited_taxable, returned_cgst + credited_cgst, returned_sgst + credited_sgst,
      returned_igst + credited_igst, returned_cess + credited_cess)
     = (taxable + debited_taxable, cgst + debited_cgst, sgst + debited_sgst, igst + debited_igst, cess + debited_cess)),
  add constraint invoice_line_given_check check
    (returned_taxable + returned_cgst + returned_sgst + returned_igst + returned_cess
     + credited_taxable + credited_cgst + credited_sgst + credited_igst + credited_cess
     <= total + debited_taxable + debited_cgst + debited_sgst + debited_igst + debited_cess),
  add constraint invoice_line_noted_check check
    (least(credited_taxable, credited_cgst, credited_sgst, credited_igst, credited_cess,
           debited_taxable, debited_cgst, debited_sgst, debited_igst, debited_cess) >= 0),
  add constraint invoice_line_noted_numeric_check check
    ('NaN' <> all (array[credited_taxable, credited_cgst, credited_sgst, credited_igst, credited_cess,
       debited_taxable, debited_cgst, debited_sgst, debited_igst, debited_cess]));

-- S5: what was issued stays as it is. Only what comes back, is paid, noted or edited moves on, with status and version.
-- `open` is worked out after this has run.
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

-- Money that came in after the sale, or ahead of it.
create table receipt (
  tenant_id       uuid          not null,
  receipt_id      uuid          not null,
  registration_id uuid          not null,
  fiscal_year     int           not null,
  series          text          not null,
  running         bigint        not null,
  number          text          not null,
  date            date          not null,
  received_at     timestamptz   not null,
  customer_id     uuid,
  branch_id       uuid          not null,
  till_id         uuid,
  session_id      uuid,
  cashier_id      uuid,
  method          text          not null,
  amount          numeric(17,2) not null,
  reference       text,
  note            text,
  currency        text          not null default 'INR',
  allocated       numeric(17,2) not null default 0,
  refunded        numeric(17,2) not null default 0,
  status          text          not null default 'posted',
  reversal_reason text,
  reversed_at     timestamptz,
  version         bigint        not null default 1,
  primary key (tenant_id, receipt_id),
  constraint receipt_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint receipt_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint receipt_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint receipt_session_check check ((till_id is null) = (session_id is null)),
  constraint receipt_method_check check
    (method in ('cash', 'upi', 'card', 'wallet', 'voucher') or method in ('cheque', 'bank_transfer') and session_id is null),
  constraint receipt_amount_check check (amount > 0 and 'NaN' <> all (array[amount, allocated, refunded])),
  -- S7
  constraint receipt_allocated_check check (allocated >= 0 and refunded >= 0 and allocated + refunded <= amount),
  constraint receipt_status_check check
    (status in ('posted', 'reversed') and (status = 'reversed') = (reversed_at is not null and reversal_reason is not null)
     and (status = 'posted' or allocated = 0 and refunded = 0)),
  -- Without an account there is nowhere to keep an advance.
  constraint receipt_advance_check check (customer_id is not null or status = 'reversed' or allocated = amount)
) with (fillfactor = 90);
create index receipt_received_at on receipt (tenant_id, received_at, receipt_id);
create index receipt_customer on receipt (tenant_id, customer_id, received_at, receipt_id) where customer_id is not null;
create index receipt_session on receipt (tenant_id, session_id) where session_id is not null;
select tenancy.protect('public.receipt');

create function receipt_frozen() returns trigger language plpgsql as $$
declare
  moving constant text[] := array['allocated', 'refunded', 'status', 'reversal_reason', 'reversed_at', 'version'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) or old.status = 'reversed'
     or new.version <= old.version then
    raise exception 'a posted receipt does not change' using errcode = '23514', constraint = 'receipt_frozen';
  end if;
  return new;
end $$;
create trigger frozen before update or delete on receipt for each row execute function receipt_frozen();

-- Parts of receipts against invoices. Those of a reversed receipt count no more.
create table receipt_allocation (
  tenant_id     uuid          not null,
  allocation_id uuid          not null,
  receipt_id    uuid          not null,
  invoice_id    uuid          not null,
  amount        numeric(17,2) not null,
  date          date          not null,
  allocated_at  timestamptz   not null,
  primary key (tenant_id, allocation_id),
  constraint receipt_allocation_receipt_fkey foreign key (tenant_id, receipt_id) references receipt,
  constraint receipt_allocation_invoice_fkey foreign key (tenant_id, invoice_id) references invoice,
  constraint receipt_allocation_amount_check check (amount > 0 and amount <> 'NaN')
);
create index receipt_allocation_receipt on receipt_allocation (tenant_id, receipt_id, allocation_id);
create index receipt_allocation_invoice on receipt_allocation (tenant_id, invoice_id);
select tenancy.protect('public.receipt_allocation');
create trigger frozen before update or delete on receipt_allocation for each row execute function invoice_frozen();

-- Advances that were given back.
create table receipt_refund (
  tenant_id   uuid          not null,
  refund_id   uuid          not null,
  receipt_id  uuid          not null,
  method      text          not null,
  amount      numeric(17,2) not null,
  reference   text,
  reason      text          not null,
  date        date          not null,
  refunded_at timestamptz   not null,
  session_id  uuid,
  primary key (tenant_id, refund_id),
  constraint receipt_refund_receipt_fkey foreign key (tenant_id, receipt_id) references receipt,
  constraint receipt_refund_amount_check check (amount > 0 and amount <> 'NaN')
);
create index receipt_refund_receipt on receipt_refund (tenant_id, receipt_id, refund_id);
select tenancy.protect('public.receipt_refund');
create trigger frozen before update or delete on receipt_refund for each row execute function invoice_frozen();

-- Entries of all tenants are checked.
alter table account_entry no force row level security;
alter table receipt no force row level security;
alter table account_entry add constraint account_entry_receipt_fkey
  foreign key (tenant_id, receipt_id) references receipt deferrable initially deferred;
alter table account_entry force row level security;
alter table receipt force row level security;

-- Receipts and what was paid out for them go through the drawer; cancelled sales are given back from it. They are part of
-- `received_*` and `refunded_*`.
alter table pos_session
  add column receipts      bigint        not null default 0,
  add column collected     numeric(17,2) not null default 0,
  add column repaid        numeric(17,2) not null default 0,
  add column cancels       bigint        not null default 0,
  add column cancelled     numeric(17,2) not null default 0,
  add column cancelled_tax numeric(17,2) not null default 0,
  add constraint pos_session_settled_check check
    (least(collected, repaid, cancelled) >= 0 and 'NaN' <> all (array[collected, repaid, cancelled, cancelled_tax]));

-- Every kind of document is numbered, each in series of its own.
alter table series drop constraint series_purpose_check, add constraint series_purpose_check check
  (purpose ~ '^[a-z_]{1,20}$');
alter table number_counter drop constraint number_counter_purpose_check, add constraint number_counter_purpose_check check
  (purpose ~ '^[a-z_]{1,20}$');
