//! What a user is.

use bahi_types::{BranchId, RoleId, Scope, TenantId, UserId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::app_user;

/// A user, without his password.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = app_user, check_for_backend(diesel::pg::Pg))]
pub struct User {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: UserId,
    /// E-mail in lower case.
    pub email: String,
    /// Name.
    pub name: String,
    /// `invited`, `active` or `disabled`.
    pub status: String,
    /// Version.
    pub version: i64,
    /// When he was invited or registered.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
    /// When he has shown that his address is his.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// The branches that his roles are good at, in order; all where there is none.
    #[serde(default)]
    pub branch_ids: Option<Vec<BranchId>>,
}

impl User {
    /// Where his roles are good.
    pub fn scope(&self) -> Scope {
        Scope::new(self.branch_ids.clone())
    }
}

/// What signing in needs to know.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = app_user, check_for_backend(diesel::pg::Pg))]
pub struct Credentials {
    /// Id.
    pub id: UserId,
    /// E-mail.
    pub email: String,
    /// Name.
    pub name: String,
    /// Status.
    pub status: String,
    /// Argon2id, in PHC format.
    pub password_hash: Option<String>,
    /// Access tokens issued before this Unix second are void.
    pub not_before: i64,
    /// The branches that his roles are good at; all where there is none.
    pub branch_ids: Option<Vec<BranchId>>,
    /// When he has shown that his address is his.
    pub email_verified_at: Option<DateTime<Utc>>,
}

impl Credentials {
    /// Whether he still comes in with what was looked at before.
    pub fn is_as(&self, before: &Self) -> bool {
        self.email == before.email && self.password_hash == before.password_hash
    }

    /// Whether he may sign in.
    pub fn is_active(&self) -> bool {
        self.status == Status::ACTIVE
    }

    /// Where his roles are good.
    pub fn scope(&self) -> Scope {
        Scope::new(self.branch_ids.clone())
    }
}

/// A user with his roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The user.
    pub user: User,
    /// Roles, in order of id.
    pub role_ids: Vec<RoleId>,
}

/// The values of a user's status.
pub struct Status;

impl Status {
    /// Has no password yet.
    pub const INVITED: &'static str = "invited";
    /// May sign in.
    pub const ACTIVE: &'static str = "active";
    /// May not.
    pub const DISABLED: &'static str = "disabled";

    /// What a disabled user becomes again: with a password or a link to a provider he can come in.
    pub const fn enabled(has_a_way_in: bool) -> &'static str {
        if has_a_way_in {
            Self::ACTIVE
        } else {
            Self::INVITED
        }
    }
}

/// Roles in order and once each.
pub fn role_set(mut ids: Vec<RoleId>) -> Vec<RoleId> {
    ids.sort();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_way_in_is_invited_again_when_enabled() {
        assert_eq!(Status::enabled(false), "invited");
        assert_eq!(Status::enabled(true), "active");
    }

    #[test]
    fn a_role_counts_once() {
        let (a, b) = (RoleId::new(), RoleId::new());
        assert_eq!(role_set(vec![b, a, b]), vec![a.min(b), a.max(b)]);
    }
}
