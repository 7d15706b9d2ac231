-- Kits: what they consist of, and which lines of a hold stand for some of them.

-- [{product_id, qty}] as product says it; empty for everything that is no kit.
alter table product add column components jsonb not null default '[]'
  constraint product_components_check check (jsonb_typeof(components) = 'array');

-- A hold's lines name the components that are held for them. Which of its lines are kits, and how many, is here.
create table reservation_kit (
  tenant_id      uuid           not null,
  reservation_id uuid           not null,
  line           int            not null,
  kit_id         uuid           not null,
  qty            numeric(18, 3) not null constraint reservation_kit_qty_check check (qty > 0 and qty <> 'NaN'),
  constraint reservation_kit_pkey primary key (tenant_id, reservation_id, line)
);
select tenancy.protect('public.reservation_kit');
