-- What tills make while they are away: their number series, every number of these, and what comes after a close.

-- The prefixes in which a till numbers while it is away: one for its bills, one for its credit notes.
create table offline_series (
  tenant_id       uuid        not null,
  registration_id uuid        not null,
  prefix          text        not null,
  till_id         uuid        not null,
  purpose         text        not null,
  opened_at       timestamptz not null,
  primary key (tenant_id, registration_id, prefix),
  constraint offline_series_till_key unique (tenant_id, till_id, registration_id, purpose),
  constraint offline_series_prefix_check check (prefix = upper(prefix) and length(prefix) between 1 and 5),
  constraint offline_series_purpose_check check (purpose in ('invoice', 'credit_note'))
);
select tenancy.protect('public.offline_series');

-- Every number that a till has printed while away, and what became of it.
create table offline_number (
  tenant_id       uuid        not null,
  registration_id uuid        not null,
  prefix          text        not null,
  fiscal_year     int         not null,
  running         bigint      not null,
  number          text        not null,
  -- issued: a document bears it; replaced: that document has an id of its own, for the till's was used otherwise;
  -- issued_online: the sale had been issued online, so the number is printed and void; void: it was spoilt
  outcome         text        not null,
  till_id         uuid        not null,
  session_id      uuid,
  -- the invoice or credit note, where there is one
  document_id     uuid,
  -- the id that the till gave it
  claimed_id      uuid        not null,
  reason          text,
  -- of what was sent: another content under the number is refused; none after a restore
  request_hash    bytea,
  cashier_id      uuid        not null,
  sender_id       uuid,
  made_at         timestamptz not null,
  skew_ms         bigint      not null,
  received_at     timestamptz not null,
  catalogue       text,
  differences     jsonb       not null default '[]',
  primary key (tenant_id, registration_id, prefix, fiscal_year, running),
  constraint offline_number_running_check check (running > 0),
  constraint offline_number_outcome_check check (outcome in ('issued', 'replaced', 'issued_online', 'void')
    and (outcome = 'void') = (document_id is null) and (outcome in ('issued_online', 'void')) = (reason is not null))
);
create index offline_number_document on offline_number (tenant_id, document_id) where document_id is not null;
create index offline_number_claimed on offline_number (tenant_id, claimed_id);
create index offline_number_received on offline_number (tenant_id, till_id, received_at);
select tenancy.protect('public.offline_number');
-- How a number is explained is final.
create trigger frozen before update or delete on offline_number for each row execute function invoice_frozen();

-- What came for a session after its close, by the day it came: the Z report stays as it was. S8 holds with it.
create table session_supplement (
  tenant_id        uuid          not null,
  session_id       uuid          not null,
  date             date          not null,
  received_cash    numeric(17,2) not null default 0,
  received_upi     numeric(17,2) not null default 0,
  received_card    numeric(17,2) not null default 0,
  received_wallet  numeric(17,2) not null default 0,
  received_credit  numeric(17,2) not null default 0,
  received_voucher numeric(17,2) not null default 0,
  change_given     numeric(17,2) not null default 0,
  refunded_cash    numeric(17,2) not null default 0,
  refunded_upi     numeric(17,2) not null default 0,
  refunded_card    numeric(17,2) not null default 0,
  refunded_wallet  numeric(17,2) not null default 0,
  refunded_credit  numeric(17,2) not null default 0,
  refunded_voucher numeric(17,2) not null default 0,
  cash             numeric(17,2) not null generated always as (received_cash - change_given - refunded_cash) stored,
  sales            bigint        not null default 0,
  sold             numeric(17,2) not null default 0,
  sold_tax         numeric(17,2) not null default 0,
  returns          bigint        not null default 0,
  returned         numeric(17,2) not null default 0,
  returned_tax     numeric(17,2) not null default 0,
  cancels          bigint        not null default 0,
  cancelled        numeric(17,2) not null default 0,
  cancelled_tax    numeric(17,2) not null default 0,
  primary key (tenant_id, session_id, date),
  constraint session_supplement_session_fkey foreign key (tenant_id, session_id) references pos_session,
  constraint session_supplement_numeric_check check
    ('NaN' <> all (array[received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher,
       change_given, refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher,
       cash, sold, sold_tax, returned, returned_tax, cancelled, cancelled_tax]))
) with (fillfactor = 50);
select tenancy.protect('public.session_supplement');
