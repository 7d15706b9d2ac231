//! One bucket as this process knows it: tokens on lease from Redis, requests that Redis has not heard of yet, and what to do
//! alone. Pure: time and Redis' word are handed in.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Standing;
use crate::config::Limit;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a minute.
    pub per_minute: u64,
    /// Most tokens.
    pub burst: u32,
}

impl From<Limit> for Rate {
    fn from(limit: Limit) -> Self {
        Self {
            per_minute: u64::from(limit.rate.get()) * 60,
            burst: limit.burst.get(),
        }
    }
}

impl Rate {
    /// Tokens that a process may have on lease, and again requests that it may let pass before Redis hears of them.
    pub fn portion(self) -> u32 {
        (self.burst / 20).max(1)
    }

    fn full(self) -> i64 {
        i64::from(self.burst) * TOKEN
    }

    fn filled_in(self, micros: u128) -> i64 {
        let filled = micros.saturating_mul(u128::from(self.per_minute));
        i64::try_from(filled).unwrap_or(i64::MAX)
    }
}

/// A token, in the parts that a rate of one a minute fills in a microsecond.
const TOKEN: i64 = 60_000_000;

/// How long tokens on lease are good. What is left then goes back.
pub const LEASE: Duration = Duration::from_secs(1);

/// What becomes of a request.
pub enum Taken {
    /// It passes, or is refused.
    Now(Standing),
    /// Nothing is left here; the answer comes when Redis was asked.
    Wait(oneshot::Receiver<Standing>),
}

/// What a process tells Redis of a bucket, and what it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Requests that have passed without a token.
    pub owed: u32,
    /// Tokens that were not needed.
    pub back: u32,
    /// Tokens wanted.
    pub want: u32,
    /// What is owed was spent while Redis was away: it may empty the bucket, and no more.
    pub lenient: bool,
}

/// What Redis says of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Tokens given.
    pub granted: u32,
    /// Tokens left; below zero where processes let more pass than there was.
    pub left: i64,
    /// Milliseconds until there is one; 0 while there is.
    pub wait: u64,
}

