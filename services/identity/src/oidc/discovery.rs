//! What providers say of themselves, and their keys: asked for once and kept for a while.

use std::{convert::Infallible, sync::Arc};

use bahi_types::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::StatusCode;
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::model::{IdToken, Keys, Wrong, signed};
use crate::egress::{Egress, Failed};

/// How long it is believed.
const FRESH: TimeDelta = TimeDelta::hours(1);
/// How long it is believed while the provider does not answer.
const STALE: TimeDelta = TimeDelta::hours(24);
/// How long nobody asks again for the sake of an unknown key.
const COOL_DOWN: TimeDelta = TimeDelta::seconds(30);
/// How long nobody asks again who got no answer.
const REST: TimeDelta = TimeDelta::seconds(5);
/// How many providers are kept.
const MANY: usize = 1000;

/// What a provider says of itself (OpenID Connect Discovery), as far as we need it.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    issuer: String,
    /// Where people go.
    pub authorization_endpoint: String,
    /// Where codes are exchanged.
    pub token_endpoint: String,
    /// Its keys.
    pub jwks_uri: String,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether it says who it is when it sends people back (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Whether the client secret goes into the form: where the header is not among what is supported.
    fn secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        methods.is_some_and(|methods| {
            let knows = |method: &str| methods.iter().any(|m| m == method);
            !knows("client_secret_basic") && knows("client_secret_post")
        })
    }
}

/// Why a provider cannot be used: for its administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No answer.
    #[error("{what}: {why}")]
    Failed {
        /// What was asked for.
        what: &'static str,
        /// Why there is none.
        why: Failed,
    },
    /// The answer is something else.
    #[error("{0}: the answer is not what OpenID Connect says")]
    Malformed(&'static str),
    /// It says to be another.
    #[error("discovery: the issuer in it is another than the one configured")]
    Issuer,
    /// It cannot do PKCE.
    #[error("discovery: it does not support PKCE with S256")]
    Pkce,
    /// An address in it is none that we call.
    #[error("discovery: {0} is not a public https address")]
    Address(&'static str),
    /// It was asked a moment ago, in vain.
    #[error("it did not answer a moment ago")]
    Resting,
}

/// What is known of a provider.
pub struct Known {
    /// What it says of itself.
    pub metadata: Metadata,
    /// Its keys.
    pub keys: Keys,
    at: DateTime<Utc>,
}

#[derive(Default)]
struct Entry {
    known: RwLock<Option<Arc<Known>>>,
    /// When it was last asked. Who holds it asks, and the others wait for what he learns.
    asked: Mutex<Option<DateTime<Utc>>>,
}

impl Entry {
    fn get(&self) -> Option<Arc<Known>> {
        self.known.read().clone()
    }
}

/// The providers. Clones share what they know; it depends on the issuer alone, so tenants share it too.
#[derive(Clone)]
pub struct Providers {
    egress: Egress,
    clock: Clock,
    entries: Arc<Cache<String, Arc<Entry>>>,
}

/// A code to be exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The code.
    pub code: &'a str,
    /// The PKCE verifier.
    pub verifier: &'a str,
    /// Where it was sent to.
    pub redirect_uri: &'a str,
    /// Our name.
    pub client_id: &'a str,
    /// Our secret, where we have one.
    pub secret: Option<&'a str>,
}

