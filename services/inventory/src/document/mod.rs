//! Posted documents, as they were answered: receipts, adjustments, changes of status, returns to suppliers.
//!
//! * A document is written in the transaction that moves its goods, and never changed. Its movements are in the ledger
//!   under its id.
//! * A list gives documents without their lines, in the order they were posted.
//! * What goods cost is kept, and shown to those who may see values.

pub(crate) mod graphql;
mod http;
pub(crate) mod store;

pub(crate) use http::{Filter, find, list};
pub(crate) use store::Kind;
