drop function directory.find_api_key(text);
drop function directory.claim_api_key(text, uuid, uuid);
drop table directory.api_key;
drop table public.api_key;
