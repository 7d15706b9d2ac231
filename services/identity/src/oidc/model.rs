//! What a sign-in with a provider is, and which ID tokens are right.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bahi_types::{TenantId, UserId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    schema::{linked_identity, oidc_login},
    secret::{Purpose, Secret, Token},
};

/// How long a sign-in may take.
pub const LIFE: TimeDelta = TimeDelta::minutes(10);
/// By how much clocks may differ, in seconds.
const SKEW: i64 = 60;
/// How old an ID token may be, in seconds: it is made for the code that was just exchanged.
const OLDEST: i64 = 15 * 60;
/// Longest subject (OpenID Connect Core, 2).
const LONGEST_SUBJECT: usize = 255;
/// By a provider (no value of RFC 8176 says it).
pub const FEDERATED: &str = "fed";
/// With several factors (RFC 8176).
pub const MULTIPLE: &str = "mfa";

/// A sign-in that has left for a provider.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = oidc_login, check_for_backend(diesel::pg::Pg))]
pub struct Login {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// Provider.
    pub provider_id: Uuid,
    /// Where it sends people back to.
    pub redirect_uri: String,
    /// Who links, where somebody does who is signed in.
    pub user_id: Option<UserId>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Its end.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub used_at: Option<DateTime<Utc>>,
}

impl Login {
    /// One that begins.
    pub fn new(
        tenant_id: TenantId,
        provider_id: Uuid,
        redirect_uri: String,
        user_id: Option<UserId>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            tenant_id,
            id: Uuid::now_v7(),
            provider_id,
            redirect_uri,
            user_id,
            created_at: now,
            expires_at: now + LIFE,
            used_at: None,
        }
    }

    /// What travels to the provider and back.
    pub fn state(&self, secret: &Secret) -> Token {
        secret.token(Purpose::LoginState, self.tenant_id, self.id)
    }

    /// What stays with the browser that began.
    pub fn key(&self, secret: &Secret) -> String {
        self.text(secret, Purpose::LoginKey)
    }

    /// Whether a browser is the one that began.
    pub fn began_with(&self, secret: &Secret, key: &str) -> bool {
        verify_slices_are_equal(self.key(secret).as_bytes(), key.as_bytes()).is_ok()
    }

    /// The code verifier (RFC 7636): 43 characters.
    pub fn verifier(&self, secret: &Secret) -> String {
        self.text(secret, Purpose::LoginVerifier)
    }

    /// The code challenge, S256.
    pub fn challenge(&self, secret: &Secret) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(secret)))
    }

    /// What the ID token must repeat.
    pub fn nonce(&self, secret: &Secret) -> String {
        self.text(secret, Purpose::LoginNonce)
    }

    fn text(&self, secret: &Secret, purpose: Purpose) -> String {
        URL_SAFE_NO_PAD.encode(secret.mac(purpose, self.id.as_bytes()))
    }

    /// Whether it can still be ended.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.used_at.is_none() && now < self.expires_at
    }
}

/// Who somebody is at an issuer.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = linked_identity, check_for_backend(diesel::pg::Pg))]
pub struct Link {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// Issuer.
    pub issuer: String,
    /// His name there, which never passes to somebody else.
    pub subject: String,
    /// Provider.
    pub provider_id: Uuid,
    /// Who he is here.
    pub user_id: UserId,
    /// His address there, when he was linked.
    pub email: Option<String>,
    /// When he was linked.
    pub created_at: DateTime<Utc>,
    /// When he last came in by it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Why a token is not believed: for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is none, or its claims are of other types.
    #[error("it cannot be read")]
    Malformed,
    /// Its algorithm is none of ours.
    #[error("its algorithm is neither RS256 nor ES256")]
    Algorithm,
    /// It is another kind of token, or has a header that must be understood.
    #[error("its type or a critical header is unknown")]
    Header,
    /// No key of the provider has its id.
    #[error("its key is unknown")]
    Key,
    /// The signature is not by that key.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer.
    #[error("its issuer is another")]
    Issuer,
    /// For somebody else.
    #[error("its audience or authorised party is another")]
    Audience,
    /// Past, future, or too old.
    #[error("it is not valid at this time")]
    Time,
    /// For another sign-in.
    #[error("its nonce is another")]
    Nonce,
    /// No subject, or an endless one.
    #[error("its subject is missing or too long")]
    Subject,
}

