//! How far somebody may go with a price: the caps of roles, and what an approval adds to them.
//!
//! * `sales.discount.give` gives any discount, `sales.discount.up_to_<n>` at most n per cent of each line: the discount
//!   of the line and its share of the bill's discount together, of what promotions have left.
//! * `sales.price.override` charges any price up to the MRP, `sales.price.up_to_<n>` at most n per cent less than listed.
//! * `sales.price.below_cost` sells below cost, with a warning; without it such a line is refused.
//! * An approval lends any of these for one document. The caps ride in the token, so a sale asks nobody.

use bahi_http::{Fault, Grants};
use bahi_types::Money;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::error::{Error, Result};

/// May give any discount.
pub(crate) const DISCOUNT: &str = "sales.discount.give";
/// May charge any price.
pub(crate) const OVERRIDE: &str = "sales.price.override";
/// May sell below cost.
pub(crate) const BELOW_COST: &str = "sales.price.below_cost";

/// How much of something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allowance {
    /// Nothing.
    None,
    /// Per cent.
    UpTo(u32),
    /// Whatever.
    Any,
}

impl Allowance {
    fn of(grants: &Grants, whole: &str, noun: &str) -> Self {
        if grants.allow(whole) {
            return Self::Any;
        }
        grants.up_to(noun).map_or(Self::None, Self::UpTo)
    }
}

/// How far somebody may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Below the listed price.
    pub price: Allowance,
    /// Off what promotions have left.
    pub discount: Allowance,
    /// Below cost.
    pub below_cost: bool,
}

impl Rights {
    /// As far as it goes: what was agreed on or has happened already.
    pub(crate) const ALL: Self = Self {
        price: Allowance::Any,
        discount: Allowance::Any,
        below_cost: true,
    };

    /// What grants allow.
    pub(crate) fn of(grants: &Grants) -> Self {
        Self {
            price: Allowance::of(grants, OVERRIDE, "sales.price"),
            discount: Allowance::of(grants, DISCOUNT, "sales.discount"),
            below_cost: grants.allow(BELOW_COST),
        }
    }

    /// The wider of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            price: self.price.max(other.price),
            discount: self.discount.max(other.discount),
            below_cost: self.below_cost || other.below_cost,
        }
    }

    /// Whether any discount may be given at all.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub(crate) fn may_discount(self) -> Result<()> {
        match self.discount {
            Allowance::None => Err(Fault::Forbidden(DISCOUNT.into()).into()),
            _ => Ok(()),
        }
    }

    /// Whether a line may take `off` of `base`. A share of the bill's discount may be a paisa more than its part.
    ///
    /// # Errors
    /// [`Error::DiscountAboveCap`].
    pub(crate) fn discount(self, line: usize, base: Money, off: Money, shared: bool) -> Result<()> {
        let cap = match self.discount {
            Allowance::Any => return Ok(()),
            Allowance::None => 0,
            Allowance::UpTo(cap) => cap,
        };
        let most = Money::rounded(base.decimal() * Decimal::from(cap) / Decimal::ONE_HUNDRED);
        let slack = Money::rounded(Decimal::new(i64::from(shared), 2));
        if off <= most + slack || off.is_zero() {
            return Ok(());
        }
        Err(Error::DiscountAboveCap {
            line,
            percent: share(off.decimal(), base.decimal()),
            cap,
        })
    }

    /// Whether a line may be charged at another price than listed, both of one unit and with the same tax inside.
    ///
    /// # Errors
    /// [`Fault::Forbidden`], [`Error::PriceAboveCap`].
    pub(crate) fn price(self, line: usize, listed: Decimal, charged: Decimal) -> Result<()> {
        let cap = match self.price {
            Allowance::Any => return Ok(()),
            Allowance::None => return Err(Fault::Forbidden(OVERRIDE.into()).into()),
            Allowance::UpTo(cap) => cap,
        };
        let off = listed - charged;
        if off * Decimal::ONE_HUNDRED <= listed * Decimal::from(cap) {
            return Ok(());
        }
        Err(Error::PriceAboveCap {
            line,
            percent: share(off, listed),
            cap,
        })
    }
}

/// Per cent of a whole, to two places and never less than it is.
fn share(off: Decimal, whole: Decimal) -> Decimal {
    if whole.is_zero() {
        return Decimal::ONE_HUNDRED;
    }
    let percent = off * Decimal::ONE_HUNDRED / whole;
    percent.round_dp_with_strategy(2, RoundingStrategy::AwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(grants: &[&str]) -> Rights {
        Rights::of(&Grants::new(
            grants.iter().map(|g| (*g).to_owned()).collect(),
        ))
    }
    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn grants_become_rights_and_the_wider_one_counts() {
        assert_eq!(rights(&["sales.*"]), Rights::ALL);
        let capped = rights(&["sales.discount.up_to_5", "sales.price.up_to_10"]);
        assert_eq!(capped.discount, Allowance::UpTo(5));
        assert_eq!(capped.price, Allowance::UpTo(10));
        assert!(!capped.below_cost);
        let lent = capped.or(rights(&[
            "sales.discount.up_to_20",
            "sales.price.below_cost",
        ]));
        assert_eq!(
            (lent.discount, lent.price),
            (Allowance::UpTo(20), Allowance::UpTo(10))
        );
        assert!(lent.below_cost);
        assert_eq!(
            lent.or(rights(&["sales.discount.give"])).discount,
            Allowance::Any
        );
    }

    #[test]
    fn a_discount_ends_at_the_cap_to_the_paisa() {
        let capped = rights(&["sales.discount.up_to_10"]);
        let may = |off: &str, shared| {
            capped
                .discount(1, money("33.33"), money(off), shared)
                .is_ok()
        };
        assert!(may("3.33", false) && !may("3.34", false));
        // A paisa of the bill's discount falls on some line.
        assert!(may("3.34", true) && !may("3.35", true));
        assert!(
            rights(&[])
                .discount(1, money("1"), money("0"), false)
                .is_ok()
        );
        assert!(
            rights(&[])
                .discount(1, money("1"), money("0.01"), false)
                .is_err()
        );
    }

    #[test]
    fn a_price_may_be_so_much_lower_and_any_higher() {
        let capped = rights(&["sales.price.up_to_10"]);
        let may = |charged: i64| capped.price(1, Decimal::from(200), Decimal::from(charged));
        assert!(may(180).is_ok() && may(250).is_ok());
        assert!(matches!(
            may(179),
            Err(Error::PriceAboveCap { cap: 10, .. })
        ));
        assert!(matches!(
            rights(&[]).price(1, Decimal::from(200), Decimal::from(250)),
            Err(Error::Fault(Fault::Forbidden(_)))
        ));
    }
}
