//! A small fleet of the shipped binaries on private databases, to be killed from outside or spied on, and the checker that
//! must find nothing lost, doubled or stuck afterwards. It panics on anything unexpected: it is for tests.

mod business;
mod checker;
mod fleet;
mod gate;
mod restore;
mod shop;
mod topic;

pub use business::{Business, PASSWORD};
pub use checker::{check, check_fleet};
pub use fleet::{Fleet, How, Process};
pub use gate::{Gate, Unfiltered};
pub use restore::Backup;
pub use shop::Shop;
pub use topic::{events, length, payloads, repeat, send};
