-- Stock: balances, the ledger behind them, what it cost, what is promised, and what is owed.

-- Copies of what product and identity say. A change is applied only when its (epoch, version) is greater.
create table product (
  tenant_id      uuid    not null,
  product_id     uuid    not null,
  sku            text    not null constraint product_sku_check check (octet_length(sku) <= 400),
  name           text    not null constraint product_name_check check (octet_length(name) <= 2000),
  uqc            text    not null constraint product_uqc_check check (octet_length(uqc) <= 20),
  stocked        boolean not null,
  batch_tracked  boolean not null,
  expiry_tracked boolean not null,
  deleted        boolean not null default false,
  epoch          bigint  not null,
  source_version bigint  not null,
  constraint product_pkey primary key (tenant_id, product_id)
);
select tenancy.protect('public.product');

create table location (
  tenant_id      uuid    not null,
  location_id    uuid    not null,
  branch_id      uuid    not null,
  code           text    not null constraint location_code_check check (octet_length(code) <= 200),
  name           text    not null constraint location_name_check check (octet_length(name) <= 2000),
  active         boolean not null,
  epoch          bigint  not null,
  source_version bigint  not null,
  constraint location_pkey primary key (tenant_id, location_id)
);
select tenancy.protect('public.location');

create table batch (
  tenant_id    uuid        not null,
  id           uuid        not null,
  product_id   uuid        not null,
  no           text        not null constraint batch_no_check check (octet_length(no) between 1 and 200),
  expiry       date,
  blocked      boolean     not null default false,
  block_reason text        constraint batch_block_reason_check check (octet_length(block_reason) <= 1000),
  created_at   timestamptz not null,
  version      bigint      not null default 1,
  constraint batch_pkey primary key (tenant_id, id),
  constraint batch_no_key unique (tenant_id, product_id, no)
);
create index batch_expiry on batch (tenant_id, expiry) where expiry is not null;
select tenancy.protect('public.batch');

-- One balance per key. batch_id is nil for stock without batches. The nil, sellable row of a (location, product)
-- is its gate: whoever changes anything of that place locks it first, in primary-key order, so whatever is read
-- after it is the truth until the end of the transaction. expiry and blocked are copied from the batch, so that
-- they are read under that lock.
create table stock_item (
  tenant_id   uuid           not null,
  location_id uuid           not null,
  product_id  uuid           not null,
  batch_id    uuid           not null,
  status      text           not null constraint stock_item_status_check check (status in ('sellable', 'quarantine', 'scrap')),
  on_hand     numeric(18, 3) not null default 0 constraint stock_item_on_hand_check check (on_hand >= 0 and on_hand <> 'NaN'),
  reserved    numeric(18, 3) not null default 0 constraint stock_item_reserved_nan_check check (reserved <> 'NaN'),
  expiry      date,
  blocked     boolean        not null default false,
  version     bigint         not null default 1,
  constraint stock_item_pkey primary key (tenant_id, location_id, product_id, batch_id, status),
  constraint stock_item_reserved_check check (0 <= reserved and reserved <= on_hand)
) with (fillfactor = 60);
create index stock_item_product on stock_item (tenant_id, product_id, location_id, batch_id, status);
create index stock_item_batch on stock_item (tenant_id, batch_id)
  where batch_id <> '00000000-0000-0000-0000-000000000000';
select tenancy.protect('public.stock_item');

-- The guard against repetition: one row for each fact that moves stock.
create table movement_header (
  tenant_id   uuid        not null,
  source_type text        not null constraint movement_header_source_check check (octet_length(source_type) <= 40),
  source_id   uuid        not null,
  purpose     text        not null constraint movement_header_purpose_check check (octet_length(purpose) <= 40),
  recorded_at timestamptz not null,
  constraint movement_header_pkey primary key (tenant_id, source_type, source_id, purpose)
);
select tenancy.protect('public.movement_header');

