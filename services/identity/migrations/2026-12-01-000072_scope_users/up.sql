-- Which branches a user works for; all of them, also those to come, where none is named.
alter table public.app_user
  add column branch_ids uuid[],
  add constraint app_user_branch_ids_check check (
    branch_ids is null or cardinality(branch_ids) between 1 and 200 and array_position(branch_ids, null) is null);
