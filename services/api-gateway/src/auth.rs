//! Access tokens in, internal tokens out. The external token never goes further than here.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use bahi_http::{
    Claims, Fault, Grants, Keys, Signer,
    token::{ACCESS, AUDIENCE_API, AUDIENCE_INTERNAL, INTERNAL, INTERNAL_LIFE},
};
use bahi_types::{Clock, TenantId};
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{limit::Who, revocation::Revocations};

/// A verified access token and the internal token minted for it.
pub struct Session {
    /// What the token says.
    pub claims: Claims,
    /// What it grants.
    pub grants: Grants,
    /// Whose requests its requests count as.
    pub who: Who,
    checked: i64,
    internal: Mutex<Option<(i64, HeaderValue)>>,
}

/// Verifies and mints.
pub struct Auth {
    keys: Arc<Keys>,
    signer: Signer,
    clock: Clock,
    sessions: Cache<[u8; 32], Arc<Session>>,
    /// What is revoked.
    pub revocations: Revocations,
}

/// Seconds for which a verified token is believed without another look.
const BELIEVED: i64 = 60;
/// Seconds for which a minted token is used again; it lives for sixty, so the service sees at least thirty.
const REUSED: i64 = 30;
const LIFE: i64 = INTERNAL_LIFE.as_secs() as i64;

impl Auth {
    pub(crate) fn new(keys: Arc<Keys>, signer: Signer, clock: Clock) -> Self {
        Self {
            keys,
            signer,
            clock,
            sessions: Cache::new(20_000),
            revocations: Revocations::default(),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The session of a request.
    pub fn session(&self, headers: &HeaderMap) -> Result<Arc<Session>, Fault> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer "))
            .ok_or(Fault::Unauthenticated)?;
        self.verified(token)
    }

    /// Whether a session has not ended more than `grace` seconds ago, nor been revoked.
    pub fn lives(&self, session: &Session, grace: i64) -> bool {
        self.clock.now().timestamp() < session.claims.exp + grace
            && self.revocations.allow(&session.claims)
    }

    /// The session of an access token.
    pub fn verified(&self, token: &str) -> Result<Arc<Session>, Fault> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.clock.now().timestamp();
        let known = self
            .sessions
            .get(&digest)
            .filter(|s| now < s.claims.exp && now < s.checked + BELIEVED);
        let session = match known {
            Some(session) => session,
            None => {
                let claims = self
                    .keys
                    .verify(token, ACCESS, AUDIENCE_API)
                    .ok_or(Fault::Unauthenticated)?;
                // Only identity issues access tokens, whoever else's keys we hold.
                if claims.iss != "identity" {
                    return Err(Fault::Unauthenticated);
                }
                let user = Uuid::try_parse(&claims.sub).map_err(|_| Fault::Unauthenticated)?;
                let session = Arc::new(Session {
                    grants: Grants::new(claims.perms.clone()),
                    who: Who::User {
                        tenant: claims.tid.uuid(),
                        user,
                    },
                    claims,
                    checked: now,
                    internal: Mutex::new(None),
                });
                self.sessions.insert(digest, session.clone());
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
            name: None,
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat: now,
            exp: now + LIFE,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<HeaderValue, Fault> {
        let token = self.signer.sign(INTERNAL, claims).map_err(|error| {
            tracing::error!(%error, "the gateway's key cannot sign");
            Fault::Unauthenticated
        })?;
        let mut header =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Fault::Unauthenticated)?;
        header.set_sensitive(true);
        Ok(header)
    }
}
