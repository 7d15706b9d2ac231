//! Sessions, users and API keys whose tokens are no longer good, as identity tells them each second.

use std::collections::{HashMap, HashSet};

use parking_lot::RwLock;
use serde::Deserialize;
use uuid::Uuid;

use bahi_http::Claims;

use crate::auth::principal;

/// Identity's answer: everything revoked within the life of an access token.
#[derive(Debug, Default, Deserialize)]
pub struct Snapshot {
    /// Ended sessions.
    pub sessions: HashSet<Uuid>,
    /// Users, and API keys, whose older tokens no longer speak for them.
    pub users: Vec<Stale>,
    /// Tenants that are suspended.
    #[serde(default)]
    pub tenants: HashSet<Uuid>,
}

/// Tokens of a user issued before a moment are not good.
#[derive(Debug, Deserialize)]
pub struct Stale {
    /// The user, or the API key.
    pub user_id: Uuid,
    /// Unix seconds.
    pub not_before: i64,
}

/// What is revoked now. When identity does not answer, the last word holds.
#[derive(Debug, Default)]
pub struct Revocations(RwLock<Revoked>);

#[derive(Debug, Default)]
struct Revoked {
    sessions: HashSet<Uuid>,
    users: HashMap<Uuid, i64>,
    tenants: HashSet<Uuid>,
}

impl Revocations {
    /// Takes over a snapshot.
    pub fn replace(&self, snapshot: Snapshot) {
        let mut users = HashMap::new();
        for Stale {
            user_id,
            not_before,
        } in snapshot.users
        {
            let latest = users.entry(user_id).or_insert(not_before);
            *latest = not_before.max(*latest);
        }
        *self.0.write() = Revoked {
            sessions: snapshot.sessions,
            users,
            tenants: snapshot.tenants,
        };
    }

    /// Whether the tenant of a token is suspended.
    pub fn is_suspended(&self, claims: &Claims) -> bool {
        self.0.read().tenants.contains(&claims.tid.uuid())
    }

    /// Whether a token is still good.
    pub fn allow(&self, claims: &Claims) -> bool {
        let revoked = self.0.read();
        if claims
            .sid
            .is_some_and(|sid| revoked.sessions.contains(&sid))
        {
            return false;
        }
        principal(&claims.sub)
            .and_then(|p| revoked.users.get(&p))
            .is_none_or(|not_before| claims.iat >= *not_before)
    }
}
