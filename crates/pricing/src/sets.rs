//! Sets of whole units, formed from the dearest unit down.
//!
//! Nothing counts unit by unit: a line may hold a billion of them.

use std::cmp::Reverse;

use crate::paise::mul_div;

/// Like units of one position: `units` of the `qty` (in thousandths) that are worth `net` paise together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The position.
    pub position: usize,
    /// Whole units that may be counted.
    pub units: i128,
    /// What is left of the position, in paise.
    pub net: i128,
    /// Its quantity in thousandths.
    pub qty: i128,
}

impl Run {
    /// What `units` of it are worth, in paise.
    pub fn worth(&self, units: i128) -> i128 {
        mul_div(self.net, units.saturating_mul(1000), self.qty)
    }
}

/// What a promotion does to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The position.
    pub position: usize,
    /// Paise off.
    pub off: i128,
    /// Units that count for a set.
    pub counted: i128,
}

/// The dearest first; equals in the order of their positions.
pub(crate) fn dearest_first(mut runs: Vec<Run>) -> Vec<Run> {
    runs.retain(|run| run.units > 0 && run.qty > 0);
    // a.net / a.qty > b.net / b.qty, without dividing.
    runs.sort_by(|a, b| {
        let (left, right) = (a.net.saturating_mul(b.qty), b.net.saturating_mul(a.qty));
        Reverse(left)
            .cmp(&Reverse(right))
            .then(a.position.cmp(&b.position))
    });
    runs
}

/// Units there are.
pub(crate) fn units(runs: &[Run]) -> i128 {
    runs.iter().map(|run| run.units).sum()
}

/// In each of `sets` sets of `size` units, the cheapest `reduced` lose `percent` thousandths of a per cent.
pub(crate) fn reduce(
    runs: &[Run],
    sets: i128,
    size: i128,
    reduced: i128,
    percent: i128,
) -> Vec<Cut> {
    let end = sets * size;
    // Reduced units among the first `place` ones.
    let before = |place: i128| {
        let place = place.min(end);
        (place / size) * reduced + (place % size - (size - reduced)).max(0)
    };
    let mut cuts = Vec::new();
    let mut place = 0;
    for run in runs {
        let next = place + run.units;
        let free = before(next) - before(place);
        let counted = next.min(end) - place.min(end);
        if counted > 0 {
            cuts.push(Cut {
                position: run.position,
                off: mul_div(run.worth(free), percent, crate::paise::WHOLE),
                counted,
            });
        }
        place = next;
    }
    cuts
}

/// At most `sets` sets of `size` units for `price` paise each. A set that would cost more so is not made, nor any after.
pub(crate) fn price(runs: &[Run], sets: i128, size: i128, price: i128) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = runs
        .iter()
        .map(|run| Cut {
            position: run.position,
            off: 0,
            counted: 0,
        })
        .collect();
    let (mut at, mut taken, mut left) = (0, 0, sets);
    while left > 0 && at < runs.len() {
        let here = runs[at].units - taken;
        if here == 0 {
            (at, taken) = (at + 1, 0);
            continue;
        }
        // As many sets as lie within this run; else one that reaches into the next ones.
        let whole = (here / size).min(left);
        let made = whole.max(1);
        let mut parts: Vec<(usize, i128)> = Vec::new();
        let (mut wanted, mut from, mut used) = (made * size, at, taken);
        while wanted > 0 && from < runs.len() {
            let some = wanted.min(runs[from].units - used);
            parts.push((from, some));
            wanted -= some;
            (from, used) = if used + some == runs[from].units {
                (from + 1, 0)
            } else {
                (from, used + some)
            };
        }
        let values: Vec<i128> = parts
            .iter()
            .map(|(run, units)| runs[*run].worth(*units))
            .collect();
        let off = values.iter().sum::<i128>() - made.saturating_mul(price);
        if wanted > 0 || off <= 0 {
            break;
        }
        for ((run, units), share) in parts.iter().zip(split(off, &values)) {
            cuts[*run].off += share;
            cuts[*run].counted += units;
        }
        left -= made;
        (at, taken) = (from, used);
    }
    for (cut, run) in cuts.iter_mut().zip(runs) {
        // Each set is rounded by itself; together they take no more than there is.
        cut.off = cut.off.min(run.net);
    }
    cuts.retain(|cut| cut.counted > 0);
    cuts
}

