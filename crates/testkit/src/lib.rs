//! Tests on real parts: each test gets a private PostgreSQL database (cloned from a migrated template), the real
//! service on a random port, and clients with signed tokens.
//!
//! The parts come from the environment (`scripts/infra test env` prints it): BAHI_TEST_PG, BAHI_TEST_KAFKA,
//! BAHI_TEST_REDIS, BAHI_TEST_S3, BAHI_TEST_KEYS. Everything here panics when something is missing: it is for tests only.

mod app;
mod books;
mod catalogue;
mod client;
mod database;
mod edge;
mod event;
mod flat;
mod ledger;
mod operations;
mod privacy;
mod process;
mod provider;
mod register;
mod searches;
mod store;
mod wait;

pub use app::TestApp;
pub use books::{wrong_in_goods, wrong_in_sales};
pub use catalogue::{assert_branch_tables, assert_tenant_tables};
pub use client::{Client, Reply};
pub use database::TestDb;
pub use edge::TestEdge;
pub use event::envelope;
pub use flat::assert_flat;
pub use ledger::{Entry, Outcome, Seen, Verdict, digest, judge};
pub use operations::{assert_operations, assert_permissions_written_down, nowhere};
pub use privacy::{Archive, assert_left_out, erase, export, mentions, run};
pub use process::{most_resident, signal};
pub use provider::{
    Manners, Misstep, PROVIDER_CLIENT, ProviderKey, SentBack, Signing, TestProvider,
};
pub use register::register_of;
pub use searches::assert_searches;
pub use store::TestStore;
pub use wait::eventually;

/// A variable of the test environment.
pub fn test_env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run scripts/test, or eval \"$(scripts/infra test env)\" first")
    })
}
