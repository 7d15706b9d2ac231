//! Forwarding: the request is built anew from what is allowed, the answer streams back.

use std::{net::{IpAddr, Ipv4Addr}, sync::Arc, time::Instant};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{Method, StatusCode, header},
    web,
};
use bahi_http::{Fault, Problem, RouteTemplate};
use bahi_register::{Class, Route};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{Request, Response, body::{Frame, Incoming}};
use prometheus::{HistogramVec, register_histogram_vec};

use crate::{
    State, auth::Session, edge, error::Error, limit::Standing,
    upstream::{self, Body, Upstream},
};

#[allow(clippy::unwrap_used)] // Constant name and labels.
static UPSTREAM: std::sync::LazyLock<HistogramVec> = std::sync::LazyLock::new(|| {
    let buckets = vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
    register_histogram_vec!("gateway_upstream_seconds", "Time to the upstream's first byte", &["service"], buckets).unwrap()
});

/// Answers shorter than this are read whole, which is cheaper than streaming.
const SMALL: u64 = 64 * 1024;

/// Every request that is not a page of the gateway's own.
pub(crate) async fn forward(req: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    edge::check_path(&req)?;
    let (route, service) = state.route(req.path()).ok_or(Fault::NotFound)?;
    req.extensions_mut().insert(RouteTemplate(route.path.clone()));
    let session = if route.public { None } else { Some(state.0.auth.session(req.headers())?) };
    let standing = count(&state, route, session.as_deref(), &req).await;
    if let Some(standing) = standing.filter(|s| !s.allowed()) {
        let mut refused = actix_web::ResponseError::error_response(&Problem::from(Error::TooMany(standing.reset)));
        limit_headers(refused.headers_mut(), standing);
        return Ok(refused);
    }
    authorise(route, session.as_deref(), req.method())?;
    if !service.is_up() {
        return Err(Error::Down(service.name.clone()).into());
    }
    let limits = state.0.config.classes[&route.class];
    let body = body(&req, payload, limits.body, route.class == Class::Bulk);
    let body = tokio::time::timeout(limits.time, body).await.map_err(|_| Fault::Malformed("the body did not come in time".into()))??;
    let token = session.as_deref().map(|s| state.0.auth.internal(s)).transpose()?;
    let mut answer = tokio::time::timeout(limits.time, exchange(&req, service, body, token.as_deref()))
        .await
        .map_err(|_| Error::Slow(service.name.clone()))??;
    if let Some(standing) = standing {
        limit_headers(answer.headers_mut(), standing);
    }
    Ok(answer)
}

async fn count(state: &State, route: &Route, session: Option<&Session>, req: &HttpRequest) -> Option<Standing> {
    match session {
        Some(session) => state.0.limits.user(route.class, session.claims.tid.uuid(), &session.claims.sub),
        None if route.class == Class::Strict => Some(state.0.limits.address(peer(req), &route.path).await),
        None => None,
    }
}

fn peer(req: &HttpRequest) -> IpAddr {
    req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip())
}

fn authorise(route: &Route, session: Option<&Session>, method: &Method) -> Result<(), Error> {
    let needed = if *method == Method::GET || *method == Method::HEAD { &route.read } else { &route.write };
    match (needed, session) {
        (Some(permission), Some(session)) if !session.grants.allow(permission) => Err(Error::Forbidden(permission.clone())),
        _ => Ok(()),
    }
}

fn limit_headers(out: &mut header::HeaderMap, standing: Standing) {
    for (name, value) in
        [("ratelimit-limit", standing.limit), ("ratelimit-remaining", standing.remaining), ("ratelimit-reset", standing.reset)]
    {
        out.insert(header::HeaderName::from_static(name), header::HeaderValue::from(value));
    }
}

