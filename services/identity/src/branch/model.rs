//! What a branch is.

use bahi_types::{BranchId, RegistrationId, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::branch;

/// A branch.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = branch, check_for_backend(diesel::pg::Pg))]
pub struct Branch {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: BranchId,
    /// The registration under which it sells.
    pub registration_id: RegistrationId,
    /// Short code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// False once it is closed.
    pub active: bool,
    /// Version.
    pub version: i64,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
    /// Address, as its documents show it.
    pub address: Option<String>,
    /// Telephone, as its documents show it.
    pub phone: Option<String>,
    /// Its virtual payment address, for payment by UPI.
    pub upi_vpa: Option<String>,
}
