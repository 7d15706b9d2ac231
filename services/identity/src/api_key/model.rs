//! What an API key is.

use aws_lc_rs::{constant_time::verify_slices_are_equal, error::Unspecified};
use bahi_types::{TenantId, UserId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use totp_rs::Secret as Base32;
use uuid::Uuid;

use crate::{
    Error,
    schema::api_key,
    secret::{Purpose, Secret},
};

/// Longest life of a key.
const LIFE: TimeDelta = TimeDelta::days(366);
/// Its last use is noted once in so much time.
const NOTED: TimeDelta = TimeDelta::minutes(1);

/// An API key, without its secret: that follows from id and version.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_key, check_for_backend(diesel::pg::Pg))]
pub struct ApiKey {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// Eight letters and digits, unique in the fleet.
    pub prefix: String,
    /// Grants, in order and once each.
    pub permissions: Vec<String>,
    /// Requests a minute.
    pub rate: i32,
    /// Who has seen the secret.
    pub made_by: UserId,
    /// What was believed of it before this Unix second is void.
    pub not_before: i64,
    /// Version; its secret is another with each that was made anew.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
    /// Its end.
    pub expires_at: DateTime<Utc>,
    /// The last use, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was ended before.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Whether it can be used.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// Whether a use is to be noted.
    pub fn is_noteworthy(&self, now: DateTime<Utc>) -> bool {
        self.last_used_at.is_none_or(|last| now - last >= NOTED)
    }

    /// The secret that was made with this version.
    pub fn secret(&self, secret: &Secret) -> String {
        let which = [self.id.as_bytes().as_slice(), &self.version.to_be_bytes()].concat();
        URL_SAFE_NO_PAD.encode(secret.mac(Purpose::ApiKey, &which))
    }

    /// The whole key, as it is shown.
    pub fn text(&self, secret: &Secret) -> String {
        format!("bahi_{}_{}", self.prefix, self.secret(secret))
    }
}

/// A key as a program sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    /// The prefix.
    pub prefix: String,
    hash: Vec<u8>,
}

impl Presented {
    /// From prefix and secret; nothing for what cannot be one.
    pub fn new(prefix: &str, secret: &str) -> Option<Self> {
        let letter = |b: u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
        let shaped = prefix.len() == 8 && prefix.bytes().all(letter) && secret.len() == 43;
        shaped.then(|| Self {
            prefix: prefix.to_owned(),
            hash: hash(secret),
        })
    }

    /// From the whole key.
    pub fn read(text: &str) -> Option<Self> {
        let (prefix, secret) = text.strip_prefix("bahi_")?.split_once('_')?;
        Self::new(prefix, secret)
    }

    /// Whether it is the one behind a hash.
    pub fn is(&self, hash: &[u8]) -> bool {
        verify_slices_are_equal(&self.hash, hash).is_ok()
    }
}

/// What is kept of a secret. Without salt or stretching: 256 bits cannot be guessed.
pub fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// A new prefix: 40 random bits.
pub fn new_prefix() -> Result<String, Unspecified> {
    let mut bits = [0; 5];
    aws_lc_rs::rand::fill(&mut bits)?;
    Ok(Base32::from(bits.to_vec()).to_base32().to_ascii_lowercase())
}

/// Refuses an end that is past or more than a year away.
pub fn within_a_year(end: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Error> {
    if now < end && end - now <= LIFE {
        Ok(())
    } else {
        Err(Error::KeyExpiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        ApiKey {
            tenant_id: TenantId::new(),
            id: Uuid::now_v7(),
            name: "Web shop".into(),
            prefix: new_prefix().unwrap(),
            permissions: vec!["sales.order.read".into()],
            rate: 600,
            made_by: UserId::new(),
            not_before: 0,
            version: 1,
            created_at: now,
            updated_at: now,
            expires_at: now + TimeDelta::days(1),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_shown_and_nothing_else_is() {
        let (secret, key) = (Secret::of_tests(), key());
        let text = key.text(&secret);
        let kept = hash(&key.secret(&secret));
        let read = Presented::read(&text).unwrap();
        assert!(read.prefix == key.prefix && read.is(&kept));
        let anew = ApiKey {
            version: 2,
            ..key.clone()
        };
        assert!(!Presented::read(&anew.text(&secret)).unwrap().is(&kept));
        for wrong in [
            "",
            "bahi_",
            &text[1..],
            &format!("{text}x"),
            &text.to_uppercase(),
            "bahi_abcdefgh",
        ] {
            assert!(Presented::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_ends_and_its_use_is_noted_once_a_minute() {
        let key = key();
        let now = key.created_at;
        assert!(key.is_good(now) && !key.is_good(key.expires_at));
        assert!(
            !ApiKey {
                revoked_at: Some(now),
                ..key.clone()
            }
            .is_good(now)
        );
        let used = ApiKey {
            last_used_at: Some(now),
            ..key.clone()
        };
        assert!(key.is_noteworthy(now) && !used.is_noteworthy(now + TimeDelta::seconds(59)));
        assert!(used.is_noteworthy(now + TimeDelta::seconds(60)));
        for (days, good) in [
            (-1, false),
            (0, false),
            (1, true),
            (366, true),
            (367, false),
        ] {
            assert_eq!(
                within_a_year(now + TimeDelta::days(days), now).is_ok(),
                good,
                "{days}"
            );
        }
    }
}