-- The ledger. Facts only, never changed: a correction is another movement. One line may take several batches.
create table movement (
  tenant_id     uuid           not null,
  id            uuid           not null,
  seq           bigint         not null generated always as identity,
  kind          text           not null constraint movement_kind_check check (kind in
                  ('receipt', 'issue', 'adjust_in', 'adjust_out', 'return_in', 'scrap', 'status_change')),
  source_type   text           not null,
  source_id     uuid           not null,
  source_line   int            not null,
  purpose       text           not null,
  allocation_no int            not null,
  location_id   uuid           not null,
  product_id    uuid           not null,
  batch_id      uuid           not null,
  status        text           not null constraint movement_status_check check (status in ('sellable', 'quarantine', 'scrap')),
  qty           numeric(18, 3) not null constraint movement_qty_check check (qty <> 0 and qty <> 'NaN'),
  value         numeric(18, 2) not null constraint movement_value_check check (value <> 'NaN'),
  reason        text           constraint movement_reason_check check (octet_length(reason) <= 1000),
  occurred_at   timestamptz    not null,
  recorded_at   timestamptz    not null,
  constraint movement_pkey primary key (tenant_id, source_type, source_id, source_line, purpose, allocation_no),
  constraint movement_sign_check check (value = 0 or (value > 0) = (qty > 0))
);
create index movement_product on movement (tenant_id, product_id, seq);
select tenancy.protect('public.movement');

create function movement_is_immutable() returns trigger language plpgsql as $$
begin
  raise exception 'movements are never changed: post a counter-movement' using errcode = 'restrict_violation';
end $$;
create trigger movement_immutable before update or delete on movement
  for each row execute function movement_is_immutable();
create trigger movement_kept before truncate on movement
  for each statement execute function movement_is_immutable();
revoke update, delete, truncate on movement from bahi_inventory_app;

-- First in, first out, in order of seq. A layer that is used up is deleted; the ledger keeps what it was.
create table cost_layer (
  tenant_id   uuid           not null,
  id          uuid           not null,
  seq         bigint         not null generated always as identity,
  location_id uuid           not null,
  product_id  uuid           not null,
  batch_id    uuid           not null,
  status      text           not null,
  qty_left    numeric(18, 3) not null constraint cost_layer_qty_check check (qty_left > 0 and qty_left <> 'NaN'),
  value_left  numeric(18, 2) not null constraint cost_layer_value_check check (value_left >= 0 and value_left <> 'NaN'),
  unit_cost   numeric(19, 4) not null constraint cost_layer_unit_check check (unit_cost >= 0 and unit_cost <> 'NaN'),
  received_at timestamptz    not null,
  constraint cost_layer_pkey primary key (tenant_id, id)
) with (fillfactor = 60);
create index cost_layer_fifo on cost_layer (tenant_id, location_id, product_id, batch_id, status, seq);
select tenancy.protect('public.cost_layer');

-- Promises, and their lines (without a foreign key: both are written in one transaction, and a check a line would
-- be paid by every sale). Ids of sales are UUIDv5 of invoice and attempt; one that was never granted may be here as released or
-- committed, so that a late request for it is not granted.
create table reservation (
  tenant_id   uuid        not null,
  id          uuid        not null,
  owner       text        not null constraint reservation_owner_check check (owner in ('sales', 'order', 'api')),
  state       text        not null constraint reservation_state_check check (state in ('pending', 'committed', 'released', 'expired')),
  location_id uuid,
  invoice_id  uuid,
  attempt     int,
  demand_hash text        constraint reservation_hash_check check (octet_length(demand_hash) <= 200),
  reference   text        constraint reservation_reference_check check (octet_length(reference) <= 1000),
  deadline    timestamptz,
  answer      jsonb,       -- what sales answered, once it said `issued`
  answered_at timestamptz,
  created_at  timestamptz not null,
  ended_at    timestamptz,
  version     bigint      not null default 1,
  constraint reservation_pkey primary key (tenant_id, id),
  constraint reservation_ended_check check ((state = 'pending') = (ended_at is null))
) with (fillfactor = 80);
create index reservation_pending on reservation (tenant_id, deadline) where state = 'pending';
select tenancy.protect('public.reservation');

create table reservation_line (
  tenant_id      uuid           not null,
  reservation_id uuid           not null,
  line           int            not null,
  allocation_no  int            not null,
  product_id     uuid           not null,
  batch_id       uuid           not null,
  qty            numeric(18, 3) not null constraint reservation_line_qty_check check (qty >= 0 and qty <> 'NaN'),
  constraint reservation_line_pkey primary key (tenant_id, reservation_id, line, allocation_no)
);
select tenancy.protect('public.reservation_line');

