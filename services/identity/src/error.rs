//! Everything that identity refuses, and what each refusal means to a client.

use actix_web::http::StatusCode;
use bahi_http::{Fault, Refusal, Verdict};
use bahi_kafka::Failed;
use serde_json::{Map, Value, json};

/// A refusal or failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error("{0}")]
    Db(bahi_db::Error),
    /// A refusal that every service shares.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Unknown address, wrong password, not active: which of them is nobody's business.
    #[error("E-mail or password is wrong.")]
    InvalidCredentials,
    /// The password is right in several tenants.
    #[error("This e-mail belongs to several businesses; name one.")]
    ChooseTenant(Vec<String>),
    /// Too many failed sign-ins.
    #[error("Too many failed attempts; wait before the next one.")]
    TooManyAttempts {
        /// Seconds.
        retry_after: u32,
    },
    /// Too many mails were asked for.
    #[error("A mail was just asked for; wait before the next one.")]
    TooManyMails {
        /// Seconds.
        retry_after: u32,
    },
    /// The address is verified already.
    #[error("The e-mail address is verified already.")]
    EmailVerified,
    /// Too many password checks are waiting.
    #[error("Too many people sign in at once; try again.")]
    Busy,
    /// The refresh token is unknown, expired, revoked or used up.
    #[error("The session has ended; sign in again.")]
    SessionEnded,
    /// The password given as the present one is not.
    #[error("The present password is wrong.")]
    WrongPassword,
    /// The approver is unknown, not active or without a PIN, or the PIN is another: which of them is nobody's business.
    #[error("Approver or PIN is wrong.")]
    WrongPin,
    /// Too many wrong guesses.
    #[error("The PIN was guessed at too often; its owner must set it anew.")]
    PinLocked,
    /// The code of the second factor is wrong, or was used before.
    #[error("The code is wrong, or was used before.")]
    WrongCode,
    /// There is a second factor already.
    #[error("A second factor is enrolled already; take that away first.")]
    MfaEnabled,
    /// There is no second factor.
    #[error("No second factor is enrolled.")]
    MfaNotEnabled,
    /// One's own second factor is taken away with its code.
    #[error("Nobody resets his own second factor; another administrator must.")]
    OwnMfa,
    /// One's own password is changed with it.
    #[error("Nobody resets his own password: he changes it, or another administrator resets it.")]
    OwnPassword,
    /// One's own address is changed by somebody else.
    #[error("Nobody changes his own e-mail address; another administrator must.")]
    OwnEmail,
    /// The password is the e-mail address.
    #[error("The password must not be the e-mail address.")]
    PasswordIsAddress,
    /// The password is its owner's name, or the business's.
    #[error("The password must not be your name or that of the business.")]
    PasswordIsName,
    /// The password is known from a breach.
    #[error("This password is known from a breach elsewhere; take another one.")]
    PasswordBreached,
    /// The invitation or reset token is unknown, expired or used.
    #[error("This token is not valid any more; ask for a new one.")]
    TicketInvalid,
    /// The user's status stands against it.
    #[error("The user is {0}.")]
    UserStatus(String),
    /// His erasure was asked for.
    #[error("The user is being erased, or was; invite the person anew.")]
    Erased,
    /// A permission that the caller does not hold himself.
    #[error("You cannot give, take or act upon the permission {0}, which you do not hold.")]
    Escalation(String),
    /// Without this user nobody could administer the tenant.
    #[error("A business must keep at least one active owner.")]
    LastOwner,
    /// The owner role is what it is.
    #[error("The owner role cannot be changed or deleted.")]
    OwnerRoleFixed,
    /// The end of an API key is past, or too far away.
    #[error("An API key ends within a year, and not before it begins.")]
    KeyExpiry,
    /// The API key has ended.
    #[error("The API key was revoked or has expired; make another one.")]
    KeyEnded,
    /// What came back from an identity provider is not right: the log says why.
    #[error("The sign-in cannot be completed; begin anew.")]
    SignInRefused,
    /// A provider vouches for somebody who is nobody here, or not any more.
    #[error("There is no account for you here; ask an administrator.")]
    NoAccount,
    /// A provider does not answer, or not as it should.
    #[error("The identity provider does not answer; try again.")]
    ProviderUnavailable,
    /// A provider cannot be used, and why: for its administrators.
    #[error("The identity provider cannot be used: {0}.")]
    ProviderUnusable(String),
    /// Another provider of the tenant has the issuer.
    #[error("An identity provider with this issuer exists.")]
    ProviderTaken,
    /// Another user is linked to it.
    #[error("Another user is linked to this account.")]
    IdentityTaken,
    /// Without it the user could not come in.
    #[error("Without a password this is your only way to sign in; set a password first.")]
    LastWayIn,
    /// The tenant is suspended.
    #[error("This business is suspended; ask whoever runs the service.")]
    TenantSuspended,
    /// The slug belongs to another tenant.
    #[error("This short name is taken.")]
    SlugTaken,
    /// Another user of the tenant has the e-mail.
    #[error("A user with this e-mail exists.")]
    EmailTaken,
    /// Another role has the name.
    #[error("A role with this name exists.")]
    RoleNameTaken,
    /// Somebody has the role.
    #[error("The role is held by users, or given by an identity provider.")]
    RoleInUse,
    /// Another registration has the GSTIN.
    #[error("A registration with this GSTIN exists.")]
    GstinTaken,
    /// Documents refer to the GSTIN, so it stays.
    #[error("A GSTIN cannot be changed; add another registration.")]
    GstinFixed,
    /// The PAN inside a GSTIN is not the company's.
    #[error("The GSTIN belongs to the PAN {gstin}, the company has {company}.")]
    PanMismatch {
        /// PAN inside the GSTIN.
        gstin: String,
        /// PAN of the company.
        company: String,
    },
    /// Another one of the kind has the code.
    #[error("This code is taken.")]
    CodeTaken,
    /// Another till of the registration has, or had, the series.
    #[error("Another till of the registration has this series.")]
    SeriesTaken,
    /// What a field refers to is not there.
    #[error("{0} refers to nothing that exists.")]
    UnknownReference(&'static str),
    /// What a field refers to is closed.
    #[error("{0} refers to something that is closed.")]
    ClosedReference(&'static str),
    /// Something active depends on it.
    #[error("It cannot be closed while it has active {0}.")]
    StillInUse(&'static str),
    /// A password cannot be hashed: a defect.
    #[error("a password cannot be hashed")]
    Hash(argon2::password_hash::Error),
    /// A token cannot be signed: a defect.
    #[error("a token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// A sealed secret cannot be made or opened: its key is gone, or a defect.
    #[error("a secret cannot be sealed or opened")]
    Seal(#[from] aws_lc_rs::error::Unspecified),
    /// The file of breached passwords cannot be read.
    #[error("the list of breached passwords cannot be read")]
    BreachedList(std::io::Error),
    /// The object store cannot be reached.
    #[error("The object store cannot be reached; try again.")]
    StoreAway(#[from] bahi_objects::Away),
    /// A generator of codes cannot be made: a defect.
    #[error("a generator of codes cannot be made")]
    Totp(totp_rs::TotpError),
}

impl From<bahi_db::Error> for Error {
    fn from(error: bahi_db::Error) -> Self {
        match error.constraint() {
            Some("app_user_email_key") => Self::EmailTaken,
            Some("role_name_key") => Self::RoleNameTaken,
            Some("user_role_role_fkey" | "identity_provider_role_fkey") => Self::RoleInUse,
            Some("identity_provider_issuer_key") => Self::ProviderTaken,
            Some("linked_identity_subject_key") => Self::IdentityTaken,
            Some("registration_gstin_key") => Self::GstinTaken,
            Some("branch_code_key" | "location_code_key" | "till_code_key") => Self::CodeTaken,
            Some("till_series_key") => Self::SeriesTaken,
            Some("till_location_fkey") => Self::UnknownReference("location_id"),
            _ => Self::Db(error),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        bahi_db::Error::from(error).into()
    }
}

impl bahi_db::Failure for Error {
    fn database(&self) -> Option<&bahi_db::Error> {
        if let Self::Db(error) = self {
            Some(error)
        } else {
            None
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            other => Self::reject("refused", other),
        }
    }
}

impl Refusal for Error {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Db(error) => error.verdict(),
            Self::Fault(fault) => fault.verdict(),
            Self::InvalidCredentials => {
                Verdict::new(StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS")
            }
            Self::ChooseTenant(_) => Verdict::conflict("CHOOSE_TENANT"),
            Self::TooManyAttempts { .. } => {
                Verdict::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS")
            }
            Self::TooManyMails { .. } => {
                Verdict::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_MAILS")
            }
            Self::EmailVerified => Verdict::conflict("EMAIL_VERIFIED"),
            Self::Busy => Verdict::unavailable("BUSY"),
            Self::BreachedList(_) => Verdict::unavailable("PASSWORD_LIST_UNAVAILABLE"),
            Self::StoreAway(_) => Verdict::unavailable("STORE_UNAVAILABLE"),
            Self::SessionEnded => Verdict::new(StatusCode::UNAUTHORIZED, "SESSION_ENDED"),
            Self::WrongPassword => Verdict::refused("WRONG_PASSWORD"),
            Self::WrongPin => Verdict::refused("WRONG_PIN"),
            Self::PinLocked => Verdict::refused("PIN_LOCKED"),
            Self::WrongCode => Verdict::refused("WRONG_CODE"),
            Self::MfaEnabled => Verdict::conflict("MFA_ENABLED"),
            Self::MfaNotEnabled => Verdict::conflict("MFA_NOT_ENABLED"),
            Self::OwnMfa => Verdict::refused("OWN_MFA"),
            Self::OwnPassword => Verdict::refused("OWN_PASSWORD"),
            Self::OwnEmail => Verdict::refused("OWN_EMAIL"),
            Self::PasswordIsAddress => Verdict::refused("PASSWORD_IS_ADDRESS"),
            Self::PasswordIsName => Verdict::refused("PASSWORD_IS_NAME"),
            Self::PasswordBreached => Verdict::refused("PASSWORD_BREACHED"),
            Self::TicketInvalid => Verdict::refused("TOKEN_INVALID"),
            Self::UserStatus(_) => Verdict::refused("USER_STATUS"),
            Self::Erased => Verdict::refused("ERASED"),
            Self::Escalation(_) => Verdict::forbidden("ESCALATION"),
            Self::LastOwner => Verdict::refused("LAST_OWNER"),
            Self::OwnerRoleFixed => Verdict::refused("OWNER_ROLE_FIXED"),
            Self::KeyExpiry => Verdict::refused("KEY_EXPIRY"),
            Self::KeyEnded => Verdict::conflict("KEY_ENDED"),
            Self::SignInRefused => Verdict::new(StatusCode::UNAUTHORIZED, "SIGN_IN_REFUSED"),
            Self::NoAccount => Verdict::forbidden("NO_ACCOUNT"),
            Self::ProviderUnavailable => Verdict::unavailable("PROVIDER_UNAVAILABLE"),
            Self::ProviderUnusable(_) => Verdict::refused("PROVIDER_UNUSABLE"),
            Self::ProviderTaken => Verdict::conflict("PROVIDER_TAKEN"),
            Self::IdentityTaken => Verdict::conflict("IDENTITY_TAKEN"),
            Self::LastWayIn => Verdict::refused("LAST_WAY_IN"),
            Self::TenantSuspended => Verdict::forbidden("TENANT_SUSPENDED"),
            Self::SlugTaken => Verdict::conflict("SLUG_TAKEN"),
            Self::EmailTaken => Verdict::conflict("EMAIL_TAKEN"),
            Self::RoleNameTaken => Verdict::conflict("ROLE_NAME_TAKEN"),
            Self::RoleInUse => Verdict::conflict("ROLE_IN_USE"),
            Self::GstinTaken => Verdict::conflict("GSTIN_TAKEN"),
            Self::GstinFixed => Verdict::refused("GSTIN_FIXED"),
            Self::PanMismatch { .. } => Verdict::refused("PAN_MISMATCH"),
            Self::CodeTaken => Verdict::conflict("CODE_TAKEN"),
            Self::SeriesTaken => Verdict::conflict("SERIES_TAKEN"),
            Self::UnknownReference(_) => Verdict::refused("UNKNOWN_REFERENCE"),
            Self::ClosedReference(_) => Verdict::refused("CLOSED_REFERENCE"),
            Self::StillInUse(_) => Verdict::refused("STILL_IN_USE"),
            Self::Hash(_) | Self::Sign(_) | Self::Seal(_) | Self::Totp(_) => {
                Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            }
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        let one = |name: &str, value: Value| Some(Map::from_iter([(name.to_owned(), value)]));
        match self {
            Self::Fault(fault) => fault.details(),
            Self::ChooseTenant(slugs) => one("tenants", json!(slugs)),
            Self::Escalation(permission) => one("permission", json!(permission)),
            Self::UserStatus(status) => one("user_status", json!(status)),
            Self::UnknownReference(field) | Self::ClosedReference(field) => {
                one("field", json!(field))
            }
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Db(error) => error.retry_after(),
            Self::Fault(fault) => fault.retry_after(),
            Self::TooManyAttempts { retry_after } | Self::TooManyMails { retry_after } => {
                Some(*retry_after)
            }
            Self::Busy | Self::BreachedList(_) => Some(1),
            Self::ProviderUnavailable | Self::StoreAway(_) => Some(5),
            _ => None,
        }
    }
}
