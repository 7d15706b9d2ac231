//! Events that Kafka will not take, and the later events of the same topic and key, which wait behind them.
//!
//! One poisoned key must not stop the others, and none of its own events may overtake it.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, types::ToSql};
use uuid::Uuid;

use crate::{
    lease::Shard,
    row::Event,
    session::{PATIENCE, SessionError, within},
};

/// Rows are written to the table in batches of this many at most.
const BATCH: usize = 1000;

/// The keys that are held, and the events not yet written down.
#[derive(Default)]
pub struct Parked {
    held: HashMap<String, HashSet<String>>,
    fresh: Vec<Fresh>,
}

struct Fresh {
    seq: i64,
    slot: i16,
    event_id: Uuid,
    topic: String,
    key: String,
    state: &'static str,
    reason: &'static str,
    error: String,
}

impl Parked {
    /// Reads which keys are held.
    pub async fn load(client: &Client, shard: Shard) -> Result<Self, SessionError> {
        let mut parked = Self::default();
        let query = format!(
            "select distinct topic, key from outbox.parked where true{}",
            shard.condition()
        );
        for row in within(PATIENCE, client.query(&query, &[])).await? {
            parked
                .held
                .entry(row.get(0))
                .or_default()
                .insert(row.get(1));
        }
        Ok(parked)
    }

    /// Whether events of this key wait behind another.
    pub fn holds(&self, topic: &str, key: &str) -> bool {
        !self.held.is_empty() && self.held.get(topic).is_some_and(|keys| keys.contains(key))
    }

    /// Parks an event that Kafka refuses and holds its key.
    pub fn refuse(&mut self, event: &Event<'_>, reason: &'static str, error: String) {
        self.held
            .entry(event.topic.to_owned())
            .or_default()
            .insert(event.key.to_owned());
        self.add(event, "refused", reason, error);
    }

    /// Parks an event of a key that is held.
    pub fn queue(&mut self, event: &Event<'_>) {
        self.add(
            event,
            "waiting",
            "behind_another",
            "an earlier event of this key is parked".into(),
        );
    }

    /// Parks an event of a topic or key that an operator paused, and holds its key.
    pub fn pause(&mut self, event: &Event<'_>) {
        self.held
            .entry(event.topic.to_owned())
            .or_default()
            .insert(event.key.to_owned());
        self.add(event, "waiting", "paused", String::new());
    }

    /// Nothing of the key is parked any more.
    pub fn free(&mut self, topic: &str, key: &str) {
        if let Some(keys) = self.held.get_mut(topic) {
            keys.remove(key);
            if keys.is_empty() {
                self.held.remove(topic);
            }
        }
    }

    /// How many keys are held.
    pub fn keys(&self) -> usize {
        self.held.values().map(HashSet::len).sum()
    }

    fn add(&mut self, event: &Event<'_>, state: &'static str, reason: &'static str, error: String) {
        self.fresh.push(Fresh {
            seq: event.seq,
            slot: event.slot,
            event_id: event.event_id,
            topic: event.topic.to_owned(),
            key: event.key.to_owned(),
            state,
            reason,
            error,
        });
    }

    /// Whether so many are unwritten that it is time to.
    pub fn is_full(&self) -> bool {
        self.fresh.len() >= BATCH
    }

    /// Writes the parked events down. No checkpoint may pass them before that. An event parked before (its
    /// window is read again after a crash) stays as it was.
    pub async fn save(&mut self, client: &Client) -> Result<(), SessionError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let insert = "insert into outbox.parked (seq, slot, event_id, topic, key, state, reason, error) \
                      select * from unnest($1::int8[], $2::int2[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) \
                      on conflict (seq) do nothing";
        for batch in self.fresh.chunks(BATCH) {
            let seqs: Vec<i64> = batch.iter().map(|fresh| fresh.seq).collect();
            let slots: Vec<i16> = batch.iter().map(|fresh| fresh.slot).collect();
            let ids: Vec<Uuid> = batch.iter().map(|fresh| fresh.event_id).collect();
            let text = |of: fn(&Fresh) -> &str| batch.iter().map(of).collect::<Vec<&str>>();
            let (topics, keys) = (text(|fresh| &fresh.topic), text(|fresh| &fresh.key));
            let (states, reasons) = (text(|fresh| fresh.state), text(|fresh| fresh.reason));
            let errors = text(|fresh| &fresh.error);
            let columns: [&(dyn ToSql + Sync); 8] = [
                &seqs, &slots, &ids, &topics, &keys, &states, &reasons, &errors,
            ];
            within(PATIENCE, client.execute(insert, &columns)).await?;
        }
        self.fresh.clear();
        Ok(())
    }

    /// Forgets what was not written: its window will be read again.
    pub fn rewind(&mut self) {
        self.fresh.clear();
    }
}
