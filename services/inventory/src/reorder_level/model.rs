//! When to buy again and how much, worked out in decimals.

use bahi_types::{Fixed, Quantity, round_to};
use chrono::NaiveDate;
use rust_decimal::{Decimal, MathematicalOps};
use serde::{Deserialize, Serialize};

use crate::ledger::Place;

/// Demand of one day.
pub(crate) type PerDay = Fixed<4>;
/// A time in days.
pub(crate) type Days = Fixed<3>;

/// Largest figure of demand: keeps every product of the formulas within what a decimal holds.
pub(super) const MOST_DEMAND: i64 = 1_000_000_000;

/// What people state about a product at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The reorder point; worked out, when absent.
    pub min_qty: Option<Quantity>,
    /// Up to which to buy; worked out, when absent.
    pub max_qty: Option<Quantity>,
    /// Mean lead time.
    pub lead_days: Days,
    /// Its standard deviation.
    pub lead_sigma: Days,
    /// Quantile of the normal distribution for the service level: 1.65 is 95 %.
    pub service_z: Days,
    /// Minimum order.
    pub moq: Quantity,
    /// Orders are whole packs of so many.
    pub pack: Quantity,
    /// Days from arrival to the last day.
    pub shelf_life_days: Option<i32>,
    /// Ordered and not received yet.
    pub on_order: Quantity,
    /// Days of the ledger that tell the demand.
    pub window_days: i32,
}

/// Demand of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Mean.
    pub mean: PerDay,
    /// Standard deviation.
    pub sigma: PerDay,
    /// Days that tell it; 0 when it is stated.
    pub days: i32,
}

/// A product at a location, planned.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub place: Place,
    pub policy: Policy,
    pub demand_stated: bool,
    pub demand: Demand,
    pub reorder_point: Quantity,
    pub planned_on: NaiveDate,
    /// Below the point, and said so.
    pub low: bool,
    pub version: i64,
}

/// What was issued on a day, and how much lay there at its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    pub issued: Quantity,
    pub opening: Quantity,
    pub closing: Quantity,
}

/// Demand as the ledger shows it. Days without stock at one of their ends are left out: nothing sold is not the same
/// as nothing wanted.
pub(super) fn observed(days: &[Day]) -> Demand {
    let sold: Vec<Decimal> = days
        .iter()
        .filter(|d| d.opening.is_positive() && d.closing.is_positive())
        .map(|d| d.issued.decimal().min(Decimal::from(MOST_DEMAND)))
        .collect();
    let count = Decimal::from(sold.len());
    if sold.is_empty() {
        return Demand::default();
    }
    let mean = sold.iter().copied().sum::<Decimal>() / count;
    let squares: Decimal = sold.iter().map(|s| (*s - mean) * (*s - mean)).sum();
    let sigma = if sold.len() > 1 {
        root(squares / (count - Decimal::ONE))
    } else {
        Decimal::ZERO
    };
    Demand {
        mean: PerDay::rounded(mean),
        sigma: PerDay::rounded(sigma),
        days: i32::try_from(sold.len()).unwrap_or(i32::MAX),
    }
}

/// Of zero or more.
fn root(value: Decimal) -> Decimal {
    value.sqrt().unwrap_or_default()
}

/// z × √(L·σd² + d²·σL²), exact to the last decimals of the root.
fn safety(policy: &Policy, demand: &Demand) -> Decimal {
    let (mean, sigma) = (demand.mean.decimal(), demand.sigma.decimal());
    let (lead, spread) = (policy.lead_days.decimal(), policy.lead_sigma.decimal());
    let variance = lead * sigma * sigma + mean * mean * spread * spread;
    policy.service_z.decimal() * root(variance)
}

/// Rounded up to whole units.
fn up(value: Decimal) -> Quantity {
    Quantity::rounded(value.ceil())
}

/// The point below which to buy, as it is worked out and as it counts.
fn point(policy: &Policy, demand: &Demand) -> (Decimal, Quantity) {
    let exact = demand.mean.decimal() * policy.lead_days.decimal() + safety(policy, demand);
    (exact, policy.min_qty.unwrap_or_else(|| up(exact)))
}

impl Level {
    /// Plans a place on a day. The side of the point is the caller's to set.
    pub fn plan(
        place: Place,
        policy: Policy,
        demand: Demand,
        demand_stated: bool,
        today: NaiveDate,
    ) -> Self {
        let (_, reorder_point) = point(&policy, &demand);
        Self {
            place,
            policy,
            demand_stated,
            demand,
            reorder_point,
            planned_on: today,
            low: false,
            version: 0,
        }
    }

