-- What was printed of invoices and credit notes, the files that were made of them, and which are still to be made.
-- A document is an invoice or a credit note; the ids of both come from one space.

-- As documents show it.
alter table branch add column address text, add column phone text;

create table print_log (
  tenant_id     uuid        not null,
  document_id   uuid        not null,
  document_type text        not null,
  form          text        not null,
  -- of an A4; receipts have one
  copy          text        not null,
  -- how often this form and copy were printed until now, this time included
  print_no      int         not null,
  print_id      uuid        not null,
  format        text        not null,
  width         int,
  printed_by    uuid,
  printed_at    timestamptz not null,
  -- Of two that print at the same time one loses here, and prints a reprint.
  primary key (tenant_id, document_id, form, copy, print_no),
  constraint print_log_print_key unique (tenant_id, print_id),
  constraint print_log_document_check check (document_type in ('invoice', 'credit_note')),
  constraint print_log_form_check check (form in ('receipt', 'a4') and (form = 'receipt') = (width is not null)),
  constraint print_log_copy_check check (copy in ('original', 'duplicate', 'triplicate')),
  constraint print_log_no_check check (print_no > 0),
  constraint print_log_format_check check (format in ('escpos', 'html', 'pdf')),
  constraint print_log_width_check check (width in (58, 80))
);
create index print_log_printed_at on print_log (tenant_id, document_id, printed_at, print_id);
select tenancy.protect('public.print_log');
create trigger frozen before update or delete on print_log for each row execute function invoice_frozen();

-- The A4 of a copy as it lies in the object store, named by what is in it.
create table print_file (
  tenant_id     uuid        not null,
  document_id   uuid        not null,
  copy          text        not null,
  document_type text        not null,
  sha256        text        not null,
  bytes         int         not null,
  stored_at     timestamptz not null,
  primary key (tenant_id, document_id, copy),
  constraint print_file_document_check check (document_type in ('invoice', 'credit_note')),
  constraint print_file_copy_check check (copy in ('original', 'duplicate', 'triplicate')),
  constraint print_file_sha256_check check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint print_file_bytes_check check (bytes > 0)
);
select tenancy.protect('public.print_file');
create trigger frozen before update or delete on print_file for each row execute function invoice_frozen();

-- Documents whose original is still to be made.
create table print_task (
  tenant_id     uuid        not null,
  document_id   uuid        not null,
  document_type text        not null,
  due           timestamptz not null,
  attempts      int         not null default 0,
  primary key (tenant_id, document_id),
  constraint print_task_document_check check (document_type in ('invoice', 'credit_note'))
);
create index print_task_due on print_task (due);
select tenancy.protect('public.print_task');

-- Takes tasks of every tenant for a while: later and later, where they fail.
create function claim_print_tasks(moment timestamptz, most int)
  returns table (tenant_id uuid, document_id uuid, document_type text)
  language sql security definer set search_path = pg_catalog, public as $$
  update public.print_task t
     set due = moment + interval '1 minute' * power(2, least(t.attempts, 6)), attempts = t.attempts + 1
    from (select d.tenant_id, d.document_id from public.print_task d
           where d.due <= moment order by d.due limit most for update skip locked) d
   where t.tenant_id = d.tenant_id and t.document_id = d.document_id
  returning t.tenant_id, t.document_id, t.document_type
$$;
revoke all on function claim_print_tasks(timestamptz, int) from public;
do $$ begin
  execute format('create policy claim on public.print_task to %I using (true)', current_user);
  execute format('grant execute on function claim_print_tasks(timestamptz, int) to %I',
    replace(current_user, '_owner', '_app'));
end $$;
