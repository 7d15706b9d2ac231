//! Recalls: a batch is called back, and whoever bought of it is found.
//!
//! * A recall blocks the batch at every location and breaks the holds of the API and of orders on it: they lose these
//!   goods (`stock.reservation_broken`) and keep the rest. Their goods go to quarantine.
//! * It concerns every branch that has some of it: nobody recalls, or lifts a recall, who does not work for all.
//! * Tills' holds are asked about afterwards, because goods may be over the counter already: what sales calls void is
//!   released, what is sold stays sold. When sales gives no answer the recall stands, and the holds are asked about
//!   again at their deadline.
//! * The trace is the ledger's: receipts, transfers, invoices with what came back of them, and everything else that
//!   moved goods of the batch. Who bought is what the invoice's event said.

mod commands;
mod http;
pub(crate) mod store;

pub(crate) use commands::{all_seen, break_holds, gates, holding};
pub use http::routes;
pub(crate) use store::Buyer;
