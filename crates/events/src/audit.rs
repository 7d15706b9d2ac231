//! `audit.recorded`: what every service says about its sensitive operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

/// A sensitive operation was carried out. Identity keeps these append-only.
pub const AUDIT_RECORDED: EventType<AuditRecorded> =
    EventType::new("audit.recorded", Topic::Audit, "audit");

/// Who did what to which object. The actor, time and tenant are the envelope's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecorded {
    /// This record.
    pub audit_id: Uuid,
    /// `<service>.<noun>.<verb>`.
    pub action: String,
    /// Kind of the object.
    pub object_type: String,
    /// The object's id.
    pub object_id: String,
    /// Why, where the operation asks for a reason.
    pub reason: Option<String>,
    /// What else matters: old and new values, amounts as decimal strings.
    pub details: serde_json::Value,
}
