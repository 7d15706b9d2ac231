//! All relays of the process: one producer, one task per database.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    flight::{Flight, seconds_since},
    metrics::{Metrics, Standing},
    producer::Producer,
    relay::{Limits, Relay},
    session,
};

/// How often the gauges that grow by themselves are brought up to date.
const GAUGES: Duration = Duration::from_secs(1);
/// A look at the tail no older than this means that nothing is behind.
const FRESH: f64 = 1.0;

/// Relays every database of `config` until `stop` is cancelled. A database that fails is tried again and does
/// not concern the others.
///
/// # Errors
/// When a URL is not one, or no producer can be made; never later.
pub async fn run(config: &Config, limits: Limits, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics: Vec<Metrics> = config
        .databases
        .iter()
        .map(|database| Metrics::of(&database.service))
        .collect();
    let flights: Vec<_> = metrics
        .iter()
        .map(|metrics| Arc::new(Flight::new(metrics.commit_to_ack.clone())))
        .collect();
    let producer = Arc::new(Producer::new(
        &config.kafka,
        flights.clone(),
        Metrics::rebuilds(),
    )?);
    let mut tasks = JoinSet::new();
    let mut gauges = Vec::new();
    for (number, ((database, metrics), flight)) in config
        .databases
        .iter()
        .zip(metrics)
        .zip(flights)
        .enumerate()
    {
        let standing = Arc::new(Standing::default());
        gauges.push((metrics.clone(), flight.clone(), standing.clone()));
        let relay = Relay {
            service: database.service.clone(),
            source: u16::try_from(number).context("too many databases")?,
            config: session::configure(&database.url)
                .with_context(|| format!("the URL of the database of {}", database.service))?,
            owner: config.owner.clone(),
            limits,
            retention: config.retention,
            producer: producer.clone(),
            flight,
            metrics,
            standing,
            stop: stop.clone(),
        };
        tasks.spawn(relay.run());
    }
    let mut tick = tokio::time::interval(GAUGES);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return Ok(()),
                Some(ended) => ended.context("a relay panicked")?,
            },
            _ = tick.tick() => gauges.iter().for_each(|(metrics, flight, standing)| observe(metrics, flight, standing)),
        }
    }
}

fn observe(metrics: &Metrics, flight: &Flight, standing: &Standing) {
    let (events, bytes) = flight.load();
    metrics
        .inflight_events
        .set(i64::try_from(events).unwrap_or(i64::MAX));
    metrics
        .inflight_bytes
        .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    // Without an event to tell, what is behind is unknown since the last look: a database that cannot be
    // reached must not look like one that has nothing to say.
    metrics.lag.set(match flight.oldest() {
        Some(inserted) => seconds_since(inserted),
        None => Some(seconds_since(standing.last_look()))
            .filter(|age| *age > FRESH && standing.last_look() > 0)
            .unwrap_or(0.0),
    });
}
