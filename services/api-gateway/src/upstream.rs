//! The services behind the gateway: where they are, whether they answer, and the client that talks to them.

use std::{
    cell::LazyCell,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::HeaderValue,
    http::uri::{Authority, Parts, PathAndQuery, Scheme},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use prometheus::{Histogram, HistogramVec, register_histogram_vec};

/// The body of a forwarded request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole body.
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[allow(clippy::unwrap_used)] // Constant name and labels.
static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ];
    register_histogram_vec!(
        "gateway_upstream_seconds",
        "Time to the upstream's first byte",
        &["service"],
        buckets
    )
    .unwrap()
});

thread_local! {
    // One pool a worker thread: a connection is used where it was opened.
    static CLIENT: LazyCell<Client<HttpConnector, Body>> = LazyCell::new(|| {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_millis(500)));
        connector.set_nodelay(true);
        Client::builder(TokioExecutor::new())
            // Shorter than the services' keep-alive of 30 s, so that we close first.
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(256)
            .build(connector)
    });
}

/// Sends a request on this thread's pool. Follows no redirects and knows no proxies.
pub fn send(request: Request<Body>) -> hyper_util::client::legacy::ResponseFuture {
    CLIENT.with(|client| client.request(request))
}

/// A service behind the gateway.
pub struct Upstream {
    /// Its name in the register.
    pub name: String,
    /// Seconds to its first byte.
    pub seconds: Histogram,
    authority: Authority,
    failures: AtomicU32,
}

/// Failed checks in a row after which a service counts as down.
const UNHEALTHY: u32 = 2;
/// Longest document that we read into memory from a service.
const DOCUMENT: usize = 8 * 1024 * 1024;

impl Upstream {
    pub(crate) fn new(name: &str, authority: Authority) -> Self {
        let seconds = SECONDS.with_label_values(&[name]);
        Self {
            name: name.to_owned(),
            seconds,
            authority,
            failures: AtomicU32::new(0),
        }
    }

    /// Whether requests should be sent there. One failed connection does not bring a service down, two do;
    /// one good check brings it back.
    pub fn is_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < UNHEALTHY
    }

    /// A connection could not be made, or a check failed.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// It answered.
    pub fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The URI of a path. Host and port are ours, never the request's.
    pub fn uri(&self, path_and_query: &str) -> Result<Uri, hyper::http::Error> {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(path_and_query)?);
        Ok(Uri::from_parts(parts)?)
    }

    /// GETs a small document with a deadline of two seconds.
    ///
    /// # Errors
    /// When there is no answer with status 200.
    pub async fn get(&self, path: &str, token: Option<HeaderValue>) -> anyhow::Result<Bytes> {
        let mut request = Request::get(self.uri(path)?);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.body(full(Bytes::new()))?;
        let (status, body) = self.ask(request).await?;
        anyhow::ensure!(status.is_success(), "{} answers {status}", self.name);
        Ok(body)
    }

    /// POSTs a question in JSON on the gateway's own account; nothing where the answer is 404.
    ///
    /// # Errors
    /// When there is no answer with status 200 or 404 within two seconds.
    pub async fn post(
        &self,
        path: &str,
        token: HeaderValue,
        question: Vec<u8>,
    ) -> anyhow::Result<Option<Bytes>> {
        let request = Request::post(self.uri(path)?)
            .header("authorization", token)
            .header("content-type", "application/json")
            .body(full(question.into()))?;
        let (status, body) = self.ask(request).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "{} answers {status}", self.name);
        Ok(Some(body))
    }

    async fn ask(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Bytes)> {
        let fetch = async {
            let response: Response<Incoming> = send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), DOCUMENT).collect().await;
            Ok((status, body.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes()))
        };
        tokio::time::timeout(Duration::from_secs(2), fetch).await?
    }

    /// Looks whether it is ready, and remembers.
    pub async fn check(&self) {
        match self.get("/readyz", None).await {
            Ok(_) => self.answered(),
            Err(_) => self.failed(),
        }
    }
}
