drop table cash_movement, session_count, pos_session;
