-- What the benchmark's consumer leaves behind: one row for each event.
create table effect (
  tenant_id uuid   not null,
  event_id  uuid   not null,
  key       text   not null,
  n         bigint not null,
  primary key (tenant_id, event_id)
);
select tenancy.protect('effect');
