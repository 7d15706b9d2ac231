//! What is taken off, and when: promotions and their coupons.

use bahi_types::{BrandId, CategoryId, CouponId, Money, ProductId, PromotionId, Quantity, Rate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Audience, Line, Period};

/// Which goods: those that are named, or of a category (or one below it) or brand that is named; all when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PromotionScope)]
pub struct Scope {
    /// Products.
    pub products: Vec<ProductId>,
    /// Categories.
    pub categories: Vec<CategoryId>,
    /// Brands.
    pub brands: Vec<BrandId>,
}

impl Scope {
    /// Whether nothing is named, which is everything.
    pub fn is_all(&self) -> bool {
        self.products.is_empty() && self.categories.is_empty() && self.brands.is_empty()
    }

    /// Whether a line is of these goods.
    pub fn covers(&self, line: &Line) -> bool {
        self.is_all()
            || self.products.contains(&line.product)
            || line.brand.is_some_and(|brand| self.brands.contains(&brand))
            || line
                .categories
                .iter()
                .any(|category| self.categories.contains(category))
    }
}

/// What a promotion takes off. Amounts are in the terms of the lines: with tax where their prices include it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = PromotionRule)]
pub enum Rule {
    /// A percentage of each line.
    Percent {
        /// Per cent, more than 0 and at most 100.
        percent: Rate,
    },
    /// An amount of each unit.
    AmountPerUnit {
        /// Rupees.
        amount: Money,
    },
    /// Who buys so many gets so many more for less.
    BuyGet {
        /// Units to be bought at their price.
        buy_qty: u32,
        /// Units that are got.
        get_qty: u32,
        /// What is got; the goods of the promotion themselves when absent. What is in both counts as bought.
        #[serde(default)]
        get: Option<Scope>,
        /// Per cent off what is got; 100 is free.
        percent: Rate,
        /// Times in one basket; without limit when absent.
        #[serde(default)]
        max_times: Option<u32>,
    },
    /// Any so many of the goods for a price.
    SetPrice {
        /// Units of a set.
        qty: u32,
        /// Rupees for a set.
        price: Money,
        /// Sets in one basket; without limit when absent.
        #[serde(default)]
        max_times: Option<u32>,
    },
    /// Of any so many of the goods, some are free: the cheapest.
    SetFree {
        /// Units of a set.
        qty: u32,
        /// Units of it that are free.
        free: u32,
        /// Sets in one basket; without limit when absent.
        #[serde(default)]
        max_times: Option<u32>,
    },
    /// A percentage of the sum of the lines, spread over them.
    BillPercent {
        /// Per cent, more than 0 and at most 100.
        percent: Rate,
        /// Rupees at most; without limit when absent.
        #[serde(default)]
        max_discount: Option<Money>,
    },
    /// An amount of the sum of the lines, spread over them.
    BillAmount {
        /// Rupees.
        amount: Money,
    },
}

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {fault}")]
pub struct RuleFault {
    /// Which of its fields.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Units of a set at most.
const UNITS: u32 = 1000;

impl Rule {
    /// Whether it is taken off the bill, after those of the goods.
    pub fn is_of_bill(&self) -> bool {
        matches!(self, Self::BillPercent { .. } | Self::BillAmount { .. })
    }

