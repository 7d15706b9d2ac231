drop function stale_levels(date, int, uuid[]);
create or replace function due_holds(owners text[], at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, invoice_id uuid, attempt int)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.invoice_id, r.attempt from public.reservation r
    where r.state = 'pending' and r.deadline <= at and r.owner = any (owners) and r.answer is null
    order by r.deadline limit most $$;
create or replace function unheard_sales(at timestamptz, most int)
  returns table (tenant_id uuid, id uuid, answer jsonb)
  language sql stable security definer set search_path = pg_catalog, public as $$
    select r.tenant_id, r.id, r.answer from public.reservation r
    where r.state = 'pending' and r.answer is not null and r.answered_at <= at
    order by r.answered_at limit most $$;
alter table reservation drop column tried_at;
drop table delivery;
drop table sale_kit;
alter table reservation_kit drop column components;
alter table return_line drop constraint return_line_pkey;
alter table return_line add constraint return_line_pkey primary key (tenant_id, credit_note_id, line);
alter table shortage_settlement drop constraint shortage_settlement_shortage_fkey;
alter table shortage_settlement drop column product_id;
alter table shortage drop constraint shortage_pkey;
alter table shortage add constraint shortage_pkey primary key (tenant_id, invoice_id, line);
alter table shortage_settlement add constraint shortage_settlement_shortage_fkey
  foreign key (tenant_id, invoice_id, line) references shortage (tenant_id, invoice_id, line);
