drop policy branch on public.movement;
drop policy branch on public.transfer;
do $$
declare
  t text;
begin
  foreach t in array array['stock_document', 'count_session', 'reservation', 'reorder_level'] loop
    execute format('drop policy branch on public.%I', t);
  end loop;
  foreach t in array array['stock_item', 'movement', 'cost_layer', 'shortage', 'serial', 'serial_gap', 'count_line',
                           'expiry_alert', 'dead_stock_alert', 'stock_snapshot_line', 'landed_cost_line', 'landed_cost_part',
                           'revaluation_line'] loop
    execute format('drop policy branch_shown on public.%I', t);
  end loop;
end $$;
