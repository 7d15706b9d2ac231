-- What names its branch by a till or an invoice is shown to whoever works there. A command sees the series of all tills, for
-- a prefix numbers for one of them alone; it makes none for a till of another branch.
do $$
declare
  t text;
begin
  foreach t in array array['offline_series', 'offline_number'] loop
    execute format('create policy branch_shown on public.%I as restrictive for select
                    using ((select tenancy.branches_shown()) is null or till_id in (
                      select l.till_id from public.till l where l.branch_id = any (tenancy.branches_shown())))', t);
    execute format('create policy branch on public.%I as restrictive for insert
                    with check ((select tenancy.branches()) is null or till_id in (
                      select l.till_id from public.till l where l.branch_id = any (tenancy.branches())))', t);
  end loop;
end $$;

-- Found by the key of the invoice, row by row: a list of all invoices of a branch would be longer than the page.
create policy branch_shown on public.commission_entry as restrictive for select
  using ((select tenancy.branches_shown()) is null or exists (
    select from public.invoice i where i.tenant_id = commission_entry.tenant_id and i.invoice_id = commission_entry.invoice_id
       and i.branch_id = any (tenancy.branches_shown())));
