//! RFC 9457 problem documents: one shape for every refusal and failure.

use std::{fmt, sync::Arc};

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use serde_json::{Map, Value, json};
use utoipa::openapi::{Array, ObjectBuilder, RefOr, Schema, Type};

/// What an error means to a client: status and a stable code in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code; part of the contract.
    pub code: &'static str,
}

impl Verdict {
    /// A verdict.
    pub const fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code }
    }
    /// 400: the request itself is malformed.
    pub const fn malformed(code: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code)
    }
    /// 403.
    pub const fn forbidden(code: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code)
    }
    /// 404.
    pub const fn not_found(code: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code)
    }
    /// 409: the state of things stands against it.
    pub const fn conflict(code: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code)
    }
    /// 422: well formed, but a business rule refuses it.
    pub const fn refused(code: &'static str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code)
    }
    /// 503: a dependency is away; come back later.
    pub const fn unavailable(code: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code)
    }
}

/// An error that a client may be told about.
pub trait Refusal: std::error::Error {
    /// Status and code.
    fn verdict(&self) -> Verdict;

    /// Members added to the problem document, such as the short lines of a sale.
    fn details(&self) -> Option<Map<String, Value>> {
        None
    }

    /// Seconds after which a repetition makes sense. Every 503 and 429 has one.
    fn retry_after(&self) -> Option<u32> {
        matches!(self.verdict().status.as_u16(), 429 | 503).then_some(1)
    }
}

/// What several wait for is refused to each of them.
impl<R: Refusal> Refusal for Arc<R> {
    fn verdict(&self) -> Verdict {
        (**self).verdict()
    }
    fn details(&self) -> Option<Map<String, Value>> {
        (**self).details()
    }
    fn retry_after(&self) -> Option<u32> {
        (**self).retry_after()
    }
}

/// The answer to a request that was not carried out.
pub struct Problem {
    verdict: Verdict,
    detail: String,
    extra: Map<String, Value>,
    retry_after: Option<u32>,
}

impl<E: Refusal> From<E> for Problem {
    fn from(error: E) -> Self {
        let verdict = error.verdict();
        if verdict.status.is_server_error() {
            // The chain of causes is logged once, here, and never sent.
            tracing::error!(code = verdict.code, error = ?error, "request failed");
        } else {
            tracing::debug!(code = verdict.code, %error, "request refused");
        }
        // A defect's text may tell of our insides.
        let detail = if verdict.status == StatusCode::INTERNAL_SERVER_ERROR {
            "An unexpected error; it has been logged under the request id.".to_owned()
        } else {
            error.to_string()
        };
        Self {
            verdict,
            detail,
            extra: error.details().unwrap_or_default(),
            retry_after: error.retry_after(),
        }
    }
}

impl Problem {
    /// What is wrong, for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The document.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("type".into(), json!("about:blank"));
        document.insert(
            "title".into(),
            json!(self.verdict.status.canonical_reason().unwrap_or("Error")),
        );
        document.insert("status".into(), json!(self.verdict.status.as_u16()));
        document.insert("code".into(), json!(self.verdict.code));
        document.insert("detail".into(), json!(self.detail));
        document.insert("request_id".into(), json!(crate::request_id()));
        document.extend(self.extra.clone());
        Value::Object(document)
    }
}

impl utoipa::PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = |why: &str| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(why))
        };
        let status = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(400))
            .maximum(Some(599));
        let wrong = ObjectBuilder::new()
            .property("field", text("Its path, such as `lines[2].qty`."))
            .required("field")
            .property("message", text("What is wrong with it."))
            .required("message");
        ObjectBuilder::new()
            .description(Some("Why a request was not carried out (RFC 9457)."))
            .property("type", text("`about:blank`."))
            .required("type")
            .property("title", text("The status in words."))
            .required("title")
            .property("status", status)
            .required("status")
            .property(
                "code",
                text("What is wrong, for a program; it stays what it is.")
                    .pattern(Some("^[A-Z][A-Z0-9_]*$")),
            )
            .required("code")
            .property("detail", text("What is wrong, for a person."))
            .required("detail")
            .property("request_id", text("What the log knows the request by."))
            .required("request_id")
            .property("errors", Array::new(wrong))
            .property("permission", text("The one that is not held."))
            .into()
    }
}
impl utoipa::ToSchema for Problem {}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.detail)
    }
}
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.verdict.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.verdict.status);
        response.content_type("application/problem+json");
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.verdict.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(self.document().to_string())
    }
}
