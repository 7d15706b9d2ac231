-- What the tests' handlers leave behind, one row for each time an event was handled.
create table effect (
  tenant_id uuid   not null,
  id        bigint generated always as identity,
  event_id  uuid   not null,
  kind      text   not null,
  key       text   not null,
  n         bigint not null,
  primary key (tenant_id, id)
);
select tenancy.protect('effect');
