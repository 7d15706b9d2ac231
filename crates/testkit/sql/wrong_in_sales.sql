-- What is wrong with the books of sales, a line each: numbers with gaps, documents whose parts do not add up to them,
-- totals of sessions, accounts and orders that their documents do not explain.
with online as (
  select tenant_id, registration_id, series, fiscal_year, running from invoice
  union all select tenant_id, registration_id, series, fiscal_year, running from credit_note),
billed as materialized (
  select i.tenant_id, (i.of_order->>'order_id')::uuid as order_id, (i.of_order->>'fulfilment_id')::uuid as fulfilment_id,
         (i.of_order->>'line')::int as line, i.qty
    from invoice_line i join invoice b using (tenant_id, invoice_id) where i.of_order is not null and b.status <> 'cancelled')
select 'gap in ' || series from online o
  where not exists (select from offline_series f where f.tenant_id = o.tenant_id
                       and f.registration_id = o.registration_id and f.prefix = o.series)
  group by tenant_id, registration_id, series, fiscal_year having count(*) <> max(running)
union all select 'unexplained ' || i.number from invoice i
  join offline_series f on f.tenant_id = i.tenant_id and f.registration_id = i.registration_id and f.prefix = i.series
  where not exists (select from offline_number n where n.tenant_id = i.tenant_id and n.document_id = i.invoice_id
                       and n.number = i.number and n.outcome in ('issued', 'replaced'))
union all select 'no document of ' || n.number from offline_number n where n.outcome in ('issued', 'replaced')
  and not exists (select from invoice i where i.tenant_id = n.tenant_id and i.invoice_id = n.document_id)
  and not exists (select from credit_note c where c.tenant_id = n.tenant_id and c.credit_note_id = n.document_id)
union all select 'gap in ' || series from sales_order group by tenant_id, registration_id, series, fiscal_year
  having count(*) <> max(running)
union all select 'gap in ' || series from quotation group by tenant_id, registration_id, series, fiscal_year
  having count(*) <> max(running)
union all select 'gap in ' || series from fulfilment where state = 'delivered'
  group by tenant_id, registration_id, series, fiscal_year having count(*) <> max(running)
union all select 'counter of ' || prefix from number_counter c
  where purpose not like 'offline_%' and next - 1 <>
  (select count(*) from (select registration_id, series, fiscal_year from invoice
     union all select registration_id, series, fiscal_year from credit_note
     union all select registration_id, series, fiscal_year from receipt
     union all select registration_id, series, fiscal_year from price_note
     union all select registration_id, series, fiscal_year from quotation
     union all select registration_id, series, fiscal_year from sales_order
     union all select registration_id, series, fiscal_year from fulfilment where state = 'delivered') d
    where (d.registration_id, d.series, d.fiscal_year) = (c.registration_id, c.prefix, c.fiscal_year))
union all select 'lines of ' || number from invoice i join invoice_line l using (tenant_id, invoice_id)
  group by i.tenant_id, i.invoice_id, number, i.taxable, i.cgst, i.igst, i.cess
  having (sum(l.taxable), sum(l.cgst), sum(l.igst), sum(l.cess)) <> (i.taxable, i.cgst, i.igst, i.cess)
union all select 'tenders of ' || number from invoice i left join invoice_tender t using (tenant_id, invoice_id)
  group by i.tenant_id, i.invoice_id, number, i.tendered having coalesce(sum(t.amount), 0) <> i.tendered
union all select 'decision of ' || d.invoice_id from reservation_decision d full join invoice i
  using (tenant_id, invoice_id) where d.decision = 'issued' and i.invoice_id is null
union all select 'no decision of ' || i.number from invoice i where not exists
  (select 1 from reservation_decision d where d.tenant_id = i.tenant_id and d.invoice_id = i.invoice_id
    and d.decision = 'issued' and d.reservation_id = i.reservation_id)
union all select 'order ' || o.number from sales_order o join sales_order_line l using (tenant_id, order_id)
  where l.delivered <> (select coalesce(sum(d.qty), 0) from fulfilment f
      join fulfilment_line d using (tenant_id, fulfilment_id) where f.tenant_id = o.tenant_id
      and f.order_id = o.order_id and f.state = 'delivered' and d.line = l.line)
    or l.invoiced <> (select coalesce(sum(b.qty), 0) from billed b
        where b.tenant_id = o.tenant_id and b.order_id = o.order_id and b.line = l.line)
    or o.status in ('draft', 'cancelled', 'closed') and (l.held <> 0 or o.exposure <> 0)
