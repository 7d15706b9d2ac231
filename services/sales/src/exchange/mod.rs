//! Exchanges: goods come back and others go out in one request.
//!
//! * One transaction of the sale's own protocol ([`crate::invoice`]) writes the credit note and the invoice, each with its
//!   number, in the till's session: either both are there or neither. The stock of what goes out is promised before.
//! * The credit pays the sale as a means of payment of both documents, `exchange`, of the same amount. What the sale costs
//!   more is paid, what the credit is more is refunded, both like at any sale or return. The drawer sees only those.
//! * Repeated by the invoice's id like every sale, it answers with the same two documents.
//! * What came back meanwhile by another request changes the credit: then the whole is priced again, or refused.

mod commands;
mod http;
mod store;

pub(crate) use http::routes;
pub(crate) use store::record;
