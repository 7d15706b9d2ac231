//! Orders: `draft → confirmed → partially_fulfilled → fulfilled → closed`, and `cancelled` before anything is delivered.
//!
//! * Prices are agreed on when the order is taken down; a bill has the tax of its own day. How far an order is fulfilled is
//!   what its lines say: `held + delivered <= qty`, `invoiced <= qty` are CHECKs. What is neither held nor delivered of a
//!   confirmed order is its back order.
//! * Confirming claims the customer's credit (S6) and holds the stock. Without `allow_back_order` all of it is held or the
//!   order stays a draft; with it, what there is. A back order is served when stock comes.
//! * Two databases, no transaction over both. **What inventory is asked is written first**: the order's `step`, at most one at
//!   a time. Then inventory is asked, and what it answers is written with the step's end. Whatever dies in between leaves
//!   the step, and the next request or the job [`tend`] asks again: each of these calls may be repeated and gives its first
//!   answer, so nothing is held, delivered or released twice, and no hold is forgotten. A step that nobody asked about yet
//!   is asked about as well: the request's outcome is that of the step, not of the connection.
//!   - hold: attempt n, UUIDv5(order, n), replaces every lower attempt in one transaction of inventory's. A refusal is final
//!     for its attempt there; then, or when the attempt is over, the next one is taken.
//!   - deliver: the delivery is written `pending`, then issued from the hold, once by its id. A refusal is final for that id,
//!     too; the pending delivery is dropped and its number was never taken.
//!   - release: cancelling and closing are committed first and do not wait for inventory.
//! * Goods leave with deliveries alone. A bill may come before or after them and moves no stock. `invoiced <= delivered`,
//!   unless the bill says that it comes before the delivery.
//! * A cancelled bill ([`unbill`]) leaves what it billed to be billed again, and the order claims the credit for it again.
//!   A bill of an order that has ended stands: lower or take back what it sold.
//! * A hold that lost goods (`stock.reservation_broken`) gives its line back to the back order. What is said of an attempt
//!   that is being asked for is kept with the step; an answer older than that is asked for again.
//! * An order is closed when everything delivered is billed and everything billed delivered; the rest is released.
//! * Locks: the customer's account, then the order, then numbers.

mod commands;
pub(crate) mod graphql;
mod http;
mod model;
mod steps;
mod store;

pub(crate) use commands::{
    NewOrder, broken, lock_billed, received, returned, take_down, tend, unbill,
};
pub(crate) use http::{OrderBody, routes};
pub(crate) use model::{FulfilmentLine, Order, OrderId, OrderLine};
pub(crate) use store::get;
