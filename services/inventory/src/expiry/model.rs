//! Which threshold a batch has reached.

use chrono::NaiveDate;

/// Days before the last day at which something is said, widest first.
pub(super) const THRESHOLDS: [i32; 5] = [90, 60, 30, 7, 0];

/// Days from `today` to the last day; negative when it is past.
pub(super) fn days_left(expiry: NaiveDate, today: NaiveDate) -> i32 {
    i32::try_from((expiry - today).num_days()).unwrap_or(i32::MAX)
}

/// The narrowest threshold that has been reached.
pub(super) fn threshold(days_left: i32) -> Option<i32> {
    THRESHOLDS.into_iter().rev().find(|t| days_left <= *t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_threshold_counts() {
        for (days, expected) in [
            (91, None),
            (90, Some(90)),
            (61, Some(90)),
            (60, Some(60)),
            (14, Some(30)),
            (7, Some(7)),
            (1, Some(7)),
            (0, Some(0)),
            (-11, Some(0)),
        ] {
            assert_eq!(threshold(days), expected, "{days} days left");
        }
    }
}
