//! Closing and opening months, and asking whether a day may be posted to.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_http::Fault;
use bahi_types::business_date;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    model::{self, Open, dekad_of, moment_on},
    store,
};
use crate::{Error, State};

/// The moment that a document is posted at: now, or the same time of an earlier, open day.
///
/// # Errors
/// [`Error::PeriodClosed`]; a fault for a day that is still to come.
pub(crate) async fn moment(
    tx: &mut Tx,
    posting_date: Option<NaiveDate>,
) -> Result<DateTime<Utc>, Error> {
    let (now, today) = (tx.now(), business_date(tx.now()));
    let Some(day) = posting_date else {
        return Ok(now);
    };
    if day > today {
        return Err(Fault::field("posting_date", "must not be in the future").into());
    }
    if day.signed_duration_since(today).num_days() < -36_600 {
        return Err(Fault::field("posting_date", "must be of the last hundred years").into());
    }
    if day < dekad_of(today)
        && let Some(closed) = store::share(tx).await?.closed_through
        && day <= closed
    {
        return Err(Error::PeriodClosed { day, closed });
    }
    Ok(moment_on(day, now))
}

/// The days that facts of these times may be posted to. Asks the database only where one is of an earlier dekad.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn open(
    tx: &mut Tx,
    mut occurred: impl Iterator<Item = DateTime<Utc>>,
) -> Result<Open, Error> {
    let today = business_date(tx.now());
    let closed_through = if occurred.any(|at| business_date(at) < dekad_of(today)) {
        store::share(tx).await?.closed_through
    } else {
        None
    };
    Ok(Open {
        today,
        closed_through,
    })
}

/// A month of the books.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Period {
    /// Such as `2026-10`.
    pub period: String,
    /// `open` or `closed`.
    pub status: PeriodStatus,
    /// The last closed day of the books.
    pub closed_through: Option<NaiveDate>,
    /// Version of the calendar, which all periods share.
    pub version: i64,
}

/// Whether a month may be posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PeriodStatus {
    /// It may.
    Open,
    /// It may not.
    Closed,
}

impl Period {
    pub(super) fn of(month: NaiveDate, calendar: store::Calendar) -> Self {
        let closed = calendar.closed_through.is_some_and(|last| last >= month);
        Self {
            period: month.format("%Y-%m").to_string(),
            status: if closed {
                PeriodStatus::Closed
            } else {
                PeriodStatus::Open
            },
            closed_through: calendar.closed_through,
            version: calendar.version,
        }
    }
}

/// Closes or opens a month, and every earlier or later one with it.
pub(super) async fn set(
    state: &State,
    ctx: &Ctx,
    (month, version): (NaiveDate, i64),
    status: PeriodStatus,
    reason: Option<String>,
) -> Result<Done<Period>, Error> {
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Period, Error> {
            let calendar = store::lock(tx).await?;
            if calendar.version != version {
                let current = calendar.version;
                return Err(DbError::Stale { current }.into());
            }
            let before = calendar.closed_through;
            let (after, action) = match status {
                PeriodStatus::Closed => (
                    model::close(before, month, tx.now())?,
                    "inventory.period.close",
                ),
                PeriodStatus::Open => (model::open(before, month), "inventory.period.open"),
            };
            if after == before {
                return Ok(Period::of(month, calendar));
            }
            let calendar = store::save(tx, after).await?;
            let period = Period::of(month, calendar);
            tx.audit(
                action,
                ("calendar", tx.tenant().uuid()),
                reason,
                json!({ "period": period.period, "closed_through_before": before, "closed_through": after }),
            );
            Ok(period)
        })
        .await
}
