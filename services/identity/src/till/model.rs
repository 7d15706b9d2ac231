//! What a till is.

use bahi_gst::Series;
use bahi_types::{BranchId, LocationId, RegistrationId, TenantId, TillId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::till;

/// A till.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = till, check_for_backend(diesel::pg::Pg))]
pub struct Till {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: TillId,
    /// The branch it stands in.
    pub branch_id: BranchId,
    /// That branch's registration.
    pub registration_id: RegistrationId,
    /// Where its sales take stock from.
    pub location_id: LocationId,
    /// Short code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Prefix of its invoice numbers, in capitals.
    pub series: String,
    /// Round the payable amount to the nearest rupee.
    pub round_to_rupee: bool,
    /// False once it is retired.
    pub active: bool,
    /// Version.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
}

/// Longest prefix: it leaves six digits of the sixteen characters, a million invoices a year.
const LONGEST_PREFIX: usize = 3;

/// A series as it is kept.
///
/// # Errors
/// What is wrong with it.
pub fn series(prefix: &str) -> Result<String, String> {
    if prefix.chars().count() > LONGEST_PREFIX {
        return Err(format!("must have at most {LONGEST_PREFIX} characters"));
    }
    Series::try_new(prefix)
        .map(|series| series.prefix().to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_leaves_room_for_a_million_numbers() {
        assert_eq!(series("p1"), Ok("P1".into()));
        let longest = Series::try_new(&series("AB1").unwrap()).unwrap();
        let year = bahi_gst::FiscalYear::of("2026-11-21".parse().unwrap());
        assert_eq!(
            longest.number(year, 999_999).unwrap().as_str(),
            "AB1/26-27/999999"
        );
        for wrong in ["", "ABCD", "-A", "A B", "Ü"] {
            assert!(series(wrong).is_err(), "{wrong}");
        }
    }
}
