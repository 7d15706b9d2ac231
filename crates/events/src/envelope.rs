//! The envelope around every event, and the descriptor of an event type.

use std::{fmt, marker::PhantomData};

use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::Topic;

/// The major version of every payload's contract. Payloads are only ever added to within it.
pub const VERSION: &str = "v1";

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in person.
    User {
        /// The user's id.
        id: Uuid,
    },
    /// A service on its own account: a consumer, a job, a call between services.
    Service {
        /// The service's name in the register.
        id: String,
    },
}

/// The id of the person, or the name of the service.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id } => id.fmt(f),
            Self::Service { id } => f.write_str(id),
        }
    }
}

/// The value of every Kafka record: who says what about which aggregate, and when.
/// The first seven fields are the product's oldest contract; fields are only ever added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<P> {
    /// Unique, UUIDv7; consumers de-duplicate by it.
    pub event_id: Uuid,
    /// `noun.past_tense`.
    pub event_type: String,
    /// Version of the payload's contract.
    pub version: String,
    /// When the row was inserted into the outbox.
    pub timestamp: DateTime<Utc>,
    /// The W3C trace it happened in.
    pub trace_id: Option<Uuid>,
    /// The service that says it.
    pub source_service: String,
    /// Whose data it is.
    pub tenant_id: TenantId,
    /// Kind of the aggregate that changed.
    pub aggregate_type: String,
    /// Id of the aggregate that changed.
    pub aggregate_id: String,
    /// Version of the aggregate after the change; grows by one with each change.
    pub aggregate_version: i64,
    /// Restore epoch of the database that said it. Caches apply only a greater (epoch, version).
    pub epoch: i64,
    /// Transaction of that database which said it: what a snapshot of the database tells before from after by. Absent in
    /// what was published before there was this field.
    #[serde(default)]
    pub txid: Option<i64>,
    /// Business time of the fact.
    pub occurred_at: DateTime<Utc>,
    /// The event that this one follows from.
    pub causation_id: Option<Uuid>,
    /// The request or flow that it belongs to.
    pub correlation_id: Option<Uuid>,
    /// Who caused it.
    pub actor: Option<Actor>,
    /// What happened.
    pub payload: P,
}

impl<P> Envelope<P> {
    /// The same envelope around another payload.
    pub fn with_payload<Q>(self, payload: Q) -> Envelope<Q> {
        Envelope {
            event_id: self.event_id,
            event_type: self.event_type,
            version: self.version,
            timestamp: self.timestamp,
            trace_id: self.trace_id,
            source_service: self.source_service,
            tenant_id: self.tenant_id,
            aggregate_type: self.aggregate_type,
            aggregate_id: self.aggregate_id,
            aggregate_version: self.aggregate_version,
            epoch: self.epoch,
            txid: self.txid,
            occurred_at: self.occurred_at,
            causation_id: self.causation_id,
            correlation_id: self.correlation_id,
            actor: self.actor,
            payload,
        }
    }
}

/// An event type: its name, where it goes, what changed, and (by `P`) what it carries.
pub struct EventType<P> {
    /// `noun.past_tense`.
    pub name: &'static str,
    /// Where it is published.
    pub topic: Topic,
    /// Kind of the aggregate.
    pub aggregate: &'static str,
    payload: PhantomData<fn() -> P>,
}

impl<P> Clone for EventType<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for EventType<P> {}

impl<P: Serialize + DeserializeOwned + JsonSchema> EventType<P> {
    /// Describes an event type.
    pub const fn new(name: &'static str, topic: Topic, aggregate: &'static str) -> Self {
        Self {
            name,
            topic,
            aggregate,
            payload: PhantomData,
        }
    }

    /// An event of this type about aggregate `id`, which is at `version` after the change.
    pub fn of(self, id: Uuid, version: i64, payload: &P) -> Outgoing {
        self.about(id.to_string(), version, payload)
    }

    /// As [`EventType::of`] for an aggregate whose id is not a UUID; the id is the Kafka key too.
    pub fn about(self, id: String, version: i64, payload: &P) -> Outgoing {
        Outgoing {
            event_id: Uuid::now_v7(),
            event_type: self.name,
            topic: self.topic.name(),
            aggregate_type: self.aggregate,
            key: id.clone(),
            aggregate_id: id,
            aggregate_version: version,
            occurred_at: None,
            causation_id: None,
            payload: serde_json::to_string(payload),
        }
    }
}

/// An event on its way to the outbox. A payload that cannot be serialised is reported when it is published.
#[derive(Debug)]
pub struct Outgoing {
    /// UUIDv7.
    pub event_id: Uuid,
    /// Name.
    pub event_type: &'static str,
    /// Kafka topic.
    pub topic: &'static str,
    /// Kind of aggregate.
    pub aggregate_type: &'static str,
    /// Kafka key.
    pub key: String,
    /// Aggregate.
    pub aggregate_id: String,
    /// Version after the change.
    pub aggregate_version: i64,
    /// Business time; the transaction's time when absent.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The event this one follows from; that of the running consumer when absent.
    pub causation_id: Option<Uuid>,
    /// JSON text.
    pub payload: Result<String, serde_json::Error>,
}

impl Outgoing {
    /// Gives the event a Kafka key other than the aggregate's id.
    pub fn keyed(mut self, key: String) -> Self {
        self.key = key;
        self
    }

    /// States when it happened, where that is not now.
    pub fn occurred(mut self, at: DateTime<Utc>) -> Self {
        self.occurred_at = Some(at);
        self
    }
}
