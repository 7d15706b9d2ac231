//! Serial numbers: which piece lies where, and every movement of it.
//!
//! * Of a product followed by number every piece has one, unique in the product for ever; stock of it is whole.
//! * What a person posts (receipts, adjustments, changes of status, transfers) names every piece it moves, and each must
//!   be where the document takes it from. A number that is in stock, sold or thrown away is not received again; a sold
//!   one comes back by a return.
//! * A fact (an invoice, a return, a count) is never refused: pieces it does not name, or names in vain, are a gap (see
//!   [`crate::serial_gap`]), listed until somebody assigns their numbers. The numbers of a sale that is owed goods wait for them.
//! * A till that names its pieces holds these pieces: nobody else is promised them while the hold is pending. A till that
//!   names none sells from the quantity, and the gap tells which invoice lines are still without numbers.
//! * For each location, batch and state: numbers in stock + pieces without a number - numbers whose piece has left = on
//!   hand. It is written in the transaction of the movement, and `GET integrity` looks at it.
//! * Numbers are locked in primary-key order after the gates and the shortages of their places. A number that is new to two
//!   transactions belongs to the first; the other one looks again.

mod commands;
mod http;
mod model;
pub(crate) mod store;

pub(crate) use commands::{
    Named, PROMISED, begin, check_lines, follow, promise, refuse_promised, take_up,
};
pub(crate) use http::numbers;
pub use http::routes;
pub use model::Reason;
pub(crate) use model::{Name, Piece, Pieces, SerialState, Sold, check, on_shelf, place_of, whole};
