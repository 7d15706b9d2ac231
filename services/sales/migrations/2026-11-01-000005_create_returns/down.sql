drop table credit_note_tender, credit_note_line, credit_note;
