//! What a registration is.

use bahi_gst::{Gstin, StateCode};
use bahi_http::Fault;
use bahi_types::{RegistrationId, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::registration};

/// A GST registration.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = registration, check_for_backend(diesel::pg::Pg))]
pub struct Registration {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: RegistrationId,
    /// The GSTIN, or nothing for an unregistered business.
    pub gstin: Option<String>,
    /// GST state code of two digits.
    pub state_code: String,
    /// Legal name on invoices.
    pub legal_name: String,
    /// False once it is closed.
    pub active: bool,
    /// Version.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
}

/// The GSTIN as it is kept, and the state, from what a client says: a GSTIN brings its state along.
pub fn place(
    gstin: Option<&str>,
    state_code: Option<&str>,
) -> Result<(Option<String>, String), Fault> {
    let gstin = gstin.map(str::parse::<Gstin>).transpose();
    let gstin = gstin.map_err(|error| Fault::field("gstin", error.to_string()))?;
    let said = state_code.map(str::parse::<StateCode>).transpose();
    let said = said.map_err(|error| Fault::field("state_code", error.to_string()))?;
    let state = match (gstin.as_ref().and_then(Gstin::state), said) {
        (Some(inside), Some(said)) if inside != said => {
            return Err(Fault::field(
                "state_code",
                format!("the GSTIN is of state {inside}"),
            ));
        }
        (Some(state), _) | (None, Some(state)) => state,
        (None, None) => {
            return Err(Fault::field(
                "state_code",
                "is needed where no GSTIN tells it",
            ));
        }
    };
    Ok((
        gstin.map(|gstin| gstin.as_str().to_owned()),
        state.to_string(),
    ))
}

/// The GSTIN after a change: one that is there stays, and a new one is of the same state.
pub fn settle(before: &Registration, gstin: Option<&str>) -> Result<Option<String>, Error> {
    let (gstin, _) = match gstin {
        None => (None, String::new()),
        Some(_) => place(gstin, Some(&before.state_code))?,
    };
    if before.gstin.is_some() && before.gstin != gstin {
        Err(Error::GstinFixed)
    } else {
        Ok(gstin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GSTIN: &str = "27AAPFU0939F1ZV";

    fn registration(gstin: Option<&str>) -> Registration {
        Registration {
            tenant_id: TenantId::new(),
            id: RegistrationId::new(),
            gstin: gstin.map(str::to_owned),
            state_code: "27".into(),
            legal_name: "U".into(),
            active: true,
            version: 1,
            created_at: Utc::now(),
            updated_at: Utc::now(),
        }
    }

    #[test]
    fn a_gstin_brings_its_state_along() {
        assert_eq!(
            place(Some("27aapfu0939f1zv"), None).unwrap(),
            (Some(GSTIN.into()), "27".into())
        );
        assert_eq!(place(None, Some("09")).unwrap(), (None, "09".into()));
        assert!(place(Some(GSTIN), Some("29")).is_err());
        assert!(place(Some("27AAPFU0939F1ZX"), None).is_err(), "check digit");
        assert!(place(None, None).is_err());
        assert!(place(None, Some("99")).is_err());
    }

    #[test]
    fn a_gstin_comes_once_and_stays() {
        assert_eq!(
            settle(&registration(None), Some(GSTIN)).unwrap(),
            Some(GSTIN.into())
        );
        assert_eq!(
            settle(&registration(Some(GSTIN)), Some(GSTIN)).unwrap(),
            Some(GSTIN.into())
        );
        assert!(matches!(
            settle(&registration(Some(GSTIN)), None),
            Err(Error::GstinFixed)
        ));
        assert_eq!(settle(&registration(None), None).unwrap(), None);
        let elsewhere = Registration {
            state_code: "29".into(),
            ..registration(None)
        };
        assert!(settle(&elsewhere, Some(GSTIN)).is_err());
    }
}
