//! What a batch is, what its label says, and what may become of it.

use bahi_types::{BatchId, Money, ProductId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Date, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A batch.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Batch {
    #[diesel(sql_type = SqlUuid)]
    pub id: BatchId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub no: String,
    /// Day on which it was made.
    #[diesel(sql_type = Nullable<Date>)]
    pub mfg: Option<NaiveDate>,
    /// Last day on which it may be sold.
    #[diesel(sql_type = Nullable<Date>)]
    pub expiry: Option<NaiveDate>,
    /// Maximum retail price printed on it.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub mrp: Option<Money>,
    #[diesel(sql_type = Bool)]
    pub blocked: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub block_reason: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub recalled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub disposed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// `active <-> blocked`, `active -> expired` by the clock, `expired | blocked -> disposed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema, async_graphql::Enum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchStatus {
    /// It may be sold.
    Active,
    /// Somebody has blocked it.
    Blocked,
    /// Its last day is past.
    Expired,
    /// Its goods were thrown away.
    Disposed,
}

impl Batch {
    /// Its state on a day.
    pub fn status(&self, today: NaiveDate) -> BatchStatus {
        if self.disposed_at.is_some() {
            BatchStatus::Disposed
        } else if self.blocked {
            BatchStatus::Blocked
        } else if self.expiry.is_some_and(|last| last < today) {
            BatchStatus::Expired
        } else {
            BatchStatus::Active
        }
    }

    /// Nothing of it will be sold again after a day: it has expired, or was thrown away elsewhere.
    pub fn is_over(&self, today: NaiveDate) -> bool {
        self.disposed_at.is_some() || self.expiry.is_some_and(|last| last < today)
    }

    /// It may be sold on a day.
    pub fn is_active(&self, today: NaiveDate) -> bool {
        self.status(today) == BatchStatus::Active
    }

    /// Blocks it, or lifts the block; false when it is so already.
    ///
    /// # Errors
    /// [`Error::BatchDisposed`]; [`Error::BatchRecalled`] when a recall would be lifted by somebody who may not.
    pub fn set_blocked(
        &mut self,
        blocked: bool,
        reason: &str,
        may_lift_recall: bool,
    ) -> Result<bool, Error> {
        if self.disposed_at.is_some() {
            return Err(Error::BatchDisposed);
        }
        if self.blocked == blocked {
            return Ok(false);
        }
        if self.recalled_at.is_some() && !may_lift_recall {
            return Err(Error::BatchRecalled);
        }
        self.blocked = blocked;
        self.block_reason = blocked.then(|| reason.to_owned());
        self.recalled_at = None;
        self.version += 1;
        Ok(true)
    }

    /// Calls it back; false when it was called back before.
    ///
    /// # Errors
    /// [`Error::BatchDisposed`].
    pub fn recall(&mut self, reason: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        if self.disposed_at.is_some() {
            return Err(Error::BatchDisposed);
        }
        if self.recalled_at.is_some() {
            return Ok(false);
        }
        self.blocked = true;
        self.block_reason = Some(reason.to_owned());
        self.recalled_at = Some(now);
        self.version += 1;
        Ok(true)
    }

    /// Marks it as thrown away. What comes back of it later stays unsellable, and can be thrown away too.
    ///
    /// # Errors
    /// [`Error::BatchActive`]: block it first, or wait until it has expired.
    pub fn dispose(
        &mut self,
        reason: &str,
        today: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if self.status(today) == BatchStatus::Active {
            return Err(Error::BatchActive);
        }
        if !self.blocked {
            self.blocked = true;
            self.block_reason = Some(reason.to_owned());
        }
        self.disposed_at = self.disposed_at.or(Some(now));
        self.version += 1;
        Ok(())
    }
}

/// What the label says; what it does not say is taken from what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    /// Day on which it was made.
    pub mfg: Option<NaiveDate>,
    /// Last day.
    pub expiry: Option<NaiveDate>,
    /// Maximum retail price.
    pub mrp: Option<Money>,
}

