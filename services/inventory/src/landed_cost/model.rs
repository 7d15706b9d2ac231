//! How a late cost is spread, and which goods of a balance are those of a receipt. Pure.

use bahi_types::{Money, Quantity};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::ledger::share;

/// What an amount is spread by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The value they came in at.
    Value,
    /// Their quantity.
    Quantity,
    /// Their weight, which the request states.
    Weight,
}

impl Basis {
    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Quantity => "quantity",
            Self::Weight => "weight",
        }
    }
}

/// `value` in units of 10^-`scale`.
fn units(value: Decimal, scale: u32) -> i128 {
    let mut value = value;
    value.rescale(scale);
    value.mantissa()
}

/// Spreads `amount` by weights of at most three decimals, none negative: each share rounded down to the paisa, what is
/// left one paisa each to the largest remainders, the earlier line first. `None` when there is no weight.
pub fn spread(amount: Money, weights: &[Decimal]) -> Option<Vec<Money>> {
    let paise = units(amount.decimal(), 2);
    let weights: Vec<i128> = weights.iter().map(|w| units(*w, 3)).collect();
    let total: i128 = weights.iter().sum();
    if total <= 0 {
        return None;
    }
    // Below 10^17 paise and 10^18 thousandths: far from the end of 128 bits.
    let mut shares: Vec<(i128, i128)> = weights
        .iter()
        .map(|w| (paise * w / total, paise * w % total))
        .collect();
    let left = paise - shares.iter().map(|s| s.0).sum::<i128>();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(shares[*n].1));
    for n in order.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[n].0 += 1;
    }
    let money = |paise: i128| Money::rounded(Decimal::from_i128_with_scale(paise, 2));
    Some(shares.into_iter().map(|(paise, _)| money(paise)).collect())
}

/// Goods that arrived in a balance with one movement: `len` of them, after the first `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Quantity of the movement.
    pub arrived: Quantity,
    /// Goods of it that are not ours, before ours.
    pub off: Quantity,
    /// Ours.
    pub len: Quantity,
}

/// What happened in a balance after a movement.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// What lay there before it.
    pub before: Quantity,
    /// What came in after it.
    pub came: Quantity,
    /// What went out after it.
    pub went: Quantity,
}

/// What has become of a slice, goods leaving in the order they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Still there.
    pub left: Quantity,
    /// Behind so many that came later.
    pub behind: Quantity,
    /// What went out of it, counted in all that went out since: from, to.
    pub gone: (Quantity, Quantity),
}

/// Where a slice is now.
pub fn fate(slice: Slice, since: Since) -> Fate {
    let start = since.before + slice.off;
    let end = start + slice.len;
    let gone_to = end.min(since.went);
    let left_from = if start < since.went {
        since.went
    } else {
        start
    };
    let left = end - left_from;
    Fate {
        left: if left.is_negative() {
            Quantity::ZERO
        } else {
            left
        },
        behind: slice.arrived - slice.off - slice.len + since.came,
        gone: (start, if gone_to < start { start } else { gone_to }),
    }
}

/// The values of parts of a line still on hand, and what is left for goods that are gone.
pub fn split(amount: Money, qty: Quantity, parts: &[Quantity]) -> (Vec<Money>, Money) {
    let (mut done, mut given, mut values) = (Quantity::ZERO, Money::ZERO, Vec::new());
    for part in parts {
        done += *part;
        let due = share(amount, done, qty);
        values.push(due - given);
        given = due;
    }
    (values, amount - given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }
    fn m(text: &str) -> Money {
        text.parse().unwrap()
    }
    fn d(n: i64) -> Decimal {
        Decimal::from(n)
    }

    #[test]
    fn the_largest_remainders_get_the_paise_that_are_left() {
        let shares = spread(m("100.00"), &[d(1), d(1), d(1)]).unwrap();
        assert_eq!(shares, [m("33.34"), m("33.33"), m("33.33")]);
        let shares = spread(m("0.05"), &[d(10), d(20), d(70)]).unwrap();
        assert_eq!(shares, [m("0.01"), m("0.01"), m("0.03")]);
        assert_eq!(spread(m("1"), &[d(0), d(0)]), None);
        let huge = Decimal::from(999_999_999_999_999i64);
        assert_eq!(spread(m("999999999999999.99"), &[huge]).unwrap().len(), 1);
    }

    #[test]
    fn goods_leave_in_the_order_they_came() {
        // Five lay there, ten came, four came after; eight went.
        let slice = Slice {
            arrived: q("10"),
            off: q("0"),
            len: q("10"),
        };
        let since = |went: &str| Since {
            before: q("5"),
            came: q("4"),
            went: q(went),
        };
        let now = fate(slice, since("8"));
        assert_eq!(
            (now.left, now.behind, now.gone),
            (q("7"), q("4"), (q("5"), q("8")))
        );
        let now = fate(slice, since("3"));
        assert_eq!((now.left, now.gone), (q("10"), (q("5"), q("5"))));
        let now = fate(slice, since("19"));
        assert_eq!((now.left, now.gone), (q("0"), (q("5"), q("15"))));
        // Of the same ten, three after the first two.
        let part = Slice {
            off: q("2"),
            len: q("3"),
            ..slice
        };
        let now = fate(part, since("8"));
        assert_eq!(
            (now.left, now.behind, now.gone),
            (q("2"), q("9"), (q("7"), q("8")))
        );
    }

    #[test]
    fn a_line_is_split_between_stock_and_goods_sold() {
        assert_eq!(
            split(m("120"), q("60"), &[q("20")]),
            (vec![m("40")], m("80"))
        );
        assert_eq!(
            split(m("0.10"), q("3"), &[q("1"), q("1")]),
            (vec![m("0.03"), m("0.04")], m("0.03"))
        );
        assert_eq!(split(m("5"), q("3"), &[]), (vec![], m("5")));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_spreading(
            paise in 1i64..10_000_000,
            weights in prop::collection::vec(0i64..1000, 1..20),
        ) {
            let amount = Money::try_new(Decimal::new(paise, 2)).unwrap();
            let weights: Vec<Decimal> = weights.into_iter().map(|w| Decimal::new(w, 3)).collect();
            if let Some(shares) = spread(amount, &weights) {
                prop_assert_eq!(shares.iter().copied().sum::<Money>(), amount);
                prop_assert!(shares.iter().all(|s| !s.is_negative()));
            }
        }
    }
}