/// A bucket as this process knows it.
pub struct Bucket {
    rate: Rate,
    lease: u32,
    lease_until: Instant,
    owed: u32,
    alone: bool,
    /// The shared bucket, as far as can be guessed, at `at`; in parts of a token.
    tokens: i64,
    at: Instant,
    denied: Option<Instant>,
    spent: u32,
    waiting: Vec<oneshot::Sender<Standing>>,
    /// Redis is being asked, or will be.
    pub queued: bool,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            lease: 0,
            lease_until: now,
            owed: 0,
            alone: false,
            tokens: rate.full(),
            at: now,
            denied: None,
            spent: 0,
            waiting: Vec::new(),
            queued: false,
        }
    }

    /// Its rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// From now on at another rate. What was used up is not there again, but fills anew.
    pub fn change(&mut self, rate: Rate, now: Instant) {
        if self.rate == rate {
            return;
        }
        self.fill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(rate.full());
        self.denied = None;
    }

    /// Counts a request. `away`: there is no Redis to ask.
    pub fn take(&mut self, now: Instant, away: bool) -> Taken {
        self.fill(now);
        if self.leased(now) > 0 {
            self.lease -= 1;
            self.spent = self.spent.saturating_add(1);
            return Taken::Now(self.passed(now));
        }
        if away {
            return Taken::Now(self.take_alone(now));
        }
        if let Some(until) = self.denied.filter(|until| *until > now) {
            return Taken::Now(self.refused(until - now));
        }
        if self.owed < self.rate.portion() {
            self.owed += 1;
            self.tokens -= TOKEN;
            self.spent = self.spent.saturating_add(1);
            return Taken::Now(self.passed(now));
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.push(answer);
        Taken::Wait(answered)
    }

    /// Counts a request without Redis, by what was last known of the shared bucket. It is told when it is back.
    pub fn take_alone(&mut self, now: Instant) -> Standing {
        self.fill(now);
        if let Some(wait) = self.missing() {
            return self.refused(wait);
        }
        self.tokens -= TOKEN;
        self.alone = true;
        self.owed = self.owed.saturating_add(1).min(self.rate.burst);
        self.passed(now)
    }

    /// The refusal that a request would get now, without counting it. `alone`: there is no Redis to ask.
    pub fn refusal(&mut self, now: Instant, alone: bool) -> Option<Standing> {
        self.fill(now);
        let wait = match alone {
            true => self.missing(),
            false => self
                .denied
                .and_then(|until| until.checked_duration_since(now)),
        };
        let wait = wait.filter(|wait| !wait.is_zero() && self.leased(now) == 0)?;
        Some(self.refused(wait))
    }

    /// Whether somebody waits for Redis' word.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is something to tell Redis, or to ask of it.
    pub fn is_due(&self, now: Instant) -> bool {
        let used_up = self.spent > 0 && self.leased(now) < self.spent;
        self.owed > 0 || self.is_awaited() || used_up || (self.lease > 0 && self.lease_until <= now)
    }

    /// Whether forgetting it loses nothing.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        // What is owed was filled again since.
        self.tokens >= self.rate.full() && !self.queued && self.lease == 0
    }

    /// What to ask Redis now.
    pub fn ask(&mut self, now: Instant) -> Ask {
        let leased = self.leased(now);
        let back = self.lease - leased;
        self.lease = leased;
        // Who comes once gets by without a lease; who comes often gets what twice the time will take.
        let ahead = (self.spent.saturating_sub(1) * 2).min(self.rate.portion());
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.spent = 0;
        Ask {
            owed: self.owed,
            back,
            want: waiting.saturating_add(ahead.saturating_sub(leased)),
            lenient: self.alone,
        }
    }

    /// Takes Redis' word, and tells those who wait for it.
    pub fn told(&mut self, ask: Ask, told: Told, now: Instant) {
        self.owed -= ask.owed.min(self.owed);
        self.alone = false;
        self.lease = self.leased(now).saturating_add(told.granted);
        self.lease_until = now + LEASE;
        let left = told.left.saturating_sub(i64::from(self.owed));
        self.tokens = left.saturating_mul(TOKEN);
        self.at = now;
        let wait = Duration::from_millis(told.wait);
        self.denied = (told.wait > 0).then(|| now + wait);
        for answer in std::mem::take(&mut self.waiting) {
            if self.lease > 0 {
                self.lease -= 1;
                self.spent = self.spent.saturating_add(1);
                // Who has left meanwhile leaves the token.
                if answer.send(self.passed(now)).is_err() {
                    self.lease += 1;
                }
            } else if told.wait > 0 {
                let _ = answer.send(self.refused(wait));
            } else {
                // It came while Redis was being asked for others.
                self.waiting.push(answer);
            }
        }
    }

    /// Takes Redis' word of a bucket that is counted there request by request.
    pub fn told_exactly(&mut self, ask: Ask, told: Told, now: Instant) -> Standing {
        self.told(ask, Told { granted: 0, ..told }, now);
        if told.granted > 0 {
            self.passed(now)
        } else {
            self.refused(Duration::from_millis(told.wait.max(1)))
        }
    }

    /// Redis did not answer: those who wait are counted here.
    pub fn failed(&mut self, now: Instant) {
        for answer in std::mem::take(&mut self.waiting) {
            let standing = self.take_alone(now);
            let _ = answer.send(standing);
        }
    }

    fn leased(&self, now: Instant) -> u32 {
        if now < self.lease_until {
            self.lease
        } else {
            0
        }
    }

    fn fill(&mut self, now: Instant) {
        let filled = self
            .rate
            .filled_in(now.saturating_duration_since(self.at).as_micros());
        self.tokens = self.tokens.saturating_add(filled).min(self.rate.full());
        self.at = now;
    }

    /// How long until there is a token, where there is none.
    fn missing(&self) -> Option<Duration> {
        let missing = TOKEN.saturating_sub(self.tokens).max(0).unsigned_abs();
        let wait = Duration::from_micros(missing / self.rate.per_minute.max(1));
        (missing > 0).then_some(wait)
    }

    fn passed(&self, now: Instant) -> Standing {
        let tokens = u32::try_from(self.tokens.max(0) / TOKEN).unwrap_or(u32::MAX);
        Standing {
            limit: self.rate.burst,
            remaining: tokens.saturating_add(self.leased(now)).min(self.rate.burst),
            reset: 0,
        }
    }

    fn refused(&self, wait: Duration) -> Standing {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Standing {
            limit: self.rate.burst,
            remaining: 0,
            reset: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_minute: 60,
        burst: 100,
    };

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn passes(bucket: &mut Bucket, now: Instant, away: bool) -> Option<bool> {
        match bucket.take(now, away) {
            Taken::Now(standing) => Some(standing.allowed()),
            Taken::Wait(_) => None,
        }
    }

    const NOTHING: Told = Told {
        granted: 0,
        left: 0,
        wait: 1000,
    };

    #[test]
    fn a_portion_passes_unheard_and_then_redis_is_waited_for() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        for _ in 0..5 {
            assert_eq!(passes(&mut bucket, now, false), Some(true));
        }
        assert_eq!(passes(&mut bucket, now, false), None);
        let ask = bucket.ask(now);
        assert_eq!((ask.owed, ask.back, ask.want), (5, 0, 1 + 5));
    }

    #[test]
    fn a_lone_request_is_told_and_leases_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        assert_eq!(passes(&mut bucket, now, false), Some(true));
        assert!(bucket.is_due(now));
        let ask = bucket.ask(now);
        assert_eq!((ask.owed, ask.want), (1, 0));
        let left = Told {
            left: 99,
            wait: 0,
            ..NOTHING
        };
        bucket.told(ask, left, now);
        assert!(!bucket.is_due(now));
    }

    #[test]
    fn what_redis_refuses_is_refused_here_until_there_is_a_token_again() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        assert_eq!(passes(&mut bucket, now, false), Some(true));
        let ask = bucket.ask(now);
        bucket.told(ask, NOTHING, now);
        assert_eq!(passes(&mut bucket, after(now, 999), false), Some(false));
        assert!(!bucket.is_due(after(now, 999)));
        assert_eq!(passes(&mut bucket, after(now, 1000), false), Some(true));
    }

    #[test]
    fn a_lease_serves_until_it_ends_and_the_rest_goes_back() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        let granted = Told {
            granted: 3,
            left: 10,
            wait: 0,
        };
        bucket.told(Ask::default(), granted, now);
        assert_eq!(passes(&mut bucket, now, false), Some(true));
        assert_eq!(bucket.owed, 0);
        let late = now + LEASE;
        assert!(bucket.is_due(late));
        assert_eq!(bucket.ask(late).back, 2);
        assert_eq!(bucket.ask(late).back, 0);
    }

    #[test]
    fn one_that_is_full_again_can_be_forgotten_with_or_without_redis() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        assert_eq!(passes(&mut bucket, now, true), Some(true));
        assert!(!bucket.is_full(now));
        assert!(bucket.is_full(after(now, 1000)));
    }

    #[test]
    fn alone_it_goes_on_from_what_was_known_and_tells_later() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        let left = Told {
            left: 2,
            wait: 0,
            ..NOTHING
        };
        bucket.told(Ask::default(), left, now);
        for passed in [true, true, false] {
            assert_eq!(passes(&mut bucket, now, true), Some(passed));
        }
        assert_eq!(passes(&mut bucket, after(now, 1000), true), Some(true));
        let ask = bucket.ask(after(now, 1000));
        assert_eq!((ask.owed, ask.lenient), (3, true));
    }

    #[test]
    fn whoever_has_used_it_up_is_known_without_being_counted() {
        let now = Instant::now();
        for alone in [true, false] {
            let mut bucket = Bucket::new(Rate { burst: 1, ..RATE }, now);
            assert_eq!(bucket.refusal(now, alone), None);
            assert_eq!(passes(&mut bucket, now, alone), Some(true));
            if !alone {
                let ask = bucket.ask(now);
                bucket.told(ask, NOTHING, now);
            }
            let refused = bucket.refusal(after(now, 1), alone).unwrap();
            assert_eq!((refused.limit, refused.reset), (1, 1));
            assert_eq!(bucket.refusal(after(now, 1000), alone), None);
            assert_eq!(passes(&mut bucket, after(now, 1000), alone), Some(true));
        }
    }

    #[test]
    fn at_another_rate_what_was_used_up_fills_anew() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        for _ in 0..100 {
            assert!(bucket.take_alone(now).allowed());
        }
        let faster = Rate {
            per_minute: 6000,
            burst: 200,
        };
        bucket.change(faster, now);
        assert!(!bucket.take_alone(now).allowed());
        for _ in 0..10 {
            assert!(bucket.take_alone(after(now, 100)).allowed());
        }
        assert!(!bucket.take_alone(after(now, 100)).allowed());
        // And of a smaller one no more is left than it holds.
        let mut bucket = Bucket::new(RATE, now);
        bucket.change(Rate { burst: 1, ..RATE }, now);
        assert!(bucket.take_alone(now).allowed());
        assert!(!bucket.take_alone(now).allowed());
    }

    #[test]
    fn those_who_wait_get_tokens_as_far_as_they_go_and_are_counted_here_when_redis_fails() {
        let now = Instant::now();
        let rate = Rate { burst: 1, ..RATE };
        let mut bucket = Bucket::new(rate, now);
        assert_eq!(passes(&mut bucket, now, false), Some(true));
        let wait = |bucket: &mut Bucket| match bucket.take(now, false) {
            Taken::Wait(answer) => answer,
            Taken::Now(_) => panic!("it waits"),
        };
        let (mut first, mut second) = (wait(&mut bucket), wait(&mut bucket));
        let ask = bucket.ask(now);
        assert_eq!(ask.want, 2);
        let one = Told {
            granted: 1,
            ..NOTHING
        };
        bucket.told(ask, one, now);
        assert!(first.try_recv().unwrap().allowed());
        assert!(!second.try_recv().unwrap().allowed());

        let mut bucket = Bucket::new(rate, now);
        assert_eq!(passes(&mut bucket, now, false), Some(true));
        let mut third = wait(&mut bucket);
        bucket.failed(now);
        assert!(!third.try_recv().unwrap().allowed());
    }
}
