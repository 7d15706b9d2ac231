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
#[derive(Clone, Debug)]
pub struct Since {
    /// What lay there before it.
    pub before: Quantity,
    /// What came in and went out after it, in order.
    pub stretches: Vec<Stretch>,
}

/// A time in which goods went out of a balance in the order they came, and what ended it: goods taken from the midst.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// What came in.
    pub came: Quantity,
    /// What went out.
    pub went: Quantity,
    /// How many lay behind the goods that were taken from the midst.
    pub behind: Quantity,
    /// How many were taken; zero for the last stretch.
    pub plucked: Quantity,
}

impl Stretch {
    /// How many of the goods behind which `behind` lie, `len` of them, were taken from the midst.
    fn takes(&self, behind: Quantity, len: Quantity) -> Quantity {
        let from = if behind < self.behind {
            self.behind
        } else {
            behind
        };
        let taken = (behind + len).min(self.behind + self.plucked) - from;
        if taken.is_negative() {
            Quantity::ZERO
        } else {
            taken
        }
    }
}

/// What has become of a slice, goods leaving in the order they came unless they were taken from the midst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Still there.
    pub left: Quantity,
    /// Behind so many that came later.
    pub behind: Quantity,
    /// What went out of it, counted in all that went out since in the order it came: from, to.
    pub gone: (Quantity, Quantity),
}

/// Where a slice is now.
pub fn fate(slice: Slice, since: Since) -> Fate {
    let (mut ahead, mut left) = (since.before + slice.off, slice.len);
    let mut behind = slice.arrived - slice.off - slice.len;
    let (mut out, mut from, mut gone) = (Quantity::ZERO, None, Quantity::ZERO);
    for stretch in &since.stretches {
        let passed = ahead.min(stretch.went);
        let taken = left.min(stretch.went - passed);
        if taken.is_positive() {
            // Nothing is ahead from here on: what goes out of it later follows without a gap.
            from = from.or(Some(out + passed));
            gone += taken;
        }
        ahead -= passed;
        left -= taken;
        behind += stretch.came - (stretch.went - passed - taken);
        out += stretch.went;
        let (a, b) = (
            stretch.takes(behind + left, ahead),
            stretch.takes(behind, left),
        );
        behind -= stretch.takes(Quantity::ZERO, behind);
        left -= b;
        ahead -= a;
    }
    let from = from.unwrap_or(out);
    Fate {
        left,
        behind,
        gone: (from, from + gone),
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
            stretches: vec![Stretch {
                came: q("4"),
                went: q(went),
                ..Stretch::default()
            }],
        };
        let now = fate(slice, since("8"));
        assert_eq!(
            (now.left, now.behind, now.gone),
            (q("7"), q("4"), (q("5"), q("8")))
        );
        let now = fate(slice, since("3"));
        assert_eq!((now.left, now.gone), (q("10"), (q("3"), q("3"))));
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
    fn goods_taken_from_the_midst_are_gone_and_no_others() {
        // Five lay there, ten came. Then four came, and six of the ten were taken from the midst; eight went out.
        let slice = Slice {
            arrived: q("10"),
            off: q("0"),
            len: q("10"),
        };
        let midst = Stretch {
            came: q("4"),
            behind: q("6"),
            plucked: q("6"),
            ..Stretch::default()
        };
        let later = Stretch {
            went: q("8"),
            ..Stretch::default()
        };
        let since = |stretches| Since {
            before: q("5"),
            stretches,
        };
        let now = fate(slice, since(vec![midst, later]));
        assert_eq!(
            (now.left, now.behind, now.gone),
            (q("1"), q("4"), (q("5"), q("8")))
        );
        // The four that came later, of which one was taken as well.
        let last = Slice {
            arrived: q("4"),
            off: q("0"),
            len: q("4"),
        };
        let taken = Stretch {
            behind: q("3"),
            plucked: q("2"),
            ..Stretch::default()
        };
        let since = Since {
            before: q("15"),
            stretches: vec![taken, later],
        };
        let now = fate(last, since);
        assert_eq!((now.left, now.behind), (q("3"), q("0")));
        assert_eq!(now.gone.0, now.gone.1);
    }

    proptest! {
        /// Against goods that are kept one by one.
        #[test]
        fn a_slice_is_found_as_if_every_piece_had_a_name(
            before in 0i64..8, arrived in 1i64..8, off in 0i64..8, len in 1i64..8,
            steps in prop::collection::vec((0u8..3, 0i64..12, 1i64..6), 0..12),
        ) {
            let (off, len) = (off.min(arrived - 1), len);
            let len = len.min(arrived - off);
            let mine = |n: i64| n >= before + off && n < before + off + len;
            let mut pieces: Vec<i64> = (0..before + arrived).collect();
            let (mut next, mut out) = (before + arrived, Vec::new());
            let mut stretches = vec![Stretch::default()];
            for (what, at, qty) in steps {
                let there = pieces.len() as i64;
                let now = stretches.last_mut().unwrap();
                match what {
                    0 => {
                        pieces.extend(next..next + qty);
                        next += qty;
                        now.came += Quantity::from(qty);
                    }
                    1 => {
                        let went = qty.min(there);
                        out.extend(pieces.drain(..went as usize));
                        now.went += Quantity::from(went);
                    }
                    _ => {
                        let taken = qty.min(there);
                        let behind = at.min(there - taken);
                        let from = (there - behind - taken) as usize;
                        pieces.drain(from..from + taken as usize);
                        (now.behind, now.plucked) = (Quantity::from(behind), Quantity::from(taken));
                        stretches.push(Stretch::default());
                    }
                }
            }
            let slice = Slice {
                arrived: Quantity::from(arrived),
                off: Quantity::from(off),
                len: Quantity::from(len),
            };
            let now = fate(slice, Since { before: Quantity::from(before), stretches });
            let left = pieces.iter().filter(|n| mine(**n)).count() as i64;
            prop_assert_eq!(now.left, Quantity::from(left));
            if left > 0 {
                let behind = pieces.iter().rev().take_while(|n| !mine(**n)).count() as i64;
                prop_assert_eq!(now.behind, Quantity::from(behind));
            }
            let gone: Vec<i64> = (0..out.len() as i64).filter(|n| mine(out[*n as usize])).collect();
            prop_assert_eq!(now.gone.1 - now.gone.0, Quantity::from(gone.len() as i64));
            if let Some(first) = gone.first() {
                prop_assert_eq!(now.gone.0, Quantity::from(*first));
            }
        }
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