-- What was sold and could not be issued. qty = open + settled + cancelled.
create table shortage (
  tenant_id   uuid           not null,
  invoice_id  uuid           not null,
  line        int            not null,
  location_id uuid           not null,
  product_id  uuid           not null,
  qty         numeric(18, 3) not null constraint shortage_qty_check check (qty > 0 and qty <> 'NaN'),
  open        numeric(18, 3) not null constraint shortage_open_check check (open >= 0 and open <> 'NaN'),
  settled     numeric(18, 3) not null default 0 constraint shortage_settled_check check (settled >= 0 and settled <> 'NaN'),
  cancelled   numeric(18, 3) not null default 0 constraint shortage_cancelled_check check (cancelled >= 0 and cancelled <> 'NaN'),
  occurred_at timestamptz    not null,
  created_at  timestamptz    not null,
  constraint shortage_pkey primary key (tenant_id, invoice_id, line),
  constraint shortage_sum_check check (qty = open + settled + cancelled)
);
create index shortage_open on shortage (tenant_id, location_id, product_id, occurred_at) where open > 0;
select tenancy.protect('public.shortage');

-- Each settlement is a document of its own: the source of its movements.
create table shortage_settlement (
  tenant_id  uuid           not null,
  id         uuid           not null,
  invoice_id uuid           not null,
  line       int            not null,
  qty        numeric(18, 3) not null constraint shortage_settlement_qty_check check (qty > 0 and qty <> 'NaN'),
  settled_at timestamptz    not null,
  constraint shortage_settlement_pkey primary key (tenant_id, id),
  constraint shortage_settlement_shortage_fkey foreign key (tenant_id, invoice_id, line) references shortage (tenant_id, invoice_id, line)
);
create index shortage_settlement_line on shortage_settlement (tenant_id, invoice_id, line);
select tenancy.protect('public.shortage_settlement');

-- What came back of which line, so that the next return of it knows its cost.
create table return_line (
  tenant_id       uuid           not null,
  credit_note_id  uuid           not null,
  line            int            not null,
  invoice_id      uuid,
  original_line   int,
  product_id      uuid           not null,
  qty             numeric(18, 3) not null constraint return_line_qty_check check (qty > 0 and qty <> 'NaN'),
  shortage_closed numeric(18, 3) not null constraint return_line_closed_check check (shortage_closed >= 0 and shortage_closed <> 'NaN'),
  cost            numeric(18, 2) not null constraint return_line_cost_check check (cost >= 0 and cost <> 'NaN'),
  constraint return_line_pkey primary key (tenant_id, credit_note_id, line)
);
create index return_line_original on return_line (tenant_id, invoice_id, original_line) where invoice_id is not null;
select tenancy.protect('public.return_line');

-- Jobs look for work over all tenants: the owner, and nobody else, may see pending holds of every tenant.
do $$ begin
  execute format('create policy sweep on public.reservation for select to %I using (state = ''pending'')', current_user);
end $$;

-- Holds past their deadline that nobody has been asked about, oldest first.
create function due_holds(owners text[], at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, invoice_id uuid, attempt int)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.invoice_id, r.attempt from public.reservation r
    where r.state = 'pending' and r.deadline <= at and r.owner = any (owners) and r.answer is null
    order by r.deadline limit most $$;

-- Holds whose sale was issued, as sales said before `at`, and whose event has still not come.
create function unheard_sales(at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, answer jsonb)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.answer from public.reservation r
    where r.state = 'pending' and r.answer is not null and r.answered_at <= at
    order by r.answered_at limit most $$;
revoke all on function due_holds(text[], timestamptz, int), unheard_sales(timestamptz, int) from public;
grant execute on function due_holds(text[], timestamptz, int), unheard_sales(timestamptz, int) to bahi_inventory_app;

-- Up to which restore epoch this database has caught up with the topics. Below the outbox's epoch, holds are not
-- granted until the consumers have reached the end offsets.
create table inbox.caught_up (
  one   boolean primary key default true check (one),
  epoch bigint  not null
);
insert into inbox.caught_up (epoch) select epoch from outbox.epoch;
grant select, update on inbox.caught_up to bahi_inventory_app;
