//! Forwarding: the request is built anew from what is allowed, the answer streams back.

use std::{net::IpAddr, time::Instant};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    body::SizedStream,
    http::{Method, StatusCode, header},
    web,
};
use bahi_http::{Fault, Problem, RouteTemplate};
use bahi_register::{Class, Route};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response,
    body::{Body as _, Incoming},
    header::HeaderValue,
};

use crate::{
    State,
    auth::Session,
    body::{self, Upload},
    edge,
    error::Error,
    limit::{Standing, Who},
    state::Target,
    tunnel,
    upstream::{self, Body, Upstream},
};

/// Answers no longer than this are read whole, which is cheaper than streaming.
const SMALL: u64 = 64 * 1024;

/// Every request that is not for a page of the gateway's own.
pub(crate) async fn forward(
    req: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let path = edge::path_of(&req)?;
    let target = state.target(&path).ok_or(Fault::NotFound)?;
    req.extensions_mut()
        .insert(RouteTemplate(target.path.clone()));
    let Some(method) = method_of(&req) else {
        let mut refused = Problem::from(Fault::MethodNotAllowed).error_response();
        refused.headers_mut().insert(
            header::ALLOW,
            header::HeaderValue::from_static(edge::METHODS),
        );
        return Ok(refused);
    };
    if target.route.websocket {
        return tunnel::open(&req, payload, &state, target).await;
    }
    let client = edge::client(&req, &state.0.config.proxies);
    let session = if target.route.public {
        None
    } else {
        Some(state.session(req.headers(), client).await?)
    };
    let standing = count(&state, target, session.as_deref(), client).await;
    if let Some(refused) = refused(standing) {
        return Ok(refused);
    }
    authorise(&target.route, session.as_deref(), req.method())?;
    let Target {
        upstream, limits, ..
    } = target;
    if !upstream.is_up() {
        return Err(Error::Down(upstream.name.clone()).into());
    }
    let upload = body::take(
        &req,
        payload,
        limits.body,
        target.route.class == Class::Bulk,
    );
    let upload = tokio::time::timeout(limits.time, upload)
        .await
        .map_err(|_| Error::SlowBody)??;
    let token = session
        .as_deref()
        .map(|s| state.0.auth.internal(s))
        .transpose()?;
    let head = Head {
        req: &req,
        method,
        upstream,
        token,
        client,
    };
    let mut answer = tokio::time::timeout(limits.time, exchange(&head, upload, limits.body))
        .await
        .map_err(|_| Error::Slow(upstream.name.clone()))??;
    if let Some(standing) = standing {
        limit_headers(answer.headers_mut(), standing);
    }
    Ok(answer)
}

/// The method towards the service. Services serve GET; HEAD is GET without the body.
fn method_of(req: &HttpRequest) -> Option<hyper::Method> {
    Some(match *req.method() {
        Method::GET | Method::HEAD => hyper::Method::GET,
        Method::POST => hyper::Method::POST,
        Method::PUT => hyper::Method::PUT,
        Method::PATCH => hyper::Method::PATCH,
        Method::DELETE => hyper::Method::DELETE,
        _ => return None,
    })
}

/// The refusal of a request that is one too many.
pub(crate) fn refused(standing: Option<Standing>) -> Option<HttpResponse> {
    let standing = standing.filter(|s| !s.allowed())?;
    let mut refused = Problem::from(Error::TooMany(standing.reset)).error_response();
    limit_headers(refused.headers_mut(), standing);
    Some(refused)
}

/// Counts a request, where its class is limited.
pub(crate) async fn count(
    state: &State,
    target: &Target,
    session: Option<&Session>,
    client: IpAddr,
) -> Option<Standing> {
    match target.route.class {
        Class::Strict => Some(state.0.limits.strict(client, &target.path).await),
        class => count_ordinary(state, class, session, client).await,
    }
}

/// Counts a request of any class but the strict one.
pub(crate) async fn count_ordinary(
    state: &State,
    class: Class,
    session: Option<&Session>,
    client: IpAddr,
) -> Option<Standing> {
    let who = session.map_or(Who::Address(client), |s| s.who);
    let own = session.and_then(|s| s.own);
    state.0.limits.ordinary(class, who, own).await
}

