//! GraphQL over HTTP, as the specification of that name has it.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, header},
    web,
};
use bahi_http::{Problem, RouteTemplate};
use bahi_register::Class;
use bytes::Bytes;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use typed_arena::Arena;

use super::{
    Graph, Mode,
    answer::Writer,
    error::{Error, Refused},
    execute::Run,
    persisted,
    prepare::Operation,
    subgraphs::Services,
    variables,
};
use crate::{
    State,
    auth::Session,
    body::{self, Upload},
    compress::{Coding, Encoder},
    edge,
    error::Error as Refusal,
    proxy,
};

const RESPONSE: &str = "application/graphql-response+json; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// Longest request, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// What a client sends.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Extensions>,
    #[serde(rename = "documentId")]
    document: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Extensions {
    #[serde(rename = "persistedQuery")]
    persisted: Option<Persisted>,
}

#[derive(Debug, Deserialize)]
struct Persisted {
    #[serde(rename = "sha256Hash")]
    hash: String,
}

/// The same as parameters of an address.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
    #[serde(rename = "documentId")]
    document: Option<String>,
}

/// How the answer is called.
#[derive(Clone, Copy, PartialEq)]
enum Media {
    Response,
    Json,
}

/// `/graphql`.
pub(crate) async fn serve(
    req: HttpRequest,
    payload: web::Payload,
    state: State,
) -> Result<HttpResponse, Problem> {
    let route: Arc<str> = "/graphql".into();
    req.extensions_mut().insert(RouteTemplate(route));
    let graph = &state.0.graph;
    let get = match *req.method() {
        Method::POST => false,
        Method::GET => true,
        _ => {
            let mut refused = HttpResponse::MethodNotAllowed();
            return Ok(refused.insert_header((header::ALLOW, "GET, POST")).finish());
        }
    };
    let accept = req.headers().get(header::ACCEPT);
    let accept = accept.and_then(|v| v.to_str().ok());
    if get && graph.mode == Mode::Development && accept.is_some_and(|a| a.contains("text/html")) {
        return Ok(super::graphiql::page());
    }
    let Some(media) = media(accept) else {
        return Ok(HttpResponse::NotAcceptable().finish());
    };
    let client = edge::client(&req, &state.0.config.proxies);
    let session = match graph.open {
        true => None,
        false => Some(state.session(req.headers(), client).await?),
    };
    let standing = proxy::count_ordinary(&state, Class::Normal, session.as_deref(), client).await;
    if let Some(refused) = proxy::refused(standing) {
        return Ok(refused);
    }
    let asked = match get {
        true => from_address(&req),
        false => from_body(&req, payload, graph.budget).await?,
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err((status, why)) => return Ok(malformed(media, status, why)),
    };
    let answer = answer(&state, &req, asked, session.as_deref(), get).await?;
    let mut response = match answer {
        Ok((body, operation)) => {
            let mut response = HttpResponse::Ok();
            response.content_type(named(media));
            // What changes something may tell a secret, once.
            let read = operation == Operation::Query && session.is_some();
            match read.then(|| shorter(&req, &state, &body, &mut response)) {
                Some(Some(shorter)) => response.body(shorter),
                _ => response.body(body),
            }
        }
        Err(refused) => {
            // Whoever takes GraphQL for plain JSON looks for errors in the body.
            let status = match media {
                Media::Response => refused.status(),
                Media::Json => match refused {
                    Refused::MutationByGet => 405,
                    // What contradicts itself is no request.
                    Refused::PersistedMismatch => 400,
                    _ => 200,
                },
            };
            refusal(media, status, &refused.errors())
        }
    };
    if let Some(standing) = standing {
        proxy::limit_headers(response.headers_mut(), standing);
    }
    Ok(response)
}

/// A long answer as the client would rather have it.
fn shorter(
    req: &HttpRequest,
    state: &State,
    body: &[u8],
    response: &mut HttpResponseBuilder,
) -> Option<Bytes> {
    let config = &state.0.config.compression;
    if body.len() < config.least.0 {
        return None;
    }
    response.append_header((header::VARY, "accept-encoding"));
    let accept = req.headers().get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let coding = Coding::wanted(accept, &config.codings)?;
    let written = Encoder::whole(coding, body).ok()?;
    response.insert_header((header::CONTENT_ENCODING, coding.name()));
    Some(written)
}

