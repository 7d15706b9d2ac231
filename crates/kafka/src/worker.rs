//! One batch of records, one transaction: positions, inbox, effects and events are committed together or not at all.

use std::{collections::HashSet, time::Duration};

use anyhow::anyhow;
use bahi_db::{Batch, Claim, Db, Move};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Failed,
    handler::{Body, Handler, Meta},
    meters,
    record::{Poison, Record},
    slices::{Put, Slices},
};

/// A batch that takes longer is given up and tried again; well under what a process has for stopping (25 s).
const LIMIT: Duration = Duration::from_secs(15);

/// The inbox remembers every event for at least fifteen days (inbox.sql).
const REMEMBERED: TimeDelta = TimeDelta::days(14);

/// Handles batches for one consumer.
pub(crate) struct Worker<'a> {
    /// The consumer's name.
    pub name: &'a str,
    /// Prefix of topic names.
    pub prefix: &'a str,
    pub handlers: &'a [Box<dyn Handler>],
    /// Woken when a record was rejected.
    pub rejected: &'a Notify,
    pub db: Db,
    /// Cancelled when the process begins to stop.
    pub stop: CancellationToken,
    /// How long a running batch may take from then on.
    pub drain: Duration,
}

/// A batch.
pub(crate) struct Load<'a> {
    pub records: Vec<Record<'a>>,
    pub moves: Vec<Move<'a>>,
    /// How often it was tried before.
    pub tries: u32,
    /// Write the positions even when no record concerns this consumer.
    pub even_if_idle: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Committed.
    Done(Tally),
    /// No record concerns this consumer; nothing was written.
    Idle,
    /// Another process has moved one of the positions; nothing was written.
    Lost,
}

/// What a batch held, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events whose effect is committed.
    pub handled: usize,
    /// Of types that the consumer does not hear.
    pub skipped: usize,
    /// Events that had been handled before.
    pub duplicates: usize,
    /// Put into quarantine as culprits.
    pub rejected: usize,
    /// Put into quarantine behind a culprit of their key.
    pub waiting: usize,
}

/// A decoded event.
pub(crate) struct Event {
    /// Index of its record.
    pub source: usize,
    pub handler: usize,
    pub meta: Meta,
    pub body: Body,
}

pub(crate) enum Read {
    Event(Event),
    Unknown,
    Poison(Poison),
}

/// Keys, by topic, behind whose rejected record later ones wait.
#[derive(Debug, Default)]
pub(crate) struct HeldKeys(HashSet<(String, Vec<u8>)>);

impl HeldKeys {
    pub(crate) fn has(&self, record: &Record<'_>) -> bool {
        // Nearly always empty: ask before making the owned pair that a lookup needs.
        !self.0.is_empty()
            && record
                .key
                .is_some_and(|key| self.0.contains(&(record.topic.to_owned(), key.to_vec())))
    }

