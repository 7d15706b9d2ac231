-- The branches that whoever asks works for, beside his tenant: all of them where nothing is said.

-- Of a command and of what it reads.
create function tenancy.branches() returns uuid[] language sql stable parallel safe as
  $$ select nullif(current_setting('app.branches', true), '')::uuid[] $$;

-- Of what is only shown. A command may have to sum up what its caller does not see (what a thing has cost, how
-- much of it there is), and then finds nothing here.
create function tenancy.branches_shown() returns uuid[] language sql stable parallel safe as
  $$ select nullif(current_setting('app.branches_shown', true), '')::uuid[] $$;

grant execute on function tenancy.branches(), tenancy.branches_shown() to {app};

-- Called once for each table of documents that belong to a branch, in a migration: those of other branches are neither
-- found nor made. Whatever names no branch is everybody's.
create function tenancy.scope(t regclass) returns void language plpgsql as $$
begin
  execute format('create policy branch on %s as restrictive
                  using ((select tenancy.branches()) is null or branch_id is null or branch_id = any (tenancy.branches()))', t);
end $$;
revoke all on function tenancy.scope(regclass) from public;
