-- How each product is valued, and the documents that change what is on hand is worth.

-- A product without a row is valued first in, first out. Changed by revaluations alone.
create table costing (
  tenant_id     uuid           not null,
  product_id    uuid           not null,
  method        text           not null constraint costing_method_check check (method in ('fifo', 'average', 'standard')),
  standard_cost numeric(19, 4) constraint costing_standard_check check (standard_cost >= 0 and standard_cost <> 'NaN'),
  changed_at    timestamptz    not null,
  constraint costing_pkey primary key (tenant_id, product_id),
  constraint costing_standard_known_check check ((method = 'standard') = (standard_cost is not null))
);
select tenancy.protect('public.costing');

-- A revaluation locks the product and then every gate of it. A gate that is new waits for it here, so that no goods
-- come in under the method of yesterday at a place nobody knew of.
create function gate_waits_for_revaluation() returns trigger language plpgsql as $$
begin
  perform 1 from product where tenant_id = new.tenant_id and product_id = new.product_id for key share;
  return null;
end $$;
create trigger gate_made after insert on stock_item for each row
  when (new.batch_id = '00000000-0000-0000-0000-000000000000' and new.status = 'sellable')
  execute function gate_waits_for_revaluation();

-- A revaluation changes value and no quantity.
alter table movement drop constraint movement_qty_check;
alter table movement add constraint movement_qty_check check (qty <> 'NaN' and (qty = 0) = (kind = 'revalue'));
alter table movement drop constraint movement_sign_check;
alter table movement add constraint movement_sign_check
  check (case when kind = 'revalue' then value <> 0 else value = 0 or (value > 0) = (qty > 0) end);

-- Whose layers a movement of goods in transit took or made (see cost_layer.origin); null for all others.
alter table movement add column origin uuid;

create table revaluation (
  tenant_id    uuid           not null,
  id           uuid           not null,
  reason       text           not null constraint revaluation_reason_check check (octet_length(reason) <= 1000),
  posting_date date           not null,
  recorded_at  timestamptz    not null,
  value_delta  numeric(18, 2) not null constraint revaluation_delta_check check (value_delta <> 'NaN'),
  constraint revaluation_pkey primary key (tenant_id, id)
);
select tenancy.protect('public.revaluation');

-- What a line asked for (everything of the product where location, batch and status are null) and what it changed.
-- ledger_seq is its place in the ledger, drawn under the gates: it is in force for what comes after.
create table revaluation_line (
  tenant_id      uuid           not null,
  revaluation_id uuid           not null,
  line           int            not null,
  ledger_seq     bigint         not null,
  product_id     uuid           not null,
  location_id    uuid,
  batch_id       uuid,
  status         text,
  unit_cost      numeric(19, 4) constraint revaluation_line_unit_check check (unit_cost >= 0 and unit_cost <> 'NaN'),
  method         text           constraint revaluation_line_method_check check (method in ('fifo', 'average', 'standard')),
  standard_cost  numeric(19, 4) constraint revaluation_line_standard_check check (standard_cost >= 0 and standard_cost <> 'NaN'),
  method_before  text           not null,
  qty            numeric(18, 3) not null constraint revaluation_line_qty_check check (qty >= 0 and qty <> 'NaN'),
  value_before   numeric(18, 2) not null constraint revaluation_line_before_check check (value_before <> 'NaN'),
  value_after    numeric(18, 2) not null constraint revaluation_line_after_check check (value_after <> 'NaN'),
  constraint revaluation_line_pkey primary key (tenant_id, revaluation_id, line),
  constraint revaluation_line_document_fkey foreign key (tenant_id, revaluation_id) references revaluation (tenant_id, id),
  constraint revaluation_line_what_check check ((unit_cost is null) <> (method is null))
);
create index revaluation_line_product on revaluation_line (tenant_id, product_id, ledger_seq);
select tenancy.protect('public.revaluation_line');

