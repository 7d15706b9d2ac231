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
    match time_left(req.headers()).filter(|_| reads) {
        None => next.call(req).await,
        Some(left) => tokio::time::timeout(left, next.call(req))
            .await
            .unwrap_or_else(|_| Err(Problem::from(Fault::TimeUp).into())),
    }
}
