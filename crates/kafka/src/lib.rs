//! The consumer loop: every event has its effect once, in the order of its key, or waits where it can be seen.
//!
//! ```no_run
//! use bahi_db::{Db, Tx};
//! use bahi_events::{Envelope, INVOICE_ISSUED, InvoiceIssued, RETURN_PROCESSED};
//! use bahi_kafka::{Consumer, Failed};
//!
//! # #[derive(Clone)] struct State { location: String }
//! /// A handler is an async function over the transaction and a slice of events of one tenant.
//! async fn issued(tx: &mut Tx, events: &[Envelope<InvoiceIssued>]) -> Result<(), Failed> {
//!     // Multi-row statements through `tx.conn()`; `?` on a bahi_db::Error says retry or reject.
//!     for event in events {
//!         tracing::debug!(tenant = %tx.tenant(), number = event.payload.number, "issued");
//!     }
//!     Ok(())
//! }
//!
//! fn consumer(state: State) -> Consumer {
//!     Consumer::new("inventory")
//!         .on(INVOICE_ISSUED, issued)
//!         // A closure may own what it needs.
//!         .on(RETURN_PROCESSED, async move |tx, events| {
//!             tracing::debug!(at = state.location, count = events.len(), tenant = %tx.tenant(), "returned");
//!             Ok(())
//!         })
//! }
//!
//! # async fn run(db: Db, state: State, stop: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
//! consumer(state).run(db, "127.0.0.1:9092", stop).await
//! # }
//! ```
//!
//! # What a handler can rely on
//! - The slice is never empty, of one tenant and one type, and keeps the order of each key, also across types.
//! - The position in the partition, the inbox, the handler's statements and the events it publishes are one
//!   transaction: the effect happens once, whatever is delivered twice and whoever dies when. So it opens no
//!   transaction of its own, does no network I/O, and keeps no state outside `tx`: it may run several times.
//! - [`Failed`] says what becomes of a failure. A panic is a rejection.
//! - What a slice of one event publishes carries that event's id, flow and trace. In a larger slice the handler
//!   says which event it follows from (`Outgoing::causation_id`).
//!
//! # What an operator can rely on
//! - Offsets live in `inbox.position` of the service's database. Kafka's committed offsets are for tools that
//!   show lag; `<service> consumer replay` reads again, and a running consumer notices within seconds.
//! - A rejected record stands in `inbox.quarantine` and, a moment later, in `<topic>.<consumer>.dlq`. Later
//!   records of its key wait in quarantine; other keys go on. `<service> consumer dlq retry` tries again, `dlq drop`
//!   gives the record up; the consumer takes up the key within seconds. See docs/consumers.md.

mod admin;
mod consumer;
mod dead_letters;
mod ends;
mod failed;
mod follow;
mod group;
mod handler;
mod member;
mod meters;
mod operator;
mod partition;
mod plan;
mod reader;
mod record;
mod release;
mod settings;
mod slices;
mod status;
mod trace;
mod worker;

pub use admin::create_topics;
pub use consumer::Consumer;
pub use ends::Ends;
pub use failed::Failed;
pub use follow::{Follow, Followed, Place};
pub use operator::{From, Heard, Operator, Replay, Replayed, Standing, To};
pub use reader::{Part, Reader, Source};
pub use settings::{MAX_RECORD, consumer_settings, producer_settings};
pub use status::{PartitionStatus, Status};
pub use worker::Tally;
