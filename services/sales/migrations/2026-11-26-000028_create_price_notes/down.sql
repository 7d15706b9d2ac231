drop table price_note_tender, price_note_line, price_note;
