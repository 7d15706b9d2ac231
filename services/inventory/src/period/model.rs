//! Which day a posting belongs to, and which months may be closed. Pure.

use bahi_types::business_date;
use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, Utc};

use crate::Error;

/// How long after its end a month can be closed: no transaction lives so long, so none of its last minute is left.
pub const GRACE: Duration = Duration::hours(1);

/// The first day of a day's month.
pub fn first_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// The last day of a day's month.
pub fn last_of(day: NaiveDate) -> NaiveDate {
    let next = first_of(day).checked_add_months(Months::new(1));
    next.and_then(|d| d.pred_opt()).unwrap_or(day)
}

/// The first day of a day's dekad: the 1st, the 11th or the 21st of its month.
pub fn dekad_of(day: NaiveDate) -> NaiveDate {
    let third = (day.day0() / 10).min(2);
    day.with_day0(10 * third).unwrap_or(day)
}

/// The last day of a day's dekad.
pub fn dekad_end(day: NaiveDate) -> NaiveDate {
    let first = dekad_of(day);
    let tenth = first.with_day0(first.day0() + 9);
    tenth
        .filter(|_| first.day0() < 20)
        .unwrap_or_else(|| last_of(day))
}

/// Reads `2026-10` as the first day of that month.
pub fn month_named(text: &str) -> Option<NaiveDate> {
    let (year, month) = text.split_once('-')?;
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)
}

/// The days that may be posted to.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// The business date.
    pub today: NaiveDate,
    /// The last closed day, where an earlier dekad than the current one is posted to.
    pub closed_through: Option<NaiveDate>,
}

impl Open {
    /// The day of a fact: its own, unless that is closed (then the first open one) or still to come (then today).
    pub fn day(self, occurred_at: DateTime<Utc>) -> NaiveDate {
        let own = business_date(occurred_at).min(self.today);
        let first = self.closed_through.and_then(|last| last.succ_opt());
        own.max(first.unwrap_or(own))
    }
}

/// The same time of day on another business date. India has one offset all year.
pub fn moment_on(day: NaiveDate, now: DateTime<Utc>) -> DateTime<Utc> {
    now - (business_date(now) - day)
}

/// The calendar after closing `month` (its first day).
///
/// # Errors
/// [`Error::PeriodNotOver`].
pub fn close(
    closed_through: Option<NaiveDate>,
    month: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Option<NaiveDate>, Error> {
    if month >= first_of(business_date(now - GRACE)) {
        return Err(Error::PeriodNotOver);
    }
    Ok(closed_through.max(Some(last_of(month))))
}

/// The calendar after opening `month` (its first day).
pub fn open(closed_through: Option<NaiveDate>, month: NaiveDate) -> Option<NaiveDate> {
    let before = month.pred_opt();
    // Nothing is closed before the first day of the calendar.
    closed_through.min(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }
    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_is_closed_an_hour_after_its_end_in_india() {
        let october = day("2026-10-01");
        // Midnight in India is half past six in the evening before.
        assert!(close(None, october, at("2026-10-31T19:29:59Z")).is_err());
        assert_eq!(
            close(None, october, at("2026-10-31T19:30:00Z")).unwrap(),
            Some(day("2026-10-31"))
        );
        let later = Some(day("2026-11-30"));
        assert_eq!(
            close(later, october, at("2026-12-31T00:00:00Z")).unwrap(),
            later
        );
        assert_eq!(open(later, october), Some(day("2026-09-30")));
        assert_eq!(open(None, october), None);
    }

    #[test]
    fn a_fact_of_a_closed_day_lands_in_the_first_open_one() {
        let open = Open {
            today: day("2026-11-21"),
            closed_through: Some(day("2026-10-31")),
        };
        for (occurred, posted) in [
            ("2026-09-05T06:00:00Z", "2026-11-01"),
            ("2026-10-31T18:29:59Z", "2026-11-01"),
            ("2026-11-05T06:00:00Z", "2026-11-05"),
            ("2027-01-01T06:00:00Z", "2026-11-21"),
        ] {
            assert_eq!(open.day(at(occurred)), day(posted), "{occurred}");
        }
    }

    #[test]
    fn months_are_named_by_year_and_month() {
        assert_eq!(month_named("2026-10"), Some(day("2026-10-01")));
        for bad in ["2026-13", "2026-1", "26-10", "2026-10-01", "+026-10", ""] {
            assert_eq!(month_named(bad), None, "{bad}");
        }
        assert_eq!(last_of(day("2028-02-11")), day("2028-02-29"));
        for (of, first, last) in [
            ("2026-10-01", "2026-10-01", "2026-10-10"),
            ("2026-10-10", "2026-10-01", "2026-10-10"),
            ("2026-10-11", "2026-10-11", "2026-10-20"),
            ("2026-10-31", "2026-10-21", "2026-10-31"),
            ("2028-02-21", "2028-02-21", "2028-02-29"),
        ] {
            let dekad = (dekad_of(day(of)), dekad_end(day(of)));
            assert_eq!(dekad, (day(first), day(last)), "{of}");
        }
        let back = moment_on(day("2026-11-01"), at("2026-11-20T20:00:00Z"));
        assert_eq!(business_date(back), day("2026-11-01"));
    }
}