union all select 'billed of ' || f.number from fulfilment f join fulfilment_line d using (tenant_id, fulfilment_id)
  where d.invoiced < (select coalesce(sum(b.qty), 0) from billed b
        where b.tenant_id = f.tenant_id and b.fulfilment_id = f.fulfilment_id and b.line = d.line)
union all select 'orders of ' || a.customer_id from customer_account a where a.orders <>
  (select coalesce(sum(o.exposure), 0) from sales_order o where o.tenant_id = a.tenant_id
     and o.customer_id = a.customer_id)
union all select 'gap in ' || series from receipt group by tenant_id, registration_id, series, fiscal_year
  having count(*) <> max(running)
union all select 'gap in ' || series from price_note group by tenant_id, registration_id, series, fiscal_year
  having count(*) <> max(running)
union all select 'open of ' || number from invoice i where open <> coalesce((select sum(dues)
  from account_entry e where e.tenant_id = i.tenant_id and e.invoice_id = i.invoice_id), 0)
union all select 'payments of ' || number from invoice i where paid <> coalesce((select sum(a.amount)
  from receipt_allocation a join receipt r using (tenant_id, receipt_id)
 where a.tenant_id = i.tenant_id and a.invoice_id = i.invoice_id and r.status = 'posted'), 0)
union all select 'credits of ' || number from invoice i where (credited, credited_credit, debited) <> (select
  coalesce(sum(n.total) filter (where n.kind = 'credit'), 0) + coalesce((select c.credited + c.refunded
    from cancellation c where c.tenant_id = i.tenant_id and c.invoice_id = i.invoice_id), 0),
  coalesce((select sum(t.amount) from price_note p join price_note_tender t using (tenant_id, note_id)
    where p.tenant_id = i.tenant_id and p.original_invoice_id = i.invoice_id and t.method = 'credit'), 0)
    + coalesce((select c.credited from cancellation c where c.tenant_id = i.tenant_id
      and c.invoice_id = i.invoice_id), 0),
  coalesce(sum(n.total) filter (where n.kind = 'debit'), 0)
  from price_note n where n.tenant_id = i.tenant_id and n.original_invoice_id = i.invoice_id)
union all select 'notes on line ' || l.line from invoice_line l where
  (credited_taxable, credited_cgst, credited_igst, debited_taxable, debited_cgst, debited_igst) <> (select
    coalesce(sum(n.taxable) filter (where p.kind = 'credit'), 0), coalesce(sum(n.cgst) filter (where p.kind = 'credit'), 0),
    coalesce(sum(n.igst) filter (where p.kind = 'credit'), 0), coalesce(sum(n.taxable) filter (where p.kind = 'debit'), 0),
    coalesce(sum(n.cgst) filter (where p.kind = 'debit'), 0), coalesce(sum(n.igst) filter (where p.kind = 'debit'), 0)
    from price_note_line n join price_note p using (tenant_id, note_id) where n.tenant_id = l.tenant_id
     and n.original_invoice_id = l.invoice_id and n.original_line = l.line)
union all select 'receipt ' || number from receipt r where
  (case r.status when 'posted' then r.amount - r.allocated - r.refunded else 0 end,
   case r.status when 'posted' then r.allocated else (select coalesce(sum(a.amount), 0) from receipt_allocation a
    where a.tenant_id = r.tenant_id and a.receipt_id = r.receipt_id) end, r.refunded) <>
  ((select sum(e.advances) from account_entry e where e.tenant_id = r.tenant_id and e.receipt_id = r.receipt_id),
   (select coalesce(sum(a.amount), 0) from receipt_allocation a
     where a.tenant_id = r.tenant_id and a.receipt_id = r.receipt_id),
   (select coalesce(sum(f.amount), 0) from receipt_refund f
     where f.tenant_id = r.tenant_id and f.receipt_id = r.receipt_id))
