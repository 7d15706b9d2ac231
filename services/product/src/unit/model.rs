//! A unit, and what of it is fixed by use.

use bahi_types::UnitId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::unit};

/// A unit of measure.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = unit)]
pub struct Unit {
    /// Id.
    pub id: UnitId,
    /// Version.
    pub version: i64,
    /// Short name: `PCS`, `KG`.
    pub code: String,
    /// Name.
    pub name: String,
    /// Unique quantity code of GST.
    pub uqc: String,
    /// Decimals of a quantity, 0 to 3.
    pub decimals: i16,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be said of a unit.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Short name.
    pub code: String,
    /// Name.
    pub name: String,
    /// Unique quantity code.
    pub uqc: bahi_gst::Uqc,
    /// Decimals of a quantity.
    pub decimals: i16,
}

impl Unit {
    /// A new unit.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Self {
        let Draft {
            code,
            name,
            uqc,
            decimals,
        } = draft;
        let uqc = uqc.code().to_owned();
        Self {
            id: UnitId::new(),
            version: 1,
            code,
            name,
            uqc,
            decimals,
            created_at: now,
            updated_at: now,
        }
    }

    /// The unit as `draft` wants it, where products use it if `in_use`.
    ///
    /// # Errors
    /// [`Error::FixedByUse`].
    pub fn amended(&self, draft: Draft, in_use: bool, now: DateTime<Utc>) -> Result<Self, Error> {
        let Draft {
            code,
            name,
            uqc,
            decimals,
        } = draft;
        let after = Self {
            code,
            name,
            uqc: uqc.code().to_owned(),
            decimals,
            ..self.clone()
        };
        if after == *self {
            return Ok(after);
        }
        if in_use && after.uqc != self.uqc {
            return Err(Error::FixedByUse("uqc"));
        }
        if in_use && after.decimals < self.decimals {
            return Err(Error::FixedByUse("decimals"));
        }
        Ok(Self {
            version: self.version + 1,
            updated_at: now,
            ..after
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(uqc: &str, decimals: i16) -> Draft {
        Draft {
            code: "KG".into(),
            name: "Kilogram".into(),
            uqc: uqc.parse().unwrap(),
            decimals,
        }
    }

    #[test]
    fn use_fixes_the_uqc_and_the_decimals_downward() {
        let now = Utc::now();
        let unit = Unit::new(draft("KGS", 2), now);
        assert_eq!(unit.amended(draft("KGS", 2), true, now).unwrap(), unit);
        assert_eq!(unit.amended(draft("KGS", 3), true, now).unwrap().version, 2);
        assert!(matches!(
            unit.amended(draft("KGS", 1), true, now),
            Err(Error::FixedByUse("decimals"))
        ));
        assert!(matches!(
            unit.amended(draft("GMS", 2), true, now),
            Err(Error::FixedByUse("uqc"))
        ));
        assert!(unit.amended(draft("GMS", 0), false, now).is_ok());
    }
}
