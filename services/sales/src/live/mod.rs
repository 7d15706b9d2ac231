//! What tills are told as it happens, over `/ws/pos`: stock, prices, promotions, held bills and sessions.
//!
//! * Every process follows the topics by itself (no group), so each serves whoever is connected to it. What is told comes
//!   from committed events alone.
//! * Stock is told as a level: what an event of a sale, a receipt or a correction touched, and somebody watches, is gathered
//!   for a moment and asked of inventory in one question. A level that is told twice does no harm, one that is missed is
//!   told by the next question.
//! * Each frame carries a token: the places of all partitions up to which this client has been told everything. Whoever
//!   comes back with it is told what it missed, from Kafka, for as long as Kafka keeps it; else it is told that it must
//!   load anew (`resumed: false`).
//! * Nobody is waited for: a client that does not take what it is told is closed with 4408 when its queue is full.
//! * Tenant and permission are those of the handshake; when the session ends the socket is closed with 4401.

mod http;
mod hub;
mod model;
mod replay;

pub(crate) use http::routes;
pub(crate) use hub::{Hub, follows};
pub(crate) use replay::Kafka;
