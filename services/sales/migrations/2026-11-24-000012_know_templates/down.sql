alter table product drop column template;
