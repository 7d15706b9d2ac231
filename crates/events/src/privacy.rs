//! What is asked of every service about a tenant's data or a person's, and what each answers.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

const T: Topic = Topic::Privacy;

/// Every service is to write all it holds of the tenant into an archive.
pub const TENANT_EXPORT_REQUESTED: EventType<TenantExportRequested> =
    EventType::new("tenant.export_requested", T, "tenant_export");
/// A service has written its archive, or cannot.
pub const TENANT_EXPORT_ANSWERED: EventType<TenantExportAnswered> =
    EventType::new("tenant.export_answered", T, "tenant_export");
/// Every service is to erase what it holds of a person.
pub const PERSON_ERASURE_REQUESTED: EventType<PersonErasureRequested> =
    EventType::new("person.erasure_requested", T, "erasure");
/// A service has erased what it held of a person.
pub const PERSON_ERASED: EventType<PersonErased> = EventType::new("person.erased", T, "erasure");

/// A request for an archive of the tenant that the envelope names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TenantExportRequested {
    /// The export.
    pub export_id: Uuid,
    /// After this moment nobody waits for an answer.
    pub deadline_at: DateTime<Utc>,
}

/// What became of a service's part of an export.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TenantExportAnswered {
    /// The export.
    pub export_id: Uuid,
    /// The service that answers.
    pub service: String,
    /// The archive, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ExportArchive>,
    /// Why there is none: a code, such as `STORE_UNAVAILABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// An archive in the bucket of exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportArchive {
    /// Where it lies.
    pub object_key: String,
    /// Tables in it.
    pub tables: i64,
    /// Rows of all of them.
    pub rows: i64,
    /// Other objects in it, such as pictures.
    pub objects: i64,
    /// Its length in bytes.
    pub bytes: i64,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
}

/// Whose data is erased.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// Somebody who buys.
    Customer,
    /// Somebody who works with the system.
    User,
}

impl SubjectKind {
    /// Its word in JSON and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::User => "user",
        }
    }
}

/// A request to erase a person. It names nobody: there is nothing personal in it but the id.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PersonErasureRequested {
    /// The erasure.
    pub erasure_id: Uuid,
    /// What kind of person.
    pub subject: SubjectKind,
    /// The customer or user.
    pub subject_id: Uuid,
}

/// What a service erased and what it keeps.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PersonErased {
    /// The erasure.
    pub erasure_id: Uuid,
    /// The service that answers.
    pub service: String,
    /// Rows from which something was erased, by table.
    pub erased: Vec<ErasedRows>,
    /// What is kept, and why.
    pub kept: Vec<KeptRows>,
}

/// Rows of a table from which something was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRows {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: i64,
}

/// Rows of a table that keep what they say of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptRows {
    /// The table.
    pub table: String,
    /// How many; absent where they cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// The law or the reason.
    pub why: String,
    /// The day on which the last of them may go; absent where they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}