union all select 'account of ' || a.customer_id from customer_account a where (dues, advances) <> (
  (select coalesce(sum(i.open), 0) from invoice i where i.tenant_id = a.tenant_id and i.customer_id = a.customer_id),
  (select coalesce(sum(r.amount - r.allocated - r.refunded), 0) from receipt r
    where r.tenant_id = a.tenant_id and r.customer_id = a.customer_id and r.status = 'posted'))
union all select 'session totals ' || s.session_id from pos_session s where (s.receipts, s.collected, s.cancels
    + (select coalesce(sum(p.cancels), 0) from session_supplement p
        where p.tenant_id = s.tenant_id and p.session_id = s.session_id)) <>
  (select count(*), coalesce(sum(r.amount), 0), (select count(*) from cancellation c
     where c.tenant_id = s.tenant_id and c.session_id = s.session_id and exists (select from invoice i
       where i.tenant_id = c.tenant_id and i.invoice_id = c.invoice_id and i.session_id = s.session_id))
     from receipt r where r.tenant_id = s.tenant_id and r.session_id = s.session_id)
union all select 'cancelled ' || number from invoice i where (status = 'cancelled') <> exists
  (select from cancellation c where c.tenant_id = i.tenant_id and c.invoice_id = i.invoice_id)
union all select 'session ' || s.session_id from pos_session s
  cross join lateral (select coalesce(sum(sales), 0) as sales, coalesce(sum(sold), 0) as sold,
               coalesce(sum(returned), 0) as returned, coalesce(sum(cash), 0) as cash,
               coalesce(sum(received_upi), 0) as upi
          from session_supplement p where p.tenant_id = s.tenant_id and p.session_id = s.session_id) p
  cross join lateral (select count(*) as sales, coalesce(sum(total), 0) as sold,
               coalesce(sum(tendered_cash - change), 0) as cash
          from invoice i where i.tenant_id = s.tenant_id and i.session_id = s.session_id) i
  cross join lateral (select coalesce(sum(amount), 0) as upi
          from invoice i join invoice_tender t using (tenant_id, invoice_id)
         where i.tenant_id = s.tenant_id and i.session_id = s.session_id and t.method = 'upi') u
  cross join lateral (select coalesce(sum(c.total), 0) as returned, coalesce(sum(t.cash), 0) as cash
          from credit_note c cross join lateral (select coalesce(sum(amount), 0) as cash from credit_note_tender x
            where x.tenant_id = c.tenant_id and x.credit_note_id = c.credit_note_id and x.method = 'cash') t
         where c.tenant_id = s.tenant_id and c.session_id = s.session_id) c
  -- what came in and went out of the drawer for something other than goods
  cross join lateral (select coalesce(sum(amount) filter (where method = 'cash'), 0) as cash,
               coalesce(sum(amount) filter (where method = 'upi'), 0) as upi
          from receipt r where r.tenant_id = s.tenant_id and r.session_id = s.session_id) r
  cross join lateral (select coalesce(sum(amount), 0) as cash from (
            select t.amount from cancellation c join cancellation_tender t using (tenant_id, invoice_id)
             where c.tenant_id = s.tenant_id and c.session_id = s.session_id and t.method = 'cash'
            union all select f.amount from receipt_refund f
             where f.tenant_id = s.tenant_id and f.session_id = s.session_id and f.method = 'cash'
            union all select t.amount from price_note n join price_note_tender t using (tenant_id, note_id)
             where n.tenant_id = s.tenant_id and n.session_id = s.session_id and t.method = 'cash') o) o
 where (s.sales + p.sales, s.sold + p.sold, s.returned + p.returned, s.received_upi + p.upi)
    <> (i.sales, i.sold, c.returned, u.upi + r.upi)
    -- of receipts that were reversed it is not known from which drawer the money went
    or not exists (select from receipt x where x.tenant_id = s.tenant_id and x.status = 'reversed' and x.session_id is not null)
       and s.expected_cash + p.cash <> s.opening_float + i.cash + r.cash - c.cash - o.cash + s.cash_in - s.cash_out
union all select 'events of ' || i.number from invoice i
  left join (select tenant_id, aggregate_id, count(*) as said from outbox.event where event_type = 'invoice.issued'
              group by tenant_id, aggregate_id) e on e.tenant_id = i.tenant_id and e.aggregate_id = i.invoice_id::text
 where e.said is distinct from 1
