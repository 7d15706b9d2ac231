drop table customer_word;
