//! The services behind the gateway: where they are, whether they answer, and the client that talks to them.

use std::{
    cell::LazyCell,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// The body of a forwarded request.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// A whole body.
pub fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

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
    /// `http://host:port`.
    pub base: String,
    failures: AtomicU32,
}

/// Failed checks in a row after which a service counts as down.
const UNHEALTHY: u32 = 2;
/// Longest document that we read into memory from a service.
const DOCUMENT: usize = 8 * 1024 * 1024;

impl Upstream {
    pub(crate) fn new(name: String, base: String) -> Self {
        Self { name, base, failures: AtomicU32::new(0) }
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

    /// The URI of a path.
    pub fn uri(&self, path_and_query: &str) -> Result<Uri, hyper::http::uri::InvalidUri> {
        format!("{}{path_and_query}", self.base).parse()
    }

    /// GETs a small document with a deadline of two seconds.
    ///
    /// # Errors
    /// When there is no answer with status 200.
    pub async fn get(&self, path: &str, token: Option<&str>) -> anyhow::Result<Bytes> {
        let mut request = Request::get(self.uri(path)?);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(full(Bytes::new()))?;
        let fetch = async {
            let response: Response<Incoming> = send(request).await?;
            anyhow::ensure!(response.status().is_success(), "{} answers {}", self.name, response.status());
            let body = Limited::new(response.into_body(), DOCUMENT).collect().await;
            Ok(body.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes())
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
