-- After a restore: what the topic knows and this database does not.

-- Up to which restore epoch this database has been compared with billing.events.v1. Below the outbox's epoch
-- nothing is sold.
create table inbox.reconciled (
  one   boolean primary key default true check (one),
  epoch bigint  not null
);
insert into inbox.reconciled (epoch) select epoch from outbox.epoch;

-- How far this database's own outbox has come.
create function inbox.outbox_reached(out epoch bigint, out seq bigint) language sql security definer
  set search_path = pg_catalog as $$ select e.epoch, s.last_value from outbox.epoch e, outbox.event_seq s $$;
-- When the last event that the outbox still holds was inserted; null when it holds none.
create function inbox.outbox_last() returns timestamptz language sql stable security definer
  set search_path = pg_catalog as $$ select max("timestamp") from outbox.event $$;
revoke all on function inbox.outbox_reached(), inbox.outbox_last() from public;
do $$ declare app text := replace(current_user, '_owner', '_app'); begin
  execute format('grant select, update on inbox.reconciled to %I', app);
  execute format('grant execute on function inbox.outbox_reached(), inbox.outbox_last() to %I', app);
end $$;

-- Events of this service that the restored database did not explain.
create table restore_orphan (
  tenant_id    uuid        not null,
  event_id     uuid        not null,
  event_type   text        not null,
  aggregate_id text        not null,
  number       text,
  state        text        not null,
  reason       text,
  event        jsonb       not null,
  found_at     timestamptz not null default now(),
  primary key (tenant_id, event_id),
  -- listed: a person has to see to it
  constraint restore_orphan_state_check check (state in ('reimported', 'listed') and (state = 'listed') = (reason is not null))
);
create index restore_orphan_found_at on restore_orphan (tenant_id, found_at, event_id);
select tenancy.protect('public.restore_orphan');
