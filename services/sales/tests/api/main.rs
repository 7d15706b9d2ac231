//! Sales over HTTP and gRPC, on real databases, with the real inventory beside it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests fail by panicking.

mod accounts;
mod baskets;
mod branches;
mod bundle;
mod cancelling;
mod catalogue;
mod commission;
mod counting;
mod exchanges;
mod faults;
mod graphql;
mod held;
mod house;
mod kits;
mod live;
mod noting;
mod numbers;
mod offline;
mod order_steps;
mod orders;
mod policy;
mod pricing;
mod prints;
mod privacy;
mod protocol;
mod quotations;
mod random;
mod refusals;
mod returns;
mod scenarios;
mod searching;
mod serials;
mod sessions;
mod support;
