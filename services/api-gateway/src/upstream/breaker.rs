//! A breaker: an endpoint of which too many requests fail gets none for a while, then a few, then all again. Time is
//! told by the caller, counted from any fixed moment.

use std::time::Duration;

use super::{settings::BreakerSettings, window::Window};

/// The breaker of one endpoint.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Failures and successes.
    window: Window,
    /// Counts the changes of state: what was let through before the last one says nothing about now.
    era: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { out: u32, good: u32 },
}

/// A request was let through; its outcome is told with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(u64);

impl Breaker {
    /// Closed.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            window: Window::new(settings.window.0),
            settings,
            state: State::Closed,
            era: 0,
        }
    }

    /// Whether a request would be let through.
    pub fn would_pass(&self, now: Duration) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen { out, good } => out + good < self.settings.half_open,
        }
    }

    /// Whether it rests, or is being tried.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Lets a request through, or not.
    pub fn pass(&mut self, now: Duration) -> Option<Pass> {
        if !self.would_pass(now) {
            return None;
        }
        match &mut self.state {
            State::Closed => {}
            State::Open { .. } => self.turn(State::HalfOpen { out: 1, good: 0 }),
            State::HalfOpen { out, .. } => *out += 1,
        }
        Some(Pass(self.era))
    }

    /// What became of a request that was let through. Says whether the breaker has opened.
    pub fn outcome(&mut self, now: Duration, pass: Pass, good: bool) -> bool {
        if pass.0 != self.era {
            return false;
        }
        match &mut self.state {
            State::Closed => {
                self.window.add(now, u32::from(!good), u32::from(good));
                let (failed, succeeded) = self.window.totals(now);
                let all = failed.saturating_add(succeeded);
                let enough = all >= self.settings.min_requests;
                let percent = u64::from(failed) * 100;
                if !enough || percent < u64::from(all) * u64::from(self.settings.error_percent) {
                    return false;
                }
            }
            // Nothing of this era is out.
            State::Open { .. } => return false,
            State::HalfOpen { out, good: fine } if good => {
                *out -= 1;
                *fine += 1;
                if *fine >= self.settings.half_open {
                    self.window.clear();
                    self.turn(State::Closed);
                }
                return false;
            }
            State::HalfOpen { .. } => {}
        }
        let until = now + self.settings.open.0;
        self.turn(State::Open { until });
        true
    }

    /// A request that was let through has no outcome: nobody waited for it.
    pub fn forget(&mut self, pass: Pass) {
        if let State::HalfOpen { out, .. } = &mut self.state
            && pass.0 == self.era
        {
            *out -= 1;
        }
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::*,
        test_runner::{Config, TestError, TestRunner},
    };

    use super::*;
    use crate::{config::Span, upstream::window::SLOTS};

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Time passes, in milliseconds.
        Wait(u64),
        /// A request asks to pass.
        Ask,
        /// The nth of those under way ends.
        End(usize, bool),
        /// The nth of those under way is given up.
        GiveUp(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0u64..700).prop_map(Step::Wait),
            6 => Just(Step::Ask),
            5 => (0usize..4, any::<bool>()).prop_map(|(n, good)| Step::End(n, good)),
            1 => (0usize..4).prop_map(Step::GiveUp),
        ]
    }

    /// What a breaker does, said as plainly as it can be: every outcome is kept for ever and counted anew.
    struct Model {
        min: usize,
        percent: usize,
        half_open: usize,
        slot: u64,
        open: u64,
        outcomes: Vec<(u64, bool)>,
        /// Since when it rests.
        rests: Option<u64>,
        /// Requests let through since the rest ended: under way, and succeeded.
        trial: Option<(usize, usize)>,
        era: u64,
    }

    impl Model {
        fn ask(&mut self, now: u64) -> Option<u64> {
            if self.rests.is_some_and(|since| now >= since + self.open) {
                self.rests = None;
                self.trial = Some((0, 0));
                self.era += 1;
            }
            if self.rests.is_some() {
                return None;
            }
            if let Some((under_way, good)) = &mut self.trial {
                if *under_way + *good >= self.half_open {
                    return None;
                }
                *under_way += 1;
            }
            Some(self.era)
        }

        fn end(&mut self, now: u64, era: u64, outcome: Option<bool>) {
            if era != self.era {
                return;
            }
            let Some(good) = outcome else {
                if let Some((under_way, _)) = &mut self.trial {
                    *under_way -= 1;
                }
                return;
            };
            let fails = match &mut self.trial {
                Some((under_way, succeeded)) if good => {
                    *under_way -= 1;
                    *succeeded += 1;
                    if *succeeded == self.half_open {
                        self.trial = None;
                        self.outcomes.clear();
                        self.era += 1;
                    }
                    false
                }
                Some(_) => true,
                None => {
                    self.outcomes.push((now / self.slot, good));
                    let oldest = (now / self.slot).saturating_sub(SLOTS - 1);
                    let recent = self.outcomes.iter().filter(|(at, _)| *at >= oldest);
                    let (all, bad) = recent.fold((0, 0), |(all, bad), (_, good)| {
                        (all + 1, bad + usize::from(!good))
                    });
                    all >= self.min && bad * 100 >= self.percent * all
                }
            };
            if fails {
                self.trial = None;
                self.rests = Some(now);
                self.era += 1;
            }
        }
    }

    const RIGHT: u32 = 6;

    /// Runs generated histories through a breaker of this minimum volume and through the model.
    fn agrees(minimum: u32) -> Result<(), TestError<Vec<Step>>> {
        let config = Config {
            cases: 2_000,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&prop::collection::vec(step(), 1..160), |steps| {
            let settings = BreakerSettings {
                window: Span::millis(1_000),
                min_requests: minimum,
                error_percent: 50,
                open: Span::millis(500),
                half_open: 2,
            };
            let mut breaker = Breaker::new(settings);
            let mut model = Model {
                min: RIGHT as usize,
                percent: 50,
                half_open: 2,
                slot: 100,
                open: 500,
                outcomes: Vec::new(),
                rests: None,
                trial: None,
                era: 0,
            };
            let mut now = 0;
            let mut out: Vec<(Pass, u64)> = Vec::new();
            for step in steps {
                let at = Duration::from_millis(now);
                match step {
                    Step::Wait(millis) => now += millis,
                    Step::Ask => {
                        let may = breaker.would_pass(at);
                        let (pass, expected) = (breaker.pass(at), model.ask(now));
                        prop_assert_eq!(pass.is_some(), expected.is_some(), "at {}", now);
                        prop_assert_eq!(pass.is_some(), may);
                        out.extend(pass.zip(expected));
                    }
                    Step::End(n, good) if n < out.len() => {
                        let (pass, era) = out.remove(n);
                        breaker.outcome(at, pass, good);
                        model.end(now, era, Some(good));
                    }
                    Step::GiveUp(n) if n < out.len() => {
                        let (pass, era) = out.remove(n);
                        breaker.forget(pass);
                        model.end(now, era, None);
                    }
                    Step::End(..) | Step::GiveUp(_) => {}
                }
            }
            Ok(())
        })
    }

    #[test]
    fn it_does_what_the_plain_model_does() {
        agrees(RIGHT).unwrap();
    }

    #[test]
    fn a_breaker_without_a_minimum_of_requests_is_found_out() {
        assert!(matches!(agrees(1), Err(TestError::Fail(..))));
    }

    #[test]
    fn two_failures_of_two_say_nothing_where_twenty_are_asked_for() {
        let mut breaker = Breaker::new(BreakerSettings::default());
        let now = Duration::ZERO;
        for failures in 1..=20 {
            let pass = breaker.pass(now).unwrap();
            assert_eq!(breaker.outcome(now, pass, false), failures == 20);
        }
        assert!(breaker.pass(now).is_none());
    }
}
