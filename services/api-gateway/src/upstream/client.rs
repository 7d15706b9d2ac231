//! The client that talks to the services.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    header::{HeaderMap, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use bahi_http::TIME_LEFT;

/// The body of a forwarded request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole body.
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Puts the gateway's own words on a request towards a service: its id and trace, the client's address, and how much time is
/// left, if that is known.
///
/// # Errors
/// When one of them makes no header.
pub fn introduce(
    headers: &mut HeaderMap,
    client: IpAddr,
    left: Option<Duration>,
) -> Result<(), String> {
    let own = |text: String| HeaderValue::try_from(text).map_err(|e| e.to_string());
    headers.insert("x-request-id", own(bahi_http::request_id())?);
    headers.insert("x-forwarded-for", own(client.to_string())?);
    if let Some(left) = left {
        headers.insert(TIME_LEFT, own(left.as_millis().to_string())?);
    }
    if let Some(trace) = bahi_http::current_trace() {
        headers.insert("traceparent", own(trace.parent)?);
    }
    Ok(())
}

thread_local! {
    // One pool a worker thread: a connection is used where it was opened. One for each patience in connecting.
    static CLIENTS: RefCell<HashMap<Duration, Client<HttpConnector, Body>>> = RefCell::default();
}

fn client(patience: Duration) -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(patience));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        // Shorter than the services' keep-alive of 30 s, so that we close first.
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(256)
        .build(connector)
}

/// Sends a request on this thread's pool. Follows no redirects and knows no proxies.
pub fn send(request: Request<Body>, patience: Duration) -> ResponseFuture {
    CLIENTS.with_borrow_mut(|clients| {
        clients
            .entry(patience)
            .or_insert_with(|| client(patience))
            .request(request)
    })
}
