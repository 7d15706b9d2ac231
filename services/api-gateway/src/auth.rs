//! Access tokens and API keys in, internal tokens out. What a client has sent never goes further than here, but for a key that
//! identity is asked about.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use bahi_http::{
    Claims, Fault, Grants, Keys, Signer,
    token::{ACCESS, API_KEY, AUDIENCE_API, AUDIENCE_INTERNAL, INTERNAL, INTERNAL_LIFE},
};
use bahi_types::{Clock, Scope, TenantId};
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle, PlaceholderGuard};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    limit::{Own, Who},
    revocation::Revocations,
};

/// A verified access token, or API key, and the internal token minted for it.
pub struct Session {
    /// What the token says.
    pub claims: Claims,
    /// What it grants.
    pub grants: Grants,
    /// Whose requests its requests count as.
    pub who: Who,
    /// The limit of an API key.
    pub own: Option<Own>,
    /// The user, or the API key.
    pub principal: Uuid,
    checked: i64,
    internal: Mutex<Option<(i64, HeaderValue)>>,
}

/// SHA-256 of what a client has sent.
pub(crate) type Digested = [u8; 32];

/// What identity says of an API key.
#[derive(Debug, Deserialize)]
pub(crate) struct Principal {
    sub: String,
    tenant_id: TenantId,
    name: String,
    permissions: Vec<String>,
    #[serde(default)]
    branches: Scope,
    requests_per_minute: u32,
    issued_at: i64,
    expires_at: i64,
}

/// What is known of an API key.
pub(crate) enum Known<'a> {
    /// It is good.
    Good(Arc<Session>),
    /// It is not.
    Unknown,
    /// Nothing: whoever holds this asks, and the others who sent the same key wait for him.
    Ask(Asking<'a>),
}

type Asking<'a> = PlaceholderGuard<
    'a,
    Digested,
    Arc<Session>,
    quick_cache::UnitWeighter,
    quick_cache::DefaultHashBuilder,
    DefaultLifecycle<Digested, Arc<Session>>,
>;

/// Verifies and mints.
pub struct Auth {
    keys: Arc<Keys>,
    signer: Signer,
    clock: Clock,
    /// And how many keys were lost when they were verified.
    sessions: Cache<Digested, (u64, Arc<Session>)>,
    keyed: Cache<Digested, Arc<Session>>,
    /// Keys that identity does not know, and until when that is believed.
    unknown: Cache<Digested, i64>,
    /// What is revoked.
    pub revocations: Revocations,
}

/// `typ` and audience of what a ticket stands for.
const TICKET: &str = "ticket+jwt";
const AUDIENCE_TICKET: &str = "bahi-ws-ticket";
/// Seconds for which a verified token is believed without another look.
const BELIEVED: i64 = 60;
/// Seconds for which an unknown key is not asked about again.
const UNKNOWN: i64 = 10;
/// Characters of an API key: `bahi_`, the prefix, `_`, 256 bits in base64url.
const KEY: usize = 5 + 8 + 1 + 43;
/// Seconds for which a minted token is used again; it lives for sixty, so the service sees at least thirty.
const REUSED: i64 = 30;
const LIFE: i64 = INTERNAL_LIFE.as_secs() as i64;

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Fault> {
    let mut values = headers.get_all(AUTHORIZATION);
    // Of two nobody can say which one is meant.
    let value = values.next().filter(|_| values.next().is_none());
    value
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .ok_or(Fault::Unauthenticated)
}

/// Whether a token is an API key, or meant as one.
pub(crate) fn is_key(token: &str) -> bool {
    token.starts_with("bahi_")
}

/// Whether an API key has the shape of one; others are not asked about.
pub(crate) fn is_shaped(key: &str) -> bool {
    key.len() == KEY && key.is_ascii()
}

pub(crate) fn digest(token: &str) -> Digested {
    Sha256::digest(token.as_bytes()).into()
}

