drop table effect;
