//! Which rule won, which lost, and why.

use bahi_types::{CouponId, Price, PromotionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What kind of rule was considered.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = PricingRuleKind)]
pub enum RuleKind {
    /// The product's own price.
    BasePrice,
    /// A price of a price list.
    PriceList,
    /// The maximum retail price.
    Mrp,
    /// A promotion.
    Promotion,
}

/// Why a rule did not win.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = PricingReason)]
pub enum Why {
    /// It is for another branch.
    OtherBranch,
    /// It is for another group of customers.
    OtherCustomerGroup,
    /// It does not hold on this day.
    NotInDate,
    /// The basket has too few of it.
    QuantityNotReached,
    /// The lines come to too little.
    AmountNotReached,
    /// Another rule has a higher priority.
    LowerPriority,
    /// Another price list of this priority has a narrower audience.
    WiderAudience,
    /// The list has a higher quantity break that is reached.
    SmallerBreak,
    /// Another price list of this priority and audience comes first.
    SameRank,
    /// A price list has a price.
    PriceListWins,
    /// It needs a coupon, and none is given that is good.
    CouponNeeded,
    /// There is no such coupon.
    CouponUnknown,
    /// The coupon is disabled.
    CouponDisabled,
    /// The coupon has been used as often as it may.
    CouponUsedUp,
    /// This customer has used the coupon as often as one may.
    CouponUsedUpByCustomer,
    /// The coupon's promotion is not active.
    PromotionNotActive,
    /// Another coupon of the same promotion is used.
    AnotherCoupon,
    /// It does not go together with another promotion on the line.
    NotStackable,
    /// Another promotion of this priority saves more.
    WorseForCustomer,
    /// It would save nothing.
    NoBenefit,
}

/// A rule that was considered for a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Considered {
    /// What kind of rule.
    pub rule: RuleKind,
    /// The price list or promotion.
    pub id: Option<Uuid>,
    /// The price of the list.
    pub entry_id: Option<Uuid>,
    /// It has set or lowered the price.
    pub won: bool,
    /// Why it has not.
    pub why: Option<Why>,
    /// The rule that won instead.
    pub than: Option<Uuid>,
    /// The quantity or amount that would have been needed.
    pub needed: Option<Price>,
}

impl Considered {
    /// A rule that won.
    pub(crate) fn won(rule: RuleKind, id: Option<Uuid>) -> Self {
        Self {
            rule,
            id,
            entry_id: None,
            won: true,
            why: None,
            than: None,
            needed: None,
        }
    }

    /// A rule that lost.
    pub(crate) fn lost(rule: RuleKind, id: Option<Uuid>, why: Why) -> Self {
        Self {
            won: false,
            why: Some(why),
            ..Self::won(rule, id)
        }
    }

    pub(crate) fn of_entry(self, entry: Uuid) -> Self {
        Self {
            entry_id: Some(entry),
            ..self
        }
    }

    pub(crate) fn than(self, than: Option<Uuid>) -> Self {
        Self { than, ..self }
    }

    pub(crate) fn needing(self, needed: Option<Price>) -> Self {
        Self { needed, ..self }
    }
}

/// What became of a coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CouponOutcome {
    /// The code as it was given.
    pub code: String,
    /// The coupon.
    pub coupon_id: Option<CouponId>,
    /// Its promotion.
    pub promotion_id: Option<PromotionId>,
    /// It is used by this basket, and counts as used once the basket is sold.
    pub applied: bool,
    /// Why it is not.
    pub why: Option<Why>,
}
