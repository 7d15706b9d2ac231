//! The consumer: one row of effect for each event. It runs as a process of its own, to be killed.

use std::time::Duration;

use bahi_db::{Db, DbConfig, Tx, sql};
use bahi_events::{Envelope, EventType, Topic};
use bahi_kafka::{Consumer, Failed};
use bahi_testkit::digest;
use bahi_types::Clock;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

/// A payload as its bytes: what is judged is what came, not what it means.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(Box<RawValue>);

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

/// What the writers of the first database say.
pub const SOLD: EventType<Bytes> = EventType::new("fault.sold", Topic::Billing, "thing");
/// What the writers of the second say.
pub const LISTED: EventType<Bytes> = EventType::new("fault.listed", Topic::Products, "thing");

async fn leave(tx: &mut Tx, topic: Topic, events: &[Envelope<Bytes>]) -> Result<(), Failed> {
    let digests = events.iter().map(|event| {
        let digest = digest(event.payload.0.get().as_bytes());
        i64::from_ne_bytes(digest.to_ne_bytes())
    });
    let keys = events.iter().map(|event| event.aggregate_id.as_str());
    let versions = events.iter().map(|event| event.aggregate_version);
    sql(
        "insert into effect (tenant_id, topic, event_id, key, version, payload)
         select $1, $2, e.id, e.key, e.version, e.payload
           from unnest($3, $4, $5, $6) with ordinality as e(id, key, version, payload, o) order by o",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(topic.name())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.event_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(keys.collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(versions.collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(digests.collect::<Vec<_>>())
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// Consumes until it is killed.
pub async fn run(url: String, brokers: &str) -> anyhow::Result<()> {
    let config = DbConfig {
        url,
        connections: 4,
        checkout: Duration::from_millis(250),
        topic_prefix: String::new(),
        service: "fault-consumer",
    };
    let db = Db::new(&config, Clock::System)?;
    Consumer::new("fault-consumer")
        .on(SOLD, async |tx, events| {
            leave(tx, Topic::Billing, events).await
        })
        .on(LISTED, async |tx, events| {
            leave(tx, Topic::Products, events).await
        })
        .run(db, brokers, CancellationToken::new())
        .await
}
