alter table policy drop column transfer_second_person_above;