    /// Safety stock, for people: two decimals.
    pub fn safety_stock(&self) -> Decimal {
        round_to(safety(&self.policy, &self.demand), 2)
    }

    /// What to buy when `available` is available.
    pub fn suggest(&self, available: Quantity) -> Suggestion {
        let (policy, demand) = (&self.policy, &self.demand);
        let (exact, _) = point(policy, demand);
        let lead_demand = demand.mean.decimal() * policy.lead_days.decimal();
        let position = available + policy.on_order;
        let order_up_to = policy
            .max_qty
            .unwrap_or_else(|| up(self.reorder_point.decimal() + lead_demand));
        let mut suggestion = Suggestion {
            position,
            safety_stock: self.safety_stock(),
            reorder_point_exact: round_to(exact, 2),
            reorder_point: self.reorder_point,
            order_up_to,
            need: Quantity::ZERO,
            shelf_life_cap: None,
            suggested_qty: Quantity::ZERO,
            reason: String::new(),
        };
        let mut reason = format!(
            "Demand {} a day (sigma {}), lead time {} days (sigma {}), z {}: safety stock {}, reorder point {} ({}).",
            demand.mean,
            demand.sigma,
            policy.lead_days,
            policy.lead_sigma,
            policy.service_z,
            suggestion.safety_stock,
            self.reorder_point,
            if policy.min_qty.is_some() {
                "stated".to_owned()
            } else {
                format!("{} rounded up", suggestion.reorder_point_exact)
            },
        );
        reason += &format!(
            " Available {available} + on order {} = {position}",
            policy.on_order
        );
        if position >= self.reorder_point {
            reason += ", not below it: nothing to buy.";
            suggestion.reason = reason;
            return suggestion;
        }
        let zero = Quantity::ZERO;
        suggestion.need = if order_up_to > position {
            order_up_to - position
        } else {
            zero
        };
        let pack = policy.pack.decimal();
        let wanted = suggestion.need.decimal().max(policy.moq.decimal());
        let mut qty = (wanted / pack).ceil() * pack;
        reason += &format!(
            ", below it: buy up to {order_up_to}, {} are missing; minimum order {}, packs of {}: {}.",
            suggestion.need,
            policy.moq,
            policy.pack,
            Quantity::rounded(qty),
        );
        if let Some(days) = policy.shelf_life_days {
            // What is left when the goods arrive is sold first.
            let left = (position.decimal() - lead_demand).max(Decimal::ZERO);
            let sells = (demand.mean.decimal() * Decimal::from(days) - left).max(Decimal::ZERO);
            suggestion.shelf_life_cap = Some(Quantity::rounded(sells.trunc_with_scale(3)));
            if qty > sells {
                qty = (sells / pack).floor() * pack;
                let too_few = qty.is_zero() || qty < policy.moq.decimal();
                if too_few {
                    qty = Decimal::ZERO;
                }
                reason += &format!(
                    " Of what arrives only {} sells within its shelf life of {days} days: {}.",
                    Quantity::rounded(sells.trunc_with_scale(3)),
                    if too_few {
                        "less than can be ordered, so nothing".to_owned()
                    } else {
                        Quantity::rounded(qty).to_string()
                    },
                );
            }
        }
        suggestion.suggested_qty = Quantity::rounded(qty);
        suggestion.reason = reason;
        suggestion
    }
}

