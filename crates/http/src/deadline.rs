//! How long an answer is waited for.

use std::time::Duration;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
};

use crate::{Fault, Problem};

/// Milliseconds for which whoever asks waits for the answer; the gateway says it with each request that is whole.
pub const TIME_LEFT: &str = "x-request-timeout-ms";

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
    let said = req.headers().get(TIME_LEFT).filter(|_| reads);
    let left = said.and_then(|said| said.to_str().ok()?.parse().ok());
    match left.map(Duration::from_millis) {
        None => next.call(req).await,
        Some(left) => tokio::time::timeout(left, next.call(req))
            .await
            .unwrap_or_else(|_| Err(Problem::from(Fault::TimeUp).into())),
    }
}