impl Label {
    /// Both together; `line` names the one that says otherwise.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn and(self, other: Self, line: usize) -> Result<Self, Error> {
        fn one<T: PartialEq>(a: Option<T>, b: Option<T>, error: Error) -> Result<Option<T>, Error> {
            match (a, b) {
                (Some(a), Some(b)) if a != b => Err(error),
                (a, b) => Ok(a.or(b)),
            }
        }
        let both = Self {
            mfg: one(self.mfg, other.mfg, Error::MfgDiffers(line))?,
            expiry: one(self.expiry, other.expiry, Error::ExpiryDiffers(line))?,
            mrp: one(self.mrp, other.mrp, Error::MrpDiffers(line))?,
        };
        if both.mfg.zip(both.expiry).is_some_and(|(m, e)| m > e) {
            return Err(Error::MfgAfterExpiry(line));
        }
        Ok(both)
    }

    /// Whether `stated` may be said of a batch that is known: its last day never changes, not even from none.
    ///
    /// # Errors
    /// When it says otherwise.
    pub fn joins(known: &Batch, stated: Self, line: usize) -> Result<Self, Error> {
        if known.disposed_at.is_some() {
            return Err(Error::BatchDisposed);
        }
        if stated.expiry.is_some() && stated.expiry != known.expiry {
            return Err(Error::ExpiryDiffers(line));
        }
        let label = Self {
            mfg: known.mfg,
            expiry: known.expiry,
            mrp: known.mrp,
        };
        label.and(stated, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }
    fn batch(expiry: Option<&str>) -> Batch {
        Batch {
            id: BatchId::new(),
            product_id: ProductId::new(),
            no: "B1".into(),
            mfg: None,
            expiry: expiry.map(day),
            mrp: None,
            blocked: false,
            block_reason: None,
            recalled_at: None,
            disposed_at: None,
            created_at: DateTime::UNIX_EPOCH,
            version: 1,
        }
    }

    #[test]
    fn goes_through_its_states_and_no_other_way() {
        let (today, now) = (day("2026-11-21"), DateTime::UNIX_EPOCH);
        let mut b = batch(Some("2026-11-21"));
        assert_eq!(b.status(today), BatchStatus::Active);
        assert_eq!(b.status(day("2026-11-22")), BatchStatus::Expired);
        assert!(matches!(
            b.dispose("x", today, now),
            Err(Error::BatchActive)
        ));
        assert!(b.set_blocked(true, "x", false).unwrap());
        assert!(!b.set_blocked(true, "x", false).unwrap());
        assert_eq!(b.status(day("2026-11-22")), BatchStatus::Blocked);
        assert!(b.set_blocked(false, "x", false).unwrap());
        assert!(b.recall("x", now).unwrap());
        assert!(!b.recall("x", now).unwrap());
        assert!(matches!(
            b.set_blocked(false, "x", false),
            Err(Error::BatchRecalled)
        ));
        assert!(b.set_blocked(false, "x", true).unwrap());
        assert_eq!(b.recalled_at, None);
        b.dispose("x", day("2026-11-22"), now).unwrap();
        assert_eq!(b.status(today), BatchStatus::Disposed);
        assert!(matches!(
            b.set_blocked(false, "x", true),
            Err(Error::BatchDisposed)
        ));
        assert!(matches!(b.recall("x", now), Err(Error::BatchDisposed)));
    }

    #[test]
    fn labels_add_up_and_contradictions_are_named() {
        let of = |mrp: Option<&str>, mfg: Option<&str>| Label {
            mfg: mfg.map(day),
            expiry: Some(day("2026-12-31")),
            mrp: mrp.map(|m| m.parse().unwrap()),
        };
        let both = of(Some("50"), None)
            .and(of(None, Some("2026-01-01")), 0)
            .unwrap();
        assert_eq!(both, of(Some("50"), Some("2026-01-01")));
        assert!(matches!(
            of(Some("50"), None).and(of(Some("55"), None), 3),
            Err(Error::MrpDiffers(3))
        ));
        assert!(matches!(
            of(None, Some("2027-01-01")).and(Label::default(), 1),
            Err(Error::MfgAfterExpiry(1))
        ));
        assert!(matches!(
            Label::joins(&batch(None), of(None, None), 2),
            Err(Error::ExpiryDiffers(2))
        ));
    }
}