/// What to buy, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Suggestion {
    /// Available and on order.
    pub position: Quantity,
    /// Two decimals.
    #[schema(value_type = String)]
    pub safety_stock: Decimal,
    /// Demand of the lead time and safety stock, two decimals.
    #[schema(value_type = String)]
    pub reorder_point_exact: Decimal,
    /// The point that counts.
    pub reorder_point: Quantity,
    /// Up to which to buy.
    pub order_up_to: Quantity,
    /// What is missing to that.
    pub need: Quantity,
    /// Most that sells before it expires, for a product with a shelf life.
    pub shelf_life_cap: Option<Quantity>,
    /// What to buy: whole packs, at least the minimum order; or nothing.
    pub suggested_qty: Quantity,
    /// How it came to that.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use bahi_types::{LocationId, ProductId};
    use proptest::prelude::*;

    fn d<const S: u32>(text: &str) -> Fixed<S> {
        text.parse().unwrap()
    }
    fn policy() -> Policy {
        Policy {
            min_qty: None,
            max_qty: None,
            lead_days: d("7"),
            lead_sigma: d("2"),
            service_z: d("1.65"),
            moq: d("50"),
            pack: d("24"),
            shelf_life_days: None,
            on_order: d("24"),
            window_days: 90,
        }
    }
    fn level(policy: Policy) -> Level {
        let demand = Demand {
            mean: d("12"),
            sigma: d("4"),
            days: 0,
        };
        let place = (LocationId::new(), ProductId::new());
        Level::plan(place, policy, demand, true, NaiveDate::default())
    }

    #[test]
    fn the_worked_example_comes_out_to_the_unit() {
        let got = level(policy()).suggest(d("50"));
        assert_eq!(got.safety_stock.to_string(), "43.28");
        assert_eq!(got.reorder_point_exact.to_string(), "127.28");
        assert_eq!(
            (got.reorder_point, got.position, got.order_up_to, got.need),
            (d("128"), d("74"), d("212"), d("138"))
        );
        assert_eq!(got.suggested_qty, d("144"));
        assert!(got.reason.contains("packs of 24: 144"), "{}", got.reason);
    }

    #[test]
    fn buys_no_more_than_sells_before_it_expires_and_says_so() {
        let short = level(Policy {
            shelf_life_days: Some(8),
            ..policy()
        });
        let got = short.suggest(d("50"));
        assert_eq!(
            (got.shelf_life_cap, got.suggested_qty),
            (Some(d("96")), d("96"))
        );
        assert!(
            got.reason.contains("shelf life of 8 days: 96"),
            "{}",
            got.reason
        );
        // What is still there on arrival sells first: 100 available, 124 in all, 40 left after the lead time.
        assert_eq!(short.suggest(d("100")).suggested_qty, Quantity::ZERO);
        let one_day = level(Policy {
            shelf_life_days: Some(1),
            ..policy()
        });
        let got = one_day.suggest(d("50"));
        assert_eq!(got.suggested_qty, Quantity::ZERO);
        assert!(got.reason.contains("so nothing"), "{}", got.reason);
    }

    #[test]
    fn at_the_point_nothing_is_bought_and_below_it_at_least_the_minimum() {
        let stated = level(Policy {
            min_qty: Some(d("10")),
            max_qty: Some(d("12")),
            on_order: d("0"),
            ..policy()
        });
        assert_eq!(stated.suggest(d("10")).suggested_qty, Quantity::ZERO);
        let got = stated.suggest(d("9.999"));
        assert_eq!((got.need, got.suggested_qty), (d("2.001"), d("72")));
    }

    #[test]
    fn days_without_stock_say_nothing_of_demand() {
        let day = |opening: &str, issued: &str, closing: &str| Day {
            issued: d(issued),
            opening: d(opening),
            closing: d(closing),
        };
        let days = [
            day("10", "4", "6"),
            day("6", "6", "0"),
            day("0", "0", "0"),
            day("0", "0", "20"),
            day("20", "8", "12"),
        ];
        let got = observed(&days);
        assert_eq!((got.mean, got.sigma, got.days), (d("6"), d("2.8284"), 2));
        // The wrong way: days without stock counted as days without demand.
        let all: Decimal = days.iter().map(|d| d.issued.decimal()).sum();
        assert_ne!(PerDay::rounded(all / Decimal::from(5)), got.mean);
        assert_eq!(observed(&[]), Demand::default());
        assert_eq!(observed(&days[..1]).sigma, PerDay::ZERO);
    }

    proptest! {
        #[test]
        fn every_suggestion_is_whole_packs_and_never_below_the_minimum_order(
            available in 0i64..2000, moq in 0i64..300, pack in 1i64..60, shelf in prop::option::of(1i32..40),
            mean in 0i64..MOST_DEMAND * 10_000, lead in 0i64..3_650_000,
        ) {
            let mut level = level(Policy {
                moq: Quantity::from(moq),
                pack: Quantity::from(pack),
                shelf_life_days: shelf,
                lead_days: Days::rounded(Decimal::new(lead, 3)),
                lead_sigma: Days::from(3650),
                ..policy()
            });
            level.demand.mean = PerDay::rounded(Decimal::new(mean, 4));
            level = Level::plan(level.place, level.policy, level.demand, true, NaiveDate::default());
            let got = level.suggest(Quantity::from(available));
            let qty = got.suggested_qty.decimal();
            prop_assert!((qty % Decimal::from(pack)).is_zero());
            prop_assert!(qty.is_zero() || qty >= Decimal::from(moq));
            prop_assert!(qty.is_zero() || got.position < got.reorder_point);
            if let Some(cap) = got.shelf_life_cap {
                prop_assert!(qty <= cap.decimal());
            }
        }
    }
}
