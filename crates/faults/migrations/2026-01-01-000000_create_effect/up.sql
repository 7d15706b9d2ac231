-- What the consumers leave behind, one row for each time an event was handled.
create table effect (
  tenant_id uuid   not null,
  id        bigint generated always as identity,
  topic     text   not null,
  event_id  uuid   not null,
  key       text   not null,
  version   bigint not null,
  payload   bigint not null,   -- the ledger's digest of its bytes
  primary key (tenant_id, id)
);
select tenancy.protect('effect');
