//! `POST /api/v1/search`: one text, looked for in every service that the register names. Each is asked with the token of whoever
//! looks, all at once; who does not answer in time is named, and the others' answer stands.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, ResponseError,
    http::{Method, header},
    web,
};
use bahi_http::{
    Fault, Problem, RouteTemplate,
    search::{Hit, Hits, MOST, text},
};
use bahi_register::{Class, Search};
use bytes::Bytes;
use futures::future::join_all;
use hyper::{Request, StatusCode, header::HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    State,
    body::{self, Upload},
    edge,
    error::Error,
    proxy,
    upstream::{self, Again, Body, Contents, Endpoint, Failure, Upstream, Wanted},
};

/// The path, which is the gateway's own.
pub(crate) const PATH: &str = "/api/v1/search";
/// Longest question, in bytes.
const QUESTION: usize = 4096;
/// Longest answer of a service, in bytes.
const ANSWER: usize = 1024 * 1024;
/// Things of a kind, where nothing is said.
const LIMIT: u32 = 10;
/// Last page.
const PAGES: u32 = 20;

/// A kind of things, and who finds them.
pub(crate) struct Finder {
    pub search: Search,
    pub upstream: Arc<Upstream>,
}

/// What a client asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    q: String,
    kinds: Option<Vec<String>>,
    limit: Option<u32>,
    page: Option<u32>,
}

/// A kind that is not in the answer.
#[derive(Serialize)]
struct Missing {
    kind: String,
    reason: &'static str,
}

/// Why a service did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It cannot be reached.
    Unavailable,
    /// It took too long.
    Timeout,
    /// It answered something else.
    Failed,
    /// Whoever looks may not: then nothing is said of it.
    Forbidden,
}

impl Why {
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Unavailable => Some("unavailable"),
            Self::Timeout => Some("timeout"),
            Self::Failed => Some("failed"),
            Self::Forbidden => None,
        }
    }
}

/// `POST /api/v1/search`.
pub(crate) async fn search(
    req: HttpRequest,
    payload: web::Payload,
    state: State,
) -> Result<HttpResponse, Problem> {
    req.extensions_mut().insert(RouteTemplate(PATH.into()));
    edge::path_of(&req)?;
    if *req.method() != Method::POST {
        let mut refused = Problem::from(Fault::MethodNotAllowed).error_response();
        let post = header::HeaderValue::from_static("POST");
        refused.headers_mut().insert(header::ALLOW, post);
        return Ok(refused);
    }
    let client = edge::client(&req, &state.0.config.proxies);
    let session = state.session(req.headers(), client).await?;
    let standing = proxy::count_ordinary(&state, Class::Normal, Some(&session), client).await;
    if let Some(refused) = proxy::refused(standing) {
        return Ok(refused);
    }
    let deadline = Instant::now() + state.0.config.search_budget;
    let asked = read(&req, payload, deadline).await?;
    let q = text(&asked.q)?;
    let limit = asked.limit.unwrap_or(LIMIT);
    let page = asked.page.unwrap_or(1);
    if !(1..=MOST).contains(&limit) {
        return Err(Fault::field("limit", format!("must be 1 to {MOST}")).into());
    }
    if !(1..=PAGES).contains(&page) {
        return Err(Fault::field("page", format!("must be 1 to {PAGES}")).into());
    }
    let finders = &state.0.finders;
    if let Some(kinds) = &asked.kinds {
        known(kinds, finders)?;
    }
    // Of what somebody may not read he does not learn that it is there to be asked.
    let wanted = finders.iter().filter(|finder| {
        let named = |kinds: &Vec<String>| kinds.contains(&finder.search.kind);
        session.grants.allow(&finder.search.read) && asked.kinds.as_ref().is_none_or(named)
    });
    let question = Question {
        query: format!(
            "q={}&limit={limit}&offset={}",
            encoded(&q),
            (page - 1) * limit
        ),
        token: state.0.auth.internal(&session)?,
        client,
        deadline,
    };
    let asking = wanted.map(async |finder| (finder, question.ask(finder).await));
    let body = merged(join_all(asking).await);
    let mut answer = HttpResponse::Ok().json(body);
    if let Some(standing) = standing {
        proxy::limit_headers(answer.headers_mut(), standing);
    }
    Ok(answer)
}

async fn read(req: &HttpRequest, payload: web::Payload, deadline: Instant) -> Result<Asked, Error> {
    let kind = req.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Fault::UnsupportedMedia("application/json").into());
    }
    let taken = tokio::time::timeout_at(deadline, body::take(req, payload, QUESTION, None)).await;
    let Upload::Whole(bytes) = taken.map_err(|_| Error::SlowBody)?? else {
        return Err(Fault::TooLarge(QUESTION).into());
    };
    serde_json::from_slice(&bytes).map_err(|e| Fault::Malformed(e.to_string()).into())
}

fn known(kinds: &[String], finders: &[Finder]) -> Result<(), Fault> {
    let all = || {
        let all: Vec<&str> = finders.iter().map(|f| f.search.kind.as_str()).collect();
        all.join(", ")
    };
    for (at, kind) in kinds.iter().enumerate() {
        if !finders.iter().any(|finder| finder.search.kind == *kind) {
            let rule = format!("must be one of {}", all());
            return Err(Fault::field(format!("kinds[{at}]"), rule));
        }
    }
    match kinds.is_empty() {
        true => Err(Fault::field("kinds", "must name a kind, or be left out")),
        false => Ok(()),
    }
}

/// A value of a query, with everything encoded that is no letter or digit.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What every service is asked.
struct Question {
    query: String,
    token: HeaderValue,
    client: IpAddr,
    deadline: Instant,
}

