//! The way to the services that are in the graph.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Request, header::HeaderValue, http::response};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    error::{Error, is_told},
    execute::Ask,
};
use crate::upstream::{self, Again, Body, Contents, Endpoint, Failure, Upstream, Wanted};

/// Longest answer of a service, in bytes.
const ANSWER: usize = 16 * 1024 * 1024;

/// A service that is in the graph.
pub struct Subgraph {
    /// The service.
    pub upstream: Arc<Upstream>,
    /// The path of its endpoint.
    pub path: String,
}

/// The services, for one request.
pub struct Services<'a> {
    /// By name.
    pub subgraphs: &'a BTreeMap<String, Subgraph>,
    /// Who asks, signed by us.
    pub token: Option<HeaderValue>,
    /// Whose address it is.
    pub client: IpAddr,
    /// The key of a client's promise, for what changes something.
    pub idempotency: Option<HeaderValue>,
    /// When the client is answered, with whatever there is by then.
    pub deadline: Instant,
}

impl Ask for Services<'_> {
    async fn ask(&self, service: &str, body: Vec<u8>, change: bool) -> Result<Bytes, Error> {
        let Some(subgraph) = self.subgraphs.get(service) else {
            return Err(away(service));
        };
        let again = match change {
            true => Again::Change,
            false => Again::Read,
        };
        let body = Bytes::from(body);
        let make = |endpoint: &Endpoint, left: Option<Duration>| {
            Some(self.request(subgraph, endpoint, left, body.clone(), change))
        };
        let answer = subgraph
            .upstream
            .exchange(again, self.deadline, Wanted::Whole(ANSWER), None, make)
            .await;
        match answer {
            Ok(answer) => match answer.contents {
                Contents::Whole(bytes) if answer.head.status.is_success() => Ok(bytes),
                contents => {
                    let status = answer.head.status;
                    tracing::warn!(service, %status, "a query was refused");
                    let told = match &contents {
                        Contents::Whole(bytes) => refused(&answer.head, bytes),
                        Contents::Coming(_) => None,
                    };
                    Err(told.unwrap_or_else(|| broken(service, change)))
                }
            },
            Err(Failure::Away) => Err(away(service)),
            Err(Failure::Full) => Err(Error::new(
                format!("The service {service} is busy."),
                "SERVICE_BUSY",
                503,
            )),
            Err(Failure::Slow) => Err(Error::new(
                format!("The service {service} did not answer in time."),
                "TIMEOUT",
                504,
            )),
            Err(failure) => {
                tracing::warn!(service, %failure, "a part of an answer did not come");
                Err(broken(service, change))
            }
        }
    }
}

/// What a service says where it does not come to answer the query: it is too long, its caller is not known, its key is none,
/// its time is up. Who can read that is not told to ask again.
fn refused(head: &response::Parts, bytes: &[u8]) -> Option<Error> {
    let kind = head.headers.get("content-type")?.to_str().ok()?;
    let status = head.status.as_u16();
    if !kind.starts_with("application/problem+json") || !is_told(status.into()) {
        return None;
    }
    let mut document: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    document.get("code")?.as_str()?;
    let Some(Value::String(message)) = document.remove("detail") else {
        return None;
    };
    // As the services make an error in the graph of a problem.
    document.remove("type");
    document.remove("title");
    document.insert("status".into(), status.into());
    Some(Error {
        message,
        extensions: document,
        ..Error::default()
    })
}

fn broken(service: &str, change: bool) -> Error {
    let message = match change {
        true => format!(
            "The connection to {service} broke; the change may have been carried out. Repeat it with the same Idempotency-Key."
        ),
        false => format!("The service {service} cannot be understood just now."),
    };
    Error::new(message, "CONNECTION_BROKEN", 502)
}

fn away(service: &str) -> Error {
    let message = format!("The service {service} cannot be reached just now.");
    Error::new(message, "SERVICE_UNAVAILABLE", 503)
}

impl Services<'_> {
    fn request(
        &self,
        subgraph: &Subgraph,
        endpoint: &Endpoint,
        left: Option<Duration>,
        body: Bytes,
        change: bool,
    ) -> Result<Request<Body>, String> {
        let mut request = Request::new(upstream::full(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = endpoint.uri(&subgraph.path).map_err(|e| e.to_string())?;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        upstream::introduce(headers, self.client, left)?;
        if let Some(token) = &self.token {
            headers.insert("authorization", token.clone());
        }
        if let Some(key) = self.idempotency.as_ref().filter(|_| change) {
            headers.insert("idempotency-key", key.clone());
        }
        Ok(request)
    }
}
