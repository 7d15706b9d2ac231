drop function public.similar_words(text[]);
drop function public.search_products(text, text, text, numeric, numeric, text, int, int, int, boolean);
drop table public.search_word, public.product_search;

create table public.product_text (
  tenant_id  uuid not null,
  product_id uuid not null,
  text       text not null,
  constraint product_text_pkey primary key (tenant_id, product_id),
  constraint product_text_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade
);
alter table public.product no force row level security;
insert into public.product_text
select tenant_id, id, lower(rtrim(name || ' ' || sku || ' ' || array_to_string(barcodes, ' '))) from public.product;
alter table public.product force row level security;
create index product_text_trigram on public.product_text using gin (tenant_id, text gin_trgm_ops);
select tenancy.protect('public.product_text');
do $$ begin
  execute format('create policy search on public.product_text for select to %I using (true)', current_user);
end $$;
create function public.search_products(query text, most int) returns table (product_id uuid)
  language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp
  set cpu_operator_cost = 0.05
as $$
declare likeness text;
begin
  foreach likeness in array array['0.75', '0.6', '0.4'] loop
    perform set_config('pg_trgm.word_similarity_threshold', likeness, true);
    return query
      select c.product_id
        from (select t.product_id, t.text from public.product_text t
               where t.tenant_id = current_setting('app.tenant_id')::uuid and query <% t.text
               limit 2000) c
       order by strpos(c.text, query) > 0 desc, word_similarity(query, c.text) desc, c.product_id
       limit most;
    if found then return; end if;
  end loop;
end
$$;
revoke all on function public.search_products(text, int) from public;
do $$ begin
  execute format('grant execute on function public.search_products(text, int) to %I', regexp_replace(current_user, '_owner$', '_app'));
end $$;
