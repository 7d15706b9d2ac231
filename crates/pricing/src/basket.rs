//! What is bought, where, when and by whom, and the rules that might concern it.

use bahi_gst::TaxRate;
use bahi_types::{
    BranchId, BrandId, CategoryId, CustomerGroupId, Money, Price, ProductId, Quantity, UnitId,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::{Coupon, Offer, Promotion, Why};

/// A basket before it has prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Basket {
    /// The business date.
    pub date: NaiveDate,
    /// Where it is sold; none where no branch's own rules shall apply.
    pub branch: Option<BranchId>,
    /// The group of the customer.
    pub customer_group: Option<CustomerGroupId>,
    /// The lines.
    pub lines: Vec<Line>,
    /// Codes of coupons, folded as those of [`Coupon::code`] are.
    pub coupons: Vec<String>,
}

/// A price that a product has of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// Of one unit of the line.
    pub price: Price,
    /// It includes tax.
    pub includes_tax: bool,
}

/// A line of a basket.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The product.
    pub product: ProductId,
    /// The unit it is sold in.
    pub unit: UnitId,
    /// How many of that unit; more than zero.
    pub qty: Quantity,
    /// The product's own price in this unit, where it has one.
    pub base: Option<Base>,
    /// The maximum retail price of one such unit, tax included: that printed on the batch, else the product's.
    pub mrp: Option<Money>,
    /// The tax. Where the rate depends on the price: the highest that may apply, so that the MRP holds in any case.
    pub tax: TaxRate,
    /// The product's category and all above it.
    pub categories: Vec<CategoryId>,
    /// The brand.
    pub brand: Option<BrandId>,
}

/// The rules that might concern a basket, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Prices of price lists.
    pub offers: Vec<Offer>,
    /// Promotions that are active.
    pub promotions: Vec<Promotion>,
    /// Their coupons, at least those that the basket names.
    pub coupons: Vec<Coupon>,
}

/// Days on which a rule holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First day; none for always before.
    pub from: Option<NaiveDate>,
    /// First day on which it no longer holds; none for ever.
    pub to: Option<NaiveDate>,
}

impl Period {
    /// Whether it holds on a day.
    pub fn holds(&self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date < to)
    }

    /// Whether there is a day in it.
    pub fn is_sound(&self) -> bool {
        !matches!((self.from, self.to), (Some(from), Some(to)) if to <= from)
    }

    /// Whether there is a day in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let begins_in_time = |a: &Self, b: &Self| match (a.from, b.to) {
            (Some(from), Some(to)) => from < to,
            _ => true,
        };
        begins_in_time(self, other) && begins_in_time(other, self)
    }
}

/// For whom a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// One branch; all when none.
    pub branch: Option<BranchId>,
    /// One group of customers; everybody when none.
    pub customer_group: Option<CustomerGroupId>,
}

impl Audience {
    /// Why it does not take in a basket; none when it does.
    pub fn refuses(&self, basket: &Basket) -> Option<Why> {
        if self
            .branch
            .is_some_and(|branch| basket.branch != Some(branch))
        {
            return Some(Why::OtherBranch);
        }
        let group = self.customer_group;
        (group.is_some() && basket.customer_group != group).then_some(Why::OtherCustomerGroup)
    }

    /// How narrow it is: customer group and branch, customer group, branch, everybody.
    pub fn narrowness(&self) -> u8 {
        u8::from(self.customer_group.is_some()) * 2 + u8::from(self.branch.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(from: Option<&str>, to: Option<&str>) -> Period {
        let day = |text: &str| text.parse().unwrap();
        Period {
            from: from.map(day),
            to: to.map(day),
        }
    }

    #[test]
    fn a_period_ends_before_its_end() {
        let may = period(Some("2026-05-01"), Some("2026-06-01"));
        let holds = |date: &str| may.holds(date.parse().unwrap());
        assert!(holds("2026-05-01") && holds("2026-05-31"));
        assert!(!holds("2026-04-30") && !holds("2026-06-01"));
        assert!(!period(Some("2026-05-01"), Some("2026-05-01")).is_sound());
        let june = period(Some("2026-06-01"), None);
        assert!(!may.overlaps(&june) && !june.overlaps(&may));
        let always = Period::default();
        assert!(may.overlaps(&always) && always.overlaps(&june) && always.overlaps(&always));
        assert!(period(None, Some("2026-05-02")).overlaps(&may));
    }
}