    pub(crate) fn hold(&mut self, record: &Record<'_>) {
        if let Some(key) = record.key {
            self.0.insert((record.topic.to_owned(), key.to_vec()));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// No savepoints: any failure undoes the whole batch.
    Fast,
    /// Savepoints around every slice, so that a rejected event leaves the others alone.
    Careful,
}

impl Worker<'_> {
    /// Handles a batch. A failure is `Retry` or `Halt`; what is to be rejected has been put aside.
    pub(crate) async fn attempt(&self, load: &Load<'_>) -> Result<Outcome, Failed> {
        let timer = meters::BATCH_SECONDS
            .with_label_values(&[self.name])
            .start_timer();
        let outcome = match self.limited(load, Care::Fast).await {
            // A batch that is done over under savepoints may take as long again, which a stopping process has not.
            Err(Failed::Reject { error, .. }) if self.stop.is_cancelled() => {
                Err(Failed::Retry(error.context("the process stops")))
            }
            Err(Failed::Reject { reason, error }) => {
                tracing::debug!(
                    reason,
                    error = format!("{error:#}"),
                    "a slice was rejected: looking for the culprit"
                );
                self.limited(load, Care::Careful).await
            }
            other => other,
        };
        match outcome {
            Ok(Outcome::Done(tally)) => {
                timer.observe_duration();
                meters::count(self.name, &tally);
                if tally.rejected > 0 {
                    self.rejected.notify_one();
                }
                Ok(Outcome::Done(tally))
            }
            Err(Failed::Reject { reason, error }) => {
                timer.stop_and_discard();
                Err(Failed::Retry(
                    error.context(format!("{reason}, but no event is to blame")),
                ))
            }
            other => {
                timer.stop_and_discard();
                other
            }
        }
    }

    async fn limited(&self, load: &Load<'_>, care: Care) -> Result<Outcome, Failed> {
        let stopping = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.drain).await;
        };
        tokio::select! {
            biased;
            outcome = self.once(load, care) => outcome,
            () = tokio::time::sleep(LIMIT) => Err(Failed::Retry(anyhow!(
                "the batch took longer than {LIMIT:?}"
            ))),
            // Nothing is lost: it did not happen, and whoever owns the partition next reads it again.
            () = stopping => Err(Failed::Retry(anyhow!(
                "the process stops and the batch took longer than {:?}", self.drain
            ))),
        }
    }

    async fn once(&self, load: &Load<'_>, care: Care) -> Result<Outcome, Failed> {
        let reads: Vec<Read> = load
            .records
            .iter()
            .enumerate()
            .map(|(at, record)| self.read(at, record))
            .collect();
        let skipped = reads
            .iter()
            .filter(|read| matches!(read, Read::Unknown))
            .count();
        if skipped == reads.len() && !load.even_if_idle {
            meters::count(
                self.name,
                &Tally {
                    skipped,
                    ..Tally::default()
                },
            );
            return Ok(Outcome::Idle);
        }
        let first = reads.iter().find_map(|read| match read {
            Read::Event(event) => Some(event.meta.tenant),
            _ => None,
        });
        let mut batch = Batch::begin(&self.db, first).await?;
        let claim = self.claim(&mut batch, load, &reads).await?;
        if !claim.owned {
            batch.rollback().await?;
            return Ok(Outcome::Lost);
        }
        match self.fill(&mut batch, load, reads, claim, care).await {
            Ok((tally, handled)) => {
                batch.commit().await?;
                for (handler, events) in handled {
                    meters::handled(self.name, self.handlers[handler].event_type(), events);
                }
                Ok(Outcome::Done(Tally { skipped, ..tally }))
            }
            Err(failed) => {
                // The failure is what counts; a connection that cannot roll back is thrown away.
                batch.rollback().await.ok();
                Err(failed)
            }
        }
    }

    /// What a record is to this consumer.
    pub(crate) fn read(&self, source: usize, record: &Record<'_>) -> Read {
        let kind = match record.event_type() {
            Ok(kind) => kind,
            Err(poison) => return Read::Poison(poison),
        };
        let topic = record.topic.strip_prefix(self.prefix);
        let ours = self
            .handlers
            .iter()
            .position(|h| h.event_type() == kind && Some(h.topic().name()) == topic);
        let Some(handler) = ours else {
            return Read::Unknown;
        };
        match self.handlers[handler].decode(record.value.unwrap_or_default()) {
            Ok((meta, body)) => Read::Event(Event {
                source,
                handler,
                meta,
                body,
            }),
            Err(error) => Read::Poison(record.poison(&error)),
        }
    }

    async fn claim(
        &self,
        batch: &mut Batch,
        load: &Load<'_>,
        reads: &[Read],
    ) -> Result<Claim, Failed> {
        let events = || {
            reads.iter().filter_map(|read| match read {
                Read::Event(event) => Some(event),
                _ => None,
            })
        };
        let ids: Vec<Uuid> = events().map(|event| event.meta.event_id).collect();
        let mut keys: Vec<(&str, &[u8])> = load
            .records
            .iter()
            .filter_map(|record| record.key.map(|key| (record.topic, key)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let reread: Vec<Uuid> = events()
            .filter(|event| load.records[event.source].again)
            .map(|event| event.meta.event_id)
            .collect();
        Ok(batch
            .claim(self.name, &load.moves, &ids, &reread, &keys)
            .await?)
    }

    async fn fill(
        &self,
        batch: &mut Batch,
        load: &Load<'_>,
        reads: Vec<Read>,
        claim: Claim,
        care: Care,
    ) -> Result<(Tally, Vec<(usize, usize)>), Failed> {
        let mut slices = Slices::new(
            self,
            &load.records,
            HeldKeys(claim.held),
            attempts(load.tries),
        );
        let (events, duplicates) = sift(
            &mut slices,
            &load.records,
            reads,
            (claim.fresh, claim.again),
            self.db.clock().now(),
        );
        match care {
            Care::Fast => slices.handle(batch, events).await?,
            Care::Careful => slices.handle_carefully(batch, events).await?,
        }
        let (handled, mut aside) = slices.finish();
        aside.sort_by_key(|put| put.source);
        if !aside.is_empty() {
            let ids: Vec<Uuid> = aside.iter().filter_map(|put| put.event_id).collect();
            // The inbox holds what had its effect; these had none.
            batch.forget(self.name, &ids).await?;
        }
        let rejected = aside.iter().filter(|put| put.aside.rejected).count();
        let waiting = aside.len() - rejected;
        let mut rows = Vec::with_capacity(aside.len());
        for Put {
            source,
            event_id,
            aside,
        } in aside
        {
            let record = &load.records[source];
            if aside.rejected {
                tracing::error!(
                    consumer = self.name,
                    topic = record.topic,
                    partition = record.partition,
                    offset = record.offset,
                    event_id = event_id.map(tracing::field::display),
                    reason = aside.reason,
                    error = aside.error,
                    "a record was rejected; its key is held"
                );
            }
            rows.push(record.quarantined(event_id, aside));
        }
        batch.quarantine(self.name, &rows).await?;
        let total = handled.iter().map(|(_, events)| events).sum();
        Ok((
            Tally {
                handled: total,
                duplicates,
                rejected,
                waiting,
                skipped: 0,
            },
            handled,
        ))
    }
}

/// Leaves what is to be handled: no duplicates, nothing unreadable, nothing that waits behind a rejected record.
fn sift(
    slices: &mut Slices<'_>,
    records: &[Record<'_>],
    reads: Vec<Read>,
    (mut fresh, mut again): (HashSet<Uuid>, HashSet<Uuid>),
    now: DateTime<Utc>,
) -> (Vec<Event>, usize) {
    let (mut events, mut duplicates) = (Vec::with_capacity(reads.len()), 0);
    for (source, read) in reads.into_iter().enumerate() {
        let record = &records[source];
        match read {
            Read::Unknown => {}
            Read::Event(event) => {
                let id = event.meta.event_id;
                // Removing lets only the first of two copies in one batch through.
                let unheard =
                    fresh.remove(&id) && !(record.again && made_before(id, now - REMEMBERED));
                if !(again.remove(&id) || unheard) {
                    duplicates += 1;
                } else if !slices.waits(source, Some(id)) {
                    events.push(event);
                }
            }
            Read::Poison(poison) => {
                if !slices.waits(source, poison.event_id) {
                    slices.reject(source, poison.event_id, poison.reason, &poison.error);
                }
            }
        }
    }
    (events, duplicates)
}

/// An event of a partition that is read again, and so old that the inbox may have forgotten it, was handled.
fn made_before(id: Uuid, horizon: DateTime<Utc>) -> bool {
    let seconds = id.get_timestamp().map(|at| at.to_unix().0);
    seconds
        .and_then(|s| i64::try_from(s).ok())
        .is_some_and(|s| s < horizon.timestamp())
}

fn attempts(tries: u32) -> i32 {
    i32::try_from(tries).map_or(i32::MAX, |tries| tries.saturating_add(1))
}
