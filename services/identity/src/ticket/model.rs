//! What a ticket is.

use bahi_types::{TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    schema::ticket,
    secret::{Purpose, Secret, Token},
    user::Status,
};

/// What a ticket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To join.
    Invitation,
    /// To set a new password.
    PasswordReset,
    /// To give the second factor after the password.
    MfaChallenge,
    /// To show that an e-mail address is its owner's.
    EmailVerification,
    /// To enrol a second factor that the company asks for, after the password.
    MfaEnrolment,
}

impl Kind {
    /// The stored text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::PasswordReset => "password_reset",
            Self::MfaChallenge => "mfa_challenge",
            Self::MfaEnrolment => "mfa_enrolment",
            Self::EmailVerification => "email_verification",
        }
    }

    /// How long it can be used.
    pub const fn life(self) -> TimeDelta {
        match self {
            Self::Invitation => TimeDelta::days(7),
            Self::PasswordReset | Self::EmailVerification => TimeDelta::days(1),
            Self::MfaChallenge => TimeDelta::minutes(5),
            Self::MfaEnrolment => TimeDelta::minutes(15),
        }
    }

    /// The status of a user who may be given one.
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Invitation => Status::INVITED,
            Self::PasswordReset
            | Self::MfaChallenge
            | Self::MfaEnrolment
            | Self::EmailVerification => Status::ACTIVE,
        }
    }
}

/// A ticket, without anything secret: its token follows from the id.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = ticket, check_for_backend(diesel::pg::Pg))]
pub struct Ticket {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// The name of its [`Kind`].
    pub kind: String,
    /// For whom.
    pub user_id: UserId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
    /// When it was used or made void.
    pub used_at: Option<DateTime<Utc>>,
    /// How its holder has shown who he is so far.
    #[serde(default)]
    pub amr: Vec<String>,
}

impl Ticket {
    /// A new one.
    pub fn new(tenant_id: TenantId, kind: Kind, user_id: UserId, now: DateTime<Utc>) -> Self {
        Self {
            tenant_id,
            id: Uuid::now_v7(),
            kind: kind.name().to_owned(),
            user_id,
            created_at: now,
            expires_at: now + kind.life(),
            used_at: None,
            amr: vec!["pwd".to_owned()],
        }
    }

    /// The token to be handed over.
    pub fn token(&self, secret: &Secret) -> Token {
        secret.token(Purpose::Ticket, self.tenant_id, self.id)
    }

    /// Whether it can be used as a ticket of `kind`.
    pub fn is_good(&self, kind: Kind, now: DateTime<Utc>) -> bool {
        self.kind == kind.name() && self.used_at.is_none() && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_for_its_purpose_and_for_a_time() {
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let ticket = Ticket::new(TenantId::new(), Kind::PasswordReset, UserId::new(), now);
        assert!(ticket.is_good(Kind::PasswordReset, now));
        assert!(!ticket.is_good(Kind::Invitation, now));
        assert!(!ticket.is_good(Kind::PasswordReset, now + TimeDelta::days(1)));
        assert!(
            !Ticket {
                used_at: Some(now),
                ..ticket
            }
            .is_good(Kind::PasswordReset, now)
        );
    }
}
