//! What an erasure is.

use bahi_types::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::schema::{erasure, erasure_part};

/// After so long somebody should see to it.
const OVERDUE: TimeDelta = TimeDelta::hours(24);

/// An erasure.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = erasure, check_for_backend(diesel::pg::Pg))]
pub struct Erasure {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// `customer` or `user`.
    pub subject: String,
    /// The person.
    pub subject_id: Uuid,
    /// Why.
    pub reason: String,
    /// User, API key or service.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// When the last service had answered.
    pub finished_at: Option<DateTime<Utc>>,
    /// Version.
    pub version: i64,
}

impl Erasure {
    /// `running`, `done` or `overdue`.
    pub fn status(&self, now: DateTime<Utc>) -> &'static str {
        match self.finished_at {
            Some(_) => "done",
            None if self.asked_at + OVERDUE <= now => "overdue",
            None => "running",
        }
    }
}

/// What one service has answered.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = erasure_part, check_for_backend(diesel::pg::Pg))]
pub struct Part {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Erasure.
    pub erasure_id: Uuid,
    /// The service.
    pub service: String,
    /// When it answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// As [`bahi_events::ErasedRows`].
    pub erased: Option<Value>,
    /// As [`bahi_events::KeptRows`].
    pub kept: Option<Value>,
}
