//! The Indian fiscal year: 1 April to 31 March.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// A fiscal year, named by the calendar year in which it starts (2026 is 2026-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FiscalYear(i32);

impl FiscalYear {
    /// The fiscal year that starts on 1 April of `year`.
    pub const fn starting(year: i32) -> Self {
        Self(year)
    }

    /// The fiscal year of a business date.
    pub fn of(date: NaiveDate) -> Self {
        Self(if date.month() >= 4 {
            date.year()
        } else {
            date.year() - 1
        })
    }

    /// The calendar year of its 1 April.
    pub const fn start_year(self) -> i32 {
        self.0
    }
}

/// `26-27`, as it stands in document numbers.
impl fmt::Display for FiscalYear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02}-{:02}",
            self.0.rem_euclid(100),
            (self.0 + 1).rem_euclid(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_on_the_first_of_april() {
        let of = |y, m, d| FiscalYear::of(NaiveDate::from_ymd_opt(y, m, d).unwrap()).to_string();
        assert_eq!(of(2027, 3, 31), "26-27");
        assert_eq!(of(2027, 4, 1), "27-28");
        assert_eq!(of(2099, 12, 31), "99-00");
    }
}