/// `total` by `weights` that come to at least as much, by largest remainder, the earlier first among equals.
pub(crate) fn split(total: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let mut shares: Vec<i128> = weights.iter().map(|weight| total * weight / sum).collect();
    let left = total - shares.iter().sum::<i128>();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|place| Reverse(total * weights[*place] % sum));
    for place in by_remainder
        .into_iter()
        .take(usize::try_from(left).unwrap_or_default())
    {
        shares[place] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Units at prices in rupees.
    fn runs(of: &[(i128, i128)]) -> Vec<Run> {
        let run = |(position, (units, price)): (usize, &(i128, i128))| Run {
            position,
            units: *units,
            net: units * price * 100,
            qty: units * 1000,
        };
        dearest_first(of.iter().enumerate().map(run).collect())
    }
    fn off(cuts: &[Cut]) -> i128 {
        cuts.iter().map(|cut| cut.off).sum()
    }

    #[test]
    fn the_cheapest_of_each_set_is_free() {
        // 100 100 100 | 10 10 10: one of the dear ones and one of the cheap ones.
        let basket = runs(&[(3, 10), (3, 100)]);
        assert_eq!(off(&reduce(&basket, 2, 3, 1, 100_000)), 11_000);
        assert_eq!(off(&reduce(&basket, 1, 3, 1, 100_000)), 10_000);
        assert_eq!(off(&reduce(&basket, 2, 3, 1, 50_000)), 5_500);
    }

    #[test]
    fn sets_for_a_price_reach_over_lines() {
        // 100 100 | 60 60 60: (100 100 60), and two 60s are no set.
        let basket = runs(&[(2, 100), (3, 60)]);
        let cuts = price(&basket, 1, 3, 20_000);
        assert_eq!(off(&cuts), 6_000);
        assert_eq!(
            cuts.iter().map(|cut| cut.counted).collect::<Vec<_>>(),
            [2, 1]
        );
        // A set that would be dearer than its pieces is not made.
        assert!(price(&runs(&[(3, 60)]), 1, 3, 20_000).is_empty());
    }

    /// Counts unit by unit what the closed forms count by run.
    fn one_by_one(of: &[(i128, i128)]) -> Vec<i128> {
        let mut prices: Vec<i128> = of
            .iter()
            .flat_map(|(units, price)| vec![price * 100; usize::try_from(*units).unwrap()])
            .collect();
        prices.sort_unstable_by_key(|price| Reverse(*price));
        prices
    }

    proptest! {
        #[test]
        fn runs_count_as_units_do(
            of in prop::collection::vec((1i128..8, 1i128..50), 1..6),
            size in 1i128..6,
            reduced in 1i128..6,
            set_price in 1i128..150,
        ) {
            let (basket, each) = (runs(&of), one_by_one(&of));
            let sets = units(&basket) / size;
            let chunk = usize::try_from(size).unwrap();
            if reduced <= size {
                let free: i128 = each
                    .chunks_exact(chunk)
                    .map(|set| set.iter().rev().take(usize::try_from(reduced).unwrap()).sum::<i128>())
                    .sum();
                prop_assert_eq!(off(&reduce(&basket, sets, size, reduced, 100_000)), free);
            }
            let saved: i128 = each
                .chunks_exact(chunk)
                .map(|set| (set.iter().sum::<i128>() - set_price * 100).max(0))
                .sum();
            prop_assert_eq!(off(&price(&basket, sets, size, set_price * 100)), saved);
        }
    }
}
