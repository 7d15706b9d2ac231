//! Bodies that nobody reads to the end. The server reads on behind one in chunks that was dropped, for as long as it lasts; of
//! one that is still held when the answer is out it reads a little more, and closes the connection.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    http::header,
};
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// The body of a request, shared by its reader and whoever sees to its end.
#[derive(Clone)]
pub struct Held(Rc<RefCell<Pin<Box<Payload>>>>);

/// Takes hold of a body in chunks; others need no holding.
pub fn hold(req: &mut ServiceRequest) -> Option<Held> {
    if !req.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let held = Held(Rc::new(RefCell::new(Box::pin(req.take_payload()))));
    let payload = Box::pin(held.clone());
    req.set_payload(Payload::Stream { payload });
    Some(held)
}

/// Longest body that is read away, in bytes, and for how long.
const AWAY: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads a body away that means nothing, so that what follows is a request; false when it is too long or does not come.
pub async fn read_away(req: &mut ServiceRequest) -> bool {
    let mut payload = req.take_payload();
    let whole = tokio::time::timeout(PATIENCE, async {
        let mut length = 0;
        while let Some(piece) = payload.next().await {
            length += piece.map_or(AWAY + 1, |piece| piece.len());
            if length > AWAY {
                return false;
            }
        }
        true
    });
    whole.await.unwrap_or(false)
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().as_mut().poll_next(cx)
    }
}

/// An answer that holds the body of its request until it is out.
pub struct Holding {
    answer: BoxBody,
    _held: Held,
}

impl Holding {
    /// The answer with what it holds.
    pub fn body(answer: impl MessageBody + 'static, held: Held) -> BoxBody {
        BoxBody::new(Self {
            answer: answer.boxed(),
            _held: held,
        })
    }
}

impl MessageBody for Holding {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}
