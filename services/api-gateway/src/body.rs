//! Bodies on their way to a service: read whole when they are short, streamed in constant memory where a route takes
//! long ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpRequest, http::header, web};
use bahi_http::Fault;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;

use crate::{
    progress::{Progress, Waiting},
    upstream::{Body, full},
};

/// A request's body.
pub enum Upload {
    /// In memory; it can be sent again.
    Whole(Bytes),
    /// Still coming.
    Streamed(Body, Coming),
}

/// Set when a streamed body turns out longer than allowed.
#[derive(Clone, Default)]
pub struct Overflow(Arc<AtomicBool>);

impl Overflow {
    /// Whether it was longer.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of a body that is still coming.
#[derive(Clone, Default)]
pub struct Coming {
    /// Whether it is too long.
    pub overflow: Overflow,
    /// How far it is.
    pub progress: Progress,
}

/// Room made before any byte has come: a length is only a promise.
const PROMISED: usize = 16 * 1024;

/// What a client sends at least, on the average and counted while it is waited for, of a body that streams: bytes a second.
const PACE: u64 = 8 * 1024;

/// Takes the body of a request, which may be `limit` bytes long. It streams where `stream` says after how long its pace begins
/// to matter.
pub async fn take(
    req: &HttpRequest,
    mut payload: web::Payload,
    limit: usize,
    stream: Option<Duration>,
) -> Result<Upload, Fault> {
    let headers = req.headers();
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let length = if headers.contains_key(header::TRANSFER_ENCODING) {
        None
    } else {
        Some(length.unwrap_or(0))
    };
    match length {
        Some(0) => return Ok(Upload::Whole(Bytes::new())),
        Some(length) if length > limit => return Err(Fault::TooLarge(limit)),
        _ => {}
    }
    if let Some(grace) = stream {
        return Ok(streamed(payload, limit, grace));
    }
    let mut whole = BytesMut::with_capacity(length.unwrap_or(PROMISED).min(PROMISED));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Fault::Malformed(format!("the body breaks off ({e})")))?;
        if whole.len() + chunk.len() > limit {
            return Err(Fault::TooLarge(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Upload::Whole(whole.freeze()))
}

/// A client's payload cannot leave its thread, so a task of that thread hands the pieces on; four of them wait at most,
/// which holds a fast client to the pace of the service.
fn streamed(mut payload: web::Payload, limit: usize, grace: Duration) -> Upload {
    let (pieces, received) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let known = Coming::default();
    let (flag, progress) = (known.overflow.clone(), known.progress.clone());
    actix_web::rt::spawn(async move {
        let (mut passed, mut waited) = (0, Duration::ZERO);
        loop {
            let asked = Instant::now();
            let Some(chunk) = payload.next().await else {
                break;
            };
            waited += asked.elapsed();
            let piece = chunk
                .map_err(|e| std::io::Error::other(e.to_string()))
                .and_then(|bytes| {
                    passed += bytes.len();
                    if passed > limit {
                        flag.0.store(true, Ordering::Relaxed);
                        return Err(std::io::Error::other("longer than allowed"));
                    }
                    let least = waited.saturating_sub(grace).as_secs().saturating_mul(PACE);
                    if (passed as u64) < least {
                        return Err(std::io::Error::other("slower than anybody is"));
                    }
                    Ok(bytes)
                });
            let broken = piece.is_err();
            progress.now(Waiting::Service);
            if pieces.send(piece).await.is_err() || broken {
                return;
            }
            progress.now(Waiting::Client);
        }
        progress.now(Waiting::Answer);
    });
    let stream = futures::stream::unfold(received, async |mut r| {
        r.recv().await.map(|piece| (piece, r))
    });
    let body = StreamBody::new(Box::pin(stream.map_ok(Frame::data)));
    Upload::Streamed(body.boxed_unsync(), known)
}

impl Upload {
    /// The body to send first, what to send should that be needed again, and what is known of a body still coming.
    pub fn split(self) -> (Body, Option<Bytes>, Option<Coming>) {
        match self {
            Self::Whole(bytes) => (full(bytes.clone()), Some(bytes), None),
            Self::Streamed(body, coming) => (body, None, Some(coming)),
        }
    }
}
