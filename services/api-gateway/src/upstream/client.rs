//! The client that talks to the services.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// The body of a forwarded request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole body.
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
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
