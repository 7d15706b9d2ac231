//! The relay of one shard: lease, cursor, and a pump; from the beginning after any failure.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tokio_postgres::{Client, Config};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{self, Checkpoint, Checkpoints},
    flight::Flight,
    lease::{self, Lease},
    member::{self, Member},
    metrics::{Metrics, Standing},
    orders::Orders,
    origin::{self, Findings},
    park::Parked,
    producer::Producer,
    pump::{Left, Pump},
    reader::Reader,
    session::{self, SessionError},
    side::{self, Hints},
};

/// Between attempts to get the lease that another holds.
const LEASE_RETRY: Duration = Duration::from_millis(200);
/// How long a worker leaves a free lease to each of those that come before it.
const DEFERENCE: Duration = Duration::from_secs(2);
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

/// The relay of one shard of a database.
pub struct Relay {
    /// The service whose database it is: `source_service` of its events.
    pub service: String,
    /// The shard.
    pub shard: i16,
    /// This process among those that could relay it.
    pub member: Member,
    /// The number of its flight in the producer.
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
    /// How many shards the database has, as the relay of the first finds it.
    pub shards: watch::Sender<i16>,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

impl Relay {
    /// Relays until it is stopped. No failure ends it.
    pub async fn run(self) {
        let mut wait = RETRY.0;
        let mut said = None;
        while !self.stop.is_cancelled() {
            let before = self.standing.position();
            let outcome = self.session().await;
            self.metrics.idle();
            self.standing.caught_up(false);
            self.standing.unsaved_since(0);
            let error = match outcome {
                Ok(Left::Stopped) => continue,
                Ok(Left::HandedOver(away)) => {
                    self.away(away).await;
                    continue;
                }
                Err(error) => error,
            };
            match &error {
                SessionError::Fenced => self.metrics.fenced.inc(),
                SessionError::Resharded => continue,
                SessionError::Restored(_) => {
                    self.metrics.restored.set(1);
                    // Once, and again if it is another thing.
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        tracing::error!(db = self.service, %error, "not relayed");
                        said = Some(text);
                    }
                    wait = RETRY.1;
                }
                error if error.is_not_migrated() => {
                    if said.replace("not migrated".into()).is_none() {
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
            self.away(wait).await;
            wait = RETRY.1.min(wait * 2);
        }
    }

    async fn away(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn session(&self) -> Result<Left, SessionError> {
        let client = session::connect(&self.config).await?;
        let Some(lease) = self.lease(&client).await? else {
            return Ok(Left::Stopped);
        };
        let checkpoint = checkpoint::load(&client, self.shard).await?;
        let (origin, findings) =
            origin::examine(&client, &self.producer, &self.service, &checkpoint).await?;
        self.tell(&findings, &checkpoint);
        tracing::info!(
            db = self.service,
            shard = lease.shard.number,
            epoch = lease.epoch,
            "relaying"
        );
        self.metrics.restored.set(0);
        self.metrics.lease_owned.set(1);
        self.metrics.lease_epoch.set(lease.epoch);
        let parked = Parked::load(&client, lease.shard).await?;
        let checkpoints = Checkpoints::new(&client, lease, origin).await?;
        if checkpoint.origin != Some(origin) {
            // The next owner must see from where this one went on, also where nothing is published for a while.
            checkpoints
                .save(&client, &checkpoint.cursor, &checkpoint.reached)
                .await?;
        }
        let orders = Orders::new(&client, lease).await?;
        let hints = Arc::new(Hints::default());
        let side = side::run(
            self.config.clone(),
            hints.clone(),
            self.metrics.clone(),
            self.standing.clone(),
            (self.shard == 0).then_some(self.retention),
        );
        let _side = AbortOnDrop(tokio::spawn(side));
        let reader = Reader::new(client, lease.shard).await?;
        let pump = Pump::new(self, reader, checkpoints, checkpoint, parked, orders, hints);
        let outcome = pump.run().await;
        // Acknowledgements of what this session sent mean nothing to the next.
        self.metrics.repeated.inc_by(self.flight.len() as u64);
        self.flight.abandon();
        outcome
    }

    fn tell(&self, findings: &Findings, checkpoint: &Checkpoint) {
        let db = &self.service;
        for topic in checkpoint.reached.keys() {
            self.metrics.missing(topic).set(0);
        }
        if let Some((from, to)) = findings.timelines {
            self.metrics.failovers.inc();
            tracing::warn!(
                db,
                from,
                to,
                phantoms = findings.phantoms,
                "the server is on another timeline: the epoch is raised; phantoms are events that the topics hold and the database has lost"
            );
        }
        for (topic, missing) in &findings.missing {
            self.metrics.missing(topic).set(*missing);
            tracing::error!(
                db,
                topic,
                missing,
                "the topic lacks records that were published: `outbox-worker replay` brings back what the ring has"
            );
        }
    }

    /// Kafka gave an offset twice while this process ran.
    pub(crate) fn regressed(&self, topic: &str, records: i64) {
        let gauge = self.metrics.missing(topic);
        if gauge.get() == 0 {
            tracing::error!(
                db = self.service,
                topic,
                records,
                "the topic was emptied: `outbox-worker replay` brings back what the ring has"
            );
        }
        gauge.set(gauge.get().max(records));
    }

    /// Takes the lease when it is this worker's turn: at once where it comes first among those present, later the
    /// further behind it is, in case those before it cannot.
    async fn lease(&self, client: &Client) -> Result<Option<Lease>, SessionError> {
        member::appear(client, self.member, self.shard).await?;
        let mut free_since = None;
        while !self.stop.is_cancelled() {
            let sight = member::look(client, self.shard).await?;
            if self.shard == 0 {
                self.shards.send_if_modified(|shards| {
                    std::mem::replace(shards, sight.shards) != sight.shards
                });
            }
            if sight.held {
                free_since = None;
            } else {
                let since = *free_since.get_or_insert_with(Instant::now);
                let rank = member::rank(
                    self.member,
                    &sight.members,
                    &self.service,
                    self.shard,
                    sight.shards,
                );
                let patience = DEFERENCE * u32::try_from(rank).unwrap_or(u32::MAX);
                if since.elapsed() >= patience
                    && let Some(lease) = lease::try_acquire(client, self.shard, &self.owner).await?
                {
                    return Ok(Some(lease));
                }
            }
            self.away(LEASE_RETRY).await;
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
