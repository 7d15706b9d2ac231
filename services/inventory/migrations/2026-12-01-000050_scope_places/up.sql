-- Whoever works for some branches only neither finds nor makes documents of another, and nothing but transfers moves goods
-- where he does not work. What commands sum up (stock, its cost, its pieces) is whole for them and cut only where it is
-- shown.
do $$
declare
  t text;
begin
  foreach t in array array['stock_document', 'count_session', 'reservation', 'reorder_level'] loop
    execute format('create policy branch on public.%I as restrictive
                    using ((select tenancy.branches()) is null or location_id is null or location_id in (
                      select l.location_id from public.location l where l.branch_id = any (tenancy.branches())))', t);
  end loop;
  foreach t in array array['stock_item', 'movement', 'cost_layer', 'shortage', 'serial', 'serial_gap', 'count_line',
                           'expiry_alert', 'dead_stock_alert', 'stock_snapshot_line', 'landed_cost_line', 'landed_cost_part',
                           'revaluation_line'] loop
    execute format('create policy branch_shown on public.%I as restrictive for select
                    using ((select tenancy.branches_shown()) is null or location_id is null or location_id in (
                      select l.location_id from public.location l where l.branch_id = any (tenancy.branches_shown())))', t);
  end loop;
end $$;

-- Which end of a transfer may do what, the transfer says.
create policy branch on public.transfer as restrictive
  using ((select tenancy.branches()) is null or exists (
    select from public.location l where l.location_id in (from_location, to_location) and l.branch_id = any (tenancy.branches())));
create policy branch on public.movement as restrictive for insert
  with check ((select tenancy.branches()) is null or kind in ('transfer_out', 'transfer_in') or location_id in (
    select l.location_id from public.location l where l.branch_id = any (tenancy.branches())));
