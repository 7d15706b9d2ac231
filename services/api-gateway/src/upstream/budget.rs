//! How many requests may be repetitions: a service that fails must not get twice the load because of it.

use std::time::Duration;

use super::{settings::RetrySettings, window::Window};

const WINDOW: Duration = Duration::from_secs(10);

/// The budget of a service.
#[derive(Debug)]
pub struct Budget {
    settings: RetrySettings,
    /// Requests and repetitions.
    window: Window,
}

impl Budget {
    /// Nothing is spent.
    pub fn new(settings: RetrySettings) -> Self {
        Self {
            settings,
            window: Window::new(WINDOW),
        }
    }

    /// A request was made.
    pub fn earn(&mut self, now: Duration) {
        self.window.add(now, 1, 0);
    }

    /// Takes one repetition out, where one is left.
    pub fn spend(&mut self, now: Duration) -> bool {
        let (requests, spent) = self.window.totals(now);
        let part = u64::from(requests) * u64::from(self.settings.budget_percent) / 100;
        let left = u64::from(spent) < part.max(u64::from(self.settings.floor));
        if left {
            self.window.add(now, 0, 1);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_ten_is_a_repetition_and_a_few_always() {
        let mut budget = Budget::new(RetrySettings::default());
        let now = Duration::from_secs(100);
        assert_eq!((0..100).filter(|_| budget.spend(now)).count(), 10);
        for _ in 0..1_000 {
            budget.earn(now);
        }
        assert_eq!((0..1_000).filter(|_| budget.spend(now)).count(), 90);
        let later = now + Duration::from_secs(20);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 10);
    }
}
