//! When an invoice may be cancelled, and what that gives back.

use std::str::FromStr;

use bahi_types::{Money, PosSessionId, UserId, business_date};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::{Error, Result},
    invoice::{Header, Line, Tender},
};

/// For how long an invoice may be cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Window {
    /// To the end of its business day.
    #[default]
    Day,
    /// For 24 hours.
    Hours24,
}

impl FromStr for Window {
    type Err = &'static str;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "day" => Ok(Self::Day),
            "24h" => Ok(Self::Hours24),
            _ => Err("is neither day nor 24h"),
        }
    }
}

impl Window {
    /// Whether what was issued then may be cancelled now.
    pub fn is_open(self, issued: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        match self {
            Self::Day => business_date(issued) == business_date(now),
            Self::Hours24 => now - issued <= Duration::hours(24),
        }
    }
}

/// Why, as returns to the authorities name it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, async_graphql::Enum,
)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "CancellationReason")]
pub(crate) enum Reason {
    /// It was mistyped.
    DataEntry,
    /// It was issued twice.
    Duplicate,
    /// The buyer took the order back.
    OrderCancelled,
    /// Another; the note says which.
    Other,
}

impl Reason {
    /// As it is stored and said.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataEntry => "data_entry",
            Self::Duplicate => "duplicate",
            Self::OrderCancelled => "order_cancelled",
            Self::Other => "other",
        }
    }
}

/// What became of an invoice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cancellation {
    pub reason: Reason,
    pub note: Option<String>,
    pub at: DateTime<Utc>,
    pub by: Option<UserId>,
    /// Whose drawer refunded.
    pub session_id: Option<PosSessionId>,
    /// What was no longer to be paid.
    pub credited: Money,
    pub refunded: Money,
    pub tenders: Vec<Tender>,
}

/// Refuses to cancel what cannot be cancelled.
pub(super) fn check(
    window: Window,
    header: &Header,
    lines: &[Line],
    refunded: Money,
    now: DateTime<Utc>,
) -> Result<()> {
    if header.status == "cancelled" {
        return Err(Error::InvoiceCancelled);
    }
    let touched = |l: &Line| l.returned_qty.is_positive() || l.is_noted();
    if lines.iter().any(touched) {
        return Err(Error::InvoiceCredited);
    }
    if !window.is_open(header.issued_at, now) {
        return Err(Error::CancelTooLate);
    }
    if refunded != header.refundable() {
        return Err(Error::RefundMismatch {
            total: header.refundable(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_ends_with_the_business_day_or_after_24_hours() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        // 23:00 in India, and midnight there.
        let (issued, midnight) = (at("2026-11-05T17:30:00Z"), at("2026-11-05T18:30:00Z"));
        let before = midnight - Duration::seconds(1);
        assert!(Window::Day.is_open(issued, before) && !Window::Day.is_open(issued, midnight));
        let day = issued + Duration::hours(24);
        assert!(Window::Hours24.is_open(issued, day));
        assert!(!Window::Hours24.is_open(issued, day + Duration::seconds(1)));
        assert_eq!("24h".parse(), Ok(Window::Hours24));
        assert!("week".parse::<Window>().is_err());
    }
}
