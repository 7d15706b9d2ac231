drop table invoice_tender, invoice_line, invoice, reservation_decision;
drop function invoice_frozen();
