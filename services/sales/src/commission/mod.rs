//! The ledger of commission: what sales persons earned by which document, and what was taken back.
//!
//! * **A sale writes nothing for it.** The job [`accrue`] looks afterwards: at new invoices by the transaction that wrote them,
//!   never beyond the oldest one that still runs, so that none is passed over whatever the order of their commits; at invoices
//!   to which something happened by a note of the change; at those from before a plan's activation by their time. All three
//!   become rows of work, which a transaction takes together with what it writes.
//! * The documents of an invoice are taken one after another: its issue, returns, notes, payments, payments that bounced, its
//!   cancellation, another sales person. What an invoice earns follows from what stands of it after each; the entries of a
//!   document are the difference. So they add up to what stands, whatever came in which order: a sale that is all back has
//!   earned exactly nothing.
//! * `collected`: the base is what stands of the line in proportion to what of the bill has been paid and not given back.
//! * The entries of slabs and targets differ by the sum of the period in which the sale was made, also where the document
//!   came later; they add up to what the sum earns, to the paisa. A slab that counts for the whole period brings a `true_up`
//!   of what was earned before.
//! * Nothing accrues twice: the documents that are in the ledger are kept with the sale, one transaction at a time works on a
//!   tenant (an advisory lock), and a unique key holds one entry for each (document, line, rule, kind).
//! * The rule of a line is that of the categories when the plan met the sale first, and stays.
//! * Returns without bill take no commission back: nobody knows who sold.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use commands::accrue;
pub(crate) use http::routes;
pub(crate) use model::{Entry, Posting};
