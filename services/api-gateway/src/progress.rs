//! How far a body has come that is passed on while it comes: nobody waits for the whole of it, but for each piece.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The client, for the next piece.
    Client,
    /// The service, to take a piece.
    Service,
    /// The service, to answer: all of the body is there.
    Answer,
}

/// How far a body has come; clones share it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<(Instant, Waiting)>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), Waiting::Client))))
    }
}

impl Progress {
    /// A step was made.
    pub fn now(&self, waiting: Waiting) {
        *self.0.lock() = (Instant::now(), waiting);
    }

    /// Who is waited for.
    pub fn waiting(&self) -> Waiting {
        self.0.lock().1
    }

    /// Until when, if a piece may take `idle` and the answer `time`.
    pub fn until(&self, idle: Duration, time: Duration) -> Instant {
        let (at, waiting) = *self.0.lock();
        at + if waiting == Waiting::Answer {
            time
        } else {
            idle
        }
    }
}
