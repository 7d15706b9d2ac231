//! What operators ask for, carried out between two looks: parked keys that go on, replays, a handover.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    End, Pump,
    send::{Offer, reason},
};
use crate::{
    member,
    orders::{Command, Selection},
    producer::Rejected,
    session::SessionError,
    topic::Topic,
};

/// Parked events of a key that are sent before their answers are waited for.
const RELEASE: i64 = 500;
/// Events of a replay that are sent before their answers are waited for.
const REPLAY: i64 = 1000;
/// How long a worker that handed a shard over stays away from it.
pub(super) const AWAY: Duration = Duration::from_secs(5);
/// Rounds in a row that must find a better owner before the shard is handed over to it.
const PATIENT: u32 = 2;

/// A key whose parked events are on their way.
pub(super) struct Release {
    topic: String,
    key: String,
    /// How many are on their way.
    batch: usize,
}

/// Events that are published once more.
pub(super) struct Replay {
    command: i64,
    selection: Selection,
    count: i64,
    /// The position in flight of the last that was sent, its number in the outbox, and how many came with it.
    sent: Option<(u64, i64, i64)>,
}

impl Pump<'_> {
    /// Once a second, and when an operator has done something.
    pub(super) async fn round(&mut self) -> Result<Option<End>, SessionError> {
        let told = self.hints.take_orders();
        let round = self.orders.round(self.reader.client()).await?;
        self.last_round = Instant::now();
        self.last_touch = self.last_round;
        let shard = self.checkpoints.lease().shard;
        self.relay.shards.send_if_modified(|shards| {
            let changed = shard.number == 0 && *shards != round.sight.shards;
            if changed {
                *shards = round.sight.shards;
            }
            changed
        });
        if round.sight.shards != shard.of {
            return Err(SessionError::Resharded);
        }
        let resumed = round.pauses != self.pauses;
        self.pauses = round.pauses;
        if told || resumed {
            self.release_due = true;
        }
        if let Some(command) = round.command
            && let Some(end) = self.carry_out(command).await?
        {
            return Ok(Some(end));
        }
        let better = member::rank(
            self.relay.member,
            &round.sight.members,
            &self.relay.service,
            shard.number,
            shard.of,
        );
        self.outranked = if better > 0 { self.outranked + 1 } else { 0 };
        if self.outranked >= PATIENT {
            tracing::info!(
                db = self.relay.service,
                shard = shard.number,
                "another worker's turn: handing over"
            );
            return Ok(Some(End::HandedOver(Duration::ZERO)));
        }
        Ok(None)
    }

    async fn carry_out(&mut self, command: Command) -> Result<Option<End>, SessionError> {
        match command.cmd.as_str() {
            "handover" => {
                self.report(command.id, json!({ "by": self.relay.owner }), true)
                    .await?;
                return Ok(Some(End::HandedOver(AWAY)));
            }
            // The one at hand goes on; the next waits its turn.
            "replay" if self.replay.is_none() => {
                let before = command.result.unwrap_or_default();
                let mut selection = selection(&command.args);
                if let Some(after) = before["after"].as_i64() {
                    selection.after = after;
                }
                self.replay = Some(Replay {
                    command: command.id,
                    selection,
                    count: before["published"].as_i64().unwrap_or_default(),
                    sent: None,
                });
            }
            "replay" => {}
            other => {
                let error = format!("this worker does not know `{other}`");
                self.report(command.id, json!({ "error": error }), true)
                    .await?;
            }
        }
        Ok(None)
    }

    async fn report(&self, command: i64, result: Value, done: bool) -> Result<(), SessionError> {
        self.orders
            .report(self.reader.client(), command, &result, done)
            .await
    }

    /// Takes up keys of which nothing is refused or paused any more, each in the order of its numbers and before any
    /// later event of it.
    pub(super) async fn release(&mut self) -> Result<(), SessionError> {
        self.release_due = false;
        self.topics.ask_again();
        loop {
            let keys = self.orders.releasable(self.reader.client()).await?;
            if keys.is_empty() {
                return Ok(());
            }
            for (topic, key) in keys {
                if !self.release_key(topic, key).await? {
                    return Ok(());
                }
            }
        }
    }

    /// False when it has to be tried again later.
    async fn release_key(&mut self, topic: String, key: String) -> Result<bool, SessionError> {
        if !self.clear().await? {
            return Ok(false);
        }
        let name = (topic.clone(), key.clone());
        loop {
            let limit = if self.singly.contains(&name) {
                1
            } else {
                RELEASE
            };
            let rows = self
                .orders
                .parked(self.reader.client(), &topic, &key, limit)
                .await?;
            if rows.is_empty() {
                self.parked.free(&topic, &key);
                self.singly.remove(&name);
                tracing::info!(db = self.relay.service, topic, key, "the key goes on");
                return Ok(true);
            }
            while self.topics.find(&topic).is_none() {
                self.learn(&topic).await?;
                if self.generation.is_broken() || self.relay.stop.is_cancelled() {
                    return Ok(false);
                }
            }
            let mut sent = Vec::with_capacity(rows.len());
            let mut refused = None;
            for row in &rows {
                let event = row.event()?;
                let outcome = match self.topics.find(&topic) {
                    Some(Topic::Known(number)) => self.send(&event, number, false, None),
                    _ => Err(Rejected::Refused(RDKafkaErrorCode::UnknownTopic)),
                };
                match outcome {
                    Ok(()) => sent.push(event.seq),
                    Err(Rejected::Refused(code)) => {
                        refused = Some((event.seq, code));
                        break;
                    }
                    Err(Rejected::Full | Rejected::Broken) => break,
                }
            }
            self.releasing = Some(Release {
                topic: topic.clone(),
                key: key.clone(),
                batch: sent.len(),
            });
            if !self.clear().await? {
                return Ok(false);
            }
            self.releasing = None;
            self.orders.published(self.reader.client(), &sent).await?;
            self.relay
                .metrics
                .released
                .inc_by(u64::try_from(sent.len()).unwrap_or_default());
            if let Some((seq, code)) = refused {
                self.refused_again(seq, code).await?;
                return Ok(true);
            }
            if sent.is_empty() {
                // The producer's queue is full of other databases' events.
                self.changed().await?;
            }
        }
    }

    /// Waits until nothing is in flight; false when the producer broke or the worker stops before that.
    pub(super) async fn clear(&mut self) -> Result<bool, SessionError> {
        loop {
            self.land();
            if self.relay.flight.is_empty() {
                return Ok(true);
            }
            if self.generation.is_broken() || self.relay.stop.is_cancelled() {
                return Ok(false);
            }
            self.changed().await?;
        }
    }

    /// The producer failed while parked events were on their way; `refused` is what Kafka said about them.
    pub(super) async fn release_failed(
        &mut self,
        release: Release,
        refused: &[(i64, RDKafkaErrorCode)],
    ) -> Result<(), SessionError> {
        self.release_due = true;
        match (refused.first(), release.batch) {
            (None, _) => {}
            // Alone, the answer is certainly its own.
            (Some((seq, code)), 1) => self.refused_again(*seq, *code).await?,
            // A whole batch was refused: one at a time, to find out which it is.
            (Some(_), _) => {
                self.singly.insert((release.topic, release.key));
            }
        }
        Ok(())
    }

    async fn refused_again(&self, seq: i64, code: RDKafkaErrorCode) -> Result<(), SessionError> {
        tracing::error!(db = self.relay.service, seq, error = %code, "kafka refuses the event once more");
        self.orders
            .refused(self.reader.client(), seq, reason(code), &code.to_string())
            .await
    }

    /// The next part of a replay, when the last one has landed.
    pub(super) async fn replay(&mut self) -> Result<(), SessionError> {
        let Some(mut replay) = self.replay.take() else {
            return Ok(());
        };
        if let Some((position, seq, count)) = replay.sent {
            if self.relay.flight.base() <= position {
                self.replay = Some(replay);
                return Ok(());
            }
            replay.sent = None;
            replay.selection.after = seq;
            replay.count += count;
            let progress = json!({ "published": replay.count, "after": seq });
            self.report(replay.command, progress, false).await?;
        }
        let published = self.windows.cursor().snap.clone();
        let rows = self
            .orders
            .again(self.reader.client(), &replay.selection, &published, REPLAY)
            .await?;
        if rows.is_empty() {
            let result = json!({ "published": replay.count, "after": replay.selection.after });
            self.report(replay.command, result, true).await?;
            tracing::info!(
                db = self.relay.service,
                command = replay.command,
                events = replay.count,
                "replayed"
            );
            self.last_round -= super::ROUND;
            return Ok(());
        }
        let mut last = None;
        let mut count = 0;
        for row in &rows {
            let event = row.event()?;
            let number = match self.topics.find(event.topic) {
                Some(Topic::Known(number)) => number,
                Some(Topic::Missing) => {
                    let error = format!("kafka does not have the topic {}", event.topic);
                    self.report(
                        replay.command,
                        json!({ "error": error, "published": replay.count }),
                        true,
                    )
                    .await?;
                    return Ok(());
                }
                None => {
                    let topic = event.topic.to_owned();
                    self.learn(&topic).await?;
                    break;
                }
            };
            if self
                .send(&event, number, false, Some(replay.command))
                .is_err()
            {
                break;
            }
            last = Some((self.relay.flight.end() - 1, event.seq));
            count += 1;
        }
        replay.sent = last.map(|(position, seq)| (position, seq, count));
        self.replay = Some(replay);
        Ok(())
    }

    /// What of a replay was on its way when the producer failed is read again.
    pub(super) fn replay_failed(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.sent = None;
        }
    }

    /// An event of a paused topic or key waits with those before it.
    pub(super) fn hold(&mut self, event: &crate::row::Event<'_>) -> Offer {
        self.parked.pause(event);
        self.parked(event)
    }
}

fn selection(args: &Value) -> Selection {
    let text = |name: &str| args[name].as_str().map(str::to_owned);
    Selection {
        after: args["after"].as_i64().unwrap_or_default(),
        to: args["to"].as_i64().unwrap_or(i64::MAX),
        since: text("since"),
        topic: text("topic"),
        key: text("key"),
        event_type: text("type"),
    }
}
