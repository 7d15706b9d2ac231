-- Copies of CRM's customers, and what each of them owes.
create table customer (
  tenant_id         uuid   not null,
  customer_id       uuid   not null,
  name              text   not null,
  phone             text,
  email             text,
  gstin             text,
  addresses         jsonb  not null,
  customer_group_id uuid,
  credit_limit      numeric(17,2),
  credit_days       int    not null,
  -- CRM's statuses, and `deleted`, which stays so that a late update does not bring it back
  status            text   not null,
  epoch             bigint not null,
  version           bigint not null,
  primary key (tenant_id, customer_id),
  constraint customer_credit_check check (credit_limit >= 0 and credit_limit <> 'NaN' and credit_days >= 0)
);
create index customer_phone on customer (tenant_id, phone) where phone is not null;
create index customer_name on customer (tenant_id, name, customer_id);
select tenancy.protect('public.customer');

-- Running sums (S6): exposure = dues + orders - advances. The row is locked whenever one of them is raised.
create table customer_account (
  tenant_id   uuid          not null,
  customer_id uuid          not null,
  -- posted and unpaid
  dues        numeric(17,2) not null default 0,
  -- confirmed orders that are not invoiced
  orders      numeric(17,2) not null default 0,
  -- received and not allocated
  advances    numeric(17,2) not null default 0,
  primary key (tenant_id, customer_id),
  constraint customer_account_sums_check check (dues >= 0 and orders >= 0 and advances >= 0),
  constraint customer_account_numeric_check check ('NaN' <> all (array[dues, orders, advances]))
) with (fillfactor = 50);
select tenancy.protect('public.customer_account');

-- Every change of what is owed (by invoice) and of what was paid in advance (by receipt), by its date: the sums at the
-- end of any day are those of the entries up to it. Buyers without an account have entries too.
create table account_entry (
  tenant_id   uuid          not null,
  entry_id    uuid          not null,
  customer_id uuid,
  invoice_id  uuid,
  receipt_id  uuid,
  kind        text          not null,
  -- what did it: invoice, note, return, receipt or reversal
  document_id uuid          not null,
  date        date          not null,
  booked_at   timestamptz   not null,
  -- where dues are raised
  due_date    date,
  dues        numeric(17,2) not null default 0,
  advances    numeric(17,2) not null default 0,
  primary key (tenant_id, entry_id),
  -- Checked at the end, so that it can be written before the invoice takes its number.
  constraint account_entry_invoice_fkey foreign key (tenant_id, invoice_id) references invoice deferrable initially deferred,
  constraint account_entry_kind_check check (kind in
    ('invoice', 'return', 'credit_note', 'debit_note', 'cancel', 'receipt', 'allocation', 'refund', 'reversal')),
  constraint account_entry_place_check check
    ((dues = 0 or invoice_id is not null) and (advances = 0 or receipt_id is not null) and (dues <> 0 or advances <> 0)),
  constraint account_entry_due_check check (dues <= 0 or due_date is not null),
  constraint account_entry_numeric_check check (dues <> 'NaN' and advances <> 'NaN')
);
create index account_entry_customer on account_entry (tenant_id, customer_id, date) include (invoice_id, dues, advances)
  where customer_id is not null;
create index account_entry_invoice on account_entry (tenant_id, invoice_id, date) where invoice_id is not null;
create index account_entry_receipt on account_entry (tenant_id, receipt_id) where receipt_id is not null;
select tenancy.protect('public.account_entry');
create trigger frozen before update or delete on account_entry for each row execute function invoice_frozen();

-- What was sold on credit before there were accounts.
alter table invoice no force row level security;
alter table credit_note no force row level security;
alter table credit_note_tender no force row level security;
alter table account_entry no force row level security;
alter table customer_account no force row level security;
insert into account_entry (tenant_id, entry_id, customer_id, invoice_id, kind, document_id, date, booked_at, due_date, dues)
select tenant_id, gen_random_uuid(), customer_id, invoice_id, 'invoice', invoice_id, date, issued_at, date, credit
  from invoice where credit > 0;
insert into account_entry (tenant_id, entry_id, customer_id, invoice_id, kind, document_id, date, booked_at, dues)
select i.tenant_id, gen_random_uuid(), i.customer_id, i.invoice_id, 'return', n.credit_note_id, n.date, n.issued_at, -sum(t.amount)
  from credit_note n
  join credit_note_tender t using (tenant_id, credit_note_id)
  join invoice i on i.tenant_id = n.tenant_id and i.invoice_id = n.original_invoice_id
 where t.method = 'credit'
 group by i.tenant_id, i.customer_id, i.invoice_id, n.credit_note_id, n.date, n.issued_at;
insert into customer_account (tenant_id, customer_id, dues)
select tenant_id, customer_id, sum(dues) from account_entry where customer_id is not null group by tenant_id, customer_id;
set constraints all immediate;
alter table invoice force row level security;
alter table credit_note force row level security;
alter table credit_note_tender force row level security;
alter table account_entry force row level security;
alter table customer_account force row level security;
