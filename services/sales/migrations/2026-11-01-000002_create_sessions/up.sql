-- A till between opening and closing. The row carries its running totals, so that closing reads one row however
-- many sales there were. It is updated by every sale: half of each page is left free for that.

create table pos_session (
  tenant_id        uuid          not null,
  session_id       uuid          not null,
  till_id          uuid          not null,
  branch_id        uuid          not null,
  location_id      uuid          not null,
  state            text          not null default 'open',
  opened_by        uuid          not null,
  opened_at        timestamptz   not null,
  closed_by        uuid,
  closed_at        timestamptz,
  opening_float    numeric(17,2) not null,
  received_cash    numeric(17,2) not null default 0,
  received_upi     numeric(17,2) not null default 0,
  received_card    numeric(17,2) not null default 0,
  received_wallet  numeric(17,2) not null default 0,
  received_credit  numeric(17,2) not null default 0,
  received_voucher numeric(17,2) not null default 0,
  change_given     numeric(17,2) not null default 0,
  refunded_cash    numeric(17,2) not null default 0,
  refunded_upi     numeric(17,2) not null default 0,
  refunded_card    numeric(17,2) not null default 0,
  refunded_wallet  numeric(17,2) not null default 0,
  refunded_credit  numeric(17,2) not null default 0,
  refunded_voucher numeric(17,2) not null default 0,
  cash_in          numeric(17,2) not null default 0,
  cash_out         numeric(17,2) not null default 0,
  -- S8
  expected_cash    numeric(17,2) not null generated always as
    (opening_float + received_cash - change_given - refunded_cash + cash_in - cash_out) stored,
  sales            bigint        not null default 0,
  sold             numeric(17,2) not null default 0,
  sold_tax         numeric(17,2) not null default 0,
  returns          bigint        not null default 0,
  returned         numeric(17,2) not null default 0,
  returned_tax     numeric(17,2) not null default 0,
  retained         numeric(17,2),
  deposited        numeric(17,2),
  version          bigint        not null default 1,
  primary key (tenant_id, session_id),
  constraint pos_session_state_check check (state in ('open', 'closed')),
  constraint pos_session_closed_check check
    ((state = 'closed') = (closed_at is not null and closed_by is not null and retained is not null and deposited is not null)),
  -- A drawer cannot give what it does not hold.
  constraint pos_session_drawer_check check (expected_cash >= 0),
  constraint pos_session_amounts_check check
    (least(opening_float, received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher,
           change_given, refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher,
           cash_in, cash_out, retained, deposited) >= 0
     and change_given <= received_cash),
  constraint pos_session_numeric_check check
    ('NaN' <> all (array[opening_float, received_cash, received_upi, received_card, received_wallet, received_credit,
       received_voucher, change_given, refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit,
       refunded_voucher, cash_in, cash_out, expected_cash, sold, sold_tax, returned, returned_tax,
       coalesce(retained, 0), coalesce(deposited, 0)]))
) with (fillfactor = 50);
create unique index pos_session_open_key on pos_session (tenant_id, till_id) where state = 'open';
create index pos_session_opened_at on pos_session (tenant_id, opened_at, session_id);
select tenancy.protect('public.pos_session');

-- What was counted at the close, by means of payment.
create table session_count (
  tenant_id  uuid          not null,
  session_id uuid          not null,
  method     text          not null,
  expected   numeric(17,2) not null,
  counted    numeric(17,2) not null,
  variance   numeric(17,2) not null generated always as (counted - expected) stored,
  primary key (tenant_id, session_id, method),
  constraint session_count_session_fkey foreign key (tenant_id, session_id) references pos_session,
  constraint session_count_numeric_check check ('NaN' <> all (array[expected, counted, variance]))
);
select tenancy.protect('public.session_count');

create table cash_movement (
  tenant_id   uuid          not null,
  movement_id uuid          not null,
  session_id  uuid          not null,
  direction   text          not null,
  amount      numeric(17,2) not null,
  reason      text          not null,
  moved_by    uuid          not null,
  moved_at    timestamptz   not null,
  primary key (tenant_id, movement_id),
  constraint cash_movement_session_fkey foreign key (tenant_id, session_id) references pos_session,
  constraint cash_movement_direction_check check (direction in ('in', 'out')),
  constraint cash_movement_amount_check check (amount > 0 and amount <> 'NaN'),
  constraint cash_movement_reason_check check (length(reason) between 1 and 200)
);
create index cash_movement_session on cash_movement (tenant_id, session_id);
select tenancy.protect('public.cash_movement');
