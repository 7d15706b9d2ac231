//! Forwarding: the request is built anew from what is allowed, the answer streams back.

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    body::SizedStream,
    http::{Method, StatusCode, header},
    web,
};
use bahi_http::{Fault, Problem, RouteTemplate};
use bahi_register::{Class, Route};
use bytes::Bytes;
use hyper::{Request, body::Body as _, header::HeaderValue};
use tokio::time::Instant;

use crate::{
    State,
    auth::Session,
    body::{self, Upload},
    compress::{self, Coding, Encoder},
    edge,
    error::Error,
    limit::{Standing, Who},
    state::Target,
    streams,
    tunnel::{self, Socket},
    upstream::{self, Again, Answer, Body, Coming, Contents, Endpoint, Failure, Upstream, Wanted},
};

/// Answers no longer than this are read whole before they are passed on: what breaks off in them can be asked again.
const SMALL: usize = 64 * 1024;

/// Every request that is not for a page of the gateway's own.
pub(crate) async fn forward(
    req: HttpRequest,
    payload: web::Payload,
    state: State,
) -> Result<HttpResponse, Problem> {
    let routed = edge::path_of(&req)?;
    let target = state.target(&routed).ok_or(Fault::NotFound)?;
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
        (target.route.class == Class::Bulk).then_some(limits.time),
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
        state: &state,
        target,
        session: session.clone(),
        path: path(&req),
        token,
        client,
    };
    let mut answer = exchange(&head, upload).await?;
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

/// Path and query of a request.
pub(crate) fn path(req: &HttpRequest) -> Cow<'_, str> {
    let target = req.uri().path_and_query();
    Cow::Borrowed(target.map_or("/", |p| p.as_str()))
}

/// All of a request towards a service but its body.
pub(crate) struct Head<'a> {
    pub req: &'a HttpRequest,
    pub method: hyper::Method,
    pub upstream: &'a Arc<Upstream>,
    pub state: &'a State,
    pub target: &'a Target,
    pub session: Option<Arc<Session>>,
    /// Path and query.
    pub path: Cow<'a, str>,
    pub token: Option<HeaderValue>,
    pub client: IpAddr,
}

