//! What a second factor is, and which codes are right.

use aws_lc_rs::error::Unspecified;
use bahi_types::{TenantId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret as Shared, Totp};

use crate::{Error, password::Password, schema::mfa};

/// Recovery codes of a user.
pub const RECOVERY_CODES: usize = 10;
/// Seconds of a step.
const STEP: u64 = 30;

/// The second factor of a user.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = mfa, check_for_backend(diesel::pg::Pg))]
pub struct Mfa {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// The step of the last code that was taken.
    pub last_step: i64,
    /// When a first code was right; until then it does not count.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// Whose a sealed secret is.
pub fn owner(tenant: TenantId, user: UserId) -> Vec<u8> {
    [tenant.uuid().as_bytes().as_slice(), user.uuid().as_bytes()].concat()
}

/// A code as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Six digits of the app.
    App(String),
    /// The hash of a recovery code.
    Recovery(Vec<u8>),
}

impl Code {
    /// Reads what was typed, in capitals or not, with hyphens and spaces or without.
    pub fn read(text: &Password) -> Self {
        let plain = plain(text.as_str());
        if plain.len() == 6 && plain.bytes().all(|b| b.is_ascii_digit()) {
            Self::App(plain)
        } else {
            Self::Recovery(hash(&plain))
        }
    }
}

fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.collect::<String>().to_ascii_uppercase()
}

/// What is kept of a recovery code.
pub fn hash(code: &str) -> Vec<u8> {
    Sha256::digest(plain(code)).to_vec()
}

/// A new secret for an app: 160 bits, as long as the hash behind it (RFC 4226, section 4).
pub fn new_secret() -> Result<[u8; 20], Unspecified> {
    let mut secret = [0; 20];
    aws_lc_rs::rand::fill(&mut secret)?;
    Ok(secret)
}

/// New recovery codes of 80 bits: four groups of four letters and digits.
pub fn new_codes() -> Result<Vec<String>, Unspecified> {
    let one = |_| {
        let mut bits = [0; 10];
        aws_lc_rs::rand::fill(&mut bits)?;
        let text = Shared::from(bits.to_vec()).to_base32();
        let groups: Vec<_> = text
            .as_bytes()
            .chunks(4)
            .map(String::from_utf8_lossy)
            .collect();
        Ok(groups.join("-"))
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// The generator behind a secret: SHA-1, six digits, thirty seconds, one step to either side. That is what every app can.
pub fn totp(secret: &[u8], email: &str) -> Result<Totp, Error> {
    let app = Builder::new()
        .with_secret(secret.to_vec())
        .with_step_duration(STEP)
        .with_skew(1)
        .with_issuer(Some("Bahi"))
        // The label of a key URI has one colon.
        .with_account_name(email.replace(':', " "));
    app.build().map_err(Error::Totp)
}

/// The step of a code, if it is right and later than the last one that was taken.
pub fn step(totp: &Totp, code: &str, last: i64, now: DateTime<Utc>) -> Option<i64> {
    let now = u64::try_from(now.timestamp()).ok()?;
    let step = i64::try_from(totp.check(code, now)?).ok()?;
    (step > last).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn knows_the_codes_of_rfc_6238() {
        let app = totp(b"12345678901234567890", "asha@example.in").unwrap();
        // Appendix B, the last six of eight digits.
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step(&app, code, 0, at(second)), Some(second / 30), "{code}");
            assert_eq!(step(&app, code, 0, at(second + 30)), Some(second / 30));
            assert_eq!(step(&app, code, 0, at(second - 30)), Some(second / 30));
            assert_eq!(step(&app, code, 0, at(second + 60)), None);
            assert_eq!(step(&app, code, second / 30, at(second)), None, "twice");
            assert_eq!(
                step(&app, code, second / 30 + 1, at(second)),
                None,
                "an earlier one"
            );
        }
    }

    #[test]
    fn an_app_reads_what_it_needs_from_the_uri() {
        let uri = totp(b"12345678901234567890", "a:b@example.in").unwrap();
        assert_eq!(
            uri.to_url().unwrap(),
            "otpauth://totp/Bahi:a%20b%40example.in?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bahi"
        );
    }

    #[test]
    fn recovery_codes_are_many_different_and_read_as_people_type_them() {
        let codes = new_codes().unwrap();
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        assert_eq!((distinct.len(), codes[0].len()), (RECOVERY_CODES, 19));
        let typed = |text: &str| Code::read(&serde_json::from_value(text.into()).unwrap());
        let kept = Code::Recovery(hash(&codes[0]));
        for text in [
            codes[0].clone(),
            codes[0].to_lowercase(),
            codes[0].replace('-', ""),
            format!(" {} ", codes[0].replace('-', " ")),
        ] {
            assert_eq!(typed(&text), kept, "{text}");
        }
        assert_ne!(typed(&codes[1]), kept);
        assert_eq!(typed("123 456"), Code::App("123456".into()));
    }
}
