//! One request to a service and its answer, asked again where that is allowed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::CONTENT_TYPE,
    http::response,
};
use tokio::time::Instant;

use super::{
    Body, Upstream, client,
    endpoint::{Endpoint, Outcome, Taken, now},
    metrics,
};
use crate::progress::{Progress, Waiting};

/// What may be done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A read: as long as there is time and the budget allows it.
    Read,
    /// A change: only when not a byte of it was sent.
    Change,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No endpoint takes requests, or none could be connected to.
    #[error("no endpoint is there")]
    Away,
    /// Too many requests are under way.
    #[error("too many requests are under way")]
    Full,
    /// It did not come in time; the request may have been carried out.
    #[error("it took too long")]
    Slow,
    /// The connection broke; the request may have been carried out.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The body did not come, or broke off: the client's doing.
    #[error("the body did not come: {0}")]
    NoBody(String),
    /// The answer is longer than is taken.
    #[error("the answer is too long")]
    TooLong,
    /// The request cannot be written down.
    #[error("the request is malformed: {0}")]
    Malformed(String),
}

/// The answer of a service.
pub struct Answer {
    /// All of it but its body.
    pub head: response::Parts,
    /// Its body.
    pub contents: Contents,
    /// Counts it as under way; to be kept until the body is read.
    pub held: Held,
}

/// How much of an answer is waited for, before it counts as one.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// Its head.
    Head,
    /// All of it, where it says that it is no longer than this; otherwise its head.
    Short(usize),
    /// All of it, which must not be longer than this.
    Whole(usize),
}

/// The body of an answer.
pub enum Contents {
    /// All of it.
    Whole(Bytes),
    /// Still coming.
    Coming(Incoming),
}

/// A request that is under way, until this is dropped.
pub struct Held {
    _taken: Taken,
    _place: Place,
}

/// A place among those that may be under way to a service.
struct Place(Arc<Upstream>);

