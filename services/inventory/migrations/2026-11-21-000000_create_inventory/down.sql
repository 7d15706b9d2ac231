drop table inbox.caught_up;
drop function unheard_sales(timestamptz, int);
drop function due_holds(text[], timestamptz, int);
drop table return_line, shortage_settlement, shortage, reservation_line, reservation, cost_layer, movement,
  movement_header, stock_item, batch, location, product;
drop function movement_is_immutable();
