-- Which branches the people work for whom a provider brings in; all of them, also those to come, where none is named.
alter table public.identity_provider
  add column branch_ids uuid[],
  add constraint identity_provider_branch_ids_check check (
    branch_ids is null or cardinality(branch_ids) between 1 and 200 and array_position(branch_ids, null) is null);
