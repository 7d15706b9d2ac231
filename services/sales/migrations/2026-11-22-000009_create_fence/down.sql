drop function inbox.outbox_covers(pg_snapshot);
