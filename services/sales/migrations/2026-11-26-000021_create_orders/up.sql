create table sales_order (
  tenant_id        uuid          not null,
  order_id         uuid          not null,
  registration_id  uuid          not null,
  fiscal_year      int           not null,
  series           text          not null,
  running          bigint        not null,
  number           text          not null,
  date             date          not null,
  status           text          not null default 'draft',
  branch_id        uuid          not null,
  location_id      uuid          not null,
  customer_id      uuid,
  quotation_id     uuid,
  -- what there is not enough of is promised when it comes
  allow_back_order boolean       not null,
  expected_date    date,
  -- who buys and the totals; the lines are beside it
  offer            jsonb         not null,
  total            numeric(17,2) not null,
  note             text,
  -- what it has claimed of the customer's credit and not given up yet
  exposure         numeric(17,2) not null default 0,
  -- the highest attempt that inventory was asked for, and the one that holds stock
  attempt          int           not null default 0,
  hold             int,
  -- the greatest version of that hold that is known here
  hold_version     bigint        not null default 0,
  -- what inventory is being asked, written before it is asked
  step             jsonb,
  step_at          timestamptz,
  -- when stock is looked for again
  next_try         timestamptz,
  reason           text,
  created_by       uuid,
  created_at       timestamptz   not null,
  confirmed_at     timestamptz,
  ended_at         timestamptz,
  version          bigint        not null default 1,
  primary key (tenant_id, order_id),
  constraint sales_order_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint sales_order_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint sales_order_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint sales_order_status_check check
    (status in ('draft', 'confirmed', 'partially_fulfilled', 'fulfilled', 'closed', 'cancelled')),
  constraint sales_order_ended_check check ((status in ('closed', 'cancelled')) = (ended_at is not null)),
  constraint sales_order_step_check check ((step is null) = (step_at is null)),
  constraint sales_order_hold_check check (hold <= attempt),
  constraint sales_order_numeric_check check ('NaN' <> all (array[total, exposure]) and total >= 0 and exposure >= 0)
) with (fillfactor = 70);
create index sales_order_created_at on sales_order (tenant_id, created_at, order_id);
create index sales_order_customer on sales_order (tenant_id, customer_id, created_at) where customer_id is not null;
create unique index sales_order_quotation_key on sales_order (tenant_id, quotation_id) where quotation_id is not null;
create index sales_order_step on sales_order (step_at) where step is not null;
create index sales_order_next_try on sales_order (next_try) where next_try is not null;
select tenancy.protect('public.sales_order');

create table sales_order_line (
  tenant_id  uuid          not null,
  order_id   uuid          not null,
  line       int           not null,
  product_id uuid          not null,
  stocked    boolean       not null,
  qty        numeric(18,3) not null,
  -- promised from stock and not delivered yet; what is neither is a back order
  held       numeric(18,3) not null default 0,
  delivered  numeric(18,3) not null default 0,
  invoiced   numeric(18,3) not null default 0,
  -- what of its discounts invoices have had
  invoiced_discount      numeric(17,2) not null default 0,
  invoiced_bill_discount numeric(17,2) not null default 0,
  -- as an invoice line
  priced     jsonb         not null,
  primary key (tenant_id, order_id, line),
  constraint sales_order_line_order_fkey foreign key (tenant_id, order_id) references sales_order,
  constraint sales_order_line_held_check check (held >= 0 and held + delivered <= qty and (stocked or held = 0)),
  constraint sales_order_line_delivered_check check (delivered between 0 and qty),
  constraint sales_order_line_invoiced_check check (invoiced between 0 and qty),
  constraint sales_order_line_numeric_check check
    ('NaN' <> all (array[qty, held, delivered, invoiced, invoiced_discount, invoiced_bill_discount]) and qty > 0)
) with (fillfactor = 70);
create index sales_order_line_product on sales_order_line (tenant_id, product_id)
  where stocked and held + delivered < qty;
select tenancy.protect('public.sales_order_line');

create table fulfilment (
  tenant_id       uuid        not null,
  fulfilment_id   uuid        not null,
  order_id        uuid        not null,
  -- what the request's idempotency key stands for
  request_id      uuid,
  request_hash    bytea       not null,
  state           text        not null default 'pending',
  -- once the goods have left
  registration_id uuid        not null,
  fiscal_year     int,
  series          text,
  running         bigint,
  number          text,
  delivered_at    timestamptz,
  note            text,
  created_by      uuid,
  created_at      timestamptz not null,
  primary key (tenant_id, fulfilment_id),
  constraint fulfilment_order_fkey foreign key (tenant_id, order_id) references sales_order,
  constraint fulfilment_request_key unique (tenant_id, request_id),
  constraint fulfilment_number_key unique (tenant_id, registration_id, fiscal_year, number),
  constraint fulfilment_running_key unique (tenant_id, registration_id, series, fiscal_year, running),
  constraint fulfilment_number_check check (number ~ '^[A-Z0-9][A-Z0-9/-]{0,15}$'),
  constraint fulfilment_state_check check (state in ('pending', 'delivered')
    and (state = 'delivered') = (number is not null and running is not null and series is not null
      and fiscal_year is not null and delivered_at is not null))
);
create index fulfilment_order on fulfilment (tenant_id, order_id, delivered_at, fulfilment_id);
select tenancy.protect('public.fulfilment');

create table fulfilment_line (
  tenant_id     uuid          not null,
  fulfilment_id uuid          not null,
  line          int           not null,
  product_id    uuid          not null,
  stocked       boolean       not null,
  qty           numeric(18,3) not null,
  -- what of it invoices bill
  invoiced      numeric(18,3) not null default 0,
  -- as asked for: [{qty, batch_id, serials}]
  parts         jsonb         not null,
  -- as it left: [{batch_id, qty}]
  batches       jsonb         not null default '[]',
  serials       jsonb         not null default '[]',
  primary key (tenant_id, fulfilment_id, line),
  constraint fulfilment_line_fulfilment_fkey foreign key (tenant_id, fulfilment_id) references fulfilment on delete cascade,
  constraint fulfilment_line_qty_check check (qty > 0 and qty <> 'NaN' and invoiced between 0 and qty)
);
select tenancy.protect('public.fulfilment_line');

-- Orders of every tenant that wait for inventory; row-level security binds the owner too, so it gets a policy for this.
create function due_orders(stuck timestamptz, at timestamptz, most int) returns table (tenant_id uuid, order_id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    (select o.tenant_id, o.order_id from public.sales_order o
      where o.step is not null and o.step_at <= stuck order by o.step_at, o.order_id limit most)
    union all
    (select o.tenant_id, o.order_id from public.sales_order o
      where o.step is null and o.next_try <= at order by o.next_try, o.order_id limit most) $$;
revoke all on function due_orders(timestamptz, timestamptz, int) from public;
do $$ begin
  execute format('create policy tend on public.sales_order for select to %I using (step is not null or next_try is not null)', current_user);
  execute format('grant execute on function due_orders(timestamptz, timestamptz, int) to %I', replace(current_user, '_owner', '_app'));
end $$;
