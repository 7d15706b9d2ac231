-- Serial numbers of the pieces that a line sold or gave back, as far as somebody named them.
alter table invoice_line add column serials jsonb not null default '[]';
alter table credit_note_line add column serials jsonb not null default '[]';
