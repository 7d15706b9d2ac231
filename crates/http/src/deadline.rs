//! How long an answer is waited for.

use std::time::Duration;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderMap},
    middleware::Next,
};

use crate::{Fault, Problem};

/// Milliseconds for which whoever asks waits for the answer; the gateway says it with each request that is whole.
pub const TIME_LEFT: &str = "x-request-timeout-ms";

/// How long whoever sent a request with these headers waits for its answer, if that is said.
#[must_use]
pub fn time_left(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(TIME_LEFT)?.to_str().ok()?;
    said.parse().ok().map(Duration::from_millis)
}

/// What comes of `work` if it does in the time that is left, however long it takes where none is said.
///
/// # Errors
/// [`Fault::TimeUp`], and `work` is given up.
pub async fn within<T>(left: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Fault> {
    match left {
        None => Ok(work.await),
        Some(left) => tokio::time::timeout(left, work)
            .await
            .map_err(|_| Fault::TimeUp),
    }
}

/// Middleware: gives a read up for whose answer nobody waits any more, and with it its place in the database's pool. A change
/// goes on: its outcome is what the same Idempotency-Key is answered with.
///
/// # Errors
/// Whatever the handler answers; [`Fault::TimeUp`].
pub async fn deadline<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let reads = [Method::GET, Method::HEAD].contains(req.method());
    let left = time_left(req.headers()).filter(|_| reads);
    within(left, next.call(req)).await.map_err(Problem::from)?
}
