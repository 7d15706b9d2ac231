//! What happened, as the clients and the endpoints saw it: written by many while the run lasts, judged as one record afterwards.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::plan::Kind;

/// What became of a request, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// An answer.
    Answer {
        /// Its status.
        status: u16,
        /// The code of a refusal of the gateway's own; empty otherwise.
        code: String,
        /// Whether it is the answer to this request of this client, to the last byte.
        right: bool,
    },
    /// A head, and a body that was broken off, and known to be.
    BrokenOff,
    /// No connection: nothing was sent.
    Unsent,
    /// Nothing: the connection ended.
    Nothing,
}

/// A request of a client. Times are since the run began.
#[derive(Clone, Debug)]
pub struct Try {
    /// Its number, which no other has.
    pub id: u64,
    /// The gateway that was asked.
    pub gateway: usize,
    /// The service that was meant.
    pub service: usize,
    /// A change; a read otherwise.
    pub post: bool,
    /// Its answer is longer than a gateway reads before it passes any of it on.
    pub long: bool,
    /// When it was sent.
    pub begun: Duration,
    /// When it was over.
    pub ended: Duration,
    /// What became of it.
    pub came: Came,
}

impl Try {
    /// Whether it was answered as it should be.
    pub fn good(&self) -> bool {
        matches!(
            self.came,
            Came::Answer { status: 200, .. } | Came::Answer { status: 429, .. }
        )
    }

    /// Whether it was answered with 2xx.
    pub fn done(&self) -> bool {
        matches!(self.came, Came::Answer { status: 200, .. })
    }
}

/// What an endpoint did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It has read it, and was not heard of since.
    Took,
    /// It answered.
    Answered,
    /// It answered 500.
    Failed,
    /// It broke the connection before its answer was over.
    Broke,
}

/// A request as an endpoint saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of the request.
    pub id: u64,
    /// The endpoint.
    pub endpoint: usize,
    /// A change.
    pub post: bool,
    /// When its head was read.
    pub at: Duration,
    /// What became of it.
    pub did: Did,
}

/// A fault that was done: from when to when.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Whom.
    pub which: usize,
    /// When it began.
    pub from: Duration,
    /// When it was healed.
    pub to: Duration,
}

/// A request that a limit let pass.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The bucket, by its place in [`LIMITS`].
    pub limit: usize,
    /// When it was sent.
    pub begun: Duration,
    /// When it was answered.
    pub ended: Duration,
}

/// The end of a WebSocket or of a stream of events.
#[derive(Clone, Debug)]
pub struct End {
    /// The gateway that it went through.
    pub gateway: usize,
    /// The service that it came from.
    pub service: usize,
    /// A WebSocket; a stream of events otherwise.
    pub socket: bool,
    /// When it ended.
    pub at: Duration,
    /// Whether it was said: 1001 of a WebSocket, the last chunk of a stream.
    pub goodbye: bool,
}

/// A limit that somebody tries to get past.
#[derive(Debug)]
pub struct Limit {
    /// What it is called.
    pub name: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// Requests at once.
    pub burst: u32,
    /// What a gateway may have on lease, and again let pass unheard; none where Redis is asked each time.
    pub portion: u32,
}

/// The limits that are tried: that of an API key, and that of signing in from one address.
pub const LIMITS: [Limit; 2] = [
    Limit {
        name: "a key's requests",
        rate: 1,
        burst: 60,
        portion: 3,
    },
    Limit {
        name: "sign-ins of an address",
        rate: 2,
        burst: 30,
        portion: 0,
    },
];

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Requests of clients.
    pub tries: Vec<Try>,
    /// Requests at endpoints.
    pub seen: Vec<Seen>,
    /// Faults that were done.
    pub faults: Vec<Fault>,
    /// What limits let pass.
    pub passes: Vec<Pass>,
    /// What limits refused.
    pub refused: usize,
    /// Ends of WebSockets and streams of events.
    pub ends: Vec<End>,
    /// The longest time for which the run itself stood still: the machine was busy.
    pub lag: Duration,
    /// How long all of it was.
    pub length: Duration,
}

/// The record while it is written.
pub struct Book {
    start: Instant,
    record: Mutex<Record>,
    /// Where the endpoints' requests stand that are not answered yet.
    next: Mutex<u64>,
}

impl Book {
    /// An empty one, that begins now.
    pub fn begin() -> Self {
        Self {
            start: Instant::now(),
            record: Mutex::default(),
            next: Mutex::new(1),
        }
    }

    /// Time since it began.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A number for a request.
    pub fn number(&self) -> u64 {
        let mut next = self.next.lock();
        *next += 1;
        *next
    }

    /// An endpoint sees a request; the place to say later what it did.
    pub fn see(&self, id: u64, endpoint: usize, post: bool) -> usize {
        let at = self.now();
        let mut record = self.record.lock();
        record.seen.push(Seen {
            id,
            endpoint,
            post,
            at,
            did: Did::Took,
        });
        record.seen.len() - 1
    }

    /// What an endpoint did with a request.
    pub fn did(&self, place: usize, did: Did) {
        if let Some(seen) = self.record.lock().seen.get_mut(place) {
            seen.did = did;
        }
    }

    /// A request is over.
    pub fn tried(&self, one: Try) {
        self.record.lock().tries.push(one);
    }

    /// A limit let a request pass, or did not.
    pub fn limited(&self, passed: Option<Pass>) {
        let mut record = self.record.lock();
        match passed {
            Some(pass) => record.passes.push(pass),
            None => record.refused += 1,
        }
    }

    /// A WebSocket or a stream ended.
    pub fn ended(&self, end: End) {
        self.record.lock().ends.push(end);
    }

    /// A fault was done and healed.
    pub fn fault(&self, kind: Kind, which: usize, from: Duration) {
        let to = self.now();
        self.record.lock().faults.push(Fault {
            kind,
            which,
            from,
            to,
        });
    }

    /// The run stood still for so long.
    pub fn lagged(&self, lag: Duration) {
        let mut record = self.record.lock();
        record.lag = record.lag.max(lag);
    }

    /// Answered and unanswered requests so far.
    pub fn counts(&self) -> (usize, usize) {
        let record = self.record.lock();
        let good = record.tries.iter().filter(|t| t.good()).count();
        (record.tries.len(), good)
    }

    /// All of it.
    pub fn close(&self) -> Record {
        let mut record = self.record.lock().clone();
        record.length = self.now();
        record
    }
}

impl Record {
    /// Where requests were seen, by their numbers.
    pub fn by_id(&self) -> HashMap<u64, Vec<&Seen>> {
        let mut all = HashMap::<u64, Vec<&Seen>>::new();
        for seen in &self.seen {
            all.entry(seen.id).or_default().push(seen);
        }
        all
    }
}
