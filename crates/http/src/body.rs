//! Bodies: JSON read strictly, validated, and hashed for the idempotency key.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use bahi_db::Ctx;
use futures::StreamExt;
use garde::Validate;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    Caller, Fault, FieldError, Problem,
    caller::{anonymous, caller_of},
};

/// Longest JSON body in bytes; 256 KiB unless a resource sets another as app data.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(256 * 1024)
    }
}

/// A command: who sends it, and its body.
#[derive(Debug)]
pub struct Post<T> {
    /// The caller, with the idempotency key where one was sent.
    pub caller: Caller,
    /// The validated body.
    pub body: T,
}

/// A change to something the caller has seen at a version (`If-Match`).
#[derive(Debug)]
pub struct Amend<T> {
    /// The caller.
    pub caller: Caller,
    /// The version seen.
    pub version: i64,
    /// The validated body.
    pub body: T,
}

/// A command of somebody who has not signed in. Its bodies hold passwords, so the idempotency key comes without
/// a hash: whoever uses the key sets one that cannot be guessed backwards.
#[derive(Debug)]
pub struct Public<T> {
    /// The nil tenant and the actor `anonymous`, until the command knows better.
    pub ctx: Ctx,
    /// The validated body.
    pub body: T,
}

/// The body of a command that needs none; `{}` or nothing.
#[derive(Clone, Debug, Default, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Empty {}

impl<T: DeserializeOwned + Validate<Context = ()> + 'static> FromRequest for Post<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let mut caller = caller_of(&req)?;
            let bytes = read(&req, payload).await?;
            if let Some(key) = &mut caller.ctx.idempotency {
                key.hash = Sha256::digest(&bytes).to_vec();
            }
            Ok(Self {
                caller,
                body: parse(&bytes)?,
            })
        })
    }
}

impl<T: DeserializeOwned + Validate<Context = ()> + 'static> FromRequest for Public<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let ctx = anonymous(&req)?;
            let bytes = read(&req, payload).await?;
            Ok(Self {
                ctx,
                body: parse(&bytes)?,
            })
        })
    }
}

impl<T: DeserializeOwned + Validate<Context = ()> + 'static> FromRequest for Amend<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let post = Post::<T>::from_request(req, payload);
        let version = if_match(req);
        Box::pin(async move {
            // Who you are comes before what you forgot.
            let Post { caller, body } = post.await?;
            Ok(Self {
                caller,
                version: version?,
                body,
            })
        })
    }
}

/// The version in `If-Match`, as `"3"`, `W/"3"` or `3`.
fn if_match(req: &HttpRequest) -> Result<i64, Fault> {
    let value = req
        .headers()
        .get(header::IF_MATCH)
        .ok_or(Fault::VersionRequired)?;
    let text = value.to_str().unwrap_or_default();
    let version = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    version
        .parse()
        .map_err(|_| Fault::field("If-Match", "must be the version as a quoted number"))
}

async fn read(req: &HttpRequest, mut payload: Payload) -> Result<Vec<u8>, Fault> {
    let limit = req
        .app_data::<BodyLimit>()
        .or_else(|| req.app_data::<web::Data<BodyLimit>>().map(|d| d.get_ref()))
        .copied()
        .unwrap_or_default()
        .0;
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Fault::Malformed(format!("the body breaks off ({e})")))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Fault::TooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    let content_type = req
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let json = content_type.is_some_and(|t| {
        let essence = t.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
            || essence.eq_ignore_ascii_case("application/merge-patch+json")
    });
    if !json && !bytes.is_empty() {
        return Err(Fault::UnsupportedMedia("application/json"));
    }
    Ok(bytes)
}

/// Reads a body from JSON and validates it; also one that was put together here, as a merge patch is.
///
/// # Errors
/// What is wrong with it, with the path of the field.
pub fn parse<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Fault> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    if has_nul(bytes) {
        return Err(Fault::Malformed("a text contains NUL".into()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let message = error.into_inner().to_string();
        if field == "." || field == "?" {
            Fault::Malformed(message)
        } else {
            Fault::field(field, message)
        }
    })?;
    json.end().map_err(|e| Fault::Malformed(e.to_string()))?;
    valid(body)
}

/// A body that was read otherwise, validated.
///
/// # Errors
/// What is wrong with it, with the path of the field.
pub fn valid<T: Validate<Context = ()>>(body: T) -> Result<T, Fault> {
    match body.validate() {
        Ok(()) => Ok(body),
        Err(report) => {
            let fields = report.iter().map(|(path, error)| FieldError {
                field: path.to_string(),
                message: error.message().to_string(),
            });
            Err(Fault::Invalid(fields.collect()))
        }
    }
}

/// Whether a JSON or GraphQL text holds NUL, written as `\u0000`: PostgreSQL keeps none in texts.
pub fn has_nul(bytes: &[u8]) -> bool {
    bytes.windows(6).enumerate().any(|(at, w)| {
        w == b"\\u0000"
            && bytes[..at]
                .iter()
                .rev()
                .take_while(|b| **b == b'\\')
                .count()
                % 2
                == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[garde(custom(crate::validate::positive))]
        qty: bahi_types::Quantity,
        #[garde(length(max = 3))]
        note: Option<String>,
    }

    fn faults(text: &str) -> String {
        match parse::<Line>(text.as_bytes()) {
            Ok(line) => format!("{:?} {:?}", line.qty, line.note),
            Err(Fault::Invalid(fields)) => fields
                .iter()
                .map(|f| f.field.clone())
                .collect::<Vec<_>>()
                .join(","),
            Err(other) => other.verdict_code().to_owned(),
        }
    }

    impl Fault {
        fn verdict_code(&self) -> &'static str {
            use crate::Refusal;
            self.verdict().code
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        assert_eq!(faults(r#"{"qty":"2"}"#), "2 None");
        assert_eq!(faults(r#"{"qty":2}"#), "qty");
        assert_eq!(faults(r#"{"qty":"-2"}"#), "qty");
        assert_eq!(faults(r#"{"qty":"2","note":"long"}"#), "note");
        assert_eq!(faults(r#"{"qty":"2","nota":"x"}"#), "nota");
        assert_eq!(faults("{"), "MALFORMED");
        assert_eq!(faults(r#"{"qty":"2"} x"#), "MALFORMED");
    }

    #[test]
    fn finds_nul_but_not_an_escaped_backslash_before_it() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(!has_nul(br#"{"a":"x\\u0000"}"#));
        assert!(has_nul(br#"{"a":"x\\\u0000"}"#));
    }
}
