drop policy branch_shown on public.commission_entry;
do $$
declare
  t text;
begin
  foreach t in array array['offline_series', 'offline_number'] loop
    execute format('drop policy branch on public.%I', t);
    execute format('drop policy branch_shown on public.%I', t);
  end loop;
end $$;
