//! What an export is, and what becomes of it.

use bahi_events::TenantExportAnswered;
use bahi_types::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::schema::{tenant_export, tenant_export_part};

/// How long the services have.
pub const DEADLINE: TimeDelta = TimeDelta::hours(6);
/// How long archives can be fetched.
pub const KEPT: TimeDelta = TimeDelta::days(7);
/// Why a part failed of which nothing was heard.
pub const NO_ANSWER: &str = "NO_ANSWER";

/// An export.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = tenant_export, check_for_backend(diesel::pg::Pg))]
#[diesel(treat_none_as_null = true)]
pub struct TenantExport {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// `running`, `ready`, `failed` or `expired`.
    pub status: String,
    /// User, API key or service.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// Nobody waits longer.
    pub deadline_at: DateTime<Utc>,
    /// When it was ready or failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// From when on nothing can be fetched.
    pub expires_at: Option<DateTime<Utc>>,
    /// When its objects were deleted.
    pub swept_at: Option<DateTime<Utc>>,
    /// Version.
    pub version: i64,
}

/// What one service makes of it.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = tenant_export_part, check_for_backend(diesel::pg::Pg))]
pub struct Part {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Export.
    pub export_id: Uuid,
    /// The service.
    pub service: String,
    /// `waiting`, `ready` or `failed`.
    pub status: String,
    /// Where its archive lies.
    pub object_key: Option<String>,
    /// Tables in it.
    pub tables: Option<i64>,
    /// Rows in it.
    pub row_count: Option<i64>,
    /// Other objects in it.
    pub objects: Option<i64>,
    /// Its length.
    pub bytes: Option<i64>,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Why there is none.
    pub reason: Option<String>,
    /// When the service answered, or was waited for no longer.
    pub answered_at: Option<DateTime<Utc>>,
}

impl TenantExport {
    /// Whether its archives can be fetched.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        let ended = self.status == "ready" || self.status == "failed";
        ended && self.expires_at.is_some_and(|end| now < end)
    }

    /// Ends it, if nobody is waited for.
    pub fn settle(&mut self, parts: &[Part], now: DateTime<Utc>) {
        let waiting = parts.iter().any(|part| part.status == "waiting");
        if self.status != "running" || waiting {
            return;
        }
        let all = parts.iter().all(|part| part.status == "ready");
        self.status = if all { "ready" } else { "failed" }.into();
        self.finished_at = Some(now);
        self.expires_at = Some(now + KEPT);
        self.version += 1;
    }

    /// Nothing can be fetched any more; what lies there is to be deleted, also what has only just come.
    pub fn expire(&mut self) {
        self.status = "expired".into();
        self.swept_at = None;
        self.version += 1;
    }
}

impl Part {
    /// Somebody who is asked.
    pub fn asked(tenant_id: TenantId, export_id: Uuid, service: &str) -> Self {
        Self {
            tenant_id,
            export_id,
            service: service.to_owned(),
            status: "waiting".into(),
            object_key: None,
            tables: None,
            row_count: None,
            objects: None,
            bytes: None,
            sha256: None,
            reason: None,
            answered_at: None,
        }
    }

    /// Takes an answer. One that comes after the deadline counts: what is there can be fetched.
    pub fn take(&mut self, said: &TenantExportAnswered, now: DateTime<Utc>) {
        self.answered_at = Some(now);
        if let Some(archive) = &said.archive {
            self.status = "ready".into();
            self.object_key = Some(archive.object_key.clone());
            self.tables = Some(archive.tables);
            self.row_count = Some(archive.rows);
            self.objects = Some(archive.objects);
            self.bytes = Some(archive.bytes);
            self.sha256 = Some(archive.sha256.clone());
            self.reason = None;
        } else {
            let reason = said.failed.clone();
            self.fail(reason.unwrap_or_else(|| "UNKNOWN".into()), now);
        }
    }

    /// There is no archive.
    pub fn fail(&mut self, reason: String, now: DateTime<Utc>) {
        self.status = "failed".into();
        self.reason = Some(reason);
        self.answered_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export() -> TenantExport {
        TenantExport {
            tenant_id: TenantId::new(),
            id: Uuid::now_v7(),
            status: "running".into(),
            asked_by: "x".into(),
            asked_at: DateTime::UNIX_EPOCH,
            deadline_at: DateTime::UNIX_EPOCH + DEADLINE,
            finished_at: None,
            expires_at: None,
            swept_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_export_is_ready_when_all_are_and_failed_when_one_is() {
        let (mut export, now) = (export(), DateTime::UNIX_EPOCH);
        let part = |service| Part::asked(export.tenant_id, export.id, service);
        let mut parts = vec![part("a"), part("b")];
        parts[0].status = "ready".into();
        export.settle(&parts, now);
        assert_eq!(export.status, "running");
        parts[1].fail(NO_ANSWER.into(), now);
        export.settle(&parts, now);
        assert_eq!((export.status.as_str(), export.version), ("failed", 2));
        assert!(export.is_open(now) && !export.is_open(now + KEPT));
        // What is ended stays so.
        parts[1].status = "ready".into();
        export.settle(&parts, now);
        assert_eq!(export.status, "failed");
    }
}
