-- What sales persons earn. A sale writes nothing for it: the job finds new invoices by the transaction that wrote them, and
-- what happens to an invoice afterwards notes the invoice for the job.
create table commission_plan (
  tenant_id       uuid        not null,
  plan_id         uuid        not null,
  name            text        not null,
  status          text        not null default 'draft',
  basis           text        not null,
  -- nobody named: everybody
  salesperson_ids uuid[]      not null,
  -- first and last day of sales that it pays
  valid_from      date        not null,
  valid_to        date,
  period          text,
  rules           jsonb       not null,
  slabs           jsonb,
  target          jsonb,
  created_by      uuid,
  created_at      timestamptz not null,
  -- Sales before its activation are looked at in this order, up to here so far; none where all were.
  looked_at       timestamptz,
  looked_id       uuid,
  version         bigint      not null default 1,
  primary key (tenant_id, plan_id),
  constraint commission_plan_name_check check (length(name) between 1 and 200),
  constraint commission_plan_status_check check (status in ('draft', 'active', 'ended')),
  constraint commission_plan_basis_check check (basis in ('invoiced', 'collected')),
  constraint commission_plan_period_check check
    (period in ('month', 'quarter', 'fiscal_year') and (period is null) = (slabs is null and target is null)),
  constraint commission_plan_days_check check (valid_to >= valid_from),
  constraint commission_plan_ended_check check (status <> 'ended' or valid_to is not null),
  constraint commission_plan_looked_check check ((looked_at is null) = (looked_id is null) and (status <> 'draft' or looked_at is null))
);
create index commission_plan_created_at on commission_plan (tenant_id, created_at, plan_id);
create index commission_plan_looking on commission_plan (tenant_id, plan_id) where looked_at is not null;
select tenancy.protect('public.commission_plan');

-- Terms that have paid do not change: only the end of a plan comes nearer.
create function commission_plan_frozen() returns trigger language plpgsql as $$
declare moving constant text[] := array['status', 'valid_to', 'looked_at', 'looked_id', 'version'];
begin
  if old.status <> 'draft' and (tg_op = 'DELETE' or new.status = 'draft'
     or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving)) then
    raise exception 'an active plan does not change' using errcode = '23514', constraint = 'commission_plan_frozen';
  end if;
  return coalesce(new, old);
end $$;
create trigger frozen before update or delete on commission_plan for each row execute function commission_plan_frozen();

-- What of an invoice earns by a plan: its lines with the rule that rates each, as it was when the plan first met it, and the
-- documents whose effect is in the ledger. No foreign key to the invoice: its check would let a return wait for the job.
create table commission_sale (
  tenant_id   uuid   not null,
  invoice_id  uuid   not null,
  plan_id     uuid   not null,
  rates       jsonb  not null,
  seen        text[] not null,
  primary key (tenant_id, invoice_id, plan_id),
  constraint commission_sale_plan_fkey foreign key (tenant_id, plan_id) references commission_plan
);
select tenancy.protect('public.commission_sale');

-- Where a sales person stands in a period of a plan.
create table commission_standing (
  tenant_id      uuid          not null,
  plan_id        uuid          not null,
  salesperson_id uuid          not null,
  period_from    date          not null,
  -- of all lines that the plan covers, and of those that its slabs rate
  base           numeric(19,2) not null,
  slab_base      numeric(19,2) not null,
  primary key (tenant_id, plan_id, salesperson_id, period_from),
  constraint commission_standing_plan_fkey foreign key (tenant_id, plan_id) references commission_plan,
  constraint commission_standing_numeric_check check ('NaN' <> all (array[base, slab_base]))
) with (fillfactor = 50);
select tenancy.protect('public.commission_standing');

-- The ledger. What is taken back is negative.
create table commission_entry (
  tenant_id      uuid          not null,
  entry_id       uuid          not null,
  -- the entries of one event
  posting_id     uuid          not null,
  plan_id        uuid          not null,
  salesperson_id uuid          not null,
  invoice_id     uuid          not null,
  number         text          not null,
  document_kind  text          not null,
  document_id    uuid          not null,
  -- of the invoice; 0 where an entry belongs to no line
  line           int           not null,
  -- of the plan, from 1; 0 for its slabs and its target
  rule           int           not null,
  kind           text          not null,
  base           numeric(19,2) not null,
  amount         numeric(19,2) not null,
  currency       text          not null,
  date           date          not null,
  -- the period of the sale
  period_from    date          not null,
  period_to      date          not null,
  booked_at      timestamptz   not null,
  primary key (tenant_id, entry_id),
  -- Nothing accrues twice.
  constraint commission_entry_once_key unique
    (tenant_id, invoice_id, document_kind, document_id, line, plan_id, rule, kind, salesperson_id),
  constraint commission_entry_sale_fkey foreign key (tenant_id, invoice_id, plan_id) references commission_sale,
  constraint commission_entry_document_check check (document_kind in
    ('invoice', 'return', 'credit_note', 'debit_note', 'cancellation', 'allocation', 'receipt_reversal', 'edit')),
  constraint commission_entry_kind_check check (kind in ('accrual', 'reversal', 'true_up', 'bonus')),
  constraint commission_entry_sign_check check
    (case kind when 'accrual' then amount >= 0 when 'reversal' then amount <= 0
               else base = 0 and line = 0 and amount <> 0 end),
  constraint commission_entry_numeric_check check ('NaN' <> all (array[base, amount]))
);
create index commission_entry_booked_at on commission_entry (tenant_id, booked_at, entry_id);
create index commission_entry_salesperson on commission_entry (tenant_id, salesperson_id, date);
select tenancy.protect('public.commission_entry');
create trigger frozen before update or delete on commission_entry for each row execute function invoice_frozen();

