-- A template stands for its variants and is not sold itself.
alter table product add column template boolean not null default false;
