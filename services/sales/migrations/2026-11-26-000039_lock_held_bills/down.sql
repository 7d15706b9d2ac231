drop function held_bills_due(timestamptz);
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
  execute format('grant execute on function expire_held_bills(timestamptz) to %I', replace(current_user, '_owner', '_app'));
end $$;
drop index held_bill_due;
create index held_bill_due on held_bill (expires_at) where state = 'held';
delete from held_bill where state = 'sold';
alter table held_bill drop column held_total, drop column invoice_id, drop constraint held_bill_state_check,
  add constraint held_bill_state_check check (state in ('held', 'resumed', 'expired', 'discarded'));
