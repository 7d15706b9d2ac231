//! PINs, and what an approval may be about.

use bahi_types::{TillId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{password::Password, role::model::is_grant, schema::pin};

/// Wrong guesses in a row that lock a PIN.
pub const MOST_FAILURES: i32 = 10;
/// Permissions that one approval may lend.
pub const MOST_PERMISSIONS: usize = 5;

/// A PIN as it is stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = pin, check_for_backend(diesel::pg::Pg))]
pub struct Pin {
    /// Argon2id, in PHC format.
    pub hash: String,
    /// Wrong guesses in a row.
    pub failures: i32,
}

impl Pin {
    /// Whether it was guessed at too often.
    pub fn is_locked(&self) -> bool {
        self.failures >= MOST_FAILURES
    }
}

/// How an approver is named.
#[derive(Clone, Debug)]
pub enum Approver {
    /// By id.
    Id(UserId),
    /// By e-mail, in lower case.
    Email(String),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of whom.
    pub approver: Approver,
    /// Permissions.
    pub permissions: Vec<String>,
    /// For which document.
    pub document_id: Uuid,
    /// At which till.
    pub till_id: Option<TillId>,
    /// Why.
    pub reason: String,
}

/// What was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Signed.
    pub token: String,
    /// By whom.
    pub approver: UserId,
    /// His name.
    pub name: String,
    /// What is lent.
    pub permissions: Vec<String>,
    /// Until when it may be used.
    pub expires_at: DateTime<Utc>,
}

/// A new PIN. For `#[garde(custom(..))]`.
///
/// # Errors
/// What is wrong with it.
pub fn fit(pin: &Password, (): &()) -> garde::Result {
    let digits = pin.as_str().as_bytes();
    if !(4..=12).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(garde::Error::new("must be 4 to 12 digits"));
    }
    let step = |by: i16| {
        let mut pairs = digits.windows(2);
        pairs.all(|pair| i16::from(pair[1]) - i16::from(pair[0]) == by)
    };
    if step(0) || step(1) || step(-1) {
        return Err(garde::Error::new("must be neither one digit nor a run"));
    }
    Ok(())
}

/// Permissions that can be lent: whole ones.
///
/// # Errors
/// What is wrong with one.
pub fn lendable(permission: &str, (): &()) -> garde::Result {
    if is_grant(permission) && !permission.ends_with('*') {
        Ok(())
    } else {
        Err(garde::Error::new("must be <service>.<noun>.<verb>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_digits_that_nobody_tries_first() {
        let pin = |text: &str| serde_json::from_value::<Password>(text.into()).unwrap();
        for right in ["4711", "1235", "90210", "112233445566"] {
            assert!(fit(&pin(right), &()).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "471",
            "1111",
            "1234",
            "987654",
            "47a1",
            "४७११",
            "1234567890123",
        ] {
            assert!(fit(&pin(wrong), &()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_star_is_not_lent() {
        assert!(lendable("sales.discount.up_to_20", &()).is_ok());
        assert!(lendable("sales.*", &()).is_err() && lendable("*", &()).is_err());
    }
}
