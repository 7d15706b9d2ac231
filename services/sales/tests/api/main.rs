//! Sales over HTTP and gRPC, on real databases, with the real inventory beside it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests fail by panicking.

mod catalogue;
mod counting;
mod held;
mod house;
mod kits;
mod numbers;
mod pricing;
mod protocol;
mod returns;
mod scenarios;
mod serials;
mod sessions;
mod support;