/// Asks for the permission of the route.
pub(crate) fn authorise(
    route: &Route,
    session: Option<&Session>,
    method: &Method,
) -> Result<(), Error> {
    let needed = if *method == Method::GET || *method == Method::HEAD {
        &route.read
    } else {
        &route.write
    };
    match (needed, session) {
        (Some(permission), Some(session)) if !session.grants.allow(permission) => {
            Err(Error::Forbidden(permission.clone()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn limit_headers(out: &mut header::HeaderMap, standing: Standing) {
    for (name, value) in [
        ("ratelimit-limit", standing.limit),
        ("ratelimit-remaining", standing.remaining),
        ("ratelimit-reset", standing.reset),
    ] {
        out.insert(
            header::HeaderName::from_static(name),
            header::HeaderValue::from(value),
        );
    }
}

/// All of a request towards a service but its body.
pub(crate) struct Head<'a> {
    pub req: &'a HttpRequest,
    pub method: hyper::Method,
    pub upstream: &'a Upstream,
    pub token: Option<HeaderValue>,
    pub client: IpAddr,
}

impl Head<'_> {
    /// The request towards the service.
    pub(crate) fn with(&self, body: Body) -> Result<Request<Body>, Fault> {
        let wrong = |e: hyper::http::Error| Fault::Malformed(e.to_string());
        let target = self.req.uri().path_and_query().map_or("/", |p| p.as_str());
        let mut out = Request::new(body);
        *out.method_mut() = self.method.clone();
        *out.uri_mut() = self.upstream.uri(target).map_err(wrong)?;
        let connection = self
            .req
            .headers()
            .get(header::CONNECTION)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let headers = out.headers_mut();
        for (name, value) in self.req.headers() {
            if edge::forwards(name, connection) {
                let name = hyper::header::HeaderName::from_bytes(name.as_str().as_bytes());
                let value = HeaderValue::from_bytes(value.as_bytes());
                headers.append(
                    name.map_err(|e| wrong(e.into()))?,
                    value.map_err(|e| wrong(e.into()))?,
                );
            }
        }
        let own = |text: String| HeaderValue::try_from(text).map_err(|e| wrong(e.into()));
        headers.insert("x-request-id", own(bahi_http::request_id())?);
        headers.insert("x-forwarded-for", own(self.client.to_string())?);
        if let Some(trace) = bahi_http::current_trace() {
            headers.insert("traceparent", own(trace.parent)?);
        }
        // On a public route a client may show the service itself who it is (RFC 6749, 2.3.1): that makes it nobody's user.
        let shown = || {
            let shown = self.req.headers().get(header::AUTHORIZATION)?.as_bytes();
            let basic = shown.len() > 6 && shown[..6].eq_ignore_ascii_case(b"basic ");
            let mut shown = HeaderValue::from_bytes(shown).ok().filter(|_| basic)?;
            shown.set_sensitive(true);
            Some(shown)
        };
        if let Some(authorization) = self.token.clone().or_else(shown) {
            headers.insert(hyper::header::AUTHORIZATION, authorization);
        }
        Ok(out)
    }
}

async fn exchange(head: &Head<'_>, upload: Upload, limit: usize) -> Result<HttpResponse, Error> {
    let upstream = head.upstream;
    let started = Instant::now();
    let (body, again, overflow) = upload.split();
    let mut answer = upstream::send(head.with(body)?).await;
    // What only reads may be asked again, once; anything else must never be done twice.
    if let (Err(_), Some(bytes)) = (&answer, again)
        && head.method == hyper::Method::GET
    {
        answer = upstream::send(head.with(upstream::full(bytes))?).await;
    }
    upstream.seconds.observe(started.elapsed().as_secs_f64());
    match answer {
        Ok(response) => {
            upstream.answered();
            answer_of(head, response).await
        }
        Err(_) if overflow.is_some_and(|o| o.happened()) => Err(Fault::TooLarge(limit).into()),
        Err(error) if error.is_connect() => {
            upstream.failed();
            Err(Error::Down(upstream.name.clone()))
        }
        Err(error) => {
            tracing::warn!(
                service = upstream.name,
                error = format!("{error:?}"),
                "the exchange broke"
            );
            Err(Error::Broken(upstream.name.clone()))
        }
    }
}

/// The service's answer, as the client gets it.
pub(crate) async fn answer_of(
    head: &Head<'_>,
    response: Response<Incoming>,
) -> Result<HttpResponse, Error> {
    let status =
        StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut out = HttpResponseBuilder::new(status);
    let connection = response
        .headers()
        .get("connection")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    for (name, value) in response.headers() {
        if edge::returns(name.as_str(), connection) {
            out.append_header((name.as_str(), value.as_bytes()));
        }
    }
    let body = response.into_body();
    let length = body.size_hint().exact();
    if *head.req.method() == Method::HEAD {
        // Only the length is told; a short body is read so that the connection can be used again.
        if length.is_some_and(|l| l <= SMALL) {
            let _ = body.collect().await;
        }
        let nothing = futures::stream::empty::<Result<Bytes, std::io::Error>>();
        return Ok(match length {
            Some(length) => out.body(SizedStream::new(length, nothing)),
            None => out.streaming(nothing),
        });
    }
    Ok(match length {
        Some(0) => out.finish(),
        Some(length) if length <= SMALL => match body.collect().await {
            Ok(whole) => out.body(whole.to_bytes()),
            Err(error) => {
                tracing::warn!(service = head.upstream.name, %error, "the answer broke off");
                return Err(Error::Broken(head.upstream.name.clone()));
            }
        },
        Some(length) => out.body(SizedStream::new(length, body.into_data_stream())),
        None => out.streaming(body.into_data_stream()),
    })
}
