-- Whether what a snapshot of this database saw has been published to billing.events.v1 (parked events have not), and how
-- far the topics' partitions are. The relay's cursor is not the runtime role's to read; this it may know.
create function inbox.outbox_covers(look pg_snapshot, out covered boolean, out reached jsonb)
  language sql stable security definer set search_path = pg_catalog as $$
  with shard as (
    select k.snap, k.reached from outbox.shard s
      left join lateral (select c.snap, c.reached from outbox.checkpoint c
                          where c.shard = s.shard order by c.lease_epoch desc, c.id desc limit 1) k on true
  )
  select not exists (select from outbox.status e
                      where e.txid >= (select min(coalesce(pg_snapshot_xmin(snap), '3'::xid8)) from shard)
                        and e.txid < pg_snapshot_xmax(look) and e.topic like '%billing.events.v1'
                        and not e.published and pg_visible_in_snapshot(e.txid, look))
         and not exists (select from outbox.parked p join outbox.event e on e.seq = p.seq and e.slot = p.slot
                          where p.topic like '%billing.events.v1' and pg_visible_in_snapshot(e.txid, look)),
         coalesce((select jsonb_agg(s.reached) from shard s where s.reached is not null), '[]')
$$;
revoke all on function inbox.outbox_covers(pg_snapshot) from public;
do $$ declare app text := replace(current_user, '_owner', '_app'); begin
  execute format('grant execute on function inbox.outbox_covers(pg_snapshot) to %I', app);
end $$;
