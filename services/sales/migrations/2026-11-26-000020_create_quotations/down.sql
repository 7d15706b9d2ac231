drop table quotation;
delete from number_counter where purpose not in ('invoice', 'credit_note');
delete from series where purpose not in ('invoice', 'credit_note');