/// The user, or the API key, that a subject names.
pub(crate) fn principal(sub: &str) -> Option<Uuid> {
    Uuid::try_parse(sub.strip_prefix(API_KEY).unwrap_or(sub)).ok()
}

impl Session {
    fn new(claims: Claims, checked: i64) -> Option<Self> {
        let (tenant, principal) = (claims.tid.uuid(), principal(&claims.sub)?);
        Some(Self {
            grants: Grants::new(claims.perms.clone()),
            who: Who::User {
                tenant,
                user: principal,
            },
            own: claims.rate.and_then(|rate| Own::new(principal, rate)),
            principal,
            claims,
            checked,
            internal: Mutex::new(None),
        })
    }
}

impl Auth {
    pub(crate) fn new(keys: Arc<Keys>, signer: Signer, clock: Clock) -> Self {
        Self {
            keys,
            signer,
            clock,
            sessions: Cache::new(20_000),
            keyed: Cache::new(20_000),
            unknown: Cache::new(10_000),
            revocations: Revocations::default(),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What is known of an API key that was presented.
    pub(crate) async fn known(&self, digest: &Digested) -> Known<'_> {
        let now = self.clock.now().timestamp();
        let unknown = || self.unknown.get(digest).is_some_and(|until| now < until);
        if unknown() {
            return Known::Unknown;
        }
        self.keyed.remove_if(digest, |session| {
            now >= session.checked + BELIEVED
                || now >= session.claims.exp
                || !self.revocations.allow(&session.claims)
        });
        match self.keyed.get_value_or_guard_async(digest).await {
            Ok(session) => Known::Good(session),
            // He who asked before us has learned that it is not known.
            Err(_) if unknown() => Known::Unknown,
            Err(asking) => Known::Ask(asking),
        }
    }

    /// Remembers what identity has said of an API key.
    pub(crate) fn learn(
        &self,
        asking: Asking<'_>,
        digest: Digested,
        said: Option<Principal>,
    ) -> Result<Arc<Session>, Fault> {
        let now = self.clock.now().timestamp();
        let Some(said) = said else {
            self.unknown.insert(digest, now + UNKNOWN);
            return Err(Fault::Unauthenticated);
        };
        let claims = Claims {
            iss: "identity".to_owned(),
            aud: AUDIENCE_API.to_owned(),
            sub: said.sub,
            tid: said.tenant_id,
            sid: None,
            perms: said.permissions,
            branches: said.branches,
            name: Some(said.name),
            rate: Some(said.requests_per_minute),
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat: said.issued_at,
            exp: said.expires_at,
        };
        let session = Arc::new(Session::new(claims, now).ok_or(Fault::Unauthenticated)?);
        // Should it have been revoked meanwhile, the next request finds that out.
        let _ = asking.insert(session.clone());
        Ok(session)
    }

    /// Whether a session has not ended more than `grace` seconds ago, nor been revoked, nor its tenant suspended.
    pub fn lives(&self, session: &Session, grace: i64) -> bool {
        self.clock.now().timestamp() < session.claims.exp + grace
            && self.revocations.allow(&session.claims)
            && !self.revocations.is_suspended(&session.claims)
    }

    /// The session of an access token.
    pub fn verified(&self, token: &str) -> Result<Arc<Session>, Fault> {
        let digest = digest(token);
        let now = self.clock.now().timestamp();
        // Asked before the keys are: should one be lost meanwhile, it is verified once more.
        let losses = self.keys.losses();
        let known = self
            .sessions
            .get(&digest)
            .filter(|(of, s)| *of == losses && now < s.claims.exp && now < s.checked + BELIEVED);
        let session = match known {
            Some((_, session)) => session,
            None => {
                let claims = self
                    .keys
                    .verify(token, ACCESS, AUDIENCE_API)
                    .ok_or(Fault::Unauthenticated)?;
                // Only identity issues access tokens, whoever else's keys we hold.
                if claims.iss != "identity" {
                    return Err(Fault::Unauthenticated);
                }
                let session = Session::new(claims, now).ok_or(Fault::Unauthenticated)?;
                let session = Arc::new(session);
                self.sessions.insert(digest, (losses, session.clone()));
                session
            }
        };
        if !self.revocations.allow(&session.claims) {
            return Err(Fault::Unauthenticated);
        }
        Ok(session)
    }

    /// The `Authorization` of a session towards the services, minted anew every thirty seconds.
    pub fn internal(&self, session: &Session) -> Result<HeaderValue, Fault> {
        let now = self.clock.now().timestamp();
        let mut minted = session.internal.lock();
        if let Some((at, header)) = minted.as_ref()
            && now < at + REUSED
        {
            return Ok(header.clone());
        }
        let header = self.sign(&Claims {
            iss: self.signer.issuer().to_owned(),
            aud: AUDIENCE_INTERNAL.to_owned(),
            rate: None,
            txn: Some(bahi_http::request_id()),
            iat: now,
            // Never longer than the session itself, which `session` has just found alive.
            exp: (now + LIFE).min(session.claims.exp.max(now + 1)),
            sxp: Some(session.claims.exp),
            ..session.claims.clone()
        })?;
        *minted = Some((now, header.clone()));
        Ok(header)
    }

    /// The `Authorization` of the gateway on its own account.
    pub fn own(&self) -> Result<HeaderValue, Fault> {
        let now = self.clock.now().timestamp();
        let me = self.signer.issuer().to_owned();
        self.sign(&Claims {
            iss: me.clone(),
            aud: AUDIENCE_INTERNAL.to_owned(),
            sub: me,
            tid: TenantId::from_uuid(Uuid::nil()),
            sid: None,
            perms: Vec::new(),
            branches: Scope::default(),
            name: None,
            rate: None,
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat: now,
            exp: now + LIFE,
        })
    }

    /// A session, signed by us, for what stands in for its token: it says for `life` seconds who opened it.
    pub fn stand_in(&self, session: &Session, life: u32) -> Result<String, Fault> {
        let now = self.clock.now().timestamp();
        let claims = Claims {
            iss: self.signer.issuer().to_owned(),
            aud: AUDIENCE_TICKET.to_owned(),
            exp: (now + i64::from(life)).min(session.claims.exp),
            sxp: Some(session.claims.exp),
            ..session.claims.clone()
        };
        self.signed(TICKET, &claims)
    }

    /// The session that one of ours stands for.
    pub fn stood_for(&self, signed: &str) -> Result<Arc<Session>, Fault> {
        let said = self.keys.verify(signed, TICKET, AUDIENCE_TICKET);
        let said = said.filter(|said| said.iss == self.signer.issuer());
        let said = said.ok_or(Fault::Unauthenticated)?;
        let claims = Claims {
            iss: "identity".to_owned(),
            aud: AUDIENCE_API.to_owned(),
            exp: said.sxp.ok_or(Fault::Unauthenticated)?,
            sxp: None,
            ..said
        };
        let now = self.clock.now().timestamp();
        let session = Session::new(claims, now).ok_or(Fault::Unauthenticated)?;
        match self.lives(&session, 0) {
            true => Ok(Arc::new(session)),
            false => Err(Fault::Unauthenticated),
        }
    }

    fn signed(&self, typ: &str, claims: &Claims) -> Result<String, Fault> {
        self.signer.sign(typ, claims).map_err(|error| {
            tracing::error!(%error, "the gateway's key cannot sign");
            Fault::Unauthenticated
        })
    }

    fn sign(&self, claims: &Claims) -> Result<HeaderValue, Fault> {
        let token = self.signed(INTERNAL, claims)?;
        let mut header =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Fault::Unauthenticated)?;
        header.set_sensitive(true);
        Ok(header)
    }
}
