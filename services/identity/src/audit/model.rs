//! What a record of the trail is.

use bahi_events::{Actor, AuditRecorded, Envelope};
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::schema::audit;

/// A record as it is told.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit, check_for_backend(diesel::pg::Pg))]
pub struct Record {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The service that tells.
    pub service: String,
    /// `user` or `service`.
    pub actor_type: String,
    /// Who.
    pub actor_id: String,
    /// `<service>.<noun>.<verb>`.
    pub action: String,
    /// Kind of the object.
    pub object_type: String,
    /// The object.
    pub object_id: String,
    /// Why.
    pub reason: Option<String>,
    /// What else matters.
    pub details: Value,
    /// The request or flow.
    pub correlation_id: Option<Uuid>,
}

/// A record in its place of the trail.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit, check_for_backend(diesel::pg::Pg))]
pub struct Kept {
    /// What it says.
    #[diesel(embed)]
    pub record: Record,
    /// Its place, from 1 on.
    pub number: i64,
    /// SHA-256 over the hash before it and itself (`audit_hash` of the database).
    pub hash: Vec<u8>,
}

/// What stands for the hash before the first record.
pub const ZERO: [u8; 32] = [0; 32];

/// What summing the trail up again has shown.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Number of the last record.
    pub number: i64,
    /// Its hash; 32 zero bytes where there is no record.
    pub hash: Vec<u8>,
    /// The first place where a record is missing, changed or put in later.
    pub broken_at: Option<i64>,
}

impl Record {
    /// From the event that tells of it.
    pub fn of(event: &Envelope<AuditRecorded>) -> Self {
        let (actor_type, actor_id) = match &event.actor {
            Some(Actor::User { id }) => ("user", id.to_string()),
            Some(Actor::Service { id }) => ("service", id.clone()),
            None => ("service", event.source_service.clone()),
        };
        let told = event.payload.clone();
        Self {
            tenant_id: event.tenant_id,
            id: told.audit_id,
            at: event.occurred_at,
            service: event.source_service.clone(),
            actor_type: actor_type.to_owned(),
            actor_id,
            action: told.action,
            object_type: told.object_type,
            object_id: told.object_id,
            reason: told.reason,
            details: told.details,
            correlation_id: event.correlation_id,
        }
    }
}