/// Why a code brings no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It is refused.
    #[error("the provider refuses the code with status {0}")]
    Refused(u16),
    /// No answer, or none that we understand.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl Providers {
    /// Knows nobody yet.
    pub fn new(egress: Egress, clock: Clock) -> Self {
        Self {
            egress,
            clock,
            entries: Arc::new(Cache::new(MANY)),
        }
    }

    /// Reads the address of an issuer.
    ///
    /// # Errors
    /// [`Failed::Address`].
    pub fn address(&self, issuer: &str) -> Result<Url, Failed> {
        self.egress.address(issuer)
    }

    fn entry(&self, issuer: &str) -> Arc<Entry> {
        let made = self
            .entries
            .get_or_insert_with(issuer, || Ok::<_, Infallible>(Arc::default()));
        match made {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }

    /// What is known of a provider, asked for where that is too old.
    pub async fn current(&self, issuer: &str) -> Result<Arc<Known>, Unusable> {
        let entry = self.entry(issuer);
        let fresh = |known: &Arc<Known>| self.clock.now() - known.at < FRESH;
        if let Some(known) = entry.get().filter(fresh) {
            return Ok(known);
        }
        let mut asked = entry.asked.lock().await;
        if let Some(known) = entry.get().filter(fresh) {
            return Ok(known);
        }
        let now = self.clock.now();
        let learned = if asked.is_some_and(|at| now - at < REST) {
            Err(Unusable::Resting)
        } else {
            *asked = Some(now);
            self.ask(issuer).await
        };
        match learned {
            Ok(known) => {
                *entry.known.write() = Some(known.clone());
                Ok(known)
            }
            Err(why) => {
                tracing::warn!(issuer, %why, "an identity provider cannot be used");
                entry.get().filter(|k| now - k.at < STALE).ok_or(why)
            }
        }
    }

    /// Asks a provider now, whatever is known.
    pub async fn look(&self, issuer: &str) -> Result<Arc<Known>, Unusable> {
        let entry = self.entry(issuer);
        let mut asked = entry.asked.lock().await;
        *asked = Some(self.clock.now());
        let known = self.ask(issuer).await?;
        *entry.known.write() = Some(known.clone());
        Ok(known)
    }

    /// Checks the signature of an ID token. A key that is unknown may be new: the provider is asked once more for its keys,
    /// unless that was just done.
    pub async fn signed(
        &self,
        issuer: &str,
        known: &Arc<Known>,
        token: &str,
    ) -> Result<IdToken, Wrong> {
        match signed(token, &known.keys) {
            Err(Wrong::Key) => match self.newer(issuer, known).await {
                Some(newer) => signed(token, &newer.keys),
                None => Err(Wrong::Key),
            },
            other => other,
        }
    }

    async fn newer(&self, issuer: &str, known: &Arc<Known>) -> Option<Arc<Known>> {
        let entry = self.entry(issuer);
        let mut asked = entry.asked.lock().await;
        // Somebody has asked while we waited.
        let present = entry.get();
        if let Some(present) = present.filter(|p| !Arc::ptr_eq(p, known)) {
            return Some(present);
        }
        let now = self.clock.now();
        if asked.is_some_and(|at| now - at < COOL_DOWN) {
            return None;
        }
        *asked = Some(now);
        match self.keys(&known.metadata.jwks_uri).await {
            Ok(keys) => {
                let newer = Arc::new(Known {
                    metadata: known.metadata.clone(),
                    keys,
                    at: known.at,
                });
                *entry.known.write() = Some(newer.clone());
                Some(newer)
            }
            Err(why) => {
                tracing::warn!(issuer, %why, "the keys of an identity provider cannot be read");
                None
            }
        }
    }

    async fn ask(&self, issuer: &str) -> Result<Arc<Known>, Unusable> {
        const WHAT: &str = "discovery";
        let base = issuer.trim_end_matches('/');
        let address = format!("{base}/.well-known/openid-configuration");
        let text = self.egress.get(&address).await;
        let text = text.map_err(|why| Unusable::Failed { what: WHAT, why })?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|_| Unusable::Malformed(WHAT))?;
        if metadata.issuer != issuer {
            return Err(Unusable::Issuer);
        }
        let methods = metadata.code_challenge_methods_supported.as_deref();
        if methods.is_some_and(|methods| !methods.iter().any(|m| m == "S256")) {
            return Err(Unusable::Pkce);
        }
        for (what, address) in [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
            ("jwks_uri", &metadata.jwks_uri),
        ] {
            let called = self.egress.address(address);
            called.map_err(|_| Unusable::Address(what))?;
        }
        let keys = self.keys(&metadata.jwks_uri).await?;
        Ok(Arc::new(Known {
            metadata,
            keys,
            at: self.clock.now(),
        }))
    }

    async fn keys(&self, address: &str) -> Result<Keys, Unusable> {
        const WHAT: &str = "keys";
        let text = self.egress.get(address).await;
        let text = text.map_err(|why| Unusable::Failed { what: WHAT, why })?;
        Keys::read(&text).ok_or(Unusable::Malformed(WHAT))
    }

    /// Exchanges a code for an ID token.
    pub async fn exchange(&self, known: &Known, code: Exchange<'_>) -> Result<String, NoToken> {
        const WHAT: &str = "token";
        #[derive(Deserialize)]
        struct Answer {
            id_token: String,
        }
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.code),
            ("redirect_uri", code.redirect_uri),
            ("code_verifier", code.verifier),
        ];
        let mut credentials = None;
        match code.secret {
            Some(secret) if known.metadata.secret_in_form() => {
                form.extend([("client_id", code.client_id), ("client_secret", secret)]);
            }
            Some(secret) => credentials = Some((code.client_id, secret)),
            None => form.push(("client_id", code.client_id)),
        }
        let answered = self
            .egress
            .post(&known.metadata.token_endpoint, credentials, &form);
        let failed = |why| Unusable::Failed { what: WHAT, why };
        let (status, text) = answered.await.map_err(failed)?;
        match status {
            StatusCode::OK => {}
            status if status.is_client_error() => return Err(NoToken::Refused(status.as_u16())),
            status => return Err(failed(Failed::Status(status.as_u16())).into()),
        }
        let answer: Answer =
            serde_json::from_slice(&text).map_err(|_| Unusable::Malformed(WHAT))?;
        Ok(answer.id_token)
    }
}
