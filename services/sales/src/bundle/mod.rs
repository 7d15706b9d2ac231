//! What a till takes with it to sell without the network: one versioned, compressed bundle of its branch's catalogue, and
//! what has changed since the version it has.
//!
//! * Each copy bears the number of the change that wrote it; numbers are committed in their order. A version is that
//!   number and the restore epoch: after a restore numbers come again, so another epoch gets the whole.
//! * The version is read first and the rows after it, page by page and each page in a transaction of its own. What changes
//!   in between may be in the bundle already and comes again with the next one; nothing is missed.
//! * What is deleted keeps its row for ever and is told as `gone`; likewise what stopped being for sale, and lists and
//!   promotions that are no more for this branch.
//! * A list that changed is sent with all of its prices. Coupons are not in it: how often they were used is known here only.
//! * Rows are arrays in the order of `columns`, one JSON document a line, the head first.

mod http;
mod model;
mod store;

pub(crate) use http::routes;
pub(crate) use model::{Changes, Version};
pub(crate) use store::changes;
