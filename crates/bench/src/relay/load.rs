//! The open loop: events are due on a schedule that waits for nobody, and each notes when its COMMIT returned.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_testkit::{Entry, Outcome, digest};
use hdrhistogram::Histogram;
use tokio::{sync::Notify, task::JoinSet};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{book::Book, site::Site, topic::Arrival};

/// Connections of the writers: enough that one slow commit makes few others late.
const WRITERS: u32 = 16;
/// Keys of each writer, so that a key's versions are committed in order.
const KEYS: u32 = 64;
/// As the services' hints (crates/db/src/hint.rs).
const HINT_GAP: Duration = Duration::from_millis(2);

/// An event that was committed.
#[derive(Clone)]
pub struct Sent {
    /// For the oracle.
    pub entry: Entry,
    /// When it should have been sent.
    pub due: Instant,
    /// When COMMIT returned.
    pub committed: Instant,
}

/// 280 bytes of a sale.
pub fn payload(event_id: Uuid, n: u32) -> String {
    let id = event_id.simple();
    let start = format!(
        "{{\"invoice_id\":\"{id}\",\"number\":\"INV-{n:09}\",\"location_id\":\"{id}\",\"lines\":[{{\"product_id\":\"{id}\",\"qty\":\"1\",\"amount\":\"119.00\"}}],\"total\":\"119.00\",\"customer\":\""
    );
    format!("{start:c<278}\"}}")
}

/// Tells relays that there is something to read, as the services do; for every contender alike.
pub fn hints(client: Client) -> Arc<Notify> {
    let wake = Arc::new(Notify::new());
    let weak = Arc::downgrade(&wake);
    tokio::spawn(async move {
        client
            .batch_execute("set synchronous_commit = off")
            .await
            .ok();
        while let Some(wake) = weak.upgrade() {
            let poked = tokio::time::timeout(Duration::from_secs(1), wake.notified()).await;
            drop(wake);
            if poked.is_ok() {
                client
                    .batch_execute("select pg_notify('outbox', '')")
                    .await
                    .ok();
                tokio::time::sleep(HINT_GAP).await;
            }
        }
    });
    wake
}

/// A rate and its time.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// Events a second.
    pub rate: u32,
    /// For so long.
    pub time: Duration,
}

impl Schedule {
    /// How many events these are.
    pub fn count(self) -> u32 {
        self.rate * u32::try_from(self.time.as_secs()).unwrap_or(0)
    }

    /// When event `n` is due.
    pub fn due(self, start: Instant, n: u32) -> Instant {
        start + Duration::from_secs(1) * n / self.rate
    }
}

/// Commits events to `book` on a schedule; `name` tells the keys of several runs on one book apart.
pub async fn run(
    site: &Site,
    book: &Book<'_>,
    topic: &str,
    name: &str,
    schedule: Schedule,
) -> anyhow::Result<Vec<Sent>> {
    let wake = hints(site.connect(&book.name).await?);
    let mut clients = Vec::new();
    for _ in 0..WRITERS {
        let client = site.connect(&book.name).await?;
        let insert = client.prepare(book.insert()).await?;
        clients.push((client, insert));
    }
    let start = Instant::now() + Duration::from_millis(100);
    let mut writers = JoinSet::new();
    for (writer, (client, insert)) in (0..WRITERS).zip(clients) {
        let (topic, name, wake) = (topic.to_owned(), name.to_owned(), wake.clone());
        writers.spawn(async move {
            let mut sent = Vec::new();
            for (turn, n) in (writer..schedule.count())
                .step_by(WRITERS as usize)
                .enumerate()
            {
                let due = schedule.due(start, n);
                tokio::time::sleep_until(due.into()).await;
                let turn = u32::try_from(turn)?;
                let (event_id, key, version) = (
                    Uuid::now_v7(),
                    format!("{name}-{writer}-{}", turn % KEYS),
                    i64::from(turn / KEYS + 1),
                );
                let payload = payload(event_id, n);
                client
                    .execute(&insert, &[&event_id, &key, &version, &payload, &topic])
                    .await?;
                let committed = Instant::now();
                wake.notify_one();
                sent.push(Sent {
                    entry: Entry {
                        event_id,
                        key,
                        version,
                        payload: digest(payload.as_bytes()),
                        outcome: Outcome::Committed,
                    },
                    due,
                    committed,
                });
            }
            anyhow::Ok(sent)
        });
    }
    let mut all = Vec::new();
    while let Some(sent) = writers.join_next().await {
        all.extend(sent?.context("a writer")?);
    }
    all.sort_by_key(|sent| sent.due);
    Ok(all)
}

/// Times in microseconds.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(600_000_000, 3)?)
}

/// Microseconds from one moment to a later one.
pub fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

/// When each event first arrived.
pub fn first_arrivals(arrivals: &[Arrival]) -> HashMap<Uuid, Arrival> {
    let mut first = HashMap::new();
    for arrival in arrivals {
        first.entry(arrival.event_id).or_insert(*arrival);
    }
    first
}

/// Commit to consumer of those that arrived, and how many did not.
pub fn waits<'s>(
    sent: impl IntoIterator<Item = &'s Sent>,
    first: &HashMap<Uuid, Arrival>,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let (mut waits, mut missing) = (histogram()?, 0);
    for event in sent {
        match first.get(&event.entry.event_id) {
            Some(first) => waits.saturating_record(micros(event.committed, first.at)),
            None => missing += 1,
        }
    }
    Ok((waits, missing))
}

/// Milliseconds at a quantile.
#[allow(clippy::float_arithmetic)] // a time, not money
pub fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}
