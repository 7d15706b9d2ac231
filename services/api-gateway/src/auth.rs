//! Access tokens in, internal tokens out. The external token never goes further than here.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use bahi_http::{
    Claims, Fault, Grants, Keys, Signer,
    token::{ACCESS, AUDIENCE_API, AUDIENCE_INTERNAL, INTERNAL, INTERNAL_LIFE},
};
use bahi_types::{Clock, TenantId};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::revocation::Revocations;

/// A verified access token and the internal token minted for it.
pub struct Session {
    /// What the token says.
    pub claims: Claims,
    /// What it grants.
    pub grants: Grants,
    checked: i64,
    internal: Mutex<(i64, Arc<str>)>,
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

impl Auth {
    pub(crate) fn new(keys: Arc<Keys>, signer: Signer, clock: Clock) -> Self {
        Self { keys, signer, clock, sessions: Cache::new(20_000), revocations: Revocations::default() }
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
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.clock.now().timestamp();
        let known = self.sessions.get(&digest).filter(|s| now < s.claims.exp && now < s.checked + BELIEVED);
        let session = match known {
            Some(session) => session,
            None => {
                let claims = self.keys.verify(token, ACCESS, AUDIENCE_API).ok_or(Fault::Unauthenticated)?;
                // Only identity issues access tokens, whoever else's keys we hold.
                if claims.iss != "identity" {
                    return Err(Fault::Unauthenticated);
                }
                let session = Arc::new(Session {
                    grants: Grants::new(claims.perms.clone()),
                    claims,
                    checked: now,
                    internal: Mutex::new((0, Arc::from(""))),
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

    /// The internal token of a session, minted anew every thirty seconds.
    pub fn internal(&self, session: &Session) -> Result<Arc<str>, Fault> {
        let now = self.clock.now().timestamp();
        let mut minted = session.internal.lock();
        if now >= minted.0 + REUSED {
            let claims = Claims {
                iss: self.signer.issuer().to_owned(),
                aud: AUDIENCE_INTERNAL.to_owned(),
                txn: Some(bahi_http::request_id()),
                iat: now,
                exp: (now + INTERNAL_LIFE.as_secs() as i64).min(session.claims.exp.max(now + 1)),
                ..session.claims.clone()
            };
            *minted = (now, self.sign(&claims)?);
        }
        Ok(minted.1.clone())
    }

    /// A token of the gateway on its own account.
    pub fn own(&self) -> Result<Arc<str>, Fault> {
        let now = self.clock.now().timestamp();
        let me = self.signer.issuer().to_owned();
        self.sign(&Claims {
            iss: me.clone(),
            aud: AUDIENCE_INTERNAL.to_owned(),
            sub: me,
            tid: TenantId::from_uuid(uuid::Uuid::nil()),
            sid: None,
            perms: Vec::new(),
            name: None,
            txn: None,
            iat: now,
            exp: now + INTERNAL_LIFE.as_secs() as i64,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<Arc<str>, Fault> {
        self.signer.sign(INTERNAL, claims).map(Arc::from).map_err(|error| {
            tracing::error!(%error, "the gateway's key cannot sign");
            Fault::Unauthenticated
        })
    }
}
