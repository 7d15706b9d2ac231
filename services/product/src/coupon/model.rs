//! A coupon and its code.

use bahi_pricing::Period;
use bahi_types::{CouponId, PromotionId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    price_list::model::sound,
    promotion::model::{Promotion, Status},
    schema::coupon,
};

/// A coupon.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = coupon, treat_none_as_null = true)]
pub struct Coupon {
    /// Id.
    pub id: CouponId,
    /// Version.
    pub version: i64,
    /// The promotion it opens.
    pub promotion_id: PromotionId,
    /// Code, in capitals.
    pub code: String,
    /// It may be used.
    pub enabled: bool,
    /// How often in all.
    pub use_limit: Option<i32>,
    /// How often by one customer.
    pub limit_per_customer: Option<i32>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be said of a coupon.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Code in any case.
    pub code: String,
    /// It may be used.
    pub enabled: bool,
    /// How often in all.
    pub limit: Option<i32>,
    /// How often by one customer.
    pub limit_per_customer: Option<i32>,
    /// When it holds.
    pub period: Period,
}

impl Coupon {
    /// A new coupon of a promotion.
    ///
    /// # Errors
    /// [`Error::CouponsNotNeeded`], [`Error::PromotionEnded`]; a period that ends before it begins.
    pub fn new(promotion: &Promotion, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        if !promotion.needs_coupon {
            return Err(Error::CouponsNotNeeded);
        }
        Self::open(promotion)?;
        Self::said(CouponId::new(), promotion.id, draft, now)
    }

    /// The coupon as `draft` wants it; itself when that is no change.
    ///
    /// # Errors
    /// [`Error::FixedWhenActive`] for the code; [`Error::PromotionEnded`]; a period that ends before it begins.
    pub fn amended(
        &self,
        promotion: &Promotion,
        draft: Draft,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let after = Self {
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ..Self::said(self.id, self.promotion_id, draft, now)?
        };
        if after == *self {
            return Ok(after);
        }
        Self::open(promotion)?;
        if promotion.status != Status::Draft && after.code != self.code {
            return Err(Error::FixedWhenActive("code"));
        }
        Ok(Self {
            version: self.version + 1,
            updated_at: now,
            ..after
        })
    }

    /// As the pricing rules take it. Uses are sales' to count.
    pub fn rule(&self) -> bahi_pricing::Coupon {
        let limit = |limit: Option<i32>| limit.and_then(|limit| u32::try_from(limit).ok());
        bahi_pricing::Coupon {
            id: self.id,
            promotion: self.promotion_id,
            code: self.code.clone(),
            enabled: self.enabled,
            period: Period {
                from: self.valid_from,
                to: self.valid_to,
            },
            limit: limit(self.use_limit),
            limit_per_customer: limit(self.limit_per_customer),
            used: 0,
            used_by_customer: 0,
        }
    }

    fn open(promotion: &Promotion) -> Result<(), Error> {
        if promotion.status == Status::Ended {
            Err(Error::PromotionEnded)
        } else {
            Ok(())
        }
    }

    fn said(
        id: CouponId,
        promotion_id: PromotionId,
        draft: Draft,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        sound("", &draft.period)?;
        Ok(Self {
            id,
            version: 1,
            promotion_id,
            code: folded(&draft.code),
            enabled: draft.enabled,
            use_limit: draft.limit,
            limit_per_customer: draft.limit_per_customer,
            valid_from: draft.period.from,
            valid_to: draft.period.to,
            created_at: now,
            updated_at: now,
        })
    }
}

/// The one form of a code, the pricing rules'.
pub fn folded(code: &str) -> String {
    bahi_pricing::Coupon::folded(code)
}

/// Checks a code in any case.
///
/// # Errors
/// What is wrong with it.
pub fn code(text: &str) -> Result<(), &'static str> {
    let code = folded(text);
    if !(3..=40).contains(&code.len()) {
        Err("must have 3 to 40 characters")
    } else if code.starts_with('-') || !code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        Err("must consist of Latin letters, digits and hyphens, and not begin with a hyphen")
    } else {
        Ok(())
    }
}
