drop table tax_rate, tax_profile, barcode, product, till, location, branch, registration;
