//! Time as a value that is handed in, so that rules can be tested at any hour.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, NaiveDate, SubsecRound, Utc};

/// Where "now" comes from: the system, or a hand set by a test.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's UTC clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// A clock that stands at `at`.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self::Fixed(Arc::new(Mutex::new(at)))
    }

    /// Now, in UTC, cut to microseconds because that is what PostgreSQL keeps.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
        .trunc_subsecs(6)
    }

    /// Moves a fixed clock forward; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Self::Fixed(at) = self {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

/// The business date of a moment: the calendar day in India (UTC+05:30, which has no daylight saving).
pub fn business_date(at: DateTime<Utc>) -> NaiveDate {
    let offset = Duration::minutes(330);
    // India keeps one offset all year, so adding it to UTC gives the wall clock.
    (at + offset).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_midnight_in_india() {
        let at = |s: &str| s.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(
            business_date(at("2026-03-31T18:29:59Z")).to_string(),
            "2026-03-31"
        );
        assert_eq!(
            business_date(at("2026-03-31T18:30:00Z")).to_string(),
            "2026-04-01"
        );
    }
}
