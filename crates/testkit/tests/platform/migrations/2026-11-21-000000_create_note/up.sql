create table note (
  tenant_id uuid not null,
  id        uuid not null,
  text      text not null,
  amount    numeric(18, 2) not null check (amount <> 'NaN'),
  primary key (tenant_id, id),
  constraint note_text_key unique (tenant_id, text)
);
select tenancy.protect('note');
