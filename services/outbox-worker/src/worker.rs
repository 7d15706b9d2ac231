//! All relays of the process: one producer, one task per database, and in it one per shard.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Database},
    flight::{Flight, seconds_since},
    lease::MOST_SHARDS,
    member::{self, Member},
    metrics::{Metrics, Standing},
    producer::{Flights, Producer},
    relay::{Limits, Relay},
    session,
};

/// How often the gauges that grow by themselves are brought up to date.
const GAUGES: Duration = Duration::from_secs(1);
/// A look at the tail no older than this means that nothing is behind.
const FRESH: f64 = 1.0;

/// Relays every database of the configuration until `stop` is cancelled. A database that fails is tried again and does
/// not concern the others. At `reload` the configuration is read anew: databases that are new in it are relayed from
/// then on, those that are gone no longer, and the others do not notice.
///
/// # Errors
/// When the first configuration is wrong, or no producer can be made; never later.
pub async fn run(
    load: impl Fn() -> anyhow::Result<Config>,
    limits: Limits,
    reload: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::new(load()?, limits, stop.clone())?;
    let mut tick = tokio::time::interval(GAUGES);
    loop {
        tokio::select! {
            // Databases end when all stops, when they are gone from the register, or in a panic.
            Some(ended) = fleet.tasks.join_next() => ended.context("a relay panicked")?,
            () = stop.cancelled(), if fleet.tasks.is_empty() => return Ok(()),
            () = reload.notified() => match load().and_then(|config| fleet.follow(config)) {
                Ok(()) => tracing::info!(databases = fleet.databases.len(), "the configuration is read anew"),
                Err(error) => tracing::error!(error = format!("{error:#}"), "the configuration stays as it was"),
            },
            _ = tick.tick() => fleet.watched.lock().retain(Watched::observe),
        }
    }
}

/// The databases that are relayed.
struct Fleet {
    member: Member,
    limits: Limits,
    flights: Flights,
    producer: Arc<Producer>,
    /// By service: its URL, and how to end it.
    databases: BTreeMap<String, (String, CancellationToken)>,
    watched: Arc<Mutex<Vec<Watched>>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Fleet {
    fn new(config: Config, limits: Limits, stop: CancellationToken) -> anyhow::Result<Self> {
        let flights = Flights::default();
        let producer = Producer::new(&config.kafka, flights.clone(), Metrics::rebuilds())?;
        let mut fleet = Self {
            member: member::draw(),
            limits,
            flights,
            producer: Arc::new(producer),
            databases: BTreeMap::new(),
            watched: Arc::default(),
            tasks: JoinSet::new(),
            stop,
        };
        fleet.follow(config)?;
        Ok(fleet)
    }

    /// Starts what is new in `config` and ends what is gone from it.
    fn follow(&mut self, config: Config) -> anyhow::Result<()> {
        // All of it is checked before any of it is done.
        for Database { service, url } in &config.databases {
            session::configure(url)
                .with_context(|| format!("the URL of the database of {service}"))?;
        }
        anyhow::ensure!(
            config.kafka == self.producer.bootstrap(),
            "another Kafka takes a restart"
        );
        self.databases.retain(|service, (url, stop)| {
            let stays = config
                .databases
                .iter()
                .any(|d| d.service == *service && d.url == *url);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for database in config.databases {
            if self.databases.contains_key(&database.service) {
                continue;
            }
            let stop = self.stop.child_token();
            let task = Seat {
                member: self.member,
                limits: self.limits,
                flights: self.flights.clone(),
                producer: self.producer.clone(),
                watched: self.watched.clone(),
                owner: config.owner.clone(),
                retention: config.retention,
                service: database.service.clone(),
                config: session::configure(&database.url)?,
                stop: stop.clone(),
            };
            self.tasks.spawn(task.run());
            self.databases
                .insert(database.service, (database.url, stop));
        }
        Ok(())
    }
}

/// One database.
struct Seat {
    member: Member,
    limits: Limits,
    flights: Flights,
    producer: Arc<Producer>,
    watched: Arc<Mutex<Vec<Watched>>>,
    owner: String,
    retention: Duration,
    service: String,
    config: tokio_postgres::Config,
    stop: CancellationToken,
}

impl Seat {
    /// Runs a relay for each shard that the database has.
    async fn run(self) {
        let (shards, mut found) = watch::channel(1i16);
        let mut relays: Vec<CancellationToken> = Vec::new();
        let mut tasks = JoinSet::new();
        loop {
            let count =
                usize::try_from((*found.borrow_and_update()).clamp(1, MOST_SHARDS)).unwrap_or(1);
            for gone in relays.drain(count.min(relays.len())..) {
                gone.cancel();
            }
            while relays.len() < count && !self.stop.is_cancelled() {
                let stop = self.stop.child_token();
                match self.relay(relays.len(), shards.clone(), stop.clone()) {
                    Some(relay) => tasks.spawn(relay),
                    None => break,
                };
                relays.push(stop);
            }
            tokio::select! {
                changed = found.changed(), if !self.stop.is_cancelled() => {
                    // The sender lives as long as this function.
                    changed.unwrap_or_default();
                }
                ended = tasks.join_next() => match ended {
                    None => return,
                    Some(ended) => resume_panic(ended),
                },
            }
        }
    }

    fn relay(
        &self,
        shard: usize,
        shards: watch::Sender<i16>,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let shard = i16::try_from(shard).ok()?;
        let metrics = Metrics::of(&self.service, shard);
        let flight = Arc::new(Flight::new(metrics.commit_to_ack.clone()));
        let standing = Arc::new(Standing::default());
        let Some(source) = self.flights.add(flight.clone()) else {
            tracing::error!(db = self.service, "too many relays for one process");
            return None;
        };
        self.watched.lock().push(Watched {
            metrics: metrics.clone(),
            flight: flight.clone(),
            standing: standing.clone(),
            stop: stop.clone(),
        });
        let relay = Relay {
            service: self.service.clone(),
            shard,
            member: self.member,
            source,
            config: self.config.clone(),
            owner: self.owner.clone(),
            limits: self.limits,
            retention: self.retention,
            producer: self.producer.clone(),
            flight,
            metrics,
            standing,
            shards,
            stop,
        };
        Some(relay.run())
    }
}

fn resume_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// What the gauges of a relay are read from.
struct Watched {
    metrics: Metrics,
    flight: Arc<Flight>,
    standing: Arc<Standing>,
    stop: CancellationToken,
}

impl Watched {
    /// False when the relay is no more.
    fn observe(&self) -> bool {
        if self.stop.is_cancelled() {
            self.metrics.forget();
            return false;
        }
        let (events, bytes) = self.flight.load();
        let size = |size| i64::try_from(size).unwrap_or(i64::MAX);
        self.metrics.inflight_events.set(size(events));
        self.metrics.inflight_bytes.set(size(bytes));
        self.metrics
            .checkpoint_age
            .set(match self.standing.unsaved() {
                0 => 0.0,
                since => seconds_since(since),
            });
        // Without an event to tell, what is behind is unknown since the last look: a database that cannot be
        // reached must not look like one that has nothing to say.
        self.metrics.lag.set(match self.flight.oldest() {
            Some(inserted) => seconds_since(inserted),
            None => Some(seconds_since(self.standing.last_look()))
                .filter(|age| *age > FRESH && self.standing.last_look() > 0)
                .unwrap_or(0.0),
        });
        true
    }
}
