//! The outbox insert: all events of a transaction in one statement, the last before COMMIT.

use bahi_events::Outgoing;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{Error, Result, Tx, sql};

const INSERT: &str = "
insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version,
                          occurred_at, tenant_id, trace_id, traceparent, causation_id, correlation_id, actor, payload)
select e.event_id, e.topic, e.key, e.event_type, e.aggregate_type, e.aggregate_id, e.aggregate_version,
       e.occurred_at, $9, $10, $11, e.causation_id, $13, $14, e.payload::json
from unnest($1, $2, $3, $4, $5, $6, $7, $8, $12, $15)
  with ordinality as e(event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, causation_id, payload, n)
order by e.n";

/// Bytes of a payload at most; the table's own check says the same. A record of a topic takes a little more.
pub(crate) const MOST: usize = 900_000;

pub(crate) async fn insert(tx: &mut Tx, events: &[Outgoing]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut payloads = Vec::with_capacity(events.len());
    for event in events {
        match &event.payload {
            Ok(text) if text.len() > MOST => {
                return Err(Error::EventTooLarge {
                    event_type: event.event_type,
                    bytes: text.len(),
                });
            }
            Ok(text) => payloads.push(text.as_str()),
            Err(_) => return Err(Error::Document(serde::ser::Error::custom(event.event_type))),
        }
    }
    let now = tx.now();
    let ctx = tx.ctx().clone();
    let ids: Vec<Uuid> = events.iter().map(|e| e.event_id).collect();
    let topics: Vec<String> = events.iter().map(|e| tx.db().topic(e.topic)).collect();
    let keys: Vec<&str> = events.iter().map(|e| e.key.as_str()).collect();
    let types: Vec<&str> = events.iter().map(|e| e.event_type).collect();
    let aggregate_types: Vec<&str> = events.iter().map(|e| e.aggregate_type).collect();
    let aggregate_ids: Vec<&str> = events.iter().map(|e| e.aggregate_id.as_str()).collect();
    let versions: Vec<i64> = events.iter().map(|e| e.aggregate_version).collect();
    let occurred: Vec<DateTime<Utc>> = events
        .iter()
        .map(|e| e.occurred_at.unwrap_or(now))
        .collect();
    let causes: Vec<Option<Uuid>> = events
        .iter()
        .map(|e| e.causation_id.or(ctx.causation_id))
        .collect();
    let actor = serde_json::to_value(&ctx.actor)?;
    sql(INSERT)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Text>, _>(topics)
        .bind::<Array<Text>, _>(keys)
        .bind::<Array<Text>, _>(types)
        .bind::<Array<Text>, _>(aggregate_types)
        .bind::<Array<Text>, _>(aggregate_ids)
        .bind::<Array<BigInt>, _>(versions)
        .bind::<Array<Timestamptz>, _>(occurred)
        .bind::<SqlUuid, _>(ctx.tenant)
        .bind::<Nullable<SqlUuid>, _>(ctx.trace.as_ref().map(|t| t.id))
        .bind::<Nullable<Text>, _>(ctx.trace.as_ref().map(|t| t.parent.clone()))
        .bind::<Array<Nullable<SqlUuid>>, _>(causes)
        .bind::<Nullable<SqlUuid>, _>(Some(ctx.correlation_id))
        .bind::<Nullable<Jsonb>, _>(Some(actor))
        .bind::<Array<Text>, _>(payloads)
        .execute(tx.conn())
        .await?;
    Ok(())
}
