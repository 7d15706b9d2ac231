//! The pool of connections of a service.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bahi_types::Clock;
use diesel::connection::InstrumentationEvent;
use diesel_async::{
    AsyncConnection, AsyncPgConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};

use crate::{Changed, Error, Result, hint::Hint};

/// Settings of a pool.
#[derive(Clone, Debug)]
pub struct DbConfig {
    /// PostgreSQL URL of the runtime role.
    pub url: String,
    /// Most connections held.
    pub connections: usize,
    /// Longest wait for a connection; then the answer is 503.
    pub checkout: Duration,
    /// Put before the topics of events, so that several stacks can share a broker; empty as a rule.
    pub topic_prefix: String,
    /// The service, as it appears in events (`source_service`) and in `application_name`.
    pub service: &'static str,
}

/// A service's database.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool<AsyncPgConnection>,
    service: &'static str,
    topic_prefix: String,
    clock: Clock,
    hint: Hint,
    witness: OnceLock<Box<Witness>>,
    statements: Arc<AtomicU64>,
}

/// What [`Db::on_commit`] calls.
pub(crate) type Witness = dyn Fn(&[Changed]) + Send + Sync;

/// How busy the pool is.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    /// Connections open.
    pub size: usize,
    /// Connections idle.
    pub available: usize,
    /// Callers waiting for one.
    pub waiting: usize,
}

impl Db {
    /// Makes the pool; connections are opened when they are first needed. Starts the task that hints to the
    /// outbox worker, so it must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the settings make no pool.
    pub fn new(config: &DbConfig, clock: Clock) -> anyhow::Result<Self> {
        let url = with_options(&config.url, config.service);
        let mut manager = ManagerConfig::default();
        // Checks for a closed socket and an open transaction without a round trip; Tx::begin takes
        // another connection when the first statement finds this one dead.
        manager.recycling_method = RecyclingMethod::Fast;
        let statements = Arc::new(AtomicU64::new(0));
        let counter = statements.clone();
        manager.custom_setup = Box::new(move |url| {
            let counter = counter.clone();
            let connecting = AsyncPgConnection::establish(url);
            Box::pin(async move {
                let mut conn = connecting.await?;
                conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                    if let InstrumentationEvent::StartQuery { .. } = event {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
                Ok(conn)
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(url.clone(), manager);
        let pool = Pool::builder(manager)
            .max_size(config.connections)
            // The connection used last has its statements planned and its caches warm; the others rest.
            .queue_mode(deadpool::managed::QueueMode::Lifo)
            .wait_timeout(Some(config.checkout))
            .create_timeout(Some(Duration::from_secs(3)))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        let hint = Hint::spawn(url);
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                service: config.service,
                topic_prefix: config.topic_prefix.clone(),
                clock,
                hint,
                witness: OnceLock::new(),
                statements,
            }),
        })
    }

    pub(crate) async fn checkout(&self) -> Result<Object<AsyncPgConnection>> {
        self.inner.pool.get().await.map_err(|error| {
            tracing::warn!(%error, "no database connection");
            Error::Unavailable
        })
    }

    pub(crate) fn hint(&self) -> &Hint {
        &self.inner.hint
    }

    /// Calls `witness` after every commit of this process that said an event or touched something, before whoever
    /// waits for the commit is answered, with the aggregates it changed: what is kept in memory is dropped in time.
    /// It must not block. Only the first witness counts.
    pub fn on_commit(&self, witness: impl Fn(&[Changed]) + Send + Sync + 'static) {
        self.inner.witness.set(Box::new(witness)).ok();
    }

    pub(crate) fn witness(&self) -> Option<&Witness> {
        self.inner.witness.get().map(|witness| &**witness)
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.inner.topic_prefix)
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.inner.service
    }

    /// How busy the pool is.
    pub fn status(&self) -> PoolStatus {
        let status = self.inner.pool.status();
        PoolStatus {
            size: status.size,
            available: status.available,
            waiting: status.waiting,
        }
    }

    /// Statements sent since the process began.
    pub fn statements(&self) -> u64 {
        self.inner.statements.load(Ordering::Relaxed)
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        use diesel_async::SimpleAsyncConnection;
        let mut conn = self.checkout().await?;
        conn.batch_execute("select 1").await.map_err(Error::from)
    }

    /// Closes the pool: no more checkouts.
    pub fn close(&self) {
        self.inner.pool.close();
    }
}

/// Adds the connection settings every service uses, unless the URL has its own.
fn with_options(url: &str, service: &str) -> String {
    let mut url = url.to_owned();
    let defaults = [
        ("connect_timeout", "3"),
        ("tcp_user_timeout", "3"),
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("keepalives_retries", "2"),
        ("application_name", service),
    ];
    for (name, value) in defaults {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
    }
    url
}
