-- Counts of stock, and what people may do without being asked twice.

-- Which transaction of the other database told of a fact, so that a count can tell whether it happened before the
-- counter looked; when it happened, where it was told long afterwards; and which transaction of this one handled it.
alter table movement_header
  add column txid    xid8,
  add column epoch   bigint,
  add column late_at timestamptz,
  add column handled xid8 not null default pg_current_xact_id();

create index shortage_place on shortage (tenant_id, location_id, product_id);

create table count_session (
  tenant_id    uuid        not null,
  id           uuid        not null,
  state        text        not null constraint count_session_state_check check (state in
                 ('open', 'counting', 'submitted', 'approved', 'posted', 'cancelled')),
  location_id  uuid        not null,
  reference    text        constraint count_session_reference_check check (octet_length(reference) <= 1000),
  created_by   text        not null constraint count_session_created_by_check check (octet_length(created_by) <= 200),
  submitted_by text        constraint count_session_submitted_by_check check (octet_length(submitted_by) <= 200),
  approved_by  text        constraint count_session_approved_by_check check (octet_length(approved_by) <= 200),
  created_at   timestamptz not null,
  submitted_at timestamptz,
  approved_at  timestamptz,
  posted_at    timestamptz,
  -- The change of value that the approval covers; none: any.
  approved_up_to numeric(18, 2) constraint count_session_up_to_check check (approved_up_to >= 0 and approved_up_to <> 'NaN'),
  version      bigint      not null default 1,
  constraint count_session_pkey primary key (tenant_id, id)
);
create index count_session_approved on count_session (tenant_id, id) where state = 'approved';
select tenancy.protect('public.count_session');

create table count_line (
  tenant_id       uuid           not null,
  count_id        uuid           not null,
  line            int            not null,
  location_id     uuid           not null,
  product_id      uuid           not null,
  batch_id        uuid           not null,
  status          text           not null constraint count_line_status_check check (status in ('sellable', 'quarantine', 'damaged')),
  -- What the shop owes of the product counts against this line: the first sellable one of the product.
  owes            boolean        not null,
  -- The look: absent until somebody has counted.
  counted         numeric(18, 3) constraint count_line_counted_check check (counted >= 0 and counted <> 'NaN'),
  unit_cost       numeric(19, 4) constraint count_line_unit_cost_check check (unit_cost >= 0 and unit_cost <> 'NaN'),
  counted_by      text           constraint count_line_counted_by_check check (octet_length(counted_by) <= 200),
  looked_at       timestamptz,
  book            numeric(18, 3) constraint count_line_book_check check (book <> 'NaN'),
  after_seq       bigint,        -- the last movement of the product then
  own_snapshot    pg_snapshot,   -- of this database
  sales_snapshot  pg_snapshot,   -- of sales
  sales_epoch     bigint,
  -- The posting.
  expected        numeric(18, 3) constraint count_line_expected_check check (expected <> 'NaN'),
  qty_delta       numeric(18, 3) constraint count_line_qty_delta_check check (qty_delta <> 'NaN'),
  value_delta     numeric(18, 2) constraint count_line_value_delta_check check (value_delta <> 'NaN'),
  constraint count_line_pkey primary key (tenant_id, count_id, line),
  constraint count_line_key unique (tenant_id, count_id, product_id, batch_id, status),
  constraint count_line_session_fkey foreign key (tenant_id, count_id) references count_session (tenant_id, id),
  constraint count_line_look_check check ((counted is null) = (sales_snapshot is null))
);
create index count_line_place on count_line (tenant_id, location_id, product_id, looked_at) where counted is not null;
select tenancy.protect('public.count_line');

-- Jobs look for work over all tenants: the owner, and nobody else, may see which counts wait to be posted.
do $$ begin
  execute format('create policy sweep on public.count_session for select to %I using (state = ''approved'')', current_user);
end $$;
create function approved_counts(most int) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select c.tenant_id, c.id from public.count_session c where c.state = 'approved' order by c.approved_at limit most $$;
revoke all on function approved_counts(int) from public;
grant execute on function approved_counts(int) to bahi_inventory_app;

-- What a tenant allows; one row each, once it differs from what everybody begins with.
create table policy (
  tenant_id           uuid           not null,
  -- Values up to which these may be done without a further permission; none: any value.
  adjust_limit        numeric(18, 2) constraint policy_adjust_check check (adjust_limit >= 0 and adjust_limit <> 'NaN'),
  count_limit         numeric(18, 2) constraint policy_count_check check (count_limit >= 0 and count_limit <> 'NaN'),
  -- Up to this value whoever counted may approve the count himself.
  second_person_above numeric(18, 2) not null constraint policy_second_check check (second_person_above >= 0 and second_person_above <> 'NaN'),
  -- [{"code", "name"}]
  reasons             jsonb          not null constraint policy_reasons_check check (jsonb_typeof(reasons) = 'array'),
  version             bigint         not null,
  constraint policy_pkey primary key (tenant_id)
);
select tenancy.protect('public.policy');
