//! How often a mail may be asked for.

use chrono::{DateTime, TimeDelta, Utc};

/// The time over which mails are counted.
pub const DAY: TimeDelta = TimeDelta::days(1);
const PAUSE: TimeDelta = TimeDelta::minutes(1);
const MOST_A_DAY: usize = 10;

/// Whether another mail may be sent after those of the last day, the last first; else the seconds to wait.
pub fn may_send(sent: &[DateTime<Utc>], now: DateTime<Utc>) -> Result<(), u32> {
    let after_last = sent.first().map(|last| *last + PAUSE);
    let after_tenth = sent.get(MOST_A_DAY - 1).map(|tenth| *tenth + DAY);
    match after_last.max(after_tenth).map(|until| until - now) {
        Some(wait) if wait > TimeDelta::zero() => {
            let seconds = (wait.num_milliseconds() + 999) / 1000;
            Err(u32::try_from(seconds).unwrap_or(u32::MAX))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_a_minute_and_ten_a_day() {
        let now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let ago = |minutes: &[i64]| {
            let sent = minutes.iter().map(|m| now - TimeDelta::minutes(*m));
            may_send(&sent.collect::<Vec<_>>(), now)
        };
        assert_eq!(ago(&[]), Ok(()));
        assert_eq!(ago(&[0]), Err(60));
        assert_eq!(ago(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), Ok(()));
        assert_eq!(ago(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 24 * 60 - 2]), Err(120));
        assert_eq!(ago(&[0, 2, 3, 4, 5, 6, 7, 8, 9, 24 * 60]), Err(60));
    }
}
