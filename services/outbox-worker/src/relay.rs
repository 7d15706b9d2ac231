//! The relay of one database: lease, cursor, and a pump; from the beginning after any failure.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};
use tokio_postgres::{Client, Config};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{self, Checkpoints},
    flight::Flight,
    lease::{self, Lease},
    metrics::{Metrics, Standing},
    park::Parked,
    producer::Producer,
    pump::Pump,
    reader::Reader,
    session::{self, SessionError},
    side,
};

/// Between attempts to get the lease that another holds.
const LEASE_RETRY: Duration = Duration::from_millis(200);
/// Between attempts after a failure, doubled from the first to the second.
pub(crate) const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What one database may have in flight.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events, acknowledged behind a gap or not.
    pub events: usize,
    /// Bytes not acknowledged.
    pub bytes: usize,
    /// Windows.
    pub windows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 12_000,
            bytes: 16 << 20,
            windows: 16,
        }
    }
}

/// The relay of one database.
pub struct Relay {
    /// The service whose database it is: `source_service` of its events.
    pub service: String,
    /// The database's number: that of its flight in the producer.
    pub source: u16,
    /// Its connection.
    pub config: Config,
    /// This process, as `outbox.shard` shows it.
    pub owner: String,
    /// What may be in flight.
    pub limits: Limits,
    /// How long published rows are kept.
    pub retention: Duration,
    /// The producer of the process.
    pub producer: Arc<Producer>,
    /// What is in flight.
    pub flight: Arc<Flight>,
    /// Metrics.
    pub metrics: Metrics,
    /// Where it stands.
    pub standing: Arc<Standing>,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

impl Relay {
    /// Relays until it is stopped. No failure ends it.
    pub async fn run(self) {
        let mut wait = RETRY.0;
        let mut waiting_for_migration = false;
        while !self.stop.is_cancelled() {
            let before = self.standing.position();
            let outcome = self.session().await;
            self.metrics.lease_owned.set(0);
            self.standing.caught_up(false);
            let Err(error) = outcome else { continue };
            match &error {
                SessionError::Fenced => self.metrics.fenced.inc(),
                error if error.is_not_migrated() => {
                    if !std::mem::replace(&mut waiting_for_migration, true) {
                        tracing::info!(db = self.service, %error, "the outbox is not there yet; waiting for its owner");
                    }
                    wait = RETRY.1;
                }
                error => {
                    tracing::warn!(db = self.service, %error, "the session ended; a new one follows")
                }
            }
            if self.standing.position() != before {
                wait = RETRY.0;
            }
            tokio::select! {
                () = sleep(wait) => wait = RETRY.1.min(wait * 2),
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn session(&self) -> Result<(), SessionError> {
        let client = session::connect(&self.config).await?;
        let Some(lease) = self.lease(&client).await? else {
            return Ok(());
        };
        tracing::info!(db = self.service, epoch = lease.epoch, "relaying");
        self.metrics.lease_owned.set(1);
        self.metrics.lease_epoch.set(lease.epoch);
        let cursor = checkpoint::load(&client).await?;
        let parked = Parked::load(&client).await?;
        let checkpoints = Checkpoints::new(&client, lease).await?;
        let hint = Arc::new(Notify::new());
        let side = side::run(
            self.config.clone(),
            hint.clone(),
            self.metrics.clone(),
            self.standing.clone(),
            self.retention,
        );
        let _side = AbortOnDrop(tokio::spawn(side));
        let reader = Reader::new(client).await?;
        let pump = Pump::new(self, reader, checkpoints, cursor, parked, hint);
        let outcome = pump.run().await;
        // Acknowledgements of what this session sent mean nothing to the next.
        self.flight.abandon();
        outcome
    }

    async fn lease(&self, client: &Client) -> Result<Option<Lease>, SessionError> {
        while !self.stop.is_cancelled() {
            if let Some(lease) = lease::try_acquire(client, &self.owner).await? {
                return Ok(Some(lease));
            }
            tokio::select! {
                () = sleep(LEASE_RETRY) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(None)
    }
}
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