-- Invoices to look at. Each version is a row of its own: one that is committed while its invoice is being looked at stays.
create table commission_due (
  tenant_id  uuid   not null,
  invoice_id uuid   not null,
  version    bigint not null,
  primary key (tenant_id, invoice_id, version)
);
select tenancy.protect('public.commission_due');

-- Whatever happens to an invoice after its issue raises its version.
create function commission_due() returns trigger language plpgsql as $$
begin
  insert into commission_due (tenant_id, invoice_id, version) values (new.tenant_id, new.invoice_id, new.version)
    on conflict do nothing;
  return null;
end $$;
create trigger commission_due after update on invoice for each row
  when (new.salesperson_id is not null or old.salesperson_id is not null) execute function commission_due();

-- The transaction that wrote an invoice; of those before this column, none. Eight bytes of the row and, between two
-- summaries, nothing of the index: that is all that a sale pays.
alter table invoice add column txid bigint;
alter table invoice alter column txid set default pg_current_xact_id()::text::bigint;
create index invoice_txid on invoice using brin (txid) with (pages_per_range = 32, autosummarize = on);

-- Every transaction below `txid` has ended, and its invoices are noted.
create table inbox.commission_walk (
  one  boolean primary key default true check (one),
  txid bigint  not null
);
insert into inbox.commission_walk (txid) values (pg_current_xact_id()::text::bigint);

-- Notes the invoices of the next `most` transactions and says whether there are more. It stops at the oldest transaction that
-- still runs: all below have ended, in whatever order they were committed, so nothing can appear there later.
create function gather_commissions(most bigint) returns boolean language plpgsql security definer
  set search_path = pg_catalog, public set enable_indexscan = off set enable_indexonlyscan = off as $$
declare
  low  bigint;
  high bigint;
begin
  select w.txid into low from inbox.commission_walk w for update skip locked;
  if not found then
    return false;
  end if;
  if low > pg_snapshot_xmax(pg_current_snapshot())::text::bigint then
    -- A database that was moved counts its transactions anew: every plan looks at its sales again.
    low := 0;
    update public.commission_plan set looked_at = valid_from - interval '30 days',
           looked_id = '00000000-0000-0000-0000-000000000000' where status <> 'draft';
  end if;
  high := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  if low >= high then
    return false;
  end if;
  high := least(high, low + most);
  with fresh as materialized (
    select i.tenant_id, i.invoice_id, i.version from public.invoice i
     where i.txid >= low and i.txid < high and i.salesperson_id is not null)
  insert into public.commission_due (tenant_id, invoice_id, version)
  select f.tenant_id, f.invoice_id, f.version from fresh f
   where exists (select from public.commission_plan p where p.tenant_id = f.tenant_id and p.status <> 'draft')
   order by f.tenant_id, f.invoice_id
  on conflict do nothing;
  update inbox.commission_walk set txid = high;
  return high < pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
end $$;

-- Notes the next sales from before the activation of a plan, and says whether there may be more.
create function look_back_for_commissions(most int) returns boolean language plpgsql security definer
  set search_path = pg_catalog, public as $$
declare
  p    record;
  seen record;
begin
  select tenant_id, plan_id, valid_from, valid_to, looked_at, looked_id into p from public.commission_plan
   where looked_at is not null order by tenant_id, plan_id limit 1 for update skip locked;
  if not found then
    return false;
  end if;
  with next as materialized (
    select i.invoice_id, i.issued_at, i.version, i.date, i.salesperson_id from public.invoice i
     where i.tenant_id = p.tenant_id and (i.issued_at, i.invoice_id) > (p.looked_at, p.looked_id)
     order by i.issued_at, i.invoice_id limit most),
  due as (
    insert into public.commission_due (tenant_id, invoice_id, version)
    select p.tenant_id, n.invoice_id, n.version from next n
     where n.salesperson_id is not null and n.date >= p.valid_from and (p.valid_to is null or n.date <= p.valid_to)
     order by n.invoice_id
    on conflict do nothing)
  select issued_at, invoice_id, count(*) over () as n into seen from next order by issued_at desc, invoice_id desc limit 1;
  update public.commission_plan set looked_at = case when seen.n = most then seen.issued_at end,
         looked_id = case when seen.n = most then seen.invoice_id end
   where tenant_id = p.tenant_id and plan_id = p.plan_id;
  return true;
end $$;

-- Tenants whose invoices are to be looked at.
create function commission_tenants(most int) returns setof uuid language sql stable security definer
  set search_path = pg_catalog, public as $$
  with recursive t (tenant_id, n) as (
    (select d.tenant_id, 1 from public.commission_due d order by d.tenant_id limit 1)
    union all
    select (select d.tenant_id from public.commission_due d where d.tenant_id > t.tenant_id order by d.tenant_id limit 1), n + 1
      from t where t.tenant_id is not null and t.n < most)
  select tenant_id from t where tenant_id is not null $$;

-- These three go over all tenants; row-level security binds the owner too, so it gets policies for just this.
revoke all on function gather_commissions(bigint), look_back_for_commissions(int), commission_tenants(int) from public;
do $$ declare app text := replace(current_user, '_owner', '_app'); begin
  execute format('create policy gather on public.invoice for select to %I using (true)', current_user);
  execute format('create policy gather on public.commission_due to %I using (true) with check (true)', current_user);
  execute format('create policy look_back on public.commission_plan to %I using (status <> ''draft'') with check (status <> ''draft'')', current_user);
  execute format('grant execute on function gather_commissions(bigint), look_back_for_commissions(int), commission_tenants(int) to %I', app);
end $$;
