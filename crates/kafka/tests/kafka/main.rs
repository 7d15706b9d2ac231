//! The consumer loop on a real database and a real broker.
//!
//! Needs `BAHI_TEST_PG` and `BAHI_TEST_KAFKA` (scripts/infra test env). Every test has a database and topics of its own.

#![allow(clippy::unwrap_used)]

mod crash;
mod events;
mod fight;
mod lag;
mod mutants;
mod once;
mod operator;
mod order;
mod poison;
mod quarantine;
mod retry;
mod stands;
mod support;
mod trace;
