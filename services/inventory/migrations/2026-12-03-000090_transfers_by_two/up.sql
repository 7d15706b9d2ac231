-- Up to this worth whoever wrote a transfer may let it go too; none: any worth.
alter table policy add column transfer_second_person_above numeric(18, 2)
  constraint policy_transfer_second_check check (transfer_second_person_above >= 0 and transfer_second_person_above <> 'NaN');
