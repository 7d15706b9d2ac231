//! The services behind the gateway. A service is one or several endpoints; a request goes to the less busy of two of
//! them that are up, not left out and not at rest. What may be done twice is asked again elsewhere, within a budget; what
//! may not is sent once, unless not a byte of it was sent.

mod breaker;
mod budget;
mod client;
mod discover;
mod endpoint;
mod exchange;
mod health;
mod metrics;
mod outlier;
mod questions;
mod settings;
mod window;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use hyper::{Uri, http::uri::Authority};
use parking_lot::{Mutex, RwLock};
use prometheus::{Histogram, IntCounter, IntGauge};

use self::{
    budget::Budget,
    endpoint::{Outcome, Taken, now},
};
pub use self::{
    client::{Body, full, introduce},
    endpoint::{Endpoint, Standing},
    exchange::{Again, Answer, Coming, Contents, Failure, Held, Wanted},
    settings::{Discover, Settings},
};

/// A service behind the gateway.
pub struct Upstream {
    /// Its name in the register.
    pub name: String,
    /// How it is reached.
    pub settings: Settings,
    seconds: Histogram,
    /// By what became of requests, in the order of the outcomes.
    attempts: [IntCounter; Outcome::ALL.len()],
    under_way: IntGauge,
    /// Host and port of each URL.
    hosts: Vec<Authority>,
    set: RwLock<Arc<[Arc<Endpoint>]>>,
    inflight: AtomicU32,
    budget: Mutex<Budget>,
    /// When it was last looked at, and its names asked for, in milliseconds; 0 is never.
    checked: AtomicU64,
    resolved: AtomicU64,
    tending: AtomicBool,
}

impl Upstream {
    /// A service of these settings, whose URLs are not empty. An endpoint that `before` had is as well as it was.
    ///
    /// # Errors
    /// When a URL is none.
    pub fn new(name: &str, settings: Settings, before: Option<&Self>) -> anyhow::Result<Self> {
        let mut hosts = Vec::new();
        for url in &settings.urls {
            hosts.push(authority(url).with_context(|| url.clone())?);
        }
        anyhow::ensure!(!hosts.is_empty(), "nothing says where {name} is");
        let known = before.map(Self::endpoints).unwrap_or_default();
        let place = |authority: &Authority| {
            let old = known.iter().find(|e| e.authority == *authority);
            Arc::new(old.map_or_else(
                || Endpoint::new(authority.clone(), &settings),
                |old| old.heir(&settings),
            ))
        };
        let set = match settings.discover {
            Discover::Static => hosts.iter().map(place).collect(),
            // Until its names are resolved; what was known of the same names holds.
            Discover::Dns => match before {
                Some(old) if old.settings.discover == Discover::Dns && old.hosts == hosts => {
                    known.iter().map(|old| place(&old.authority)).collect()
                }
                _ => Arc::default(),
            },
        };
        Ok(Self {
            name: name.to_owned(),
            seconds: metrics::SECONDS.with_label_values(&[name]),
            attempts: Outcome::ALL
                .map(|outcome| metrics::ATTEMPTS.with_label_values(&[name, outcome.name()])),
            under_way: metrics::INFLIGHT.with_label_values(&[name]),
            hosts,
            set: RwLock::new(set),
            inflight: AtomicU32::new(0),
            budget: Mutex::new(Budget::new(settings.retry.clone())),
            settings,
            checked: AtomicU64::new(0),
            resolved: AtomicU64::new(0),
            tending: AtomicBool::new(false),
        })
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        self.set.read().clone()
    }

    /// Whether any endpoint takes requests.
    pub fn is_up(&self) -> bool {
        let now = now();
        self.set.read().iter().any(|endpoint| endpoint.takes(now))
    }

    /// The less busy of two endpoints that would take a request, and were not tried. The breaker of a third is asked
    /// when theirs have just closed.
    fn choose(&self, tried: &[Arc<Endpoint>]) -> Option<Taken> {
        let (set, now) = (self.endpoints(), now());
        if let [only] = &*set {
            return only.takes(now).then(|| only.take(now)).flatten();
        }
        let fit = |endpoint: &&Arc<Endpoint>| endpoint.takes(now);
        let tried = |endpoint: &Arc<Endpoint>| tried.iter().any(|t| Arc::ptr_eq(t, endpoint));
        let mut able: Vec<&Arc<Endpoint>> = set.iter().filter(|e| !tried(e)).filter(fit).collect();
        if able.is_empty() {
            able = set.iter().filter(fit).collect();
        }
        while !able.is_empty() {
            let at = less_busy(&able, |endpoint| endpoint.inflight());
            if let Some(taken) = able.swap_remove(at).take(now) {
                return Some(taken);
            }
        }
        None
    }

