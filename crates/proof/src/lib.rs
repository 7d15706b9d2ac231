//! A small fleet of the shipped binaries (inventory, sales, outbox-worker) on private databases, to be killed from outside,
//! and the checker that must find nothing lost, doubled or stuck afterwards. It panics on anything unexpected: it is for tests.

mod checker;
mod fleet;

pub use checker::check;
pub use fleet::{Fleet, Process, binary};