fn named(media: Media) -> &'static str {
    match media {
        Media::Response => RESPONSE,
        Media::Json => JSON,
    }
}

fn refusal(media: Media, status: u16, errors: &[Error]) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((header::ALLOW, "POST"));
    }
    response
        .content_type(named(media))
        .body(serde_json::json!({ "errors": errors }).to_string())
}

/// The answer to what is no request in GraphQL at all.
fn malformed(media: Media, status: u16, why: String) -> HttpResponse {
    let code = match status {
        415 => "UNSUPPORTED_MEDIA_TYPE",
        _ => "MALFORMED",
    };
    refusal(media, status, &[Error::new(why, code, status)])
}

/// The type of the answer that a client would rather have.
fn media(accept: Option<&str>) -> Option<Media> {
    let Some(accept) = accept else {
        return Some(Media::Json);
    };
    let weight = |wanted: &[&str]| {
        let of = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next()?;
            if !wanted.iter().any(|w| kind.eq_ignore_ascii_case(w)) {
                return None;
            }
            let mut q = parts.filter_map(|p| p.strip_prefix("q="));
            Some(q.next().map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)))
        });
        of.fold(0.0f32, f32::max)
    };
    let response = weight(&["application/graphql-response+json"]);
    let json = weight(&["application/json", "application/*", "*/*"]);
    match (response > 0.0, json > 0.0) {
        (true, _) if response >= json => Some(Media::Response),
        (_, true) => Some(Media::Json),
        (true, false) => Some(Media::Response),
        (false, false) => None,
    }
}

type Read = Result<Asked, (u16, String)>;

fn from_address(req: &HttpRequest) -> Read {
    let wrong = |what: &str, why: &dyn std::fmt::Display| (400, format!("{what}: {why}"));
    let parameters = web::Query::<Parameters>::from_query(req.query_string())
        .map_err(|e| wrong("The query of the address", &e))?
        .into_inner();
    let variables = parameters.variables.as_deref().map(serde_json::from_str);
    let extensions = parameters.extensions.as_deref().map(serde_json::from_str);
    let asked = Asked {
        query: parameters.query,
        operation: parameters.operation,
        variables: variables.transpose().map_err(|e| wrong("variables", &e))?,
        extensions: extensions
            .transpose()
            .map_err(|e| wrong("extensions", &e))?,
        document: parameters.document,
    };
    whole(asked)
}

async fn from_body(
    req: &HttpRequest,
    payload: web::Payload,
    budget: Duration,
) -> Result<Read, Problem> {
    let kind = req.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    // A form or a bare text could be sent by a page of any origin without asking first.
    if !parts
        .next()
        .unwrap_or_default()
        .eq_ignore_ascii_case("application/json")
    {
        return Ok(Err((415, "The body must be application/json.".into())));
    }
    let charset = parts.filter_map(|p| p.strip_prefix("charset=")).next_back();
    let charset = charset.unwrap_or("utf-8").trim_matches('"');
    if !charset.eq_ignore_ascii_case("utf-8") {
        let why = format!("The body must be UTF-8, not {charset}.");
        return Ok(Err((415, why)));
    }
    let taken = body::take(req, payload, MOST_BYTES, None);
    let taken = tokio::time::timeout(budget, taken).await;
    let bytes = match taken.map_err(|_| Refusal::SlowBody)?? {
        Upload::Whole(bytes) => bytes,
        Upload::Streamed(..) => return Ok(Err((400, "The body is too long.".into()))),
    };
    let asked = serde_json::from_slice::<Asked>(&bytes);
    Ok(asked
        .map_err(|e| (400, format!("The body: {e}")))
        .and_then(whole))
}

