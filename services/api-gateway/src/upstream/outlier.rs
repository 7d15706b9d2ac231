//! An endpoint that fails again and again while others do not is left out for a while, each time for longer.

use std::time::Duration;

use super::settings::OutlierSettings;

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlier {
    /// Failures in a row.
    failures: u32,
    /// How often it was left out of late.
    ejections: u32,
    /// Until when it is left out, or was.
    until: Duration,
}

impl Outlier {
    /// Whether it is left out.
    pub fn is_out(&self, now: Duration) -> bool {
        now < self.until
    }

    /// A request came out so. Says whether the endpoint should be left out.
    pub fn seen(&mut self, now: Duration, good: bool, settings: &OutlierSettings) -> bool {
        if !good {
            self.failures = self.failures.saturating_add(1);
            return !self.is_out(now) && self.failures >= settings.consecutive;
        }
        self.failures = 0;
        // Having been well for as long as the first time makes up for one time.
        if self.ejections > 0 && now >= self.until + settings.eject.0 {
            self.ejections -= 1;
            self.until = now;
        }
        false
    }

    /// Leaves it out.
    pub fn eject(&mut self, now: Duration, settings: &OutlierSettings) {
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        let long = settings.eject.0.saturating_mul(self.ejections);
        self.until = now + long.min(settings.longest.0);
    }
}

/// How many of `all` endpoints may be left out at once: at least one, and never the last.
pub fn most_out(all: usize, settings: &OutlierSettings) -> usize {
    let part = all.saturating_mul(settings.max_ejected_percent as usize) / 100;
    part.max(1).min(all.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> OutlierSettings {
        OutlierSettings {
            consecutive: 3,
            eject: Span::secs(10),
            longest: Span::secs(25),
            max_ejected_percent: 50,
        }
    }

    /// Fails until it should be left out, and leaves it out; says for how many seconds.
    fn ejected(outlier: &mut Outlier, now: Duration) -> u64 {
        assert!(!outlier.seen(now, false, &settings()));
        assert!(!outlier.seen(now, false, &settings()));
        assert!(outlier.seen(now, false, &settings()));
        outlier.eject(now, &settings());
        (0..1000u32)
            .find(|n| !outlier.is_out(now + SECOND * *n))
            .unwrap()
            .into()
    }

    #[test]
    fn it_is_left_out_for_longer_each_time_and_for_less_when_it_was_well() {
        let mut outlier = Outlier::default();
        assert_eq!(ejected(&mut outlier, SECOND), 10);
        assert_eq!(ejected(&mut outlier, SECOND * 12), 20);
        assert_eq!(ejected(&mut outlier, SECOND * 40), 25);
        for n in 0..3 {
            outlier.seen(SECOND * (80 + 20 * n), true, &settings());
        }
        assert_eq!(ejected(&mut outlier, SECOND * 200), 10);
    }

    #[test]
    fn one_success_makes_failures_not_be_in_a_row() {
        let mut outlier = Outlier::default();
        for _ in 0..100 {
            outlier.seen(SECOND, true, &settings());
            for _ in 0..2 {
                assert!(!outlier.seen(SECOND, false, &settings()));
            }
        }
    }

    #[test]
    fn never_all_are_left_out() {
        let most = |all, percent| {
            let settings = OutlierSettings {
                max_ejected_percent: percent,
                ..settings()
            };
            most_out(all, &settings)
        };
        assert_eq!([0, 1, 2, 3, 4, 10].map(|n| most(n, 50)), [0, 0, 1, 1, 2, 5]);
        assert_eq!([1, 2, 10].map(|n| most(n, 100)), [0, 1, 9]);
        assert_eq!([1, 2, 10].map(|n| most(n, 0)), [0, 1, 1]);
    }
}
