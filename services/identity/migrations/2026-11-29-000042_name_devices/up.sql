-- What a session is called in the list of its user's.
alter table public.session
  add column device text,
  add constraint session_device_check check (char_length(device) between 1 and 60);
