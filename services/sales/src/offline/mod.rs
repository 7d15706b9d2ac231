//! The till without the network: what it sold and took back while it was away, sent later in batches.
//!
//! * What is sent has happened: it is never refused for stock. `Reserve` is asked with `allow_short`; without inventory
//!   the sale is written unreserved, and its event takes what there is.
//! * A till numbers by itself while it is away, under prefixes of its own (one for bills, one for credit notes), opened
//!   with its first session or by [`http`]. Each number is recorded once, with what became of it: a document, a sale that
//!   had been issued online (printed and void), or spoilt with a reason. What is missing between numbers is reported until
//!   it comes; it holds nothing up.
//! * An item is known by its number, its id and the hash of all of it. The same again gets its own document, for ever,
//!   also when that was cancelled since; another content under the number or the id is refused.
//! * The till's id decides in the one table of decisions, as online. Issued online for the same goods and money: that
//!   invoice is the answer. Given up online, or that invoice is cancelled: the sale is issued under an id derived from id and
//!   number, and both are told. Issued online by the same till for something else: that is cancelled
//!   on the way, then likewise. Where it cannot be (its day is over, it was touched or paid since, another till made it)
//!   the item is refused, `ISSUED_OTHERWISE`, until that invoice is cancelled or all of it came back.
//! * Amounts stand as the till computed them: they must add up (S1, S2) and follow the law for the rates they name, else
//!   the item is refused. What differs from the books (price, discount, rate, clock, session) is kept and reported with
//!   whether the books have changed since the till read its catalogue.
//! * The date is the printed one; the moment is by our clock, for the till tells what its own shows when it sends. A date
//!   in the future, or in a year whose returns can no longer be corrected, is refused.
//! * A sale belongs to its session; after the close it goes to a supplement of the Z report.
//! * One item is one transaction. Sales go side by side; a return waits for what stands before it.

mod commands;
mod http;
mod model;
mod pricing;
mod store;

pub(crate) use commands::{desk, provide};
pub(crate) use http::routes;
pub(crate) use model::Slip;
pub(crate) use store::{record, record_void, reopen};
