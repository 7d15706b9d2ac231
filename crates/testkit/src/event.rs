//! Events as they come from their topics.

use bahi_events::{Envelope, Outgoing, VERSION};
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

/// The envelope that the worker would put around an event of `tenant` that is said at `now`, in the first epoch. Panics
/// when the payload is not a `P`.
pub fn envelope<P: DeserializeOwned>(
    event: Outgoing,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Envelope<P> {
    let payload = event.payload.expect("a payload");
    Envelope {
        event_id: event.event_id,
        event_type: event.event_type.to_owned(),
        version: VERSION.to_owned(),
        timestamp: now,
        trace_id: None,
        source_service: "test".to_owned(),
        tenant_id: tenant,
        aggregate_type: event.aggregate_type.to_owned(),
        aggregate_id: event.aggregate_id,
        aggregate_version: event.aggregate_version,
        epoch: 1,
        txid: None,
        occurred_at: event.occurred_at.unwrap_or(now),
        causation_id: event.causation_id,
        correlation_id: None,
        actor: None,
        payload: serde_json::from_str(&payload).expect("a payload of its type"),
    }
}
