-- The inbox: where each consumer of this service stands, which events it has handled, and which it could not.
-- All of it is written in the transaction of the effect, so an event has its effect exactly once.

create schema inbox;
grant usage on schema inbox to {app};

-- The database, not Kafka, decides where reading goes on: a batch moves next_offset from the value it
-- started at, and finds no row when another process has moved it meanwhile.
create table inbox.position (
  consumer    text        not null,
  topic       text        not null,
  part        int         not null,
  next_offset bigint      not null,
  highest     bigint      not null,   -- the furthest next_offset there ever was
  moved_at    timestamptz not null default now(),
  primary key (consumer, topic, part),
  check (0 <= next_offset and next_offset <= highest)
) with (fillfactor = 50);

-- A ring of eighteen days. The slot comes from the time inside the UUIDv7, so a redelivered event always
-- meets its first copy. inbox.clean() empties the slot two days ahead, so an event is remembered for at
-- least fifteen days: longer than topics keep it (14 days). What lies below `highest` of its partition and
-- is older than that was handled, which covers topics that are kept for ever.
create function inbox.slot_of(event_id uuid) returns smallint language sql immutable parallel safe as
  $$ select ((('x' || substr(replace(event_id::text, '-', ''), 1, 12))::bit(48)::bigint / 86400000) % 18)::smallint $$;

create table inbox.processed (
  consumer     text        not null,
  event_id     uuid        not null,
  slot         smallint    not null,
  processed_at timestamptz not null default now(),
  primary key (consumer, event_id, slot)
) partition by list (slot);
-- Inserted and truncated, never updated: nothing for autovacuum to do but wake the disk.
do $$ begin
  for i in 0..17 loop
    execute format('create table inbox.processed_%s partition of inbox.processed for values in (%s)
                    with (autovacuum_enabled = off)', i, i);
  end loop;
end $$;

-- Empties the slot two days ahead; true when there was something in it. Cheap to call often. The runtime
-- role may not truncate; this function may, and it alone says which slot.
create function inbox.clean() returns boolean language plpgsql security definer
  set search_path = pg_catalog as $$
declare
  ahead text := format('inbox.processed_%s', (extract(epoch from now())::bigint / 86400 + 2) % 18);
  used  boolean;
begin
  execute format('select exists (select from %s)', ahead) into used;
  if used then
    -- Rather try again in an hour than let every consumer wait for this lock.
    execute format('lock table %s in access exclusive mode nowait', ahead);
    execute format('truncate %s', ahead);
  end if;
  return used;
exception when lock_not_available then
  return false;
end $$;
revoke all on function inbox.clean() from public;

-- Records that a consumer could not handle, and the later records of the same topic and key, which wait
-- behind them. A key is held as long as it has a rejected row. To try a rejected record again, set its state
-- to 'waiting'; to give it up, delete its row. The consumer then takes up the key's rows in the order of id.
create table inbox.quarantine (
  id          bigint      generated always as identity primary key,
  consumer    text        not null,
  topic       text        not null,
  part        int         not null,
  "offset"    bigint      not null,
  key         bytea,                           -- as in the record, like value and headers
  value       bytea,
  headers     jsonb       not null,            -- [[name, value], ..]; value: text, null or {"base64": ..}
  recorded_at timestamptz,                     -- the record's timestamp
  event_id    uuid,                            -- where it can be read
  state       text        not null check (state in ('rejected', 'waiting')),
  reason      text        not null,            -- a code: not_json, bad_payload, ...
  error       text        not null,
  attempts    int         not null,
  first_at    timestamptz not null default now(),
  sent_at     timestamptz                      -- when the dead-letter topic got it
);
-- Keys may be longer than a B-tree takes.
create index quarantine_key on inbox.quarantine using hash (key);
create index quarantine_state on inbox.quarantine (consumer, state, id);

grant select, insert, update, delete on all tables in schema inbox to {app};
grant execute on all functions in schema inbox to {app};
