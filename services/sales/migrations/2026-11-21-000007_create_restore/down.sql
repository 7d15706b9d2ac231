drop table restore_orphan;
drop function inbox.outbox_last();
drop function inbox.outbox_reached();
drop table inbox.reconciled;
