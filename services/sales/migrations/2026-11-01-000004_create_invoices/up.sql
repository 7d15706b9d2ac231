-- What became of each attempt to sell. This table alone decides; the invoice's later status never does.
-- Attempts count from 1; `closed` is written as attempt 0, so that it ends all of them and collides with none.
create table reservation_decision (
  tenant_id      uuid        not null,
  invoice_id     uuid        not null,
  attempt        int         not null,
  reservation_id uuid        not null,
  decision       text        not null,
  -- of the whole request, where it was issued: another request under the id is refused for ever
  request_hash   bytea,
  decided_at     timestamptz not null,
  primary key (tenant_id, invoice_id, attempt),
  constraint reservation_decision_reservation_key unique (tenant_id, reservation_id),
  constraint reservation_decision_decision_check check (decision in ('void', 'issued', 'closed')),
  constraint reservation_decision_attempt_check check ((decision = 'closed') = (attempt = 0) and attempt >= 0),
  constraint reservation_decision_hash_check check ((decision = 'issued') = (request_hash is not null))
);
create unique index reservation_decision_final_key on reservation_decision (tenant_id, invoice_id) where decision <> 'void';
select tenancy.protect('public.reservation_decision');

create table invoice (
  tenant_id          uuid          not null,
  invoice_id         uuid          not null,
  registration_id    uuid          not null,
  fiscal_year        int           not null,
  series             text          not null,
  running            bigint        not null,
  number             text          not null,
  date               date          not null,
  issued_at          timestamptz   not null,
  kind               text          not null,
  gstin_supplier     text,
  gstin_buyer        text,
  place_of_supply    text          not null,
  inter_state        boolean       not null,
  reverse_charge     boolean       not null,
  branch_id          uuid          not null,
  location_id        uuid          not null,
  till_id            uuid,
  session_id         uuid,
  customer_id        uuid,
  buyer_name         text,
  buyer_phone        text,
  buyer_address      text,
  buyer_state        text,
  cashier_id         uuid,
  salesperson_id     uuid,
  reservation_id     uuid          not null,
  demand_hash        text          not null,
  gross              numeric(17,2) not null,
  discount           numeric(17,2) not null,
  taxable            numeric(17,2) not null,
  cgst               numeric(17,2) not null,
  sgst               numeric(17,2) not null,
  igst               numeric(17,2) not null,
  cess               numeric(17,2) not null,
  round_off          numeric(17,2) not null,
  round_to_rupee     boolean       not null,
  total              numeric(17,2) not null,
  tendered           numeric(17,2) not null,
  tendered_cash      numeric(17,2) not null,
  change             numeric(17,2) not null,
  credit             numeric(17,2) not null,
  currency           text          not null default 'INR',
  external_reference text,
  external_date      timestamptz,
  -- what came back so far
  returned           numeric(17,2) not null default 0,
  returned_credit    numeric(17,2) not null default 0,
  status             text          not null default 'issued',
  version            bigint        not null default 1,
  primary key (tenant_id, invoice_id),
  -- S4; upper case by the series' own rule
  constraint invoice_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint invoice_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint invoice_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint invoice_kind_check check (kind in ('B2B', 'B2C') and (kind = 'B2B') = (gstin_buyer is not null)),
  constraint invoice_session_check check ((till_id is null) = (session_id is null)),
  constraint invoice_levy_check check (cgst = sgst and (inter_state and cgst = 0 or not inter_state and igst = 0)),
  -- S1
  constraint invoice_total_check check (taxable + cgst + sgst + igst + cess + round_off = total and total >= 0),
  constraint invoice_round_off_check check (abs(round_off) <= 0.50 and (round_to_rupee or round_off = 0)),
  -- S2; a credit counts as a tender
  constraint invoice_tender_check check (tendered - change = total),
  constraint invoice_change_check check (change between 0 and tendered_cash),
  -- S7
  constraint invoice_refund_check check
    (returned_credit between 0 and credit and returned - returned_credit between 0 and total - credit),
  constraint invoice_status_check check (status in ('issued', 'credited_partially', 'credited_fully')),
  constraint invoice_amounts_check check (least(gross, discount, taxable, cgst, sgst, igst, cess, tendered, tendered_cash, credit) >= 0),
  constraint invoice_numeric_check check
    ('NaN' <> all (array[gross, discount, taxable, cgst, sgst, igst, cess, round_off, total, tendered, tendered_cash,
       change, credit, returned, returned_credit]))
) with (fillfactor = 90);
create index invoice_issued_at on invoice (tenant_id, issued_at, invoice_id);
create index invoice_session on invoice (tenant_id, session_id) where session_id is not null;
create index invoice_external on invoice (tenant_id, external_reference) where external_reference is not null;
select tenancy.protect('public.invoice');

