//! The one connection of a database that reads, checkpoints and holds the lease: what one of them loses, all lose.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, types::PgLsn};

/// How long a statement on a healthy server may take. A session that hears nothing for longer gives itself up,
/// well before the server could give its lock to another.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// As [`PATIENCE`], for statements that read a backlog.
pub const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// Plans: the ring's partitions have no statistics worth the name, so the planner is told what is right for all
/// of them. Timeouts: a process that was stopped still answers keepalives; only the idle timeout frees its lock.
/// A checkpoint that is lost only repeats events, so it does not wait for the disk.
const SETTINGS: &str = "
    set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off; set jit = off;
    set plan_cache_mode = force_generic_plan; set max_parallel_workers_per_gather = 0;
    set statement_timeout = '30s'; set lock_timeout = '3s';
    set idle_in_transaction_session_timeout = '10s'; set idle_session_timeout = '10s';
    set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2; set tcp_keepalives_count = 3; set tcp_user_timeout = '10s';
    set synchronous_commit = off; set timezone = 'UTC'; set client_encoding = 'UTF8'";

/// Why a session came to its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server answered with an error, or the connection is gone.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The server sent something that this worker cannot read.
    #[error(transparent)]
    Malformed(#[from] crate::row::Malformed),
    /// The server sent a snapshot that this worker cannot read.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::NotASnapshot),
    /// Another worker took the lease.
    #[error("another worker has taken the lease")]
    Fenced,
    /// The outbox is not as the worker's proof of order needs it.
    #[error("{0}")]
    Unsound(&'static str),
    /// The database is not the one that was left: nothing is relayed until an operator has said so.
    #[error("{0}")]
    Restored(String),
    /// The database has another number of shards now.
    #[error("the shards have changed")]
    Resharded,
    /// Kafka did not answer, or no producer could be made.
    #[error("kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
}

/// tokio-postgres says only "db error" of an error of the server.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

impl SessionError {
    /// Whether the outbox does not exist yet: its owner has not migrated.
    pub fn is_not_migrated(&self) -> bool {
        use tokio_postgres::error::SqlState;
        let Self::Database(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| {
            [
                SqlState::UNDEFINED_TABLE,
                SqlState::INVALID_SCHEMA_NAME,
                SqlState::INSUFFICIENT_PRIVILEGE,
            ]
            .contains(code)
        })
    }
}

/// Bounds the time of a statement.
pub async fn within<T, E>(
    limit: Duration,
    statement: impl Future<Output = Result<T, E>>,
) -> Result<T, SessionError>
where
    SessionError: From<E>,
{
    Ok(timeout(limit, statement)
        .await
        .map_err(|_| SessionError::Silent(limit))??)
}

/// The connection's configuration with what every connection of the worker has.
pub fn configure(url: &str) -> Result<Config, tokio_postgres::Error> {
    let mut config: Config = url.parse()?;
    config
        .application_name("outbox-worker")
        .connect_timeout(PATIENCE)
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(5))
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3);
    Ok(config)
}

/// Connects the session. The connection closes when the client is dropped.
pub async fn connect(config: &Config) -> Result<Client, SessionError> {
    let (client, connection) = within(PATIENCE, config.connect(NoTls)).await?;
    // An error of the connection reaches whoever waits for a statement.
    tokio::spawn(async move { connection.await.ok() });
    within(PATIENCE, client.batch_execute(SETTINGS)).await?;
    Ok(client)
}

/// Waits until all that was visible at `lsn` is on disk. A row of a transaction with synchronous_commit=off is
/// visible before that; published at once, it would be an event that a crash of the server makes untrue.
pub async fn durable(client: &Client, lsn: PgLsn) -> Result<(), SessionError> {
    for attempt in 0u32.. {
        let row = within(
            PATIENCE,
            client.query_one("select pg_current_wal_flush_lsn() >= $1", &[&lsn]),
        )
        .await?;
        if row.get(0) {
            break;
        }
        if attempt == 1 {
            // The server writes by itself only every wal_writer_delay; a synchronous commit of ours does it now.
            let flush = "begin; set local synchronous_commit = on; select pg_logical_emit_message(true, 'outbox', ''); commit";
            within(PATIENCE, client.batch_execute(flush)).await?;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}
