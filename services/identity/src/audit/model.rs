//! What a record of the trail is.

use bahi_events::{Actor, AuditRecorded, Envelope};
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::schema::audit;

/// A record.
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
