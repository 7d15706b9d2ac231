-- Goods between locations, and states of stock beyond sellable and quarantine.

alter table stock_item drop constraint stock_item_status_check;
alter table stock_item add constraint stock_item_status_check
  check (status in ('damaged', 'in_transit', 'quarantine', 'scrap', 'sellable'));
alter table movement drop constraint movement_status_check;
alter table movement add constraint movement_status_check
  check (status in ('damaged', 'in_transit', 'quarantine', 'scrap', 'sellable'));
alter table movement drop constraint movement_kind_check;
alter table movement add constraint movement_kind_check check (kind in
  ('receipt', 'issue', 'adjust_in', 'adjust_out', 'transfer_out', 'transfer_in', 'return_in', 'return_out', 'scrap',
   'revalue', 'status_change'));

-- Layers of goods on their way belong to one line of a transfer; first in, first out holds among them alone. Every
-- other layer has the nil origin.
alter table cost_layer add column origin uuid not null default '00000000-0000-0000-0000-000000000000';
create index cost_layer_in_transit on cost_layer (tenant_id, origin) where status = 'in_transit';

-- Copies of what identity says: under which registration a location's branch does business.
create table branch (
  tenant_id       uuid   not null,
  branch_id       uuid   not null,
  registration_id uuid   not null,
  epoch           bigint not null,
  source_version  bigint not null,
  constraint branch_pkey primary key (tenant_id, branch_id)
);
select tenancy.protect('public.branch');

create table registration (
  tenant_id       uuid   not null,
  registration_id uuid   not null,
  gstin           text   constraint registration_gstin_check check (octet_length(gstin) <= 60),
  epoch           bigint not null,
  source_version  bigint not null,
  constraint registration_pkey primary key (tenant_id, registration_id)
);
select tenancy.protect('public.registration');

create table transfer (
  tenant_id         uuid        not null,
  id                uuid        not null,
  state             text        not null constraint transfer_state_check check (state in
                      ('draft', 'approved', 'shipped', 'partially_received', 'received', 'closed_short', 'cancelled')),
  from_location     uuid        not null,
  to_location       uuid        not null,
  reference         text        constraint transfer_reference_check check (octet_length(reference) <= 1000),
  registration_from uuid        not null,
  registration_to   uuid        not null,
  gstin_from        text        constraint transfer_gstin_from_check check (octet_length(gstin_from) <= 60),
  gstin_to          text        constraint transfer_gstin_to_check check (octet_length(gstin_to) <= 60),
  eway_bill_no      text        constraint transfer_eway_check check (octet_length(eway_bill_no) <= 200),
  -- Why it was cancelled or closed short.
  reason            text        constraint transfer_reason_check check (octet_length(reason) <= 1000),
  created_by        text        not null constraint transfer_created_by_check check (octet_length(created_by) <= 200),
  approved_by       text        constraint transfer_approved_by_check check (octet_length(approved_by) <= 200),
  created_at        timestamptz not null,
  approved_at       timestamptz,
  shipped_at        timestamptz,
  ended_at          timestamptz,
  version           bigint      not null default 1,
  constraint transfer_pkey primary key (tenant_id, id),
  constraint transfer_places_check check (from_location <> to_location),
  constraint transfer_ended_check check ((state in ('received', 'closed_short', 'cancelled')) = (ended_at is not null))
);
create index transfer_open on transfer (tenant_id, id) where ended_at is null;
select tenancy.protect('public.transfer');

create table transfer_line (
  tenant_id   uuid           not null,
  transfer_id uuid           not null,
  line        int            not null,
  product_id  uuid           not null,
  -- Nil for a line whose batches are picked when it is shipped, and for stock without batches.
  batch_id    uuid           not null,
  status      text           not null constraint transfer_line_status_check check (status in ('sellable', 'quarantine', 'damaged')),
  qty         numeric(18, 3) not null constraint transfer_line_qty_check check (qty > 0 and qty <> 'NaN'),
  -- Of the cost layers while its goods are on their way.
  origin      uuid           not null,
  constraint transfer_line_pkey primary key (tenant_id, transfer_id, line),
  constraint transfer_line_transfer_fkey foreign key (tenant_id, transfer_id) references transfer (tenant_id, id)
);
create unique index transfer_line_origin on transfer_line (tenant_id, origin);
create index transfer_line_product on transfer_line (tenant_id, product_id, transfer_id);
select tenancy.protect('public.transfer_line');

-- What was shipped of a line, by batch, and what became of it: shipped = received + short + on its way.
create table transfer_part (
  tenant_id      uuid           not null,
  transfer_id    uuid           not null,
  line           int            not null,
  batch_id       uuid           not null,
  shipped        numeric(18, 3) not null constraint transfer_part_shipped_check check (shipped > 0 and shipped <> 'NaN'),
  shipped_value  numeric(18, 2) not null constraint transfer_part_shipped_value_check check (shipped_value >= 0 and shipped_value <> 'NaN'),
  received       numeric(18, 3) not null default 0 constraint transfer_part_received_check check (received >= 0 and received <> 'NaN'),
  received_value numeric(18, 2) not null default 0 constraint transfer_part_received_value_check check (received_value >= 0 and received_value <> 'NaN'),
  short          numeric(18, 3) not null default 0 constraint transfer_part_short_check check (short >= 0 and short <> 'NaN'),
  short_value    numeric(18, 2) not null default 0 constraint transfer_part_short_value_check check (short_value >= 0 and short_value <> 'NaN'),
  constraint transfer_part_pkey primary key (tenant_id, transfer_id, line, batch_id),
  constraint transfer_part_line_fkey foreign key (tenant_id, transfer_id, line) references transfer_line (tenant_id, transfer_id, line),
  constraint transfer_part_sum_check check (received + short <= shipped),
  constraint transfer_part_value_check check (received_value + short_value <= shipped_value)
);
select tenancy.protect('public.transfer_part');