    /// Checks its numbers.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn check(&self) -> Result<(), RuleFault> {
        let refuse = |wrong: bool, field, fault| {
            if wrong {
                Err(RuleFault { field, fault })
            } else {
                Ok(())
            }
        };
        let percent = |percent: &Rate| {
            let wrong = !percent.is_positive() || *percent > Rate::from(100);
            refuse(wrong, "percent", "must be more than 0 and at most 100")
        };
        let amount = |field, amount: &Money| {
            refuse(!amount.is_positive(), field, "must be greater than zero")
        };
        let units = |field, qty: u32| {
            refuse(
                !(1..=UNITS).contains(&qty),
                field,
                "must be between 1 and 1000",
            )
        };
        let times = |times: &Option<u32>| {
            refuse(*times == Some(0), "max_times", "must be greater than zero")
        };
        match self {
            Self::Percent { percent: p } => percent(p),
            Self::AmountPerUnit { amount: a } | Self::BillAmount { amount: a } => {
                amount("amount", a)
            }
            Self::BuyGet {
                buy_qty,
                get_qty,
                percent: p,
                max_times,
                get,
            } => {
                units("buy_qty", *buy_qty)?;
                units("get_qty", *get_qty)?;
                percent(p)?;
                let all = get.as_ref().is_some_and(Scope::is_all);
                refuse(all, "get", "must name what is got")?;
                times(max_times)
            }
            Self::SetPrice {
                qty,
                price,
                max_times,
            } => {
                units("qty", *qty)?;
                amount("price", price)?;
                times(max_times)
            }
            Self::SetFree {
                qty,
                free,
                max_times,
            } => {
                units("qty", *qty)?;
                let sound = (1..*qty).contains(free);
                refuse(!sound, "free", "must be at least 1 and less than qty")?;
                times(max_times)
            }
            Self::BillPercent {
                percent: p,
                max_discount,
            } => {
                percent(p)?;
                max_discount
                    .as_ref()
                    .map_or(Ok(()), |max| amount("max_discount", max))
            }
        }
    }
}

/// A promotion that is active.
#[derive(Clone, Debug, PartialEq)]
pub struct Promotion {
    /// Id.
    pub id: PromotionId,
    /// The higher goes first.
    pub priority: i32,
    /// It goes together with others that do.
    pub stackable: bool,
    /// It applies only where one of its coupons is given.
    pub needs_coupon: bool,
    /// For whom it is.
    pub audience: Audience,
    /// When it holds.
    pub period: Period,
    /// Which goods it is about.
    pub scope: Scope,
    /// Quantity that its lines must come to.
    pub min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    pub min_amount: Option<Money>,
    /// What it takes off.
    pub rule: Rule,
}

/// A coupon, and how often it has been used.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupon {
    /// Id.
    pub id: CouponId,
    /// The promotion it opens.
    pub promotion: PromotionId,
    /// The folded code.
    pub code: String,
    /// It may be used.
    pub enabled: bool,
    /// When.
    pub period: Period,
    /// How often in all.
    pub limit: Option<u32>,
    /// How often by one customer.
    pub limit_per_customer: Option<u32>,
    /// How often it has been.
    pub used: u32,
    /// How often by this customer.
    pub used_by_customer: u32,
}

impl Coupon {
    /// The one form of a code: capitals, without space around it.
    pub fn folded(code: &str) -> String {
        code.trim().to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_rules_are_refused_by_field() {
        let field = |text: &str| {
            let rule: Rule = rule(text);
            rule.check().err().map(|fault| fault.field)
        };
        assert_eq!(field("percent 10"), None);
        assert_eq!(field("percent 0"), Some("percent"));
        assert_eq!(field("percent 100.001"), Some("percent"));
        assert_eq!(field("amount 0"), Some("amount"));
        assert_eq!(field("amount -1"), Some("amount"));
        assert_eq!(field("free 3 1"), None);
        assert_eq!(field("free 3 3"), Some("free"));
        assert_eq!(field("free 3 0"), Some("free"));
        assert_eq!(field("free 0 0"), Some("qty"));
        assert_eq!(field("free 1001 1"), Some("qty"));
    }

    /// Rules in few words.
    fn rule(text: &str) -> Rule {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["percent", percent] => Rule::Percent {
                percent: percent.parse().unwrap(),
            },
            ["amount", amount] => Rule::BillAmount {
                amount: amount.parse().unwrap(),
            },
            ["free", qty, free] => Rule::SetFree {
                qty: qty.parse().unwrap(),
                free: free.parse().unwrap(),
                max_times: None,
            },
            _ => unreachable!("{text}"),
        }
    }
}
