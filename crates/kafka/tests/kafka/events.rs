//! The tests' events, the handler that leaves a row for each, and the checker that compares the two.

use bahi_db::{Tx, sql};
use bahi_events::{Envelope, EventType, Outgoing, Topic};
use bahi_kafka::Failed;
pub use bahi_testkit::Verdict;
use bahi_testkit::{Entry, Seen, judge};
use bahi_types::TenantId;
use chrono::Utc;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub n: i64,
}

/// Two types of one topic and aggregate.
pub const COUNTED: EventType<Counted> = EventType::new("test.counted", Topic::Sync, "counter");
pub const MARKED: EventType<Counted> = EventType::new("test.marked", Topic::Sync, "counter");
/// What the handler says for each event.
pub const NOTED: EventType<Counted> = EventType::new("test.noted", Topic::Ai, "note");

/// The handler: one row per event, and one event said per event.
pub async fn leave(tx: &mut Tx, events: &[Envelope<Counted>]) -> Result<(), Failed> {
    let tenant = tx.tenant();
    assert!(
        events
            .iter()
            .all(|event| event.tenant_id == tenant && event.event_type == events[0].event_type)
    );
    sql("insert into effect (tenant_id, event_id, kind, key, n)
         select $1, e.id, $2, e.key, e.n from unnest($3, $4, $5) with ordinality as e(id, key, n, o) order by o")
        .bind::<SqlUuid, _>(tenant)
        .bind::<Text, _>(&events[0].event_type)
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|e| e.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.payload.n).collect::<Vec<_>>())
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
    for event in events {
        let said = NOTED.of(Uuid::now_v7(), 1, &event.payload);
        tx.publish(Outgoing {
            causation_id: Some(event.event_id),
            ..said
        });
    }
    Ok(())
}

/// A row of the handler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    pub tenant: TenantId,
    pub event_id: Uuid,
    pub kind: String,
    pub key: String,
    pub n: i64,
}

/// An event on its way into the topic.
#[derive(Clone, Debug)]
pub struct Sent {
    pub key: String,
    pub envelope: Envelope<Counted>,
}

pub type Delivery = rdkafka::producer::DeliveryFuture;

impl Sent {
    pub fn new(event: EventType<Counted>, tenant: TenantId, key: &str, n: i64) -> Self {
        let envelope = json!({
            "event_id": Uuid::now_v7(), "event_type": event.name, "version": "v1", "timestamp": Utc::now(),
            "trace_id": Uuid::from_u128(7), "source_service": "test", "tenant_id": tenant, "aggregate_type": event.aggregate,
            "aggregate_id": key, "aggregate_version": n, "epoch": 1, "occurred_at": Utc::now(),
            "causation_id": null, "correlation_id": Uuid::from_u128(9), "actor": null, "payload": { "n": n },
            "added_later": { "ignored": true },
        });
        Self {
            key: key.to_owned(),
            envelope: serde_json::from_value(envelope).unwrap(),
        }
    }

    pub fn send(&self, producer: &FutureProducer, topic: &str) -> Delivery {
        let value = serde_json::to_string(&self.envelope).unwrap();
        send_raw(
            producer,
            topic,
            Some(self.key.as_bytes()),
            value.as_bytes(),
            Some(&self.envelope.event_type),
        )
    }
}

pub const TRACEPARENT: &str = "00-00000000000000000000000000000007-0000000000000001-01";

pub fn send_raw(
    producer: &FutureProducer,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    kind: Option<&str>,
) -> Delivery {
    send_traced(producer, topic, key, value, kind, TRACEPARENT)
}

pub fn send_traced(
    producer: &FutureProducer,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    kind: Option<&str>,
    traceparent: &str,
) -> Delivery {
    let mut headers = OwnedHeaders::new().insert(Header {
        key: "traceparent",
        value: Some(traceparent),
    });
    if let Some(kind) = kind {
        headers = headers.insert(Header {
            key: "ce_type",
            value: Some(kind),
        });
    }
    let mut record: FutureRecord<'_, [u8], [u8]> =
        FutureRecord::to(topic).payload(value).headers(headers);
    record.key = key;
    producer.send_result(record).unwrap()
}

/// Nothing lost, doubled, strange, altered or out of order.
pub const FINE: Verdict = Verdict {
    lost: 0,
    phantoms: 0,
    disorders: 0,
    duplicates: 0,
    altered: 0,
};

/// A key's own order is kept per tenant.
fn lane(tenant: TenantId, key: &str) -> String {
    format!("{tenant}/{key}")
}

/// Judges effects by what was sent: each once, in the order of its key.
pub fn verdict(sent: &[Sent], effects: &[Effect]) -> Verdict {
    let entry = |Sent { key, envelope }: &Sent| {
        let key = lane(envelope.tenant_id, key);
        let n = envelope.payload.n;
        Entry::committed(envelope.event_id, &key, n, &envelope.event_type)
    };
    let seen = |effect: &Effect| {
        let key = lane(effect.tenant, &effect.key);
        Seen::new(effect.event_id, &key, effect.n, &effect.kind)
    };
    let ledger: Vec<Entry> = sent.iter().map(entry).collect();
    let seen: Vec<Seen> = effects.iter().map(seen).collect();
    judge(&ledger, &seen)
}

/// `count` events: keys in turn, types mixed, each key counting up.
pub fn series(tenants: &[TenantId], keys: i64, count: i64) -> Vec<Sent> {
    let event = |n: i64| {
        let (key, kind) = (n % keys, if n % 7 == 3 { MARKED } else { COUNTED });
        let tenant = tenants[usize::try_from(key).unwrap() % tenants.len()];
        Sent::new(kind, tenant, &format!("k{key}"), n)
    };
    (0..count).map(event).collect()
}

/// Sends one and waits until it is acknowledged.
pub async fn send_one(producer: &FutureProducer, topic: &str, sent: &Sent) {
    let value = serde_json::to_string(&sent.envelope).unwrap();
    let record = FutureRecord::to(topic).key(&sent.key).payload(&value);
    producer.send(record, Timeout::Never).await.unwrap();
}
