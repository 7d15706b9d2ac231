-- Serial numbers: which piece lies where, and every movement of it.

alter table product add column serial_tracked boolean not null default false;

-- A piece. Its number is unique in the product for ever. Where it lies; where it left from, once it has left.
create table serial (
  tenant_id   uuid        not null,
  id          uuid        not null,
  product_id  uuid        not null,
  no          text        not null constraint serial_no_check check (octet_length(no) between 1 and 400),
  state       text        not null constraint serial_state_check check (state in ('gone', 'in_stock', 'scrapped', 'sold')),
  location_id uuid        not null,
  batch_id    uuid        not null,
  status      text        not null constraint serial_status_check check (status in ('damaged', 'in_transit', 'quarantine', 'scrap', 'sellable')),
  -- Of goods on their way: the line of the transfer.
  origin      uuid        not null default '00000000-0000-0000-0000-000000000000',
  -- What it was sold with.
  sold_type   text        constraint serial_sold_type_check check (octet_length(sold_type) <= 40),
  sold_id     uuid,
  sold_line   int,
  -- The hold that promised it last. It counts while that hold is pending.
  held_by     uuid,
  held_line   int,
  created_at  timestamptz not null,
  version     bigint      not null default 1,
  constraint serial_pkey primary key (tenant_id, id),
  constraint serial_no_key unique (tenant_id, product_id, no),
  constraint serial_sold_check check ((state = 'sold') = (sold_id is not null))
);
create index serial_number on serial (tenant_id, no);
create index serial_place on serial (tenant_id, product_id, location_id, batch_id, status) where state = 'in_stock';
create index serial_sale on serial (tenant_id, sold_id) where state = 'sold';
create index serial_hold on serial (tenant_id, held_by) where held_by is not null;
select tenancy.protect('public.serial');

-- Which pieces a movement moved. Facts only, as the movements themselves.
create table movement_serial (
  tenant_id     uuid        not null,
  source_type   text        not null,
  source_id     uuid        not null,
  source_line   int         not null,
  purpose       text        not null,
  allocation_no int         not null,
  serial_id     uuid        not null,
  seq           bigint      not null generated always as identity,
  recorded_at   timestamptz not null,
  constraint movement_serial_pkey primary key (tenant_id, source_type, source_id, source_line, purpose, allocation_no, serial_id),
  constraint movement_serial_movement_fkey foreign key (tenant_id, source_type, source_id, source_line, purpose, allocation_no)
    references movement (tenant_id, source_type, source_id, source_line, purpose, allocation_no),
  constraint movement_serial_serial_fkey foreign key (tenant_id, serial_id) references serial (tenant_id, id)
);
create index movement_serial_piece on movement_serial (tenant_id, serial_id, seq);
select tenancy.protect('public.movement_serial');
create trigger movement_serial_immutable before update or delete on movement_serial
  for each row execute function movement_is_immutable();
create trigger movement_serial_kept before truncate on movement_serial
  for each statement execute function movement_is_immutable();
revoke update, delete, truncate on movement_serial from bahi_inventory_app;

-- Pieces that a fact moved and whose number the books do not know: more lies there than there are numbers (1), or
-- numbers lie there whose pieces have left (-1). Closed by naming them. Nil columns of the source: stock that was there
-- when its product began to be followed.
create table serial_gap (
  tenant_id     uuid           not null,
  id            uuid           not null,
  product_id    uuid           not null,
  location_id   uuid           not null,
  batch_id      uuid           not null,
  status        text           not null,
  origin        uuid           not null default '00000000-0000-0000-0000-000000000000',
  direction     smallint       not null constraint serial_gap_direction_check check (direction in (-1, 1)),
  qty           numeric(18, 3) not null constraint serial_gap_qty_check check (qty > 0 and qty <> 'NaN'),
  open          numeric(18, 3) not null constraint serial_gap_open_check check (open >= 0 and open <= qty and open <> 'NaN'),
  -- The number that was said, and why it was not taken.
  said          text           constraint serial_gap_said_check check (octet_length(said) <= 400),
  reason        text           not null constraint serial_gap_reason_check check (reason in
                  ('not_named', 'not_here', 'not_sold', 'opening', 'unknown')),
  source_type   text,
  source_id     uuid,
  source_line   int,
  purpose       text,
  allocation_no int,
  opened_at     timestamptz    not null,
  closed_at     timestamptz,
  constraint serial_gap_pkey primary key (tenant_id, id),
  constraint serial_gap_closed_check check ((open = 0) = (closed_at is not null))
);
create index serial_gap_open on serial_gap (tenant_id, product_id, location_id) where open > 0;
select tenancy.protect('public.serial_gap');

-- Numbers of an invoice line that is still owed goods: they are taken when those leave.
create table shortage_serial (
  tenant_id  uuid not null,
  invoice_id uuid not null,
  line       int  not null,
  no         text not null constraint shortage_serial_no_check check (octet_length(no) between 1 and 400),
  constraint shortage_serial_pkey primary key (tenant_id, invoice_id, line, no)
);
select tenancy.protect('public.shortage_serial');

-- What somebody found at a look, number by number, and what the books had there.
create table count_serial (
  tenant_id uuid    not null,
  count_id  uuid    not null,
  line      int     not null,
  no        text    not null constraint count_serial_no_check check (octet_length(no) between 1 and 400),
  booked    boolean not null,
  found     boolean not null,
  constraint count_serial_pkey primary key (tenant_id, count_id, line, no),
  constraint count_serial_line_fkey foreign key (tenant_id, count_id, line) references count_line (tenant_id, count_id, line)
);
select tenancy.protect('public.count_serial');
