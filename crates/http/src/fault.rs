//! The refusals that every service shares, and what database errors mean to a client.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Refusal, Verdict};

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Path of the field, such as `lines[2].qty`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A refusal that has nothing to do with the business of a service.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The request cannot be read.
    #[error("The request is malformed: {0}")]
    Malformed(String),
    /// Fields of the request are wrong.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// No valid token.
    #[error("A valid access token is needed.")]
    Unauthenticated,
    /// The token lacks a permission.
    #[error("The permission {0} is needed.")]
    Forbidden(Cow<'static, str>),
    /// The approval that was presented lends nothing here.
    #[error("The approval {0}.")]
    Approval(&'static str),
    /// There is no such thing, or it is another tenant's.
    #[error("Not found.")]
    NotFound,
    /// The path is known, the method is not.
    #[error("The method is not allowed here.")]
    MethodNotAllowed,
    /// The body is longer than allowed.
    #[error("The body is longer than {0} bytes.")]
    TooLarge(usize),
    /// The body is not JSON.
    #[error("The body must be {0}.")]
    UnsupportedMedia(&'static str),
    /// A change needs `If-Match`.
    #[error("Send If-Match with the version you have seen.")]
    VersionRequired,
    /// Something this request refers to has not reached this service yet.
    #[error("{0} is not known here yet; try again.")]
    NotYetKnown(String),
    /// Nobody waits for the answer any more.
    #[error("The answer took longer than it was waited for.")]
    TimeUp,
}

fn summary(fields: &[FieldError]) -> String {
    match fields {
        [one] => format!("{}: {}", one.field, one.message),
        many => format!("{} fields are wrong.", many.len()),
    }
}

impl Fault {
    /// One wrong field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: field.into(),
            message: message.into(),
        }])
    }
}

impl Refusal for Fault {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) => Verdict::malformed("MALFORMED"),
            Self::Invalid(_) => Verdict::malformed("INVALID"),
            Self::Unauthenticated => Verdict::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            Self::Forbidden(_) => Verdict::forbidden("FORBIDDEN"),
            Self::Approval(_) => Verdict::forbidden("APPROVAL_REFUSED"),
            Self::NotFound => Verdict::not_found("NOT_FOUND"),
            Self::MethodNotAllowed => {
                Verdict::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED")
            }
            Self::TooLarge(_) => Verdict::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE"),
            Self::UnsupportedMedia(_) => {
                Verdict::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE")
            }
            Self::VersionRequired => {
                Verdict::new(StatusCode::PRECONDITION_REQUIRED, "VERSION_REQUIRED")
            }
            Self::NotYetKnown(_) => Verdict::conflict("NOT_YET_KNOWN"),
            Self::TimeUp => Verdict::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Invalid(fields) => Some(Map::from_iter([("errors".to_owned(), json!(fields))])),
            Self::Forbidden(permission) => Some(Map::from_iter([(
                "permission".to_owned(),
                json!(permission),
            )])),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NotYetKnown(_) => Some(1),
            Self::TimeUp => Some(2),
            _ => None,
        }
    }
}

impl Refusal for bahi_db::Error {
    fn verdict(&self) -> Verdict {
        use bahi_db::Error as E;
        match self {
            E::NotFound => Verdict::not_found("NOT_FOUND"),
            E::Stale { .. } => Verdict::new(StatusCode::PRECONDITION_FAILED, "STALE_VERSION"),
            E::Unique(_) => Verdict::conflict("ALREADY_EXISTS"),
            E::ForeignKey(_) => Verdict::conflict("REFERENCE"),
            E::Check(_) => Verdict::refused("RULE_BROKEN"),
            E::EventTooLarge { .. } => Verdict::refused("EVENT_TOO_LARGE"),
            E::Malformed => Verdict::malformed("MALFORMED"),
            E::OtherBranch => Verdict::forbidden("OTHER_BRANCH"),
            E::KeyReused => Verdict::refused("IDEMPOTENCY_KEY_REUSED"),
            E::KeyBusy => Verdict::conflict("IDEMPOTENCY_KEY_BUSY"),
            E::Contention | E::Locked => Verdict::unavailable("BUSY"),
            E::Timeout | E::Unavailable => Verdict::unavailable("DATABASE_UNAVAILABLE"),
            E::CommitUnknown => Verdict::unavailable("OUTCOME_UNKNOWN"),
            E::Document(_) | E::Other(_) => {
                Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
            }
        }
    }

    fn retry_after(&self) -> Option<u32> {
        let wait = matches!(self, Self::KeyBusy)
            || self.verdict().status == StatusCode::SERVICE_UNAVAILABLE;
        wait.then_some(1)
    }
}
