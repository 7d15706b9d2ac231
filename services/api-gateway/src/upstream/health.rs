//! Whether an endpoint is up: it takes several failures in a row to be down and several good checks to be up again, so
//! that one of either changes nothing.

use super::settings::HealthSettings;

/// The health of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    up: bool,
    /// How often in a row it was otherwise than `up` says.
    against: u32,
}

impl Default for Health {
    /// An endpoint is believed to be up until it shows otherwise.
    fn default() -> Self {
        Self {
            up: true,
            against: 0,
        }
    }
}

impl Health {
    /// Whether it is up.
    pub fn is_up(self) -> bool {
        self.up
    }

    /// A check came out so.
    pub fn checked(&mut self, good: bool, settings: &HealthSettings) {
        self.against = if good == self.up { 0 } else { self.against + 1 };
        let needed = match self.up {
            true => settings.unhealthy,
            false => settings.healthy,
        };
        if self.against >= needed {
            *self = Self {
                up: !self.up,
                against: 0,
            };
        }
    }

    /// A request came out so. Only checks bring an endpoint back: what was under way when it went down says nothing.
    pub fn seen(&mut self, reached: bool, settings: &HealthSettings) {
        if self.up || !reached {
            self.checked(reached, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> HealthSettings {
        HealthSettings {
            unhealthy: 3,
            healthy: 2,
            ..HealthSettings::default()
        }
    }

    #[test]
    fn it_takes_three_failures_to_be_down_and_two_good_checks_to_be_up() {
        let (mut health, settings) = (Health::default(), settings());
        for (good, up) in [
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ] {
            health.checked(good, &settings);
            assert_eq!(health.is_up(), up);
        }
    }

    #[test]
    fn one_good_check_in_two_changes_nothing() {
        let (mut health, settings) = (Health::default(), settings());
        for n in 0..100 {
            health.checked(n % 2 == 0, &settings);
            assert!(health.is_up());
        }
        for _ in 0..3 {
            health.checked(false, &settings);
        }
        for n in 0..100 {
            health.checked(n % 2 == 0, &settings);
            assert!(!health.is_up());
        }
    }

    #[test]
    fn an_answer_that_was_under_way_does_not_bring_it_back() {
        let (mut health, settings) = (Health::default(), settings());
        for _ in 0..3 {
            health.seen(false, &settings);
        }
        for _ in 0..9 {
            health.seen(true, &settings);
        }
        assert!(!health.is_up());
    }
}
