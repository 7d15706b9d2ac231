create or replace function directory.sign_in(email text, slug text) returns table (tenant_id uuid, user_id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select u.tenant_id, u.id
    from public.app_user u join directory.slug s on s.tenant_id = u.tenant_id
   where u.email = sign_in.email and (sign_in.slug is null or s.slug = sign_in.slug)
     and u.status = 'active'
   order by s.slug limit 10
$$;
