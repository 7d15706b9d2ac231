-- Pictures of products. The pictures themselves lie in the object store; here is which there are.

create table public.product_image (
  tenant_id    uuid        not null,
  id           uuid        not null,
  version      bigint      not null,
  product_id   uuid,                  -- none: the product is gone, and the picture is about to follow
  status       text        not null,
  "position"   integer,               -- among the ready ones of its product, from 1
  content_type text        not null,
  bytes        bigint      not null,
  width        integer,               -- in pixels, as it is shown
  height       integer,
  upload_until timestamptz not null,  -- until then the URL for sending it is good
  lease_until  timestamptz,           -- until then a process works on what was sent
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  constraint product_image_pkey primary key (tenant_id, id),
  constraint product_image_product_fkey foreign key (tenant_id, product_id)
    references public.product (tenant_id, id) on delete set null (product_id),
  constraint product_image_status_check check (status in ('pending', 'ready', 'deleted')),
  constraint product_image_content_type_check check (content_type in ('image/jpeg', 'image/png', 'image/webp')),
  constraint product_image_bytes_check check (bytes > 0),
  constraint product_image_ready_check check (status <> 'ready' or num_nulls("position", width, height) = 0),
  constraint product_image_position_check check ("position" is null or "position" > 0 and status = 'ready'),
  -- Checked at the end: a new order is written row by row.
  constraint product_image_position_key unique (tenant_id, product_id, "position") deferrable initially deferred
);
create index product_image_to_clear on public.product_image (updated_at) where status <> 'ready' or product_id is null;
select tenancy.protect('public.product_image');

-- Pictures of every tenant that were never sent, were deleted or have lost their product, and that nobody works on.
-- The owner sees no others.
do $$ begin
  execute format('create policy work on public.product_image for select to %I using (
    status <> ''ready'' or product_id is null)', current_user);
end $$;
create function public.product_images_to_clear(moment timestamptz) returns table (tenant_id uuid, id uuid)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
  select i.tenant_id, i.id from public.product_image i
   where (i.status <> 'ready' or i.product_id is null)
     and (i.status <> 'pending' or i.product_id is null or i.upload_until < moment - interval '1 hour')
     and (i.lease_until is null or i.lease_until < moment)
   order by i.updated_at limit 100
$$;
revoke all on function public.product_images_to_clear(timestamptz) from public;
do $$ begin
  execute format('grant execute on function public.product_images_to_clear(timestamptz) to %I',
    regexp_replace(current_user, '_owner$', '_app'));
end $$;
