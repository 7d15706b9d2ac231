drop table number_counter, series;
