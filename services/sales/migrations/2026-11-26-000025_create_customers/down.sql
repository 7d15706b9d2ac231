drop table account_entry, customer_account, customer;
