-- Posted documents as they were answered, goods that go back to their supplier, and what was said of goods that do not
-- sell.

-- What a receipt, an adjustment, a change of status or a return to a supplier says beyond its movements.
create table stock_document (
  tenant_id    uuid        not null,
  id           uuid        not null,
  kind         text        not null constraint stock_document_kind_check check (kind in
                 ('receipt', 'adjustment', 'status_change', 'supplier_return')),
  location_id  uuid        not null,
  posting_date date        not null,
  body         jsonb       not null constraint stock_document_body_check check (jsonb_typeof(body) = 'object'),
  constraint stock_document_pkey primary key (tenant_id, id)
);
create index stock_document_kind on stock_document (tenant_id, kind, id);
create index stock_document_day on stock_document (tenant_id, kind, posting_date, id);
select tenancy.protect('public.stock_document');
create trigger stock_document_immutable before update or delete on stock_document
  for each row execute function document_is_immutable();
revoke update, delete, truncate on stock_document from bahi_inventory_app;

-- Goods that are taken from the midst of a balance, because a document names the receipt they came with: so many that
-- came later lay behind them. Null for goods that leave in the order they came.
alter table movement add column behind numeric(18, 3) constraint movement_behind_check
  check (behind is null or (behind >= 0 and behind <> 'NaN' and qty < 0));

-- The ledger is read in its order.
create index movement_seq on movement (tenant_id, seq);

-- The memory of inventory.dead_stock: said when `dead` turns true, and not again before it has turned false.
create table dead_stock_alert (
  tenant_id   uuid        not null,
  location_id uuid        not null,
  product_id  uuid        not null,
  dead        boolean     not null,
  times       bigint      not null,
  raised_at   timestamptz not null,
  constraint dead_stock_alert_pkey primary key (tenant_id, location_id, product_id)
);
select tenancy.protect('public.dead_stock_alert');

-- The day on which a business was last looked through.
create table dead_stock_look (
  tenant_id uuid not null,
  looked_on date not null,
  constraint dead_stock_look_pkey primary key (tenant_id)
);
select tenancy.protect('public.dead_stock_look');

-- The job looks for businesses that were not looked through today: the owner, and nobody else, may see which there are.
do $$ begin
  execute format('create policy sweep on public.dead_stock_look for select to %I using (true)', current_user);
end $$;
create function unlooked_tenants(today date, most int) returns table (tenant_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select distinct l.tenant_id from public.location l
    where not exists (select from public.dead_stock_look d where d.tenant_id = l.tenant_id and d.looked_on >= today)
    order by l.tenant_id limit most $$;
revoke all on function unlooked_tenants(date, int) from public;
grant execute on function unlooked_tenants(date, int) to bahi_inventory_app;
