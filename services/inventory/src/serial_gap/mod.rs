//! Pieces that a fact moved and whose numbers the books do not know.
//!
//! * Opened with the movement, in its transaction: a sale that named no piece, or one that was not there; a return of what its
//!   invoice did not sell; what a count saw and the books have elsewhere; stock that was there before its product was followed
//!   by number.
//! * Of a gap that points out (-1) the pieces have left, and their numbers are still listed in stock; of one that points in
//!   (1), pieces lie there without a number.
//! * Assigning names the piece: it must lie where it left from, or be nowhere in stock when it came. The movement gets its
//!   piece; quantities do not change. What was only moved within the books is named where it left, and arrives with that.
//! * Where nobody will ever know, pieces that left a balance are taken for pieces that came to it.
//! * Both are for who works at the branch whose pieces they are.

mod commands;
mod http;
mod store;

pub use http::routes;
