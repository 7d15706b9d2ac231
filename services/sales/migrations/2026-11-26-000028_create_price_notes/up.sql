-- Notes that lower (credit) or raise (debit) the prices of an invoice; no goods move. Amounts are positive.
create table price_note (
  tenant_id           uuid          not null,
  note_id             uuid          not null,
  kind                text          not null,
  registration_id     uuid          not null,
  fiscal_year         int           not null,
  series              text          not null,
  running             bigint        not null,
  number              text          not null,
  date                date          not null,
  issued_at           timestamptz   not null,
  original_invoice_id uuid          not null,
  customer_id         uuid,
  gstin_supplier      text,
  gstin_buyer         text,
  place_of_supply     text          not null,
  inter_state         boolean       not null,
  branch_id           uuid          not null,
  session_id          uuid,
  issued_by           uuid,
  reason              text          not null,
  taxable             numeric(17,2) not null,
  cgst                numeric(17,2) not null,
  sgst                numeric(17,2) not null,
  igst                numeric(17,2) not null,
  cess                numeric(17,2) not null,
  round_off           numeric(17,2) not null,
  total               numeric(17,2) not null,
  -- by its tenders, of a credit note
  refunded            numeric(17,2) not null,
  currency            text          not null default 'INR',
  primary key (tenant_id, note_id),
  constraint price_note_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint price_note_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint price_note_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint price_note_invoice_fkey foreign key (tenant_id, original_invoice_id) references invoice,
  constraint price_note_kind_check check (kind in ('credit', 'debit')),
  constraint price_note_levy_check check (cgst = sgst),
  constraint price_note_total_check check (taxable + cgst + sgst + igst + cess + round_off = total and total >= 0),
  constraint price_note_round_off_check check (abs(round_off) < 1),
  constraint price_note_refund_check check (refunded = case kind when 'credit' then total else 0 end),
  constraint price_note_reason_check check (length(reason) between 1 and 200),
  constraint price_note_numeric_check check
    ('NaN' <> all (array[taxable, cgst, sgst, igst, cess, round_off, total, refunded]))
);
create index price_note_invoice on price_note (tenant_id, original_invoice_id);
create index price_note_issued_at on price_note (tenant_id, kind, issued_at, note_id);
select tenancy.protect('public.price_note');

create table price_note_line (
  tenant_id           uuid          not null,
  note_id             uuid          not null,
  line                int           not null,
  original_invoice_id uuid          not null,
  original_line       int           not null,
  product_id          uuid          not null,
  description         text          not null,
  hsn                 text          not null,
  tax_category        text          not null,
  rate                numeric(6,3)  not null,
  cess_rate           numeric(7,3)  not null,
  taxable             numeric(17,2) not null,
  cgst                numeric(17,2) not null,
  sgst                numeric(17,2) not null,
  igst                numeric(17,2) not null,
  cess                numeric(17,2) not null,
  total               numeric(17,2) not null,
  primary key (tenant_id, note_id, line),
  constraint price_note_line_note_fkey foreign key (tenant_id, note_id) references price_note,
  constraint price_note_line_original_fkey foreign key (tenant_id, original_invoice_id, original_line) references invoice_line,
  constraint price_note_line_total_check check (taxable + cgst + sgst + igst + cess = total and total >= 0),
  constraint price_note_line_numeric_check check
    ('NaN' <> all (array[rate, cess_rate, taxable, cgst, sgst, igst, cess, total]))
);
create index price_note_line_original on price_note_line (tenant_id, original_invoice_id, original_line);
select tenancy.protect('public.price_note_line');

create table price_note_tender (
  tenant_id uuid          not null,
  note_id   uuid          not null,
  tender    int           not null,
  method    text          not null,
  amount    numeric(17,2) not null,
  reference text,
  primary key (tenant_id, note_id, tender),
  constraint price_note_tender_note_fkey foreign key (tenant_id, note_id) references price_note,
  constraint price_note_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher')),
  constraint price_note_tender_amount_check check (amount > 0 and amount <> 'NaN')
);
select tenancy.protect('public.price_note_tender');

create trigger frozen before update or delete on price_note for each row execute function invoice_frozen();
create trigger frozen before update or delete on price_note_line for each row execute function invoice_frozen();
create trigger frozen before update or delete on price_note_tender for each row execute function invoice_frozen();
