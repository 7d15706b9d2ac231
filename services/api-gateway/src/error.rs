//! The gateway's refusals.

use actix_web::http::StatusCode;
use bahi_http::{Fault, Refusal, Verdict};
use serde_json::{Map, Value, json};

/// Why a request was not forwarded, or its answer not given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A refusal that every service shares.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The token lacks the permission of the route.
    #[error("The permission {0} is needed.")]
    Forbidden(String),
    /// The tenant is suspended.
    #[error("This business is suspended; ask whoever runs the service.")]
    TenantSuspended,
    /// Target and headers are longer than anybody needs.
    #[error("Target and headers may have {0} bytes.")]
    HeadTooLong(usize),
    /// The client took too long to send the body.
    #[error("The body did not come in time.")]
    SlowBody,
    /// Too many requests.
    #[error("Too many requests; come back in {0} s.")]
    TooMany(u32),
    /// The route is a WebSocket's, and the request asks for none, or for another version.
    #[error("This is a WebSocket: ask for it with a handshake of version 13.")]
    NoWebSocket,
    /// The page that opens the WebSocket is of an origin that is not allowed to.
    #[error("Pages of this origin may not open WebSockets.")]
    ForeignOrigin,
    /// The user has as many WebSockets open as one may have.
    #[error("At most {0} WebSockets and streams of events may be open at once.")]
    TooManySockets(u32),
    /// The service behind the route is down.
    #[error("The service {0} cannot be reached just now.")]
    Down(String),
    /// As many requests are under way to the service as may be.
    #[error("The service {0} is busy.")]
    Busy(String),
    /// The service took too long.
    #[error(
        "The service {0} did not answer in time; a change may have been carried out. Repeat it with the same Idempotency-Key."
    )]
    Slow(String),
    /// The connection broke after the request was sent: it may have been carried out.
    #[error(
        "The connection to {0} broke; the request may have been carried out. Repeat it with the same Idempotency-Key."
    )]
    Broken(String),
}

impl Refusal for Error {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Fault(fault) => fault.verdict(),
            Self::Forbidden(_) => Verdict::forbidden("FORBIDDEN"),
            Self::TenantSuspended => Verdict::forbidden("TENANT_SUSPENDED"),
            Self::HeadTooLong(_) => Verdict::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
            ),
            Self::SlowBody => Verdict::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT"),
            Self::TooMany(_) => Verdict::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            Self::NoWebSocket => Verdict::new(StatusCode::UPGRADE_REQUIRED, "WEBSOCKET_REQUIRED"),
            Self::ForeignOrigin => Verdict::forbidden("FOREIGN_ORIGIN"),
            Self::TooManySockets(_) => {
                Verdict::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_WEBSOCKETS")
            }
            Self::Down(_) => Verdict::unavailable("SERVICE_UNAVAILABLE"),
            Self::Busy(_) => Verdict::unavailable("SERVICE_BUSY"),
            Self::Slow(_) => Verdict::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"),
            Self::Broken(_) => Verdict::new(StatusCode::BAD_GATEWAY, "CONNECTION_BROKEN"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Fault(fault) => fault.details(),
            Self::Forbidden(permission) => Some(Map::from_iter([(
                "permission".to_owned(),
                json!(permission),
            )])),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Fault(fault) => fault.retry_after(),
            Self::TooMany(seconds) => Some(*seconds),
            Self::Busy(_) => Some(1),
            Self::Down(_) | Self::Slow(_) => Some(2),
            _ => None,
        }
    }
}
