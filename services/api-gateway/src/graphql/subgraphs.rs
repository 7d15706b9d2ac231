//! The way to the services that are in the graph.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, header::HeaderValue};
use tokio::time::Instant;

use super::{error::Error, execute::Ask};
use crate::upstream::{self, Upstream};

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
        let upstream = &subgraph.upstream;
        if !upstream.is_up() {
            return Err(away(service));
        }
        let body = Bytes::from(body);
        let exchange = async {
            let mut answer = self.send(subgraph, body.clone(), change).await;
            // What only reads may be asked again, once; anything else must never be done twice.
            if let Err(Broken::Sent | Broken::Unsent) = answer
                && !change
            {
                answer = self.send(subgraph, body, change).await;
            }
            answer
        };
        let started = Instant::now();
        let answer = tokio::time::timeout_at(self.deadline, exchange).await;
        upstream.seconds.observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(Ok(bytes)) => {
                upstream.answered();
                Ok(bytes)
            }
            Ok(Err(Broken::Unsent)) => {
                upstream.failed();
                Err(away(service))
            }
            Ok(Err(broken)) => {
                tracing::warn!(service, ?broken, "a part of an answer did not come");
                let message = match change {
                    true => format!(
                        "The connection to {service} broke; the change may have been carried out. Repeat it with the same Idempotency-Key."
                    ),
                    false => format!("The service {service} cannot be understood just now."),
                };
                Err(Error::new(message, "CONNECTION_BROKEN", 502))
            }
            Err(_) => Err(Error::new(
                format!("The service {service} did not answer in time."),
                "TIMEOUT",
                504,
            )),
        }
    }
}

fn away(service: &str) -> Error {
    let message = format!("The service {service} cannot be reached just now.");
    Error::new(message, "SERVICE_UNAVAILABLE", 503)
}

#[derive(Debug)]
enum Broken {
    /// Nothing was sent.
    Unsent,
    /// It may have been carried out.
    Sent,
    /// It answered, but not with GraphQL.
    Refused,
    /// The answer is longer than we take.
    TooLong,
}

impl Services<'_> {
    async fn send(&self, subgraph: &Subgraph, body: Bytes, change: bool) -> Result<Bytes, Broken> {
        let uri = subgraph
            .upstream
            .uri(&subgraph.path)
            .map_err(|_| Broken::Unsent)?;
        let mut request = Request::new(upstream::full(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let mut own = |name, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        own("x-request-id", bahi_http::request_id());
        own("x-forwarded-for", self.client.to_string());
        if let Some(trace) = bahi_http::current_trace() {
            own("traceparent", trace.parent);
        }
        if let Some(token) = &self.token {
            headers.insert("authorization", token.clone());
        }
        if let Some(key) = self.idempotency.as_ref().filter(|_| change) {
            headers.insert("idempotency-key", key.clone());
        }
        let answer = upstream::send(request).await.map_err(|error| {
            if error.is_connect() {
                Broken::Unsent
            } else {
                Broken::Sent
            }
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        let body =
            body.map_err(
                |error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                    Some(_) => Broken::TooLong,
                    None => Broken::Sent,
                },
            )?;
        match status.is_success() {
            true => Ok(body.to_bytes()),
            false => {
                tracing::warn!(service = subgraph.upstream.name, %status, "a query was refused");
                Err(Broken::Refused)
            }
        }
    }
}