fn whole(asked: Asked) -> Read {
    let persisted = asked
        .extensions
        .as_ref()
        .is_some_and(|e| e.persisted.is_some());
    if asked.query.is_none() && asked.document.is_none() && !persisted {
        return Err((400, "There is no query and no documentId.".into()));
    }
    Ok(asked)
}

/// The body of an answer.
async fn answer(
    state: &State,
    req: &HttpRequest,
    asked: Asked,
    session: Option<&Session>,
    get: bool,
) -> Result<Result<(Vec<u8>, Operation), Refused>, Problem> {
    let graph = &state.0.graph;
    let hash = asked.extensions.and_then(|e| e.persisted).map(|p| p.hash);
    let any = graph.mode == Mode::Development && !get;
    let text = match (asked.document, hash, asked.query) {
        // Clients of automatic persisted queries send the text beside its hash when the hash alone was not known.
        (None, Some(hash), Some(query)) if any => match persisted::is_id_of(&hash, &query) {
            true => query.into(),
            false => return Ok(Err(Refused::PersistedMismatch)),
        },
        (Some(id), ..) | (None, Some(id), _) => match graph.documents.get(&id) {
            Some(text) => text.clone(),
            None => return Ok(Err(Refused::PersistedUnknown)),
        },
        (None, None, Some(query)) if any => query.into(),
        (None, None, _) => return Ok(Err(Refused::PersistedOnly)),
    };
    let token = session.map(|s| state.0.auth.internal(s)).transpose()?;
    let services = Services {
        subgraphs: &graph.subgraphs,
        token,
        client: edge::client(req, &state.0.config.proxies),
        idempotency: req
            .headers()
            .get("idempotency-key")
            .and_then(|v| HeaderValue::from_bytes(v.as_bytes()).ok()),
        deadline: Instant::now() + graph.budget,
    };
    let operation = asked.operation.as_deref().filter(|name| !name.is_empty());
    let variables = asked.variables.unwrap_or_default();
    Ok(carry_out(graph, &text, operation, variables, get, &services).await)
}

async fn carry_out(
    graph: &Graph,
    text: &str,
    operation: Option<&str>,
    mut said: Map<String, Value>,
    get: bool,
    services: &Services<'_>,
) -> Result<(Vec<u8>, Operation), Refused> {
    let document = graph.plans.document(text, services.deadline).await?;
    let (at, prepared) = document.operation(operation)?;
    if get && prepared.operation == Operation::Mutation {
        return Err(Refused::MutationByGet);
    }
    let schema = &graph.plans.schema;
    let variables = variables::coerce(schema, &prepared.variables, &mut said)?;
    prepared.cost.check(&variables, graph.plans.limits.cost)?;
    let plan = graph
        .plans
        .plan(&document, at, &variables, services.deadline);
    let plan = plan.await?;
    let answers = Arena::with_capacity(8);
    let run = Run::new(schema, &variables, services, &answers);
    let (data, mut errors) = run.carry_out(plan.node.as_ref()).await;
    let writer = Writer::new(schema, &variables, !errors.is_empty());
    let (mut body, more) = writer.data(&plan.selection, &data)?;
    errors.extend(more);
    if !errors.is_empty() {
        body.extend_from_slice(b",\"errors\":");
        body.extend_from_slice(&serde_json::to_vec(&errors).unwrap_or_default());
    }
    body.push(b'}');
    Ok((body, prepared.operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_what_it_would_rather_have() {
        let of = |accept| match media(accept) {
            Some(Media::Response) => "response",
            Some(Media::Json) => "json",
            None => "none",
        };
        assert_eq!(of(None), "json");
        assert_eq!(of(Some("*/*")), "json");
        assert_eq!(of(Some("application/json")), "json");
        assert_eq!(
            of(Some(
                "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"
            )),
            "response"
        );
        assert_eq!(
            of(Some(
                "application/graphql-response+json;q=0.5, application/json"
            )),
            "json"
        );
        assert_eq!(
            of(Some("application/graphql-response+json, */*")),
            "response"
        );
        assert_eq!(of(Some("text/html")), "none");
        assert_eq!(of(Some("application/json;q=0")), "none");
    }
}
