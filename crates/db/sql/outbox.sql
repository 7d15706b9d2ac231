-- The outbox: what this database has to tell others. Written by the service in the transaction of the
-- change itself, read by the outbox worker, published to Kafka. The owner runs this once, before the
-- service's own migrations; {app} is the runtime role, bahi_relay the worker's.
--
-- Rules that the worker's proof of order and completeness rests on:
--   * a row is inserted after its aggregate's row is locked, as the last statement of the transaction;
--   * rows are only ever inserted; a slot of the ring is emptied by TRUNCATE once all of it is published;
--   * the sequence has CACHE 1, so that inside one snapshot window `seq` is the order of the locks.

create schema outbox;
revoke all on schema outbox from public;
grant usage on schema outbox to {app}, bahi_relay;

-- How often this database was restored from a backup. Raised by the operator at a restore, so that consumers,
-- which apply only a greater (epoch, aggregate_version), take the restored truth over what they have seen.
create table outbox.epoch (
  one   boolean primary key default true check (one),
  epoch bigint  not null default 1 check (epoch > 0)
);
insert into outbox.epoch default values;
grant select on outbox.epoch to {app}, bahi_relay;

create function outbox.current_epoch() returns bigint language plpgsql stable
  as $$ begin return (select e.epoch from outbox.epoch e); end $$;

create sequence outbox.event_seq as bigint cache 1;
grant usage on sequence outbox.event_seq to {app};
grant select on sequence outbox.event_seq to bahi_relay;

create table outbox.event (
  seq               bigint      not null default nextval('outbox.event_seq'),
  txid              xid8        not null default pg_current_xact_id(),  -- top-level, also inside a savepoint
  slot              smallint    not null default ((extract(epoch from now())::bigint / 10800) % 8)::smallint,  -- ring of 8 x 3 h
  durable           boolean     not null default (current_setting('synchronous_commit') <> 'off'),  -- else it waits for the WAL
  event_id          uuid        not null,
  topic             text        not null check (octet_length(topic) between 1 and 249),
  key               text        not null check (octet_length(key) between 1 and 1024),  -- Kafka key: order is kept per topic and key
  event_type        text        not null check (octet_length(event_type) between 1 and 128),
  version           text        not null default 'v1' check (octet_length(version) between 1 and 16),
  aggregate_type    text        not null check (octet_length(aggregate_type) between 1 and 64),
  aggregate_id      text        not null check (octet_length(aggregate_id) between 1 and 1024),
  aggregate_version bigint      not null,
  epoch             bigint      not null default outbox.current_epoch(),
  "timestamp"       timestamptz not null default clock_timestamp(),     -- when it was inserted
  occurred_at       timestamptz not null default clock_timestamp()      -- business time
                    check (occurred_at >= '1970-01-01Z' and occurred_at < '9999-12-31Z'),
  tenant_id         uuid        not null,
  trace_id          uuid,
  traceparent       text        check (octet_length(traceparent) <= 128),
  causation_id      uuid,
  correlation_id    uuid,
  actor             jsonb       check (octet_length(actor::text) <= 4096),
  headers           jsonb       check (jsonb_typeof(headers) = 'object' and octet_length(headers::text) <= 8192),  -- additional Kafka headers
  payload           json        compression lz4 not null check (octet_length(payload::text) <= 900000),  -- passed on byte for byte
  primary key (seq, slot)
) partition by list (slot);
create index event_txid on outbox.event (txid, seq);

-- Insert-only and emptied by TRUNCATE: nothing for autovacuum to do but wake the disk.
create table outbox.event_0 partition of outbox.event for values in (0) with (autovacuum_enabled = off);
create table outbox.event_1 partition of outbox.event for values in (1) with (autovacuum_enabled = off);
create table outbox.event_2 partition of outbox.event for values in (2) with (autovacuum_enabled = off);
create table outbox.event_3 partition of outbox.event for values in (3) with (autovacuum_enabled = off);
create table outbox.event_4 partition of outbox.event for values in (4) with (autovacuum_enabled = off);
create table outbox.event_5 partition of outbox.event for values in (5) with (autovacuum_enabled = off);
create table outbox.event_6 partition of outbox.event for values in (6) with (autovacuum_enabled = off);
create table outbox.event_7 partition of outbox.event for values in (7) with (autovacuum_enabled = off);
grant insert on outbox.event to {app};
grant select on outbox.event to bahi_relay;
grant select, truncate on outbox.event_0, outbox.event_1, outbox.event_2, outbox.event_3,
                          outbox.event_4, outbox.event_5, outbox.event_6, outbox.event_7 to bahi_relay;

-- Who reads. Ownership is an advisory lock on the reading session; each new owner takes a higher lease_epoch,
-- and a checkpoint of a lower one is refused.
create table outbox.shard (
  shard       smallint    primary key,
  lease_epoch bigint      not null default 0,
  owner       text,
  acquired_at timestamptz
) with (fillfactor = 10);
insert into outbox.shard (shard) values (0);
grant select, update on outbox.shard to bahi_relay;

-- How far the topic is. Everything visible in snap is published (or parked); of the window after it, up to
-- open_snap, what lies at or before open_seq. Only ever inserted; the worker trims old rows.
create table outbox.checkpoint (
  shard       smallint    not null references outbox.shard,
  id          bigint      generated always as identity,
  lease_epoch bigint      not null,
  snap        pg_snapshot not null,
  open_snap   pg_snapshot,
  open_seq    bigint,
  published   bigint      not null,   -- events published since the beginning
  at          timestamptz not null default clock_timestamp(),
  primary key (shard, id),
  check ((open_snap is null) = (open_seq is null))
);
grant select, insert, delete on outbox.checkpoint to bahi_relay;

-- What Kafka will not take, and the later events of the same topic and key, which wait behind it.
create table outbox.parked (
  seq       bigint      primary key,
  slot      smallint    not null,
  event_id  uuid        not null,
  topic     text        not null,
  key       text        not null,
  state     text        not null check (state in ('refused', 'waiting')),
  reason    text        not null,     -- a code: unknown_topic, too_large, ...
  error     text        not null,
  parked_at timestamptz not null default clock_timestamp()
);
create index parked_key on outbox.parked (topic, key, seq);
grant select, insert, delete on outbox.parked to bahi_relay;

-- Which events are published, for people and checks. Read from the checkpoint: no event row is ever touched.
create view outbox.status with (security_invoker = true) as
  select e.*,
         p.seq is not null as parked,
         p.seq is null and c.snap is not null
           and (pg_visible_in_snapshot(e.txid, c.snap)
                or c.open_snap is not null and pg_visible_in_snapshot(e.txid, c.open_snap) and e.seq <= c.open_seq) as published
    from outbox.event e
    left join outbox.parked p on p.seq = e.seq
    left join (select snap, open_snap, open_seq from outbox.checkpoint
                where shard = 0 order by lease_epoch desc, id desc limit 1) c on true;
grant select on outbox.status to bahi_relay;
