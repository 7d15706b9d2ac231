//! The relay on a real PostgreSQL and a real Kafka (`scripts/infra test env` prints where they are). Every test has
//! a database and topics of its own, and one oracle judges what arrived against what was committed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod crash;
mod durability;
mod failover;
mod hazards;
mod hint;
mod lease;
mod load;
mod log;
mod mock;
mod mutant;
mod operate;
mod order;
mod poison;
mod restore;
mod ring;
mod sender;
mod share;
mod world;
