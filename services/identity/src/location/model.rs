//! What a location is.

use bahi_types::{BranchId, LocationId, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::location;

/// A location.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = location, check_for_backend(diesel::pg::Pg))]
pub struct Location {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: LocationId,
    /// The branch it belongs to.
    pub branch_id: BranchId,
    /// Short code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// False once it is closed.
    pub active: bool,
    /// Version.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
}
