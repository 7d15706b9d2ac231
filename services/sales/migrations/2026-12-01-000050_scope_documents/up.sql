-- Whoever works for some branches only neither finds nor makes documents of another. Accounts of customers, prices and
-- numbers are the tenant's as a whole.
do $$
declare
  t text;
begin
  foreach t in array array['pos_session', 'invoice', 'credit_note', 'held_bill', 'quotation', 'sales_order', 'receipt', 'price_note'] loop
    perform tenancy.scope(('public.' || t)::regclass);
  end loop;
end $$;
