-- Operating the relay: shards for a hot database, pauses, commands, dead letters, and what a restore needs.
-- Run after outbox.sql, by the owner. Whoever may connect as bahi_relay is an operator.

-- Every key belongs to one shard. PostgreSQL keeps this hash as it is: hash partitions rest on it too.
create function outbox.shard_of(key text, shards int) returns smallint language sql immutable parallel safe
  return ((hashtextextended(key, 0) & 9223372036854775807) % shards)::smallint;

grant insert, delete on outbox.shard to bahi_relay;

-- In which server and on which timeline the checkpoint was written, and how far the topics were then:
-- {"topic": [next offset of partition 0, ..]}. After a restore or a failover, and when a broker was emptied, these
-- differ from what is found.
alter table outbox.checkpoint
  add column system_identifier bigint,
  add column timeline          int,
  add column reached           jsonb;

alter table outbox.parked add column attempts int not null default 1;
grant update on outbox.parked to bahi_relay;

-- What is not to be published for now. A paused topic's or key's events are parked, in order, and taken up again.
create table outbox.pause (
  topic text        not null default '',   -- '': every topic, the whole database
  key   text        not null default '',   -- '': every key of the topic
  since timestamptz not null default now(),
  who   text        not null,
  primary key (topic, key),
  check (topic <> '' or key = '')
);
grant select, insert, delete on outbox.pause to bahi_relay;

-- What operators did, and what the owner of a shard is to do. The audit of the relay: nothing is deleted here.
create table outbox.command (
  id      bigint      generated always as identity primary key,
  at      timestamptz not null default clock_timestamp(),
  who     text        not null,
  cmd     text        not null,
  args    jsonb       not null,
  shard   smallint,                        -- whose owner carries it out; null: done by the one who asked
  done_at timestamptz,
  result  jsonb                            -- of a command that takes long: how far it is
);
create index command_open on outbox.command (shard, id) where done_at is null;
grant select, insert, update (done_at, result) on outbox.command to bahi_relay;

-- Parked events that were given up, kept beyond the ring.
create table outbox.dead_letter (
  like outbox.event,
  reason      text        not null,
  error       text        not null,
  parked_at   timestamptz not null,
  resolved_at timestamptz not null default clock_timestamp(),
  resolved_by text        not null,
  primary key (seq)
);
grant select, insert on outbox.dead_letter to bahi_relay;

create or replace view outbox.status with (security_invoker = true) as
  select e.*,
         p.seq is not null as parked,
         p.seq is null and c.snap is not null
           and (pg_visible_in_snapshot(e.txid, c.snap)
                or c.open_snap is not null and pg_visible_in_snapshot(e.txid, c.open_snap) and e.seq <= c.open_seq) as published
    from outbox.event e
    left join outbox.parked p on p.seq = e.seq
    left join (select s.shard, k.snap, k.open_snap, k.open_seq, count(*) over () as shards
                 from outbox.shard s
                 left join lateral (select snap, open_snap, open_seq from outbox.checkpoint
                                     where shard = s.shard order by lease_epoch desc, id desc limit 1) k on true) c
      on c.shard = outbox.shard_of(e.key, c.shards::int);

-- This database is older than what it has told: consumers apply only a greater (epoch, aggregate_version), so what it
-- says from now on, and what it has not published yet, gets the next epoch. The new epoch.
create function outbox.raise_epoch() returns bigint language plpgsql security definer set search_path = pg_catalog as $$
declare
  raised bigint;
begin
  update outbox.epoch set epoch = epoch + 1 returning epoch into raised;
  update outbox.event e set epoch = raised
    from outbox.status s
   where s.seq = e.seq and s.slot = e.slot and not s.published and not s.parked and e.epoch < raised;
  return raised;
end $$;

-- After a restore into another server: transaction numbers of the old one mean nothing here. What was published counts as
-- long past; the rest becomes one window, in the order of seq, which is the order of the locks. No one else relays
-- under an older lease afterwards.
create function outbox.rebase(out published bigint, out unpublished bigint) language plpgsql security definer set search_path = pg_catalog as $$
declare
  own  xid8 := pg_current_xact_id();
  now_ pg_snapshot;
begin
  lock table outbox.event in exclusive mode;
  perform outbox.raise_epoch();
  with found as (select seq, slot, s.published or s.parked as done from outbox.status s),
       moved as (update outbox.event e set txid = case when f.done then '3'::xid8 else own end
                   from found f where f.seq = e.seq and f.slot = e.slot returning f.done)
  select count(*) filter (where done), count(*) filter (where not done) into published, unpublished from moved;
  now_ := pg_current_snapshot();
  update outbox.shard set lease_epoch = lease_epoch + 1;
  -- Of this transaction and later ones nothing is published; of those that run now neither.
  insert into outbox.checkpoint (shard, lease_epoch, snap, published, system_identifier, timeline)
  select s.shard, s.lease_epoch,
         format('%s:%s:%s', least(pg_snapshot_xmin(now_), own), own,
                (select string_agg(x::text, ',' order by x) from pg_snapshot_xip(now_) x where x < own))::pg_snapshot,
         coalesce((select max(k.published) from outbox.checkpoint k where k.shard = s.shard), 0),
         (select system_identifier from pg_control_system()),
         ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    from outbox.shard s;
end $$;
revoke all on function outbox.raise_epoch(), outbox.rebase() from public;
grant execute on function outbox.raise_epoch(), outbox.rebase() to bahi_relay;
