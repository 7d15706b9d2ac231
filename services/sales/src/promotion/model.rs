//! Promotions and coupons as the pricing rules take them.

use bahi_events::{Promotion, PromotionRule, PromotionScope};
use bahi_pricing::{Audience, Period, Rule, Scope};
use bahi_types::{CouponId, CustomerId};

/// A use of a coupon that a sale is about to count.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub coupon_id: CouponId,
    /// Its code.
    pub code: String,
    /// How often in all.
    pub limit: Option<u32>,
    /// How often by one customer.
    pub limit_per_customer: Option<u32>,
    /// Who uses it.
    pub customer: Option<CustomerId>,
}

/// A promotion as the pricing rules take it.
pub(super) fn rule_of(promotion: &Promotion) -> bahi_pricing::Promotion {
    bahi_pricing::Promotion {
        id: promotion.promotion_id,
        priority: promotion.priority,
        stackable: promotion.stackable,
        needs_coupon: promotion.needs_coupon,
        audience: Audience {
            branch: promotion.branch_id,
            customer_group: promotion.customer_group_id,
        },
        period: Period {
            from: promotion.valid_from,
            to: promotion.valid_to,
        },
        scope: scope(&promotion.scope),
        min_qty: promotion.min_qty,
        min_amount: promotion.min_amount,
        rule: rule(&promotion.rule),
    }
}

fn scope(scope: &PromotionScope) -> Scope {
    Scope {
        products: scope.products.clone(),
        categories: scope.categories.clone(),
        brands: scope.brands.clone(),
    }
}

fn rule(rule: &PromotionRule) -> Rule {
    match rule.clone() {
        PromotionRule::Percent { percent } => Rule::Percent { percent },
        PromotionRule::AmountPerUnit { amount } => Rule::AmountPerUnit { amount },
        PromotionRule::BuyGet {
            buy_qty,
            get_qty,
            get,
            percent,
            max_times,
        } => Rule::BuyGet {
            buy_qty,
            get_qty,
            get: get.as_ref().map(self::scope),
            percent,
            max_times,
        },
        PromotionRule::SetPrice {
            qty,
            price,
            max_times,
        } => Rule::SetPrice {
            qty,
            price,
            max_times,
        },
        PromotionRule::SetFree {
            qty,
            free,
            max_times,
        } => Rule::SetFree {
            qty,
            free,
            max_times,
        },
        PromotionRule::BillPercent {
            percent,
            max_discount,
        } => Rule::BillPercent {
            percent,
            max_discount,
        },
        PromotionRule::BillAmount { amount } => Rule::BillAmount { amount },
    }
}
