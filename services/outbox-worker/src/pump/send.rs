//! Sending one event, and what becomes of it when it cannot be sent.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use super::{Alone, Errand, Pump};
use crate::{
    envelope,
    flight::Sent,
    producer::{Record, Rejected},
    row::Event,
    session::SessionError,
    topic::Topic,
};

/// How long a topic that the cluster does not know may take to appear before its events are parked.
const TOPIC_GRACE: Duration = Duration::from_secs(3);

/// What became of an event that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is on its way.
    Sent,
    /// It is parked.
    Parked,
    /// No room, or no producer: read it again later.
    Full,
    /// Something has to be done first, which needs the session; then read it again.
    Errand,
}

impl Offer {
    /// Whether the event is dealt with, so that the next can be offered.
    pub(super) fn goes_on(self) -> bool {
        matches!(self, Self::Sent | Self::Parked)
    }
}

impl Pump<'_> {
    /// The hot path: one event, no await, no allocation of its own but the producer's.
    pub(super) fn offer(&mut self, event: &Event<'_>) -> Offer {
        if self.parked.holds(event.topic, event.key) {
            self.parked.queue(event);
            return self.parked(event);
        }
        if self.pauses.hold(event.topic, event.key) {
            return self.hold(event);
        }
        if let Some(code) = self.condemned.remove(&event.seq) {
            return self.refuse(event, code);
        }
        if !self.suspects.is_empty()
            && self.suspects.contains(&event.seq)
            && self.alone != Some(Alone::Due(event.seq))
        {
            self.errand = Some(Errand::Clear(event.seq));
            return Offer::Errand;
        }
        let topic = match self.topics.find(event.topic) {
            None => {
                self.errand = Some(Errand::Learn(event.topic.to_owned()));
                return Offer::Errand;
            }
            Some(Topic::Missing) => return self.refuse(event, RDKafkaErrorCode::UnknownTopic),
            Some(Topic::Known(topic)) => topic,
        };
        match self.send(event, topic, true, None) {
            Ok(()) => {
                if self.alone.is_some() {
                    self.alone = Some(Alone::Sent(event.seq));
                }
                Offer::Sent
            }
            Err(Rejected::Full | Rejected::Broken) => Offer::Full,
            Err(Rejected::Refused(code)) => self.refuse(event, code),
        }
    }

    /// Hands an event to the producer. `moves`: the cursor follows it; `replay`: the command that asked for it again.
    pub(super) fn send(
        &mut self,
        event: &Event<'_>,
        topic: u16,
        moves: bool,
        replay: Option<i64>,
    ) -> Result<(), Rejected> {
        if moves
            && self.order.is_broken(
                event.topic,
                event.key,
                event.aggregate_id,
                event.aggregate_version,
            )
        {
            self.relay.metrics.anomalies.inc();
            tracing::debug!(
                db = self.relay.service,
                seq = event.seq,
                "an aggregate's version lies behind the one before"
            );
        }
        envelope::compose(event, &self.relay.service, &mut self.value);
        let headers = envelope::headers(event, &self.relay.service, replay, &mut self.scratch);
        let bytes = u32::try_from(self.value.len() + event.key.len()).unwrap_or(u32::MAX);
        let position = self.relay.flight.push(Sent {
            seq: event.seq,
            inserted: event.timestamp,
            bytes,
            topic,
            moves,
        });
        // The record's time is that of the insert: by business time, which may lie anywhere, the broker would
        // refuse the future and delete the past.
        let record = Record {
            topic: event.topic,
            key: event.key,
            timestamp: event.timestamp / 1000,
            value: &self.value,
            headers,
        };
        let outcome = self.generation.send(self.relay.source, position, record);
        if outcome.is_err() {
            self.relay.flight.unpush();
        }
        outcome
    }

    fn refuse(&mut self, event: &Event<'_>, code: RDKafkaErrorCode) -> Offer {
        tracing::error!(
            db = self.relay.service, seq = event.seq, event_id = %event.event_id, topic = event.topic, key = event.key,
            error = %code, "kafka refuses the event; it is parked and later events of its key wait"
        );
        self.parked.refuse(event, reason(code), code.to_string());
        self.parked(event)
    }

    pub(super) fn parked(&mut self, event: &Event<'_>) -> Offer {
        if self.alone == Some(Alone::Due(event.seq)) {
            self.alone = None;
        }
        self.suspects.remove(&event.seq);
        Offer::Parked
    }

    pub(super) async fn run_errand(&mut self, errand: Errand) -> Result<(), SessionError> {
        match errand {
            Errand::Learn(topic) => self.learn(&topic).await,
            Errand::Clear(seq) => {
                if self.clear().await? {
                    self.alone = Some(Alone::Due(seq));
                }
                Ok(())
            }
        }
    }

    /// Finds out whether the cluster has the topic. One that was just created takes a moment to be known.
    pub(super) async fn learn(&mut self, name: &str) -> Result<(), SessionError> {
        let mut since = Instant::now();
        let grace = if self.topics.was_missing(name) {
            Duration::ZERO
        } else {
            TOPIC_GRACE
        };
        loop {
            match self.relay.producer.knows(name).await {
                Ok(true) => {
                    self.topics.learn(name, self.relay.metrics.published(name));
                    return Ok(());
                }
                Ok(false) if since.elapsed() >= grace => {
                    self.topics.miss(name);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    // That says nothing about the topic.
                    tracing::warn!(db = self.relay.service, topic = name, %error, "kafka does not answer");
                    since = Instant::now();
                }
            }
            if self.generation.is_broken() || self.relay.stop.is_cancelled() {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

/// The code of a refusal in `outbox.parked`.
pub(super) fn reason(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition => "unknown_topic",
        Code::InvalidTopic => "invalid_topic",
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            "too_large"
        }
        Code::InvalidTimestamp => "invalid_time",
        Code::PolicyViolation => "policy",
        _ => "invalid",
    }
}
