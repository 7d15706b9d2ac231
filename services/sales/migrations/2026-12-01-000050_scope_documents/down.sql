do $$
declare
  t text;
begin
  foreach t in array array['pos_session', 'invoice', 'credit_note', 'held_bill', 'quotation', 'sales_order', 'receipt', 'price_note'] loop
    execute format('drop policy branch on public.%I', t);
  end loop;
end $$;
