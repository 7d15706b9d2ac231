//! One address of a service.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{
    Uri,
    http::uri::{Authority, Parts, PathAndQuery, Scheme},
};
use parking_lot::Mutex;

use super::{
    breaker::{Breaker, Pass},
    health::Health,
    outlier::Outlier,
    settings::Settings,
};

/// Time since the first time that it was asked for.
pub fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// What an endpoint is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It gets requests.
    Up,
    /// Checks fail.
    Down,
    /// It is left out, because it failed while others did not.
    Ejected,
    /// Its breaker is open, or tries it.
    Resting,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Up, Self::Down, Self::Ejected, Self::Resting];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Resting => "resting",
        }
    }
}

/// One address of a service.
#[derive(Debug)]
pub struct Endpoint {
    /// Host and port.
    pub authority: Authority,
    inflight: AtomicU32,
    pub(super) state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub health: Health,
    pub outlier: Outlier,
    pub breaker: Breaker,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, with anything below 500.
    Good,
    /// It was answered with 5xx.
    Fault,
    /// There was no connection; nothing was sent.
    Unsent,
    /// The connection broke.
    Broken,
    /// It took too long.
    Slow,
    /// It took longer than who asked had time for, which was too little to blame it.
    Hurried,
    /// The client did not send what it had to: nothing is known of the endpoint.
    NoBody,
}

impl Outcome {
    /// All of them, each at its own place.
    pub const ALL: [Self; 7] = [
        Self::Good,
        Self::Fault,
        Self::Unsent,
        Self::Broken,
        Self::Slow,
        Self::Hurried,
        Self::NoBody,
    ];

    /// Whether it says nothing of the endpoint.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Hurried | Self::NoBody)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fault => "5xx",
            Self::Unsent => "unsent",
            Self::Broken => "broken",
            Self::Slow => "slow",
            Self::Hurried => "hurried",
            Self::NoBody => "no_body",
        }
    }
}

impl Endpoint {
    pub(super) fn new(authority: Authority, settings: &Settings) -> Self {
        Self {
            authority,
            inflight: AtomicU32::new(0),
            state: Mutex::new(State {
                health: Health::default(),
                outlier: Outlier::default(),
                breaker: Breaker::new(settings.breaker.clone()),
            }),
        }
    }

    /// The same address under other settings: it is as well as it was.
    pub(super) fn heir(&self, settings: &Settings) -> Self {
        let heir = Self::new(self.authority.clone(), settings);
        heir.state.lock().health = self.state.lock().health;
        heir
    }

    /// The URI of a path. Host and port are ours, never the request's.
    ///
    /// # Errors
    /// When it is no path.
    pub fn uri(&self, path_and_query: &str) -> Result<Uri, hyper::http::Error> {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::try_from(path_and_query)?);
        Ok(Uri::from_parts(parts)?)
    }

    /// What it is just now.
    pub fn standing(&self) -> Standing {
        let state = self.state.lock();
        if !state.health.is_up() {
            Standing::Down
        } else if state.outlier.is_out(now()) {
            Standing::Ejected
        } else if state.breaker.is_open() {
            Standing::Resting
        } else {
            Standing::Up
        }
    }

    /// Whether it would take a request.
    pub fn takes(&self, now: Duration) -> bool {
        let state = self.state.lock();
        state.health.is_up() && !state.outlier.is_out(now) && state.breaker.would_pass(now)
    }

    /// Requests under way.
    pub fn inflight(&self) -> u32 {
        self.inflight.load(Ordering::Relaxed)
    }

    /// Takes a request, if the breaker lets it.
    pub(super) fn take(self: &Arc<Self>, now: Duration) -> Option<Taken> {
        let pass = self.state.lock().breaker.pass(now)?;
        self.inflight.fetch_add(1, Ordering::Relaxed);
        Some(Taken {
            endpoint: self.clone(),
            pass: Some(pass),
        })
    }
}

/// A request that is under way to an endpoint, until it is dropped.
#[derive(Debug)]
pub struct Taken {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    pass: Option<Pass>,
}

impl Taken {
    /// The breaker's pass, the first time.
    pub(super) fn pass(&mut self) -> Option<Pass> {
        self.pass.take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.endpoint.inflight.fetch_sub(1, Ordering::Relaxed);
        if let Some(pass) = self.pass {
            self.endpoint.state.lock().breaker.forget(pass);
        }
    }
}
