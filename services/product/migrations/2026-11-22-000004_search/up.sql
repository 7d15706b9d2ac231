-- Search by words: what a product is found by stands in one row, as a document of lexemes with an index of them.
--
-- A lexeme is a word of the name, of the SKU, a barcode, the HSN; or it begins with `#` and says what the product
-- belongs to: `#b` and the id of its brand, `#c` category, `#v` value of an attribute, `#s` state, `#k` kind, `#h` HSN.
-- Words are found by their beginnings. Words of brands and categories are looked up where these are and asked for by
-- id, so that a brand with another name leaves its products alone. One index answers words and filters together.

create table public.product_search (
  tenant_id   uuid           not null,
  product_id  uuid           not null,
  words       tsvector       not null,
  name_key    text           not null,
  sku_key     text           not null,
  status      text           not null,
  category_id uuid,
  brand_id    uuid,
  price       numeric(19, 4) not null,
  options     uuid[]         not null,  -- values of attributes
  constraint product_search_pkey primary key (tenant_id, product_id),
  constraint product_search_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete cascade,
  constraint product_search_price_check check (price <> 'NaN')
);

-- Every word of a name, once, by which a misspelt one is put right: they are far fewer than products.
create table public.search_word (
  tenant_id uuid not null,
  word      text collate "C" not null,
  constraint search_word_pkey primary key (tenant_id, word),
  constraint search_word_check check (octet_length(word) <= 400)
);

-- The products that there are. The policies bind the owner as well, so they are lifted while he copies.
alter table public.product no force row level security;
alter table public.brand no force row level security;
alter table public.category no force row level security;
create function pg_temp.words(line text) returns text[] language sql immutable as $$
  select coalesce(array_agg(distinct left(w, 100)) filter (where w <> ''), '{}')
    -- As words() in src/search/model.rs: the marks that join letters in Indian scripts are no punctuation.
    from regexp_split_to_table(lower(line) collate "C",
           '[\s!-/:-@\[-`{-~\u2000-\u200b\u2010-\u206f\u0964\u0965\u20b9]+') as w
$$;
insert into public.product_search (tenant_id, product_id, words, name_key, sku_key, status, category_id, brand_id, price, options)
select p.tenant_id, p.id,
       array_to_tsvector(pg_temp.words(p.name || ' ' || p.sku || ' ' || p.hsn || ' ' || array_to_string(p.barcodes, ' '))
         || (select coalesce(array_agg(ltrim(code, '0')) filter (where ltrim(code, '0') <> ''), '{}') from unnest(p.barcodes) as code)
         || array['#s' || p.status, '#k' || p.kind, '#h' || p.hsn]
         || case when p.brand_id is null then '{}' else array['#b' || replace(p.brand_id::text, '-', '')] end
         || case when p.category_id is null then '{}' else array['#c' || replace(p.category_id::text, '-', '')] end
         || (select coalesce(array_agg('#v' || replace(o ->> 'value_id', '-', '')), '{}') from jsonb_array_elements(p.options) as o)),
       lower(p.name), p.sku_key, p.status, p.category_id, p.brand_id, p.price,
       (select coalesce(array_agg((o ->> 'value_id')::uuid), '{}') from jsonb_array_elements(p.options) as o)
  from public.product p;
insert into public.search_word (tenant_id, word)
select distinct n.tenant_id, w
  from (select tenant_id, name from public.product union all select tenant_id, name from public.brand
        union all select tenant_id, name from public.category) as n,
       unnest(pg_temp.words(n.name)) as w
 where char_length(w) >= 3 and w !~ '[0-9]';
alter table public.product force row level security;
alter table public.brand force row level security;
alter table public.category force row level security;

create index product_search_words on public.product_search using gin (tenant_id, words);
-- To walk in the order of a sort where much is found, and to find whole names and SKUs.
create index product_search_name on public.product_search (tenant_id, name_key collate "C", product_id);
create index product_search_sku on public.product_search (tenant_id, sku_key collate "C", product_id);
create index product_search_price on public.product_search (tenant_id, price, name_key collate "C", product_id);
create index search_word_trigram on public.search_word using gin (tenant_id, word gin_trgm_ops);
select tenancy.protect('public.product_search');
select tenancy.protect('public.search_word');

drop function public.search_products(text, int);
drop table public.product_text;

-- Neither `@@` nor the trigram operators are leakproof, so a policy in the query would keep them from the indexes and
-- every search would read a whole table. The owner, and nobody else, reads these two tables without the policy, in
-- functions that take the tenant from where the policy takes it.
do $$ begin
  execute format('create policy search on public.product_search for select to %I using (true)', current_user);
  execute format('create policy search on public.search_word for select to %I using (true)', current_user);
end $$;

-- A page of what matches `query`, which is a tsquery or null, how much there is, and what it is made of. What matches
-- more than `bound` products is counted, and ranked by relevance, as far as these; what has the text itself as its SKU or
-- name is always among them, and then what begins with it. By name, SKU and price the page is of all that matches.
create function public.search_products(
  query text, exact text, whole text, low numeric, high numeric, sorting text, most int, skip int, bound int, faceted boolean
) returns jsonb
  language plpgsql stable security definer
  set search_path = pg_catalog, public, pg_temp
  set plan_cache_mode = force_custom_plan      -- the words decide what is cheap
as $$
declare
  tenant uuid := current_setting('app.tenant_id')::uuid;
  wanted tsquery := query::tsquery;
  best   tsquery := exact::tsquery;
  chosen jsonb;
  answer jsonb;
