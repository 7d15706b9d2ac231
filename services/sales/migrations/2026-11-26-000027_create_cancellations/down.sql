drop table invoice_edit, cancellation_tender, cancellation;