impl Place {
    fn take(of: &Arc<Upstream>) -> Option<Self> {
        let most = of.settings.max_inflight;
        let more = |now: u32| (now < most).then_some(now + 1);
        let taken = of
            .inflight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok()?;
        of.under_way.inc();
        Some(Self(of.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inflight.fetch_sub(1, Ordering::Relaxed);
        self.0.under_way.dec();
    }
}

/// How long a body may pause that is still coming, and how far it is.
pub struct Coming<'a> {
    /// How far it is.
    pub progress: &'a Progress,
    /// Between two pieces.
    pub idle: Duration,
    /// To the answer, once all of it is there.
    pub time: Duration,
}

/// The request towards an endpoint, told how much time is left, if that is known; none when it cannot be made again.
pub trait Make:
    FnMut(&Endpoint, Option<Duration>) -> Option<Result<Request<Body>, String>>
{
}
impl<F: FnMut(&Endpoint, Option<Duration>) -> Option<Result<Request<Body>, String>>> Make for F {}

/// What comes before a moment that moves on while it is waited for.
async fn within<T>(until: impl Fn() -> Instant, what: impl Future<Output = T>) -> Option<T> {
    let mut what = std::pin::pin!(what);
    loop {
        let last = until();
        match tokio::time::timeout_at(last, &mut what).await {
            Ok(done) => return Some(done),
            Err(_) if until() <= last => return None,
            Err(_) => {}
        }
    }
}

/// Whether a request broke because of the body that we were to send: no service is to blame for its clients.
fn is_clients(error: &hyper_util::client::legacy::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|e| e.is_user())
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether all of an answer is waited for: of one that is longer than `most` it could not be known when it ends, and
/// events have no end.
fn is_short(head: &response::Parts, body: &Incoming, most: usize) -> bool {
    let length = body
        .size_hint()
        .exact()
        .and_then(|l| usize::try_from(l).ok());
    let kind = head.headers.get(CONTENT_TYPE);
    let events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    length.is_some_and(|length| (1..=most).contains(&length)) && !events
}

impl Upstream {
    /// Sends a request and waits for as much of its answer as is `wanted`. What breaks before is no answer, and may be
    /// asked again; what breaks later is not.
    /// With a body that is still coming the deadline is that of its pieces.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn exchange(
        self: &Arc<Self>,
        again: Again,
        deadline: Instant,
        wanted: Wanted,
        coming: Option<Coming<'_>>,
        mut make: impl Make,
    ) -> Result<Answer, Failure> {
        let refused = |reason| {
            metrics::REFUSED
                .with_label_values(&[self.name.as_str(), reason])
                .inc();
        };
        let Some(place) = Place::take(self) else {
            refused("full");
            return Err(Failure::Full);
        };
        self.budget.lock().earn(now());
        let (mut tried, mut last) = (Vec::new(), Failure::Away);
        let started = Instant::now();
        for turn in 0..=self.settings.retry.max {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = coming.is_none().then_some(left);
            if told.is_some_and(|left| left.is_zero()) {
                // Nobody could answer any more: nobody is asked.
                return Err(match tried.is_empty() {
                    true => Failure::Slow,
                    false => last,
                });
            }
            let Some(mut taken) = self.choose(&tried) else {
                if tried.is_empty() {
                    refused("away");
                }
                return Err(last);
            };
            let Some(request) = make(&taken.endpoint, told) else {
                return Err(last);
            };
            let request = request.map_err(Failure::Malformed)?;
            // Who may ask elsewhere does not spend all of the time here.
            let spare = again == Again::Read
                && turn < self.settings.retry.max
                && self.has_another(&taken.endpoint);
            let (sent, patience) = (Instant::now(), if spare { left / 2 } else { left });
            let until = || match &coming {
                Some(coming) => coming.progress.until(coming.idle, coming.time),
                None => sent + patience,
            };
            let (outcome, result) = match within(until, self.attempt(request, wanted)).await {
                Some(result) => result,
                None => match coming.as_ref().map(|coming| coming.progress.waiting()) {
                    Some(Waiting::Client) => {
                        (Outcome::NoBody, Err(Failure::NoBody("silence".to_owned())))
                    }
                    // One that is well may take so long to be connected to alone: who comes with less has spent his time
                    // elsewhere, and a few of those would have it left out.
                    None if left < self.settings.connect.0 => {
                        (Outcome::Hurried, Err(Failure::Slow))
                    }
                    _ => (Outcome::Slow, Err(Failure::Slow)),
                },
            };
            self.note(&mut taken, outcome);
            last = match result {
                Ok((head, contents)) => {
                    self.seconds.observe(started.elapsed().as_secs_f64());
                    let held = Held {
                        _taken: taken,
                        _place: place,
                    };
                    return Ok(Answer {
                        head,
                        contents,
                        held,
                    });
                }
                Err(failure) => failure,
            };
            let may = match again {
                // Silence is asked elsewhere, not once more.
                Again::Read => match outcome {
                    Outcome::Slow | Outcome::Hurried => spare,
                    Outcome::NoBody => false,
                    _ => !matches!(last, Failure::TooLong),
                },
                Again::Change => outcome == Outcome::Unsent,
            };
            if !may || turn == self.settings.retry.max {
                break;
            }
            let granted = self.budget.lock().spend(now());
            metrics::RETRIES
                .with_label_values(&[self.name.as_str(), if granted { "yes" } else { "no" }])
                .inc();
            if !granted {
                break;
            }
            tried.push(taken.endpoint.clone());
        }
        self.seconds.observe(started.elapsed().as_secs_f64());
        Err(last)
    }

    async fn attempt(
        &self,
        request: Request<Body>,
        wanted: Wanted,
    ) -> (Outcome, Result<(response::Parts, Contents), Failure>) {
        let response: Response<Incoming> =
            match client::send(request, self.settings.connect.0).await {
                Ok(response) => response,
                Err(error) if error.is_connect() => return (Outcome::Unsent, Err(Failure::Away)),
                Err(error) if is_clients(&error) => {
                    return (Outcome::NoBody, Err(Failure::NoBody(format!("{error:?}"))));
                }
                Err(error) => {
                    return (Outcome::Broken, Err(Failure::Broken(format!("{error:?}"))));
                }
            };
        let (head, body) = response.into_parts();
        let outcome = match head.status >= StatusCode::INTERNAL_SERVER_ERROR {
            true => Outcome::Fault,
            false => Outcome::Good,
        };
        let limit = match wanted {
            Wanted::Whole(limit) => limit,
            Wanted::Short(limit) if is_short(&head, &body, limit) => limit,
            _ => return (outcome, Ok((head, Contents::Coming(body)))),
        };
        match Limited::new(body, limit).collect().await {
            Ok(body) => (outcome, Ok((head, Contents::Whole(body.to_bytes())))),
            Err(error) if error.is::<LengthLimitError>() => (outcome, Err(Failure::TooLong)),
            Err(error) => (Outcome::Broken, Err(Failure::Broken(error.to_string()))),
        }
    }
}