impl Question {
    async fn ask(&self, finder: &Finder) -> Result<Hits, Why> {
        let answer = self.answer(finder).await;
        if let Err(why) = &answer {
            let (service, kind) = (&finder.upstream.name, &finder.search.kind);
            tracing::warn!(service, kind, ?why, "a part of a search is missing");
        }
        answer
    }

    async fn answer(&self, finder: &Finder) -> Result<Hits, Why> {
        let make = |endpoint: &Endpoint, left: Option<Duration>| {
            Some(self.request(finder, endpoint, left))
        };
        // It only reads, so it may be asked again.
        let answer = finder
            .upstream
            .exchange(
                Again::Read,
                self.deadline,
                Wanted::Whole(ANSWER),
                None,
                make,
            )
            .await;
        let answer = answer.map_err(|failure| match failure {
            Failure::Slow => Why::Timeout,
            Failure::Malformed(_) | Failure::TooLong => Why::Failed,
            _ => Why::Unavailable,
        })?;
        let body = match (answer.head.status, answer.contents) {
            (StatusCode::OK, Contents::Whole(body)) => body,
            (StatusCode::FORBIDDEN, _) => return Err(Why::Forbidden),
            _ => return Err(Why::Failed),
        };
        let hits: Hits = serde_json::from_slice(&body).map_err(|_| Why::Failed)?;
        let own = |hit: &Hit| hit.kind == finder.search.kind && hit.score <= 100;
        match hits.items.iter().all(own) {
            true => Ok(hits),
            false => Err(Why::Failed),
        }
    }

    fn request(
        &self,
        finder: &Finder,
        endpoint: &Endpoint,
        left: Option<Duration>,
    ) -> Result<Request<Body>, String> {
        let path = format!("{}?{}", finder.search.path, self.query);
        let mut request = Request::new(upstream::full(Bytes::new()));
        *request.uri_mut() = endpoint.uri(&path).map_err(|e| e.to_string())?;
        let headers = request.headers_mut();
        headers.insert("authorization", self.token.clone());
        upstream::introduce(headers, self.client, left)?;
        Ok(request)
    }
}

/// One answer of all: the best first, then the first of each kind before the second of any, in the register's order.
fn merged(answers: Vec<(&Finder, Result<Hits, Why>)>) -> Value {
    let (mut ranked, mut more, mut partial) = (Vec::new(), Vec::new(), Vec::new());
    for (order, (finder, answer)) in answers.into_iter().enumerate() {
        let kind = finder.search.kind.clone();
        match answer {
            Ok(hits) => {
                if hits.more {
                    more.push(kind);
                }
                let items = hits.items.into_iter().enumerate();
                ranked.extend(items.map(|(at, hit)| ((100 - hit.score, at, order), hit)));
            }
            Err(why) => partial.extend(why.reason().map(|reason| Missing { kind, reason })),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let items: Vec<Hit> = ranked.into_iter().map(|(_, hit)| hit).collect();
    json!({ "items": items, "more": more, "partial": partial })
}

/// What the merged OpenAPI document says of it.
pub(crate) fn described(finders: &[Finder]) -> Value {
    let kinds: Vec<&str> = finders.iter().map(|f| f.search.kind.as_str()).collect();
    let problem = |why: &str| json!({ "description": why });
    let body = json!({
        "type": "object", "required": ["q"], "additionalProperties": false,
        "properties": {
            "q": { "type": "string", "minLength": 1, "maxLength": 100,
                   "description": "Words, or a code: SKU, barcode, number of a document, telephone number, GSTIN, serial number." },
            "kinds": { "type": ["array", "null"], "minItems": 1, "items": { "type": "string", "enum": kinds },
                       "description": "Only these kinds; all that the caller may read when absent." },
            "limit": { "type": ["integer", "null"], "minimum": 1, "maximum": MOST, "default": LIMIT, "description": "Most things of a kind." },
            "page": { "type": ["integer", "null"], "minimum": 1, "maximum": PAGES, "default": 1, "description": "Of each kind." },
        },
    });
    let hit = json!({
        "type": "object", "required": ["kind", "id", "title", "score", "url"],
        "properties": {
            "kind": { "type": "string", "enum": kinds },
            "id": { "type": "string", "format": "uuid" },
            "title": { "type": "string" },
            "subtitle": { "type": ["string", "null"] },
            "score": { "type": "integer", "minimum": 0, "maximum": 100,
                       "description": "100 its code, 80 its whole name, 60 its beginning, 40 words of it, 20 misspelt words." },
            "url": { "type": "string" },
        },
    });
    let answer = json!({
        "type": "object", "required": ["items", "more", "partial"],
        "properties": {
            "items": { "type": "array", "items": hit, "description": "The best first." },
            "more": { "type": "array", "items": { "type": "string" }, "description": "Kinds of which there are more." },
            "partial": { "type": "array", "description": "Kinds that are missing because their service did not answer.",
                "items": { "type": "object", "required": ["kind", "reason"], "properties": {
                    "kind": { "type": "string" }, "reason": { "type": "string", "enum": ["timeout", "unavailable", "failed"] } } } },
        },
    });
    json!({ "post": {
        "tags": ["search"], "operationId": "api-gateway.search",
        "summary": "Looks for products, customers, documents and whatever else there is, all at once.",
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": {
            "200": { "description": "What was found.", "content": { "application/json": { "schema": answer } } },
            "400": problem("The text, a kind, the limit or the page is wrong."),
            "401": problem("No good token."),
            "413": problem("Longer than 4 KiB."),
            "415": problem("Not JSON."),
            "429": problem("Too many requests."),
        },
    } })
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn a_text_is_one_value_of_a_query() {
        assert_eq!(encoded("a b&c=d%"), "a%20b%26c%3Dd%25");
        assert_eq!(encoded("कु"), "%E0%A4%95%E0%A5%81");
    }
}
