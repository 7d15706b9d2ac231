//! A real retailer's file, run through the fleet as a REST client of the gateway, and what a benchmark shares with it.

pub mod branches;
pub mod bundle;
pub mod check;
pub mod client;
pub mod events;
pub mod file;
pub mod replay;
pub mod setup;
pub mod spells;
pub mod till;