/// The request's body: whole when it is short, streamed in constant memory when the route takes long ones.
async fn body(req: &HttpRequest, mut payload: web::Payload, limit: usize, stream: bool) -> Result<Body, Fault> {
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|l| l > limit) {
        return Err(Fault::TooLarge(limit));
    }
    if stream {
        return Ok(streamed(payload, limit));
    }
    let mut whole = BytesMut::with_capacity(length.unwrap_or(0));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Fault::Malformed(format!("the body breaks off ({e})")))?;
        if whole.len() + chunk.len() > limit {
            return Err(Fault::TooLarge(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(upstream::full(whole.freeze()))
}

/// A client's payload cannot leave its thread, so a task of that thread hands the pieces on; four of them wait at most,
/// which holds a fast client to the pace of the service.
fn streamed(mut payload: web::Payload, limit: usize) -> Body {
    let (pieces, received) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    actix_web::rt::spawn(async move {
        let mut passed = 0;
        while let Some(chunk) = payload.next().await {
            let piece = match chunk {
                Ok(bytes) => {
                    passed += bytes.len();
                    if passed > limit { Err(std::io::Error::other("too large")) } else { Ok(bytes) }
                }
                Err(error) => Err(std::io::Error::other(error.to_string())),
            };
            let broken = piece.is_err();
            if pieces.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    let stream = futures::stream::unfold(received, async |mut r| r.recv().await.map(|piece| (piece, r)));
    BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(stream.map_ok(Frame::data)))))
}

/// A boxed body must be `Sync`, which no stream of a channel is; it is only ever polled through `&mut`.
struct SyncStream<S>(std::pin::Pin<Box<S>>);

impl<S: futures::Stream> futures::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

fn build(req: &HttpRequest, service: &Upstream, body: Body, token: Option<&str>) -> Result<Request<Body>, Fault> {
    let target = req.uri().path_and_query().map_or("/", |p| p.as_str());
    let uri = service.uri(target).map_err(|_| Fault::Malformed("the target".into()))?;
    let mut out = Request::builder().method(req.method().as_str()).uri(uri);
    let connection = req.headers().get(header::CONNECTION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    for (name, value) in req.headers() {
        if edge::forwards(name, connection) {
            out = out.header(name.as_str(), value.as_bytes());
        }
    }
    if let Some(token) = token {
        out = out.header("authorization", format!("Bearer {token}"));
    }
    out = out.header("x-request-id", bahi_http::request_id()).header("x-forwarded-for", peer(req).to_string());
    if let Some(trace) = bahi_http::current_trace() {
        out = out.header("traceparent", trace.parent);
    }
    out.body(body).map_err(|e| Fault::Malformed(e.to_string()))
}

async fn exchange(req: &HttpRequest, service: &Arc<Upstream>, body: Body, token: Option<&str>) -> Result<HttpResponse, Error> {
    let started = Instant::now();
    let request = build(req, service, body, token)?;
    let answer = match upstream::send(request).await {
        // Nothing was sent; what reads may try once more.
        Err(error) if error.is_connect() && (req.method() == Method::GET || req.method() == Method::HEAD) => {
            upstream::send(build(req, service, upstream::full(Bytes::new()), token)?).await
        }
        other => other,
    };
    UPSTREAM.with_label_values(&[service.name.as_str()]).observe(started.elapsed().as_secs_f64());
    match answer {
        Ok(response) => {
            service.answered();
            Ok(answer_of(req, response).await)
        }
        Err(error) if error.is_connect() => {
            service.failed();
            Err(Error::Down(service.name.clone()))
        }
        Err(error) => {
            if too_large(&error) {
                return Err(Fault::TooLarge(0).into());
            }
            tracing::warn!(service = service.name, error = format!("{error:?}"), "the exchange broke");
            Err(Error::Broken(service.name.clone()))
        }
    }
}

fn too_large(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.to_string() == "too large" {
            return true;
        }
        cause = e.source();
    }
    false
}

async fn answer_of(req: &HttpRequest, response: Response<Incoming>) -> HttpResponse {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut out = HttpResponseBuilder::new(status);
    for (name, value) in response.headers() {
        let Ok(name) = header::HeaderName::from_bytes(name.as_str().as_bytes()) else { continue };
        if let (true, Ok(value)) = (edge::returns(&name), header::HeaderValue::from_bytes(value.as_bytes())) {
            out.append_header((name, value));
        }
    }
    let length = response.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if *req.method() == Method::HEAD {
        return out.body(SizedStream::new(length.unwrap_or(0), futures::stream::empty::<Result<Bytes, std::io::Error>>()));
    }
    let body = response.into_body();
    match length {
        Some(length) if length <= SMALL => match body.collect().await {
            Ok(whole) => out.body(whole.to_bytes()),
            Err(error) => {
                tracing::warn!(%error, "the upstream's answer broke off");
                actix_web::ResponseError::error_response(&Problem::from(Error::Broken("upstream".into())))
            }
        },
        Some(length) => out.body(SizedStream::new(length, pieces(body))),
        None => out.streaming(pieces(body)),
    }
}

fn pieces(body: Incoming) -> impl futures::Stream<Item = Result<Bytes, hyper::Error>> {
    body.into_data_stream()
}