/// The public keys of a provider with which ID tokens can be checked.
#[derive(Clone, Default)]
pub struct Keys(Vec<(Option<String>, Algorithm, DecodingKey)>);

/// How many keys of a provider are looked at.
const MANY: usize = 100;

impl Keys {
    /// Takes what can be used from a JWK set (RFC 7517): RSA and P-256 keys for signatures. Nothing where it is none.
    pub fn read(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(text).ok()?;
        let keys = set.keys.into_iter().take(MANY).filter_map(|key| {
            let key: Jwk = serde_json::from_value(key).ok()?;
            let (algorithm, name) = match &key.algorithm {
                AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
                AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                    (Algorithm::ES256, KeyAlgorithm::ES256)
                }
                _ => return None,
            };
            let signs = match &key.common.public_key_use {
                None | Some(PublicKeyUse::Signature) => true,
                Some(_) => false,
            };
            let ours = key.common.key_algorithm.is_none_or(|a| a == name);
            let usable = signs && ours;
            let decoding = DecodingKey::from_jwk(&key).ok()?;
            usable.then_some((key.common.key_id, algorithm, decoding))
        });
        Some(Self(keys.collect()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that may have signed a token. One without key id is by the only key of its algorithm.
    fn of(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fitting = self.0.iter().filter(|(_, a, _)| *a == algorithm);
        match kid {
            Some(kid) => {
                let named = fitting.filter(|(id, ..)| id.as_deref() == Some(kid));
                named.map(|(.., key)| key).collect()
            }
            None => {
                let keys: Vec<_> = fitting.map(|(.., key)| key).collect();
                if keys.len() == 1 { keys } else { Vec::new() }
            }
        }
    }
}

/// What an ID token says.
#[derive(Clone, Debug, Deserialize)]
pub struct IdToken {
    iss: String,
    #[serde(default)]
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Truth>,
    name: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Some providers write `"true"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Truth {
    Plain(bool),
    Written(String),
}

/// Checks algorithm, type, key and signature of an ID token.
pub fn signed(token: &str, keys: &Keys) -> Result<IdToken, Wrong> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Wrong::Algorithm)?;
    // Never what the token says alone: `none` and the HS family, which would take a public key for a secret, are not here.
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(Wrong::Algorithm);
    }
    let typ = header.typ.as_deref();
    if header.crit.is_some() || typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Wrong::Header);
    }
    let fitting = keys.of(header.kid.as_deref(), header.alg);
    if fitting.is_empty() {
        return Err(Wrong::Key);
    }
    let mut validation = Validation::new(header.alg);
    // The claims are checked below, by the clock of the service.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let mut wrong = Wrong::Signature;
    for key in fitting {
        match jsonwebtoken::decode::<IdToken>(token, key, &validation) {
            Ok(token) => return Ok(token.claims),
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_)) => {
                wrong = Wrong::Malformed;
            }
            Err(_) => {}
        }
    }
    Err(wrong)
}

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Issuer, letter by letter.
    pub issuer: &'a str,
    /// Our name there.
    pub client_id: &'a str,
    /// The nonce of the sign-in.
    pub nonce: &'a str,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Somebody whom a provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// His name there.
    pub subject: String,
    /// His address in lower case, if the provider says that it is verified.
    pub email: Option<String>,
    /// What he is called.
    pub name: Option<String>,
    /// Whether he has shown several factors.
    pub several_factors: bool,
}

impl IdToken {
    /// Checks what the token says (OpenID Connect Core, 3.1.3.7).
    pub fn check(self, expected: &Expected) -> Result<Person, Wrong> {
        if self.iss != expected.issuer {
            return Err(Wrong::Issuer);
        }
        let (ours, others) = match &self.aud {
            Audience::One(one) => (one == expected.client_id, false),
            Audience::Many(all) => (
                all.iter().any(|a| a == expected.client_id),
                all.iter().any(|a| a != expected.client_id),
            ),
        };
        // For several, it must say that we are the one who asked; and if it says who, then us.
        let party = match &self.azp {
            Some(azp) => azp == expected.client_id,
            None => !others,
        };
        if !ours || !party {
            return Err(Wrong::Audience);
        }
        let now = expected.now.timestamp();
        let begun = self.nbf.is_none_or(|nbf| nbf <= now + SKEW) && self.iat <= now + SKEW;
        if !begun || self.exp <= now - SKEW || self.iat < now - OLDEST {
            return Err(Wrong::Time);
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err(Wrong::Nonce);
        }
        if self.sub.is_empty() || self.sub.chars().count() > LONGEST_SUBJECT {
            return Err(Wrong::Subject);
        }
        let verified = match self.email_verified {
            Some(Truth::Plain(verified)) => verified,
            Some(Truth::Written(text)) => text == "true",
            None => false,
        };
        Ok(Person {
            subject: self.sub,
            email: self.email.filter(|_| verified).map(|e| e.to_lowercase()),
            name: self.name.and_then(|name| line(&name)),
            several_factors: self.amr.iter().any(|method| method == MULTIPLE),
        })
    }
}

/// A name as we keep it: one line of at most 200 characters.
fn line(name: &str) -> Option<String> {
    let kept = name.chars().filter(|c| !c.is_control()).take(200);
    let kept = kept.collect::<String>().trim().to_owned();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn claims(change: impl FnOnce(&mut Value)) -> Result<Person, Wrong> {
        let now = at().timestamp();
        let mut claims = json!({
            "iss": "https://id.example.in", "sub": "248289761001", "aud": "bahi", "exp": now + 300, "iat": now, "nonce": "n",
            "email": "Asha@Example.in", "email_verified": true, "name": " Asha\n Rao ",
        });
        change(&mut claims);
        let token: IdToken = serde_json::from_value(claims).map_err(|_| Wrong::Malformed)?;
        token.check(&Expected {
            issuer: "https://id.example.in",
            client_id: "bahi",
            nonce: "n",
            now: at(),
        })
    }

    #[test]
    fn believes_what_is_right_to_the_letter() {
        let person = claims(|_| {}).unwrap();
        assert_eq!(
            person,
            Person {
                subject: "248289761001".into(),
                email: Some("asha@example.in".into()),
                name: Some("Asha Rao".into()),
                several_factors: false,
            }
        );
        let several = claims(|c| {
            c["aud"] = json!(["other", "bahi"]);
            c["azp"] = json!("bahi");
            c["amr"] = json!(["pwd", "mfa"]);
        });
        assert!(several.unwrap().several_factors);
        assert!(claims(|c| c["aud"] = json!(["bahi"])).is_ok());
        // An address counts only when it is said to be verified.
        for (said, counts) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (Value::Null, false),
        ] {
            let person = claims(|c| c["email_verified"] = said.clone()).unwrap();
            assert_eq!(person.email.is_some(), counts, "{said}");
        }
    }

    #[test]
    fn believes_nothing_else() {
        let now = at().timestamp();
        for (name, value, wrong) in [
            ("iss", json!("https://id.example.in/"), Wrong::Issuer),
            ("iss", json!("https://evil.example.in"), Wrong::Issuer),
            ("aud", json!("other"), Wrong::Audience),
            ("aud", json!([]), Wrong::Audience),
            ("aud", json!(["bahi", "other"]), Wrong::Audience),
            ("azp", json!("other"), Wrong::Audience),
            ("exp", json!(now - 60), Wrong::Time),
            ("iat", json!(now + 61), Wrong::Time),
            ("iat", json!(now - 901), Wrong::Time),
            ("nbf", json!(now + 61), Wrong::Time),
            ("nonce", json!("m"), Wrong::Nonce),
            ("nonce", Value::Null, Wrong::Nonce),
            ("sub", json!(""), Wrong::Subject),
            ("sub", json!("x".repeat(256)), Wrong::Subject),
            ("exp", Value::Null, Wrong::Malformed),
            ("exp", json!("soon"), Wrong::Malformed),
            ("aud", json!(1), Wrong::Malformed),
        ] {
            let answer = claims(|c| c[name] = value.clone());
            assert_eq!(answer, Err(wrong), "{name} {value}");
        }
        // Clocks differ a little.
        for (name, value) in [
            ("exp", now - 59),
            ("iat", now + 60),
            ("nbf", now + 60),
            ("iat", now - 900),
        ] {
            assert!(claims(|c| c[name] = json!(value)).is_ok(), "{name} {value}");
        }
    }

    #[test]
    fn each_part_of_a_sign_in_is_another_secret() {
        let secret = Secret::of_tests();
        let login = |id| Login {
            id,
            ..Login::new(TenantId::new(), Uuid::now_v7(), String::new(), None, at())
        };
        let (one, other) = (login(Uuid::now_v7()), login(Uuid::now_v7()));
        let parts: std::collections::BTreeSet<_> = [&one, &other]
            .iter()
            .flat_map(|l| {
                [
                    l.key(&secret),
                    l.verifier(&secret),
                    l.nonce(&secret),
                    l.challenge(&secret),
                ]
            })
            .collect();
        assert_eq!(parts.len(), 8);
        assert_eq!(one.verifier(&secret).len(), 43);
        assert!(one.began_with(&secret, &one.key(&secret)));
        for wrong in [other.key(&secret), String::new(), one.nonce(&secret)] {
            assert!(!one.began_with(&secret, &wrong));
        }
        assert!(one.is_good(at()) && !one.is_good(at() + LIFE));
        // RFC 7636, appendix B.
        let known = URL_SAFE_NO_PAD.encode(Sha256::digest(
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ));
        assert_eq!(known, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn takes_only_keys_that_it_can_use() {
        let rsa = |more: Value| {
            let mut key = json!({ "kty": "RSA", "n": "sXch", "e": "AQAB" });
            key.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            key
        };
        let set = json!({ "keys": [
            rsa(json!({ "kid": "a" })),
            rsa(json!({ "kid": "b", "alg": "RS256", "use": "sig" })),
            rsa(json!({ "kid": "c", "use": "enc" })),
            rsa(json!({ "kid": "d", "alg": "RS512" })),
            rsa(json!({ "kid": "e", "alg": "RSA-OAEP" })),
            { "kty": "oct", "kid": "f", "k": "c2VjcmV0" },
            { "kty": "EC", "crv": "P-384", "kid": "g", "x": "AA", "y": "AA" },
            { "kty": "EC", "crv": "P-256", "kid": "h", "x": "AA", "y": "AA" },
            { "kty": "strange" }, 7,
        ] });
        let keys = Keys::read(set.to_string().as_bytes()).unwrap();
        let kids: Vec<_> = keys
            .0
            .iter()
            .filter_map(|(kid, ..)| kid.as_deref())
            .collect();
        assert_eq!(kids, ["a", "b", "h"]);
        // Without a key id only where there is no choice.
        assert_eq!(keys.of(None, Algorithm::RS256).len(), 0);
        assert_eq!(keys.of(None, Algorithm::ES256).len(), 1);
        assert_eq!(keys.of(Some("h"), Algorithm::RS256).len(), 0);
        assert!(Keys::read(b"[]").is_none() && Keys::read(b"{}").is_none());
    }
}
