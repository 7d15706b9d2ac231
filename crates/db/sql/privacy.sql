-- What this service is asked about the data of a tenant or of a person, and whom it has erased. {app} is the runtime role.

create schema privacy;
revoke all on schema privacy from public;
grant usage on schema privacy to {app};

-- One row is one thing asked: an archive of a tenant, or an erasure. Whoever works on it has it until `lease_until`;
-- `attempts` tells one from the next.
create table privacy.task (
  tenant_id      uuid        not null,
  id             uuid        not null,
  kind           text        not null check (kind in ('export', 'erasure')),
  asked          jsonb       not null,
  correlation_id uuid        not null,
  causation_id   uuid        not null,
  attempts       int         not null default 0 check (attempts >= 0),
  lease_until    timestamptz not null,
  created_at     timestamptz not null,
  finished_at    timestamptz,
  answer         jsonb,
  primary key (tenant_id, id),
  check ((finished_at is null) = (answer is null))
);
create index task_open on privacy.task (lease_until) where finished_at is null;
select tenancy.protect('privacy.task');
grant select, insert, update on privacy.task to {app};

-- Nobody writes of these again: an older event about one of them that comes later changes nothing.
create table privacy.erased (
  tenant_id  uuid        not null,
  subject    text        not null check (subject in ('customer', 'user')),
  subject_id uuid        not null,
  erasure_id uuid        not null,
  erased_at  timestamptz not null,
  primary key (tenant_id, subject, subject_id)
);
select tenancy.protect('privacy.erased');
grant select, insert on privacy.erased to {app};

-- Whom each tenant has erased: what the law kept of them is looked for again, until it may go.
create function privacy.erased_after(after_tenant uuid, after_id uuid)
  returns table (tenant_id uuid, subject text, subject_id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select e.tenant_id, e.subject, e.subject_id from privacy.erased e
   where (e.tenant_id, e.subject_id) > (after_tenant, after_id)
   order by e.tenant_id, e.subject_id, e.subject limit 200
$$;
revoke all on function privacy.erased_after(uuid, uuid) from public;
grant execute on function privacy.erased_after(uuid, uuid) to {app};

-- What is open, of every tenant; the owner sees no other row.
do $$ begin
  execute format('create policy work on privacy.task for select to %I using (finished_at is null)', current_user);
  execute format('create policy work on privacy.erased for select to %I using (true)', current_user);
end $$;
create function privacy.waiting(moment timestamptz, kinds text[]) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select t.tenant_id, t.id from privacy.task t
   where t.finished_at is null and t.lease_until < moment and t.kind = any (kinds)
   order by t.lease_until limit 20
$$;
revoke all on function privacy.waiting(timestamptz, text[]) from public;
grant execute on function privacy.waiting(timestamptz, text[]) to {app};
