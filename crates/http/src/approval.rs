//! Approvals: what somebody with more rights lends a colleague, for one document and a few minutes.
//!
//! Identity gives one against the approver's PIN; any service verifies it offline, as it does tokens. Its type and
//! audience are its own, so that it is no token to sign in with and no token is an approval.

use std::time::Duration;

use bahi_types::{TenantId, TillId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Caller, Fault, Grants, Keys};

/// `typ` of an approval.
pub const APPROVAL: &str = "apr+jwt";
/// Audience of approvals.
pub const AUDIENCE_APPROVAL: &str = "bahi-approval";
/// How long one may be used: as long as it takes to be paid.
pub const APPROVAL_LIFE: Duration = Duration::from_secs(300);

/// What an approval says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Always `identity`.
    pub iss: String,
    /// Always [`AUDIENCE_APPROVAL`].
    pub aud: String,
    /// Who approves.
    pub sub: UserId,
    /// His name.
    pub name: String,
    /// Tenant.
    pub tid: TenantId,
    /// Who has asked; nobody else may use it.
    pub act: UserId,
    /// Permissions that are lent.
    pub perms: Vec<String>,
    /// The one document that it is for.
    pub doc: Uuid,
    /// The till that it is for, where it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub till: Option<TillId>,
    /// Why.
    pub reason: String,
    /// Its own id.
    pub jti: Uuid,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
}

impl Approval {
    /// Verifies the approval that `caller` presents for `document`.
    ///
    /// # Errors
    /// [`Fault::Approval`] for whatever is wrong with it.
    pub fn read(keys: &Keys, text: &str, caller: &Caller, document: Uuid) -> Result<Self, Fault> {
        let wrong = |what: &'static str| Fault::Approval(what);
        let approval = keys
            .approval(text)
            .ok_or(wrong("is not valid, or not any more"))?;
        if approval.tid != caller.tenant() {
            return Err(wrong("is not valid, or not any more"));
        }
        if caller.user().ok() != Some(approval.act) {
            return Err(wrong("was given to somebody else"));
        }
        if approval.doc != document {
            return Err(wrong("was given for another document"));
        }
        Ok(approval)
    }

    /// What is lent.
    pub fn grants(&self) -> Grants {
        Grants::new(self.perms.clone())
    }
}
