//! Receipts: money that comes in after a sale, or ahead of one.
//!
//! * A receipt has one means and one amount, and a number of its own series. What is taken at a till needs its open
//!   session and goes into the drawer; cheques and transfers are taken in the office.
//! * It is allocated to invoices: to those chosen, else to the customer's oldest first. What is left is an advance of the
//!   customer, to be allocated or given back later. Without a customer (the buyer of an invoice on credit who has no
//!   account) all of it is allocated at once.
//! * S7: no invoice is paid beyond its open amount, no receipt allocated or given back beyond what is left of it. Both
//!   are CHECKs over amounts that are changed under the locks of account, receipt and invoices, taken in that order.
//! * A payment changes no fiscal field: an invoice's payment status follows from its amounts.
//! * A reversal (a cheque that bounced) undoes all allocations: what was paid is owed again, beyond any limit, because it
//!   is a fact. It needs `sales.receipt.reverse`, a refund `sales.receipt.refund`; both are audited.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use model::{Receipt, Refund};
