//! A load of requests over kept connections, measured from outside: how long each took, and what the process in between used.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Uri,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::process::Process;
use crate::step;

/// What is asked.
#[derive(Clone)]
pub struct Ask {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    /// A read of a path.
    ///
    /// # Errors
    /// When it is none.
    pub fn get(path: &'static str) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
        Ok(Self {
            method: Method::GET,
            uri: Uri::from_static(path),
            headers,
            body: Bytes::new(),
        })
    }

    /// JSON to a path.
    ///
    /// # Errors
    /// When it is none.
    pub fn post(path: &'static str, body: &serde_json::Value) -> anyhow::Result<Self> {
        let mut ask = Self::get(path)?;
        ask.method = Method::POST;
        ask.body = Bytes::from(body.to_string());
        let kind = HeaderValue::from_static("application/json");
        ask.headers.insert(CONTENT_TYPE, kind);
        Ok(ask)
    }

    /// As whoever has this token.
    ///
    /// # Errors
    /// When it is none.
    pub fn bearing(mut self, token: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::try_from(format!("Bearer {token}"))?;
        self.headers.insert(AUTHORIZATION, value);
        Ok(self)
    }
}

/// A connection.
pub struct Lane(SendRequest<Full<Bytes>>);

impl Lane {
    /// Connects to a port of this host.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Asks, and reads all of the answer.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn ask(&mut self, ask: &Ask) -> anyhow::Result<Bytes> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.uri.clone();
        *request.headers_mut() = ask.headers.clone();
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// What a step showed.
pub struct Measured {
    /// Nanoseconds.
    pub latency: Histogram<u64>,
    /// A second.
    pub rate: f64,
    /// Microseconds of processor that the process in between used for each.
    pub cpu: f64,
}

impl Measured {
    /// Microseconds at a quantile.
    #[allow(clippy::float_arithmetic)] // a time, not money
    pub fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Asks on so many connections, one after another on each, until the time is over or there is nothing left to ask. What each asks
/// is said by its number. `between` is the process whose use of the processors is told.
///
/// # Errors
/// When one is refused.
pub async fn run(
    port: u16,
    between: Option<&Process>,
    lanes: usize,
    time: Duration,
    next: impl Fn() -> Option<Rc<Ask>> + 'static,
) -> anyhow::Result<Measured> {
    let next = Rc::new(next);
    let mut open = Vec::new();
    for _ in 0..lanes {
        open.push(Lane::open(port).await?);
    }
    let before = between.map(Process::cpu).unwrap_or_default();
    let (started, local) = (Instant::now(), tokio::task::LocalSet::new());
    let end = started + time;
    let lanes: Vec<_> = open
        .into_iter()
        .map(|mut lane| {
            let next = next.clone();
            local.spawn_local(async move {
                let mut latency = nanoseconds()?;
                while Instant::now() < end {
                    let Some(ask) = next() else { break };
                    let began = Instant::now();
                    lane.ask(&ask).await?;
                    let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    latency.saturating_record(took);
                }
                anyhow::Ok(latency)
            })
        })
        .collect();
    local.await;
    let took = started.elapsed();
    let used = between.map(Process::cpu).unwrap_or_default() - before;
    let mut latency = nanoseconds()?;
    for lane in lanes {
        latency.add(lane.await.context("a lane broke")??)?;
    }
    ensure!(!latency.is_empty(), "nothing was asked");
    #[allow(clippy::float_arithmetic)] // a time, not money
    let cpu = used.as_secs_f64() * 1e6 / latency.len() as f64;
    Ok(Measured {
        rate: step::per_second(latency.len(), took),
        latency,
        cpu,
    })
}

/// Up to a minute.
fn nanoseconds() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000_000, 3)?)
}
