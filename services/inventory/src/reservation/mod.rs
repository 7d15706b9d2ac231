//! Holds: stock promised before the customer hears yes.
//!
//! * A hold ends once: `pending -> committed | released | expired`. An id that was ended before it was ever seen is
//!   remembered, so that its late request is not granted.
//! * A sale's hold has the id UUIDv5(invoice, attempt). The same id with the same hash gives the same grant; with
//!   another hash it is refused. Every lower attempt is released first, also when this one is refused, and shortages
//!   are served from what that freed only after this sale has taken its part.
//! * The demand of all lines of a product is checked together, and taken first expired, first out.
//! * Batches: the minimum shelf life is the longest of what the request and the rules for its customer ask for. A line may
//!   choose its batch; against first expired, first out, or below the minimum, that needs a reason and is recorded. A
//!   batch that is expired or blocked is never granted, and what was granted from one that is so by now is not committed or
//!   delivered (a till's sale is a fact, and is).
//! * A confirmed order's hold has no deadline. It is issued delivery by delivery, each once, and keeps the rest until the
//!   order closes, which releases it.
//! * An order of sales holds by attempts as a sale does, UUIDv5(order, attempt): a higher one replaces the lower ones in one
//!   transaction and takes its part first, so that a back order is served without letting go of what it has. A refused
//!   attempt, and a refused delivery, stay refused, however late they are told again. Only sales issues and ends them.
//! * At its deadline a sale's hold is never released on a guess: sales is asked. The API's holds lapse by the clock,
//!   and only they can be committed and released over HTTP.

mod broken;
mod commands;
mod http;
mod model;
mod order;
pub(crate) mod store;

pub(crate) use broken::{Broken, asking, lost_by_line};
pub use commands::{
    Issued, Made, Said, Wish, ask, commit, hold, lapse, let_go, put_off, release, reserve, resolve,
};
pub use http::routes;
pub use model::{
    Allocation, Answer, Ask, Demand, Hold, HoldLine, HoldState, Outcome, Owner, Terms, dealt,
    grant, hold_lines,
};
pub(crate) use order::{Handed, Promised, deliver, hold_for_order};
