-- What operators do about consumers (`<service> consumer ..`): a record of every command, and the events that they
-- want handled once more.

-- Written in the transaction of what the command changes. Insert-only for the runtime role.
create table inbox.command (
  id     bigint      generated always as identity primary key,
  at     timestamptz not null default now(),
  who    text        not null check (octet_length(who) between 1 and 200),
  cmd    text        not null check (octet_length(cmd) between 1 and 64),
  args   jsonb       not null,
  result jsonb       not null
);
create index command_at on inbox.command (at);
grant select, insert on inbox.command to {app};

-- Events of a partition that is read again whose handlers are to run although the inbox knows them, or has
-- forgotten them. The batch that handles one takes its row.
create table inbox.again (
  consumer text not null,
  event_id uuid not null,
  primary key (consumer, event_id)
);
grant select, insert, delete on inbox.again to {app};
