-- Baskets put aside at a till. They hold no stock.

create table held_bill (
  tenant_id    uuid        not null,
  held_bill_id uuid        not null,
  branch_id    uuid        not null,
  till_id      uuid        not null,
  session_id   uuid        not null,
  label        text,
  basket       jsonb       not null,
  state        text        not null default 'held',
  held_by      uuid        not null,
  held_at      timestamptz not null,
  expires_at   timestamptz not null,
  ended_by     uuid,
  ended_till   uuid,
  ended_at     timestamptz,
  version      bigint      not null default 1,
  primary key (tenant_id, held_bill_id),
  constraint held_bill_session_fkey foreign key (tenant_id, session_id) references pos_session,
  constraint held_bill_state_check check (state in ('held', 'resumed', 'expired', 'discarded')),
  constraint held_bill_ended_check check ((state = 'held') = (ended_at is null)),
  constraint held_bill_label_check check (length(label) between 1 and 200),
  constraint held_bill_expiry_check check (expires_at > held_at)
);
create index held_bill_held_at on held_bill (tenant_id, held_at, held_bill_id);
create index held_bill_due on held_bill (expires_at) where state = 'held';
select tenancy.protect('public.held_bill');

-- The job's sweep over all tenants; row-level security binds the owner too, so it gets a policy for just this.
create function expire_held_bills(due timestamptz) returns bigint language plpgsql security definer
  set search_path = pg_catalog, public as $$
declare n bigint;
begin
  update public.held_bill set state = 'expired', ended_at = due, version = version + 1
   where state = 'held' and expires_at <= due;
  get diagnostics n = row_count;
  return n;
end $$;
revoke all on function expire_held_bills(timestamptz) from public;
do $$ begin
  execute format('create policy expire on public.held_bill to %I using (true)', current_user);
  execute format('grant execute on function expire_held_bills(timestamptz) to %I', replace(current_user, '_owner', '_app'));
end $$;
