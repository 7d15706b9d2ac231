-- What a till takes with it. Each copy of the catalogue bears the number of the change that wrote it: one number for a
-- transaction, under the lock of its tenant's row, so that numbers are committed in their order and whoever has read
-- up to one has missed nothing. What is deleted keeps its row, as it does against late updates, and so tells of it.
create table catalogue_change (
  tenant_id uuid   primary key,
  latest    bigint not null
) with (fillfactor = 50);
select tenancy.protect('public.catalogue_change');

create function next_catalogue_change(tenant uuid) returns bigint language plpgsql as $$
declare
  this constant text := tenant || ':' || pg_current_xact_id();
  mark constant text := current_setting('sales.catalogue_change', true);
  n bigint;
begin
  if split_part(mark, '=', 1) = this then
    return split_part(mark, '=', 2)::bigint;
  end if;
  insert into catalogue_change as c (tenant_id, latest) values (tenant, 1)
    on conflict (tenant_id) do update set latest = c.latest + 1 returning latest into n;
  perform set_config('sales.catalogue_change', this || '=' || n, true);
  return n;
end $$;

create function catalogue_changed() returns trigger language plpgsql as $$
begin
  new.changed := next_catalogue_change(new.tenant_id);
  return new;
end $$;

alter table product            add column changed bigint not null default 0;
alter table category           add column changed bigint not null default 0;
alter table tax_profile        add column changed bigint not null default 0;
alter table price_list         add column changed bigint not null default 0;
alter table price_list_product add column changed bigint not null default 0;
alter table promotion          add column changed bigint not null default 0;
create index product_changed            on product (tenant_id, changed);
create index price_list_product_changed on price_list_product (tenant_id, changed);
create trigger changed before insert or update on product            for each row execute function catalogue_changed();
create trigger changed before insert or update on category           for each row execute function catalogue_changed();
create trigger changed before insert or update on tax_profile        for each row execute function catalogue_changed();
create trigger changed before insert or update on price_list         for each row execute function catalogue_changed();
create trigger changed before insert or update on price_list_product for each row execute function catalogue_changed();
create trigger changed before insert or update on promotion          for each row execute function catalogue_changed();

-- A product that was heard of before has these from its next event, or when its topic is read again.
alter table product
  add column units    jsonb,
  add column tracking jsonb;
