-- Ten tenants at most: each costs a password check. Whoever has more names the tenant. Those come first who have shown that
-- the address is theirs, then those who have had it longest: strangers who register with it keep nobody out.
create or replace function directory.sign_in(email text, slug text) returns table (tenant_id uuid, user_id uuid)
  language sql stable security definer set search_path = pg_catalog as $$
  select u.tenant_id, u.id
    from public.app_user u join directory.slug s on s.tenant_id = u.tenant_id
   where u.email = sign_in.email and (sign_in.slug is null or s.slug = sign_in.slug)
     and u.status = 'active'
   order by u.email_verified_at is null, u.created_at, s.slug limit 10
$$;