impl Head<'_> {
    /// The request towards an endpoint of the service, which is told how much time is left.
    pub(crate) fn with(
        &self,
        endpoint: &Endpoint,
        left: Option<Duration>,
        body: Body,
    ) -> Result<Request<Body>, String> {
        let wrong = |e: hyper::http::Error| e.to_string();
        let mut out = Request::new(body);
        *out.method_mut() = self.method.clone();
        *out.uri_mut() = endpoint.uri(&self.path).map_err(wrong)?;
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
        upstream::introduce(headers, self.client, left)?;
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

async fn exchange(head: &Head<'_>, upload: Upload) -> Result<HttpResponse, Error> {
    let limits = &head.target.limits;
    // What only reads may be asked again; anything else must never be done twice.
    let again = match head.method {
        hyper::Method::GET => Again::Read,
        _ => Again::Change,
    };
    let (body, whole, coming) = upload.split();
    let mut body = Some(body);
    let make = |endpoint: &Endpoint, left| {
        let body = body.take().or_else(|| whole.clone().map(upstream::full))?;
        Some(head.with(endpoint, left, body))
    };
    let pieces = coming.as_ref().map(|coming| Coming {
        progress: &coming.progress,
        idle: head.state.0.config.stream_idle,
        time: limits.time,
    });
    let deadline = Instant::now() + limits.time;
    let answer = head
        .upstream
        .exchange(again, deadline, Wanted::Short(SMALL), pieces, make)
        .await;
    match answer {
        Ok(answer) => answer_of(head, answer).await,
        Err(_) if coming.is_some_and(|c| c.overflow.happened()) => {
            Err(Fault::TooLarge(limits.body).into())
        }
        Err(failure) => Err(refusal(&head.upstream.name, failure)),
    }
}

/// What a client is told of a service that did not answer.
pub(crate) fn refusal(service: &str, failure: Failure) -> Error {
    let name = service.to_owned();
    match failure {
        Failure::Away => Error::Down(name),
        Failure::Full => Error::Busy(name),
        Failure::Slow => Error::Slow(name),
        Failure::Malformed(why) => Fault::Malformed(why).into(),
        Failure::NoBody(_) => Error::SlowBody,
        Failure::Broken(_) | Failure::TooLong => {
            tracing::warn!(service, %failure, "the exchange broke");
            Error::Broken(name)
        }
    }
}

/// The service's answer, as the client gets it.
pub(crate) async fn answer_of(head: &Head<'_>, answer: Answer) -> Result<HttpResponse, Error> {
    let Answer {
        head: response,
        contents,
        held,
    } = answer;
    let name = &head.upstream.name;
    let status = StatusCode::from_u16(response.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut out = HttpResponseBuilder::new(status);
    let connection = response
        .headers
        .get("connection")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    for (name, value) in &response.headers {
        if edge::returns(name.as_str(), connection) {
            out.append_header((name.as_str(), value.as_bytes()));
        }
    }
    let length = match &contents {
        Contents::Coming(body) => body.size_hint().exact(),
        Contents::Whole(bytes) => u64::try_from(bytes.len()).ok(),
    };
    let coding = coding(head, &response, length);
    if coding.is_some() {
        out.append_header((header::VARY, "accept-encoding"));
    }
    let coding = coding.flatten();
    let broken = |error: &dyn std::fmt::Display| {
        tracing::warn!(service = name, %error, "the answer cannot be made shorter");
        Error::Broken(name.clone())
    };
    if *head.req.method() == Method::HEAD {
        // Only the length is told.
        let nothing = futures::stream::empty::<Result<Bytes, std::io::Error>>();
        return Ok(match length {
            Some(length) => out.body(SizedStream::new(length, nothing)),
            None => out.streaming(nothing),
        });
    }
    let body = match (contents, coding) {
        (Contents::Coming(body), _) => body,
        (Contents::Whole(bytes), None) => return Ok(out.body(bytes)),
        (Contents::Whole(bytes), Some(coding)) => {
            out.insert_header((header::CONTENT_ENCODING, coding.name()));
            let written = Encoder::whole(coding, &bytes);
            return Ok(out.body(written.map_err(|error| broken(&error))?));
        }
    };
    let kind = response.headers.get(hyper::header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        // It may last for hours; it is not under way as a request is.
        drop(held);
        let session = head.session.clone();
        let open = |s: &Arc<Session>| Socket::open(head.state, s.principal, head.client, name);
        let socket = session.as_ref().map(open).transpose()?;
        return Ok(out.streaming(streams::events(body, head.state, session, socket)));
    }
    if let Some(coding) = coding {
        out.insert_header((header::CONTENT_ENCODING, coding.name()));
    }
    let idle = head.state.0.config.stream_idle;
    Ok(match length {
        Some(0) => out.finish(),
        length => {
            let pieces = streams::pieces(body, held, idle);
            match (coding, length) {
                (Some(coding), _) => {
                    let encoder = Encoder::new(coding).map_err(|error| broken(&error))?;
                    out.streaming(streams::shorter(pieces, encoder))
                }
                (None, Some(length)) => out.body(SizedStream::new(length, pieces)),
                (None, None) => out.streaming(pieces),
            }
        }
    })
}

/// The coding that the client gets an answer in; nothing at all where it could get none, whatever it asked for.
fn coding(
    head: &Head<'_>,
    answer: &hyper::http::response::Parts,
    length: Option<u64>,
) -> Option<Option<Coding>> {
    let config = &head.state.0.config.compression;
    let route = &head.target.route;
    let read = head.method == hyper::Method::GET && head.session.is_some();
    let secret = config.never.iter().any(|path| {
        let rest = route.path.strip_prefix(path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    });
    let fits = read
        && !secret
        && route.class != Class::Strict
        && compress::fits(answer, length, config.least.0);
    fits.then(|| {
        let accept = head.req.headers().get(header::ACCEPT_ENCODING);
        Coding::wanted(accept?.to_str().ok()?, &config.codings)
    })
}
