//! A price list and its audience.

use bahi_http::Fault;
use bahi_pricing::{Audience, Period};
use bahi_types::{BranchId, CustomerGroupId, PriceListId};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::price_list};

/// A price list without its prices.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = price_list, treat_none_as_null = true)]
pub struct PriceList {
    /// Id.
    pub id: PriceListId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// The higher goes first.
    pub priority: i32,
    /// Its prices include tax.
    pub price_includes_tax: bool,
    /// The branch it is for.
    pub branch_id: Option<BranchId>,
    /// The group of customers it is for.
    pub customer_group_id: Option<CustomerGroupId>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it or its prices last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be said of a price list.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// The higher goes first.
    pub priority: i32,
    /// Its prices include tax.
    pub price_includes_tax: bool,
    /// For whom it is.
    pub audience: Audience,
    /// When it holds.
    pub period: Period,
}

impl PriceList {
    /// A new list.
    ///
    /// # Errors
    /// When its period ends before it begins.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        Self::said(PriceListId::new(), draft, now)
    }

    /// The list as `draft` wants it; itself when that is no change.
    ///
    /// # Errors
    /// When its period ends before it begins.
    pub fn amended(&self, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let after = Self {
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ..Self::said(self.id, draft, now)?
        };
        Ok(if after == *self {
            after
        } else {
            after.repriced(now)
        })
    }

    /// The list at its next version.
    pub fn repriced(self, now: DateTime<Utc>) -> Self {
        Self {
            version: self.version + 1,
            updated_at: now,
            ..self
        }
    }

    /// When it holds.
    pub fn period(&self) -> Period {
        Period {
            from: self.valid_from,
            to: self.valid_to,
        }
    }

    fn said(id: PriceListId, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let Draft {
            name,
            priority,
            price_includes_tax,
            audience,
            period,
        } = draft;
        sound("", &period)?;
        Ok(Self {
            id,
            version: 1,
            name,
            priority,
            price_includes_tax,
            branch_id: audience.branch,
            customer_group_id: audience.customer_group,
            valid_from: period.from,
            valid_to: period.to,
            created_at: now,
            updated_at: now,
        })
    }
}

/// Refuses a period without a day, or beyond what a calendar is for; `prefix` is where its fields are.
///
/// # Errors
/// [`Fault::Invalid`].
pub fn sound(prefix: &str, period: &Period) -> Result<(), Error> {
    for (name, day) in [("valid_from", period.from), ("valid_to", period.to)] {
        if let Some(day) = day {
            sane(format!("{prefix}{name}"), day)?;
        }
    }
    if period.is_sound() {
        Ok(())
    } else {
        Err(Fault::field(format!("{prefix}valid_to"), "must be after valid_from").into())
    }
}

/// Refuses a day that no shop means, and that PostgreSQL might not know.
///
/// # Errors
/// [`Fault::Invalid`].
pub fn sane(field: impl Into<String>, day: NaiveDate) -> Result<(), Fault> {
    if (1900..=9999).contains(&day.year()) {
        Ok(())
    } else {
        Err(Fault::field(field, "must lie between 1900 and 9999"))
    }
}
