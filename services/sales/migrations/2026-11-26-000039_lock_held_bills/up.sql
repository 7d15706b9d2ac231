-- A bill that was taken up is locked by its till (`ended_*` say by whom and since when) until it is sold or given back.
alter table held_bill drop constraint held_bill_state_check,
  add constraint held_bill_state_check check (state in ('held', 'resumed', 'sold', 'expired', 'discarded')),
  add column invoice_id uuid,
  -- what it came to when it was put aside, where it could be priced
  add column held_total numeric(17,2),
  add constraint held_bill_sold_check check ((state = 'sold') = (invoice_id is not null)),
  add constraint held_bill_total_check check (held_total >= 0 and held_total <> 'NaN');
drop index held_bill_due;
create index held_bill_due on held_bill (expires_at) where state in ('held', 'resumed');

-- The sweep tells of each bill, so it works tenant by tenant; only who they are is looked up across them.
drop function expire_held_bills(timestamptz);
create function held_bills_due(due timestamptz) returns setof uuid language sql stable security definer
  set search_path = pg_catalog, public as $$
  select distinct tenant_id from public.held_bill where state in ('held', 'resumed') and expires_at <= due
$$;
revoke all on function held_bills_due(timestamptz) from public;
do $$ begin
  execute format('grant execute on function held_bills_due(timestamptz) to %I', replace(current_user, '_owner', '_app'));
end $$;
