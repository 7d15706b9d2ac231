//! What the company is.

use bahi_gst::Gstin;
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::company};

/// The company.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = company, check_for_backend(diesel::pg::Pg))]
pub struct Company {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Name as on the PAN card.
    pub legal_name: String,
    /// Name over the door.
    pub trade_name: Option<String>,
    /// Permanent Account Number.
    pub pan: Option<String>,
    /// ISO 4217 currency of the books.
    pub currency: String,
    /// Version.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
    /// Whether everybody needs a second factor.
    pub require_mfa: bool,
}

/// Characters 3 to 12 of a taxpayer's GSTIN are his PAN (CGST Rules, rule 10): it must be the company's.
pub fn same_pan(pan: Option<&str>, gstin: &str) -> Result<(), Error> {
    let inside = gstin.parse::<Gstin>().ok().and_then(|gstin| gstin.pan());
    match (pan, inside) {
        (Some(company), Some(inside)) if inside.as_str() != company => Err(Error::PanMismatch {
            gstin: inside.as_str().to_owned(),
            company: company.to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gstin_belongs_to_the_company_whose_pan_it_holds() {
        assert!(same_pan(Some("AAPFU0939F"), "27AAPFU0939F1ZV").is_ok());
        assert!(same_pan(None, "27AAPFU0939F1ZV").is_ok());
        assert!(matches!(
            same_pan(Some("AAACR5055K"), "27AAPFU0939F1ZV"),
            Err(Error::PanMismatch { .. })
        ));
    }
}