begin
  if sorting <> 'relevance' then
    execute format($q$
      select coalesce(jsonb_agg(p.product_id), '[]') from (
        select s.product_id from public.product_search s
         where s.tenant_id = $1 and ($2 is null or s.words @@ $2)
           and ($3 is null or s.price >= $3) and ($4 is null or s.price <= $4)
         order by %s limit $5 offset $6) p$q$,
      case sorting
        when 'name' then 's.name_key collate "C", s.product_id'
        when 'name:desc' then 's.name_key collate "C" desc, s.product_id desc'
        when 'sku' then 's.sku_key collate "C", s.product_id'
        when 'sku:desc' then 's.sku_key collate "C" desc, s.product_id desc'
        when 'price' then 's.price, s.name_key collate "C", s.product_id'
        when 'price:desc' then 's.price desc, s.name_key collate "C" desc, s.product_id desc'
      end)
      into chosen using tenant, wanted, low, high, most, skip;
  end if;
  with called as materialized (
    select s.product_id, s.status, s.category_id, s.brand_id, s.price, s.options, s.name_key, s.sku_key, s.words
      from public.product_search s
     where s.tenant_id = tenant and whole <> '' and s.sku_key collate "C" = whole
    union all
    (select s.product_id, s.status, s.category_id, s.brand_id, s.price, s.options, s.name_key, s.sku_key, s.words
       from public.product_search s
      where s.tenant_id = tenant and whole <> '' and s.name_key collate "C" ^@ whole and s.sku_key <> whole
      order by s.name_key collate "C", s.product_id limit bound)
  ), found as materialized (
    select s.product_id, s.status, s.category_id, s.brand_id, s.price, s.options, s.name_key,
           case when chosen is null then
             (s.sku_key = whole)::int * 8 + (s.name_key = whole)::int * 4 + starts_with(s.name_key, whole)::int * 2
             + coalesce(s.words @@ best, false)::int end as rank
      from (
        select c.* from called c
         where (wanted is null or c.words @@ wanted)
           and (low is null or c.price >= low) and (high is null or c.price <= high)
        union all
        (select s.product_id, s.status, s.category_id, s.brand_id, s.price, s.options, s.name_key, s.sku_key, s.words
           from public.product_search s
          where s.tenant_id = tenant
            and (wanted is null or s.words @@ wanted)
            and (low is null or s.price >= low) and (high is null or s.price <= high)
            and s.product_id not in (select product_id from called)
          limit bound)
        limit bound) s
  ), ranked as (
    select p.product_id, row_number() over () as n from (
      select f.product_id from found f where chosen is null
       order by f.rank desc, f.name_key collate "C", f.product_id
       limit most offset skip) p
  )
  select jsonb_build_object(
    'total', (select count(*) from found),
    'ids', coalesce(chosen, (select jsonb_agg(r.product_id order by r.n) from ranked r), '[]'),
    'status', (select jsonb_agg(jsonb_build_array(g.k, g.c) order by g.c desc, g.k)
                 from (select status as k, count(*) as c from found where faceted group by 1) g),
    'category', (select jsonb_agg(jsonb_build_array(g.k, g.c) order by g.c desc, g.k)
                   from (select category_id as k, count(*) as c from found
                          where faceted and category_id is not null group by 1 order by 2 desc, 1 limit 50) g),
    'brand', (select jsonb_agg(jsonb_build_array(g.k, g.c) order by g.c desc, g.k)
                from (select brand_id as k, count(*) as c from found
                       where faceted and brand_id is not null group by 1 order by 2 desc, 1 limit 50) g),
    'value', (select jsonb_agg(jsonb_build_array(g.k, g.c) order by g.c desc, g.k)
                from (select v as k, count(*) as c from found, unnest(options) as v
                       where faceted group by 1 order by 2 desc, 1 limit 100) g),
    'price', (select jsonb_agg(jsonb_build_array(g.k, g.c) order by g.k)
                from (select width_bucket(price, array[50, 100, 200, 500, 1000, 2000, 5000, 10000]::numeric[]) as k, count(*) as c
                        from found where faceted group by 1) g)
  ) into answer;
  return answer;
end
$$;

-- Words that are much like each of `words`, for those with which no word begins. What is nearest is decided elsewhere.
create function public.similar_words(words text[]) returns table (asked text, word text)
  language plpgsql stable security definer
  set search_path = pg_catalog, public, pg_temp
  set plan_cache_mode = force_custom_plan
  set pg_trgm.similarity_threshold = 0.15
as $$
declare
  tenant uuid := current_setting('app.tenant_id')::uuid;
  one    text;
begin
  foreach one in array words loop
    if not exists (select from public.search_word w where w.tenant_id = tenant and w.word like one || '%') then
      return query
        select one, w.word from public.search_word w
         where w.tenant_id = tenant and w.word % one and char_length(w.word) >= char_length(one) - 2
         order by similarity(w.word, one) desc, w.word limit 40;
    end if;
  end loop;
end
$$;

revoke all on function public.search_products(text, text, text, numeric, numeric, text, int, int, int, boolean),
  public.similar_words(text[]) from public;
do $$ declare app text := regexp_replace(current_user, '_owner$', '_app'); begin
  execute format('grant execute on function public.search_products(text, text, text, numeric, numeric, text, int, int, int, boolean) to %I', app);
  execute format('grant execute on function public.similar_words(text[]) to %I', app);
end $$;
