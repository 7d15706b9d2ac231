-- What customers are found by: words of the name, of the address of mail, the GSTIN, the telephone number with its country and
-- without. Found by their beginnings; comparisons of plain columns may use an index under the policies, patterns may not.
create table customer_word (
  tenant_id   uuid not null,
  word        text collate "C" not null,
  customer_id uuid not null,
  primary key (tenant_id, word, customer_id),
  constraint customer_word_customer_fkey foreign key (tenant_id, customer_id) references customer on delete cascade,
  constraint customer_word_check check (octet_length(word) between 1 and 400)
);
create index customer_word_customer on customer_word (tenant_id, customer_id);

-- The customers that there are. The policies bind the owner as well, so they are lifted while he copies.
alter table customer no force row level security;
insert into customer_word (tenant_id, customer_id, word)
select distinct c.tenant_id, c.customer_id, left(w, 100)
  from customer c,
       -- As words() in crates/types: the marks that join letters in Indian scripts are no punctuation.
       regexp_split_to_table(lower(concat_ws(' ', c.name, c.email, c.gstin, c.phone, case when c.phone like '+91%' then substr(c.phone, 4) end))
         collate "C", '[\s!-/:-@\[-`{-~\u2000-\u200b\u2010-\u206f\u0964\u0965\u20b9]+') as w
 where w <> '' and c.status not in ('deleted', 'merged');
alter table customer force row level security;
select tenancy.protect('public.customer_word');
