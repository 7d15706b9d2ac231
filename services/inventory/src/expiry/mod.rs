//! Goods near their last day.
//!
//! * What is said (`batch.expiring`) is said once for each batch, location and threshold: 90, 60, 30, 7 and 0 days. A
//!   batch that comes in nearer to its end than a threshold skips the wider ones.
//! * The table of alerts is the memory, and its key the guard: the job may run twice, or on two replicas at once.
//! * Quantity and value at risk are those on the shelf. Blocked batches are lost already and not warned of.

mod commands;
mod http;
mod model;
mod store;

pub use commands::warn;
pub use http::routes;