    /// Whether a request could be asked again somewhere else.
    fn has_another(&self, than: &Endpoint) -> bool {
        let now = now();
        let set = self.set.read();
        set.iter()
            .any(|e| e.authority != than.authority && e.takes(now))
    }

    /// Notes what became of a request.
    fn note(&self, taken: &mut Taken, outcome: Outcome) {
        if let Some(count) = self.attempts.get(outcome as usize) {
            count.inc();
        }
        if outcome.is_silent() {
            return;
        }
        let (now, good) = (now(), outcome == Outcome::Good);
        let pass = taken.pass();
        let endpoint = &taken.endpoint;
        let (opened, unfit) = {
            let mut state = endpoint.state.lock();
            match outcome {
                Outcome::Unsent => state.health.seen(false, &self.settings.health),
                Outcome::Good | Outcome::Fault => state.health.seen(true, &self.settings.health),
                // It may be alive all the same.
                Outcome::Broken | Outcome::Slow | Outcome::Hurried | Outcome::NoBody => {}
            }
            let opened = pass.is_some_and(|pass| state.breaker.outcome(now, pass, good));
            let unfit = state.outlier.seen(now, good, &self.settings.outlier);
            (opened, unfit)
        };
        if opened {
            metrics::OPENED.with_label_values(&[&self.name]).inc();
            tracing::warn!(service = self.name, endpoint = %endpoint.authority, "too many requests failed; it rests");
        }
        if unfit {
            self.eject(endpoint, now);
        }
    }

    /// Leaves an endpoint out, if enough others are left.
    fn eject(&self, endpoint: &Arc<Endpoint>, now: Duration) {
        // One at a time, so that they do not leave each other out.
        let set = self.set.write();
        let (mut out, mut left) = (0, 0);
        for other in set.iter().filter(|other| !Arc::ptr_eq(other, endpoint)) {
            let state = other.state.lock();
            out += usize::from(state.outlier.is_out(now));
            left += usize::from(state.health.is_up() && !state.outlier.is_out(now));
        }
        if left == 0 || out >= outlier::most_out(set.len(), &self.settings.outlier) {
            return;
        }
        let mut state = endpoint.state.lock();
        state.outlier.eject(now, &self.settings.outlier);
        metrics::EJECTIONS.with_label_values(&[&self.name]).inc();
        tracing::warn!(service = self.name, endpoint = %endpoint.authority, "it fails while others do not; it is left out");
    }

    /// Looks after it: checks its endpoints and asks for its names, when it is time to.
    pub fn tend(self: &Arc<Self>) {
        let now = u64::try_from(now().as_millis()).unwrap_or(u64::MAX).max(1);
        let due = |last: &AtomicU64, every: Duration| {
            let before = last.load(Ordering::Relaxed);
            let due = before == 0 || u128::from(now - before.min(now)) >= every.as_millis();
            if due {
                last.store(now, Ordering::Relaxed);
            }
            due
        };
        if self.tending.swap(true, Ordering::Relaxed) {
            return;
        }
        let resolve = due(&self.resolved, discover::EVERY);
        let check = due(&self.checked, self.settings.health.interval.0);
        let this = self.clone();
        tokio::spawn(async move {
            if resolve {
                this.find().await;
            }
            if check {
                let set = this.endpoints();
                futures::future::join_all(set.iter().map(|e| this.check(e))).await;
            }
            this.show();
            this.tending.store(false, Ordering::Relaxed);
        });
    }

    fn show(&self) {
        let set = self.endpoints();
        for standing in Standing::ALL {
            let count = set.iter().filter(|e| e.standing() == standing).count();
            metrics::ENDPOINTS
                .with_label_values(&[self.name.as_str(), standing.name()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// The place of the less busy of two that chance names; of the first of them, when they are equally so.
fn less_busy<T>(able: &[T], load: impl Fn(&T) -> u32) -> usize {
    if able.len() < 2 {
        return 0;
    }
    let first = rand::random_range(0..able.len());
    // Any but the first.
    let second = (first + rand::random_range(1..able.len())) % able.len();
    match (able.get(first), able.get(second)) {
        (Some(a), Some(b)) if load(b) < load(a) => second,
        _ => first,
    }
}

/// A service is a host and a port; a path in front of its own would make two readings of one request.
pub fn authority(url: &str) -> anyhow::Result<Authority> {
    let uri: Uri = url.parse()?;
    anyhow::ensure!(uri.scheme_str() == Some("http"), "must begin with http://");
    anyhow::ensure!(
        matches!(uri.path(), "" | "/") && uri.query().is_none(),
        "must be http://host:port"
    );
    uri.authority().cloned().context("has no host")
}

#[cfg(test)]
mod tests;
