-- Goods that came back, each with its credit note. Amounts are positive: what is given back.

create table credit_note (
  tenant_id           uuid          not null,
  credit_note_id      uuid          not null,
  registration_id     uuid          not null,
  fiscal_year         int           not null,
  series              text          not null,
  running             bigint        not null,
  number              text          not null,
  date                date          not null,
  issued_at           timestamptz   not null,
  original_invoice_id uuid,
  gstin_supplier      text,
  gstin_buyer         text,
  place_of_supply     text          not null,
  inter_state         boolean       not null,
  branch_id           uuid          not null,
  location_id         uuid          not null,
  till_id             uuid,
  session_id          uuid,
  cashier_id          uuid,
  reason              text,
  taxable             numeric(17,2) not null,
  cgst                numeric(17,2) not null,
  sgst                numeric(17,2) not null,
  igst                numeric(17,2) not null,
  cess                numeric(17,2) not null,
  round_off           numeric(17,2) not null,
  total               numeric(17,2) not null,
  refunded            numeric(17,2) not null,
  currency            text          not null default 'INR',
  external_reference  text,
  version             bigint        not null default 1,
  primary key (tenant_id, credit_note_id),
  constraint credit_note_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint credit_note_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint credit_note_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint credit_note_invoice_fkey foreign key (tenant_id, original_invoice_id) references invoice,
  constraint credit_note_session_check check ((till_id is null) = (session_id is null)),
  constraint credit_note_levy_check check (cgst = sgst),
  constraint credit_note_total_check check (taxable + cgst + sgst + igst + cess + round_off = total and total >= 0),
  constraint credit_note_round_off_check check (abs(round_off) < 1),
  constraint credit_note_refund_check check (refunded = total),
  constraint credit_note_reason_check check (length(reason) between 1 and 200),
  constraint credit_note_numeric_check check
    ('NaN' <> all (array[taxable, cgst, sgst, igst, cess, round_off, total, refunded]))
);
create index credit_note_invoice on credit_note (tenant_id, original_invoice_id) where original_invoice_id is not null;
create index credit_note_issued_at on credit_note (tenant_id, issued_at, credit_note_id);
select tenancy.protect('public.credit_note');

create table credit_note_line (
  tenant_id           uuid          not null,
  credit_note_id      uuid          not null,
  line                int           not null,
  original_invoice_id uuid,
  original_line       int,
  product_id          uuid          not null,
  description         text          not null,
  stocked             boolean       not null,
  hsn                 text          not null,
  uqc                 text          not null,
  qty                 numeric(18,3) not null,
  tax_category        text          not null,
  rate                numeric(6,3)  not null,
  cess_rate           numeric(7,3)  not null,
  taxable             numeric(17,2) not null,
  cgst                numeric(17,2) not null,
  sgst                numeric(17,2) not null,
  igst                numeric(17,2) not null,
  cess                numeric(17,2) not null,
  total               numeric(17,2) not null,
  disposition         text          not null,
  primary key (tenant_id, credit_note_id, line),
  constraint credit_note_line_note_fkey foreign key (tenant_id, credit_note_id) references credit_note,
  constraint credit_note_line_original_fkey foreign key (tenant_id, original_invoice_id, original_line) references invoice_line,
  constraint credit_note_line_original_check check ((original_invoice_id is null) = (original_line is null)),
  constraint credit_note_line_qty_check check (qty > 0),
  constraint credit_note_line_total_check check (taxable + cgst + sgst + igst + cess = total),
  constraint credit_note_line_disposition_check check (disposition in ('restock', 'quarantine', 'scrap')),
  constraint credit_note_line_numeric_check check
    ('NaN' <> all (array[qty, rate, cess_rate, taxable, cgst, sgst, igst, cess, total]))
);
create index credit_note_line_original on credit_note_line (tenant_id, original_invoice_id, original_line)
  where original_invoice_id is not null;
select tenancy.protect('public.credit_note_line');

create table credit_note_tender (
  tenant_id      uuid          not null,
  credit_note_id uuid          not null,
  tender         int           not null,
  method         text          not null,
  amount         numeric(17,2) not null,
  reference      text,
  primary key (tenant_id, credit_note_id, tender),
  constraint credit_note_tender_note_fkey foreign key (tenant_id, credit_note_id) references credit_note,
  constraint credit_note_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher')),
  constraint credit_note_tender_amount_check check (amount > 0 and amount <> 'NaN')
);
select tenancy.protect('public.credit_note_tender');

create trigger frozen before update or delete on credit_note for each row execute function invoice_frozen();
create trigger frozen before update or delete on credit_note_line for each row execute function invoice_frozen();
create trigger frozen before update or delete on credit_note_tender for each row execute function invoice_frozen();
