//! The database of a service: transactions of one tenant, the outbox, the inbox, idempotency, migrations.
//!
//! [`Tx`] is the only way to a connection. It always belongs to one tenant, which PostgreSQL enforces by
//! forced row-level security, and its events are written as the last statement before COMMIT.

mod batch;
mod context;
mod error;
mod hint;
mod idempotency;
mod migrate;
mod operate;
mod outbox;
mod pool;
mod quarantine;
mod sql;
mod tx;

pub use batch::{Batch, Claim, Move, Position};
pub use context::{Ctx, Idempotency, Trace};
pub use diesel_migrations::{EmbeddedMigrations, embed_migrations};
pub use error::{Error, Failure, Result};
pub use migrate::{migrate, outbox_sql};
pub use operate::{Letter, Operation, Place, Which};
pub use pool::{Db, DbConfig, PoolStatus};
pub use quarantine::{Held, Quarantined};
pub use sql::{Bound, Sql, sql};
pub use tx::{Changed, Command, Done, Tx};