create table invoice_line (
  tenant_id          uuid          not null,
  invoice_id         uuid          not null,
  line               int           not null,
  product_id         uuid          not null,
  sku                text          not null,
  description        text          not null,
  stocked            boolean       not null,
  hsn                text          not null,
  uqc                text          not null,
  qty                numeric(18,3) not null,
  unit_price         numeric(19,4) not null,
  price_includes_tax boolean       not null,
  -- the price of the copy, where another was charged
  list_price         numeric(19,4),
  override_reason    text,
  gross              numeric(17,2) not null,
  discount           numeric(17,2) not null,
  bill_discount      numeric(17,2) not null,
  tax_category       text          not null,
  rate               numeric(6,3)  not null,
  cess_rate          numeric(7,3)  not null,
  taxable            numeric(17,2) not null,
  cgst               numeric(17,2) not null,
  sgst               numeric(17,2) not null,
  igst               numeric(17,2) not null,
  cess               numeric(17,2) not null,
  total              numeric(17,2) not null,
  batches            jsonb         not null default '[]',
  returned_qty       numeric(18,3) not null default 0,
  returned_taxable   numeric(17,2) not null default 0,
  returned_cgst      numeric(17,2) not null default 0,
  returned_sgst      numeric(17,2) not null default 0,
  returned_igst      numeric(17,2) not null default 0,
  returned_cess      numeric(17,2) not null default 0,
  primary key (tenant_id, invoice_id, line),
  -- Checked at the end, so that lines can be written before the invoice takes its number.
  constraint invoice_line_invoice_fkey foreign key (tenant_id, invoice_id) references invoice deferrable initially deferred,
  constraint invoice_line_qty_check check (qty > 0),
  constraint invoice_line_override_check check ((list_price is null) = (override_reason is null)),
  constraint invoice_line_total_check check (taxable + cgst + sgst + igst + cess = total and total >= 0),
  constraint invoice_line_category_check check
    (tax_category in ('taxable', 'nil', 'exempt', 'non_gst') and (tax_category = 'taxable' or rate = 0 and cess_rate = 0)),
  -- S3
  constraint invoice_line_returned_check check (returned_qty between 0 and qty),
  constraint invoice_line_whole_check check
    (returned_qty < qty or (returned_taxable, returned_cgst, returned_sgst, returned_igst, returned_cess) = (taxable, cgst, sgst, igst, cess)),
  constraint invoice_line_numeric_check check
    ('NaN' <> all (array[qty, unit_price, coalesce(list_price, 0), gross, discount, bill_discount, rate, cess_rate, taxable,
       cgst, sgst, igst, cess, total, returned_qty, returned_taxable, returned_cgst, returned_sgst, returned_igst, returned_cess]))
) with (fillfactor = 90);
select tenancy.protect('public.invoice_line');

create table invoice_tender (
  tenant_id  uuid          not null,
  invoice_id uuid          not null,
  tender     int           not null,
  method     text          not null,
  amount     numeric(17,2) not null,
  reference  text,
  primary key (tenant_id, invoice_id, tender),
  constraint invoice_tender_invoice_fkey foreign key (tenant_id, invoice_id) references invoice deferrable initially deferred,
  constraint invoice_tender_method_check check (method in ('cash', 'upi', 'card', 'wallet', 'credit', 'voucher')),
  constraint invoice_tender_amount_check check (amount > 0 and amount <> 'NaN')
);
select tenancy.protect('public.invoice_tender');

-- S5: what was issued stays as it is. Only what comes back, the status and the version move on.
create function invoice_frozen() returns trigger language plpgsql as $$
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
create trigger frozen before update or delete on invoice for each row execute function invoice_frozen();
create trigger frozen before update or delete on invoice_line for each row execute function invoice_frozen();
create trigger frozen before update or delete on invoice_tender for each row execute function invoice_frozen();
-- A decision is final.
create trigger frozen before update or delete on reservation_decision for each row execute function invoice_frozen();