-- A cost that came after the goods, spread over the lines of their receipts.
create table landed_cost (
  tenant_id    uuid           not null,
  id           uuid           not null,
  reference    text           constraint landed_cost_reference_check check (octet_length(reference) <= 1000),
  basis        text           not null constraint landed_cost_basis_check check (basis in ('value', 'quantity', 'weight')),
  amount       numeric(18, 2) not null constraint landed_cost_amount_check check (amount > 0 and amount <> 'NaN'),
  stock_value  numeric(18, 2) not null constraint landed_cost_stock_check check (stock_value >= 0 and stock_value <> 'NaN'),
  posting_date date           not null,
  recorded_at  timestamptz    not null,
  constraint landed_cost_pkey primary key (tenant_id, id),
  constraint landed_cost_sum_check check (stock_value <= amount)
);
select tenancy.protect('public.landed_cost');

create table landed_cost_line (
  tenant_id      uuid           not null,
  landed_cost_id uuid           not null,
  line           int            not null,
  receipt_id     uuid           not null,
  receipt_line   int            not null,
  product_id     uuid           not null,
  location_id    uuid           not null,
  batch_id       uuid           not null,
  qty            numeric(18, 3) not null constraint landed_cost_line_qty_check check (qty > 0 and qty <> 'NaN'),
  weight         numeric(18, 3) constraint landed_cost_line_weight_check check (weight >= 0 and weight <> 'NaN'),
  amount         numeric(18, 2) not null constraint landed_cost_line_amount_check check (amount >= 0 and amount <> 'NaN'),
  -- amount = stock + sold + variance.
  on_hand        numeric(18, 3) not null constraint landed_cost_line_on_hand_check check (on_hand >= 0 and on_hand <> 'NaN'),
  stock_value    numeric(18, 2) not null constraint landed_cost_line_stock_check check (stock_value >= 0 and stock_value <> 'NaN'),
  sold_value     numeric(18, 2) not null constraint landed_cost_line_sold_check check (sold_value >= 0 and sold_value <> 'NaN'),
  variance       numeric(18, 2) not null constraint landed_cost_line_variance_check check (variance >= 0 and variance <> 'NaN'),
  constraint landed_cost_line_pkey primary key (tenant_id, landed_cost_id, line),
  constraint landed_cost_line_document_fkey foreign key (tenant_id, landed_cost_id) references landed_cost (tenant_id, id),
  constraint landed_cost_line_sum_check check (amount = stock_value + sold_value + variance)
);
create index landed_cost_line_receipt on landed_cost_line (tenant_id, receipt_id);
select tenancy.protect('public.landed_cost_line');

-- Which goods of a balance a line raised: qty of them, behind so many that came later. ledger_seq as above.
create table landed_cost_part (
  tenant_id      uuid           not null,
  landed_cost_id uuid           not null,
  line           int            not null,
  part           int            not null,
  ledger_seq     bigint         not null,
  location_id    uuid           not null,
  product_id     uuid           not null,
  batch_id       uuid           not null,
  status         text           not null,
  behind         numeric(18, 3) not null constraint landed_cost_part_behind_check check (behind >= 0 and behind <> 'NaN'),
  qty            numeric(18, 3) not null constraint landed_cost_part_qty_check check (qty > 0 and qty <> 'NaN'),
  value          numeric(18, 2) not null constraint landed_cost_part_value_check check (value >= 0 and value <> 'NaN'),
  constraint landed_cost_part_pkey primary key (tenant_id, landed_cost_id, line, part),
  constraint landed_cost_part_line_fkey foreign key (tenant_id, landed_cost_id, line)
    references landed_cost_line (tenant_id, landed_cost_id, line)
);
create index landed_cost_part_product on landed_cost_part (tenant_id, product_id, ledger_seq);
select tenancy.protect('public.landed_cost_part');

-- Documents are facts as movements are.
create function document_is_immutable() returns trigger language plpgsql as $$
begin
  raise exception 'posted documents are never changed' using errcode = 'restrict_violation';
end $$;
create trigger revaluation_immutable before update or delete on revaluation for each row execute function document_is_immutable();
create trigger revaluation_line_immutable before update or delete on revaluation_line for each row execute function document_is_immutable();
create trigger landed_cost_immutable before update or delete on landed_cost for each row execute function document_is_immutable();
create trigger landed_cost_line_immutable before update or delete on landed_cost_line for each row execute function document_is_immutable();
create trigger landed_cost_part_immutable before update or delete on landed_cost_part for each row execute function document_is_immutable();
revoke update, delete, truncate on revaluation, revaluation_line, landed_cost, landed_cost_line, landed_cost_part
  from bahi_inventory_app;
