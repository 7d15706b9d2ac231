-- Orders of sales hold by attempts, of which a higher one replaces the lower ones in one transaction; only what clients
-- of the API hold for an order is one at a time.
drop index reservation_order_key;
create unique index reservation_order_key on reservation (tenant_id, order_id, location_id)
  where owner = 'order' and state = 'pending' and attempt is null;

-- A delivery that was refused stays so: {code, message}.
alter table delivery add column refused jsonb constraint delivery_refused_check check (jsonb_typeof(refused) = 'object');

-- Which line of an invoice bills goods that left with a delivery: what comes back of it came from there.
create table billed_delivery (
  tenant_id        uuid           not null,
  invoice_id       uuid           not null,
  line             int            not null,
  fulfilment_id    uuid           not null,
  fulfilment_line  int            not null,
  product_id       uuid           not null,
  qty              numeric(18, 3) not null constraint billed_delivery_qty_check check (qty > 0 and qty <> 'NaN'),
  constraint billed_delivery_pkey primary key (tenant_id, invoice_id, line)
);
select tenancy.protect('public.billed_delivery');
