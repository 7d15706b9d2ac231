alter table credit_note_line drop column serials;
alter table invoice_line drop column serials;
