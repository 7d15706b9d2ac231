//! The arithmetic of kits.

use std::collections::{BTreeMap, BTreeSet};

use bahi_http::Fault;
use bahi_types::{BatchId, ProductId, Quantity};
use rust_decimal::Decimal;

use crate::{
    copy::store::ComponentRow,
    reservation::{Ask, HoldLine},
};

/// Most places that a demand may come to when its kits are taken apart.
const MOST: usize = 5_000;

/// What one of a kit consists of.
pub(crate) type Recipe = BTreeMap<ProductId, Quantity>;

/// Which products are kits, and of what one of each consists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kits(BTreeMap<ProductId, Recipe>);

/// A line of a sale that was of kits.
#[derive(Clone, Debug)]
pub(crate) struct Sold {
    /// Line.
    pub line: i32,
    /// The kit.
    pub kit: ProductId,
    /// How many.
    pub qty: Quantity,
    /// Of what one consisted.
    pub of: Recipe,
}

/// A line of a hold that stands for kits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Line.
    pub line: i32,
    /// The kit.
    pub kit: ProductId,
    /// How many, a whole number.
    pub qty: Quantity,
}

impl Kits {
    /// From the copies of products.
    pub(crate) fn new(rows: Vec<ComponentRow>) -> Self {
        let mut kits = BTreeMap::<ProductId, Recipe>::new();
        for row in rows.into_iter().filter(|row| row.qty.is_positive()) {
            *kits
                .entry(row.kit)
                .or_default()
                .entry(row.component)
                .or_default() += row.qty;
        }
        Self(kits)
    }

    /// One kit alone.
    #[cfg(test)]
    pub(crate) fn of(kit: ProductId, of: Recipe) -> Self {
        Self(BTreeMap::from([(kit, of)]))
    }

    /// One kit more.
    pub(super) fn add(&mut self, kit: ProductId, of: Recipe) {
        self.0.insert(kit, of);
    }

    /// What one of a kit consists of; none for what is no kit.
    pub(crate) fn components(&self, product: ProductId) -> Option<&Recipe> {
        self.0.get(&product)
    }

    /// Every component of every kit.
    pub(crate) fn all(&self) -> BTreeSet<ProductId> {
        self.0.values().flat_map(BTreeMap::keys).copied().collect()
    }

    /// How many whole kits the components make, given how much there is of each.
    pub(crate) fn made_of(
        components: &Recipe,
        there_is: impl Fn(ProductId) -> Quantity,
    ) -> Quantity {
        let counts = components.iter().map(|(component, qty)| {
            let whole = there_is(*component)
                .decimal()
                .checked_div(qty.decimal())
                .unwrap_or_default()
                .floor();
            Quantity::rounded(whole)
        });
        counts.min().unwrap_or_default()
    }
}

/// The demand with its kits taken apart: each line as lines of the same number for its components.
///
/// # Errors
/// A number of kits that is not whole, or more than can be counted.
pub(crate) fn demand(lines: &[Ask], kits: &Kits) -> Result<(Vec<Ask>, Vec<Part>), Fault> {
    let (mut asks, mut parts) = (Vec::with_capacity(lines.len()), Vec::new());
    for ask in lines {
        let field = || format!("lines[{}].qty", ask.line - 1);
        let Some(components) = kits.components(ask.product) else {
            asks.push(*ask);
            continue;
        };
        if ask.qty.decimal() != ask.qty.decimal().trunc() {
            return Err(Fault::field(field(), "must be a whole number of kits"));
        }
        for (component, qty) in components {
            let whole = times(*qty, ask.qty.decimal())
                .ok_or_else(|| Fault::field(field(), "is more than can be counted"))?;
            asks.push(Ask {
                line: ask.line,
                product: *component,
                qty: whole,
            });
        }
        parts.push(Part {
            line: ask.line,
            kit: ask.product,
            qty: ask.qty,
        });
        if asks.len() > MOST {
            return Err(Fault::field(
                "lines",
                format!("come to more than {MOST} components"),
            ));
        }
    }
    Ok((asks, parts))
}

/// What so many kits consist of, by component; none where that is more than can be counted.
pub(crate) fn taken_apart(qty: Quantity, of: &Recipe) -> Option<Vec<(ProductId, Quantity)>> {
    let part = |(component, one): (&ProductId, &Quantity)| {
        let exact = one.decimal().checked_mul(qty.decimal())?;
        let part = Quantity::try_new(Quantity::rounded(exact).decimal()).ok()?;
        Some((*component, part))
    };
    let parts: Option<Vec<_>> = of.iter().map(part).collect();
    Some(
        parts?
            .into_iter()
            .filter(|part| part.1.is_positive())
            .collect(),
    )
}

/// What of one component of a line belongs to `wanted` of its `held` kits; none where that is no whole number of kits,
/// or more than there are.
pub(crate) fn in_whole_kits(
    component: Quantity,
    held: Quantity,
    wanted: Quantity,
) -> Option<Quantity> {
    if wanted > held || wanted.decimal() != wanted.decimal().trunc() {
        return None;
    }
    let one = component.decimal().checked_div(held.decimal())?;
    times(Quantity::rounded(one), wanted.decimal())
}

/// What lines that stand for kits still stand for once `wanted` of them are delivered; all of them, where nothing is
/// said. Lines of which nothing is delivered are left out.
pub(crate) fn undelivered(kits: &[Part], wanted: Option<&BTreeMap<i32, Quantity>>) -> Vec<Part> {
    kits.iter()
        .filter_map(|part| {
            let delivered = match wanted {
                Some(wanted) => *wanted.get(&part.line)?,
                None => part.qty,
            };
            let qty = part.qty - delivered;
            Some(Part { qty, ..*part })
        })
        .collect()
}

/// What a hold loses with the goods of a batch: those, and where they are of kits, the other components of the kits
/// that are whole no more. How much by line of the hold, and what the lines concerned stand for afterwards.
pub(crate) fn loss(
    lines: &[HoldLine],
    kits: &[Part],
    batch: BatchId,
) -> (Vec<Quantity>, Vec<Part>) {
    let of_batch = |l: &HoldLine| {
        if l.batch == batch {
            l.qty
        } else {
            Quantity::ZERO
        }
    };
    loss_with(lines, kits, lines.iter().map(of_batch).collect())
}

/// As [`loss`], for goods that are `lost` of each line.
pub(crate) fn loss_with(
    lines: &[HoldLine],
    kits: &[Part],
    mut lost: Vec<Quantity>,
) -> (Vec<Quantity>, Vec<Part>) {
    let mut left = Vec::new();
    for part in kits {
        // What one kit consists of, and what is left of each component.
        let mut held: BTreeMap<ProductId, (Quantity, Quantity)> = BTreeMap::new();
        for (line, gone) in lines.iter().zip(&lost).filter(|(l, _)| l.line == part.line) {
            let sum = held.entry(line.product).or_default();
            *sum = (sum.0 + line.qty, sum.1 + (line.qty - *gone));
        }
        if held.values().all(|(all, rest)| all == rest) {
            continue;
        }
        let one = |all: Quantity| {
            let one = all.decimal().checked_div(part.qty.decimal());
            Quantity::rounded(one.unwrap_or_default())
        };
        let components: Recipe = held
            .iter()
            .map(|(product, (all, _))| (*product, one(*all)))
            .filter(|(_, one)| one.is_positive())
            .collect();
        let whole = Kits::made_of(&components, |p| {
            held.get(&p).map_or(Quantity::ZERO, |h| h.1)
        });
        for (product, (_, rest)) in &held {
            let one = components.get(product).copied().unwrap_or_default();
            let mut more = *rest - times(one, whole.decimal()).unwrap_or(*rest);
            // What was taken last is given back first.
            let own = lines.iter().zip(&mut lost).rev();
            for (line, gone) in own.filter(|(l, _)| l.line == part.line && l.product == *product) {
                let back = (line.qty - *gone).min(more);
                *gone += back;
                more -= back;
            }
        }
        left.push(Part {
            qty: whole,
            ..*part
        });
    }
    (lost, left)
}

fn times(qty: Quantity, count: Decimal) -> Option<Quantity> {
    Quantity::try_new(qty.decimal().checked_mul(count)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::NO_BATCH;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    fn kits(kit: ProductId, of: &[(ProductId, &str)]) -> Kits {
        let row = |(component, qty): &(ProductId, &str)| ComponentRow {
            kit,
            component: *component,
            qty: q(qty),
        };
        Kits::new(of.iter().map(row).collect())
    }

    #[test]
    fn the_scarcest_component_decides_in_whole_kits() {
        let (kit, soap, towel) = (ProductId::new(), ProductId::new(), ProductId::new());
        let kits = kits(kit, &[(soap, "3"), (towel, "0.5")]);
        let of = |soaps: &str, towels: &str| {
            let there_is = |p: ProductId| if p == soap { q(soaps) } else { q(towels) };
            Kits::made_of(kits.components(kit).unwrap(), there_is)
        };
        assert_eq!(of("10", "100"), q("3"));
        assert_eq!(of("2.999", "100"), q("0"));
        assert_eq!(of("30", "1.2"), q("2"));
    }

    #[test]
    fn a_component_named_twice_counts_twice() {
        let (kit, soap) = (ProductId::new(), ProductId::new());
        let kits = kits(kit, &[(soap, "2"), (soap, "1")]);
        assert_eq!(kits.components(kit).unwrap()[&soap], q("3"));
        assert_eq!(
            Kits::made_of(kits.components(kit).unwrap(), |_| q("5")),
            q("1")
        );
    }

    #[test]
    fn kits_are_taken_apart_under_their_line() {
        let (kit, soap, towel) = (ProductId::new(), ProductId::new(), ProductId::new());
        let kits = kits(kit, &[(soap, "3"), (towel, "0.5")]);
        let ask = |line, product, qty: &str| Ask {
            line,
            product,
            qty: q(qty),
        };
        let (asks, parts) = demand(&[ask(1, soap, "1.5"), ask(2, kit, "4")], &kits).unwrap();
        let mut of_the_kit = [ask(2, soap, "12"), ask(2, towel, "2")];
        of_the_kit.sort_by_key(|ask| ask.product);
        assert_eq!(asks[0], ask(1, soap, "1.5"));
        assert_eq!(asks[1..], of_the_kit[..]);
        assert_eq!(
            parts,
            [Part {
                line: 2,
                kit,
                qty: q("4")
            }]
        );
        assert!(demand(&[ask(1, kit, "1.5")], &kits).is_err(), "half a kit");
        assert!(
            demand(&[ask(1, kit, "999999999999999")], &kits).is_err(),
            "too many to count"
        );
    }

    #[test]
    fn of_a_fact_half_a_kit_is_half_of_its_components() {
        let (soap, towel) = (ProductId::new(), ProductId::new());
        let of = Recipe::from([(soap, q("3")), (towel, q("0.001"))]);
        let parts = |qty: &str| taken_apart(q(qty), &of).map(Recipe::from_iter);
        let both = [(soap, q("6")), (towel, q("0.002"))];
        assert_eq!(parts("2"), Some(Recipe::from(both)));
        assert_eq!(parts("0.1"), Some(Recipe::from([(soap, q("0.3"))])));
        assert_eq!(parts("999999999999999"), None);
    }

    #[test]
    fn a_part_of_a_line_is_issued_in_whole_kits() {
        assert_eq!(in_whole_kits(q("12"), q("4"), q("3")), Some(q("9")));
        assert_eq!(in_whole_kits(q("2"), q("4"), q("3")), Some(q("1.5")));
        assert_eq!(in_whole_kits(q("12"), q("4"), q("0")), Some(q("0")));
        assert_eq!(in_whole_kits(q("12"), q("4"), q("5")), None);
        assert_eq!(in_whole_kits(q("12"), q("4"), q("0.5")), None);
    }

    #[test]
    fn kits_that_lose_a_component_give_the_others_back() {
        let (kit, soap, towel) = (ProductId::new(), ProductId::new(), ProductId::new());
        let (old, new) = (BatchId::new(), BatchId::new());
        let line = |n, allocation_no, product, batch, qty: &str| HoldLine {
            line: n,
            allocation_no,
            product,
            batch,
            qty: q(qty),
        };
        // Four kits of three soaps and half a towel, and soap by itself.
        let lines = [
            line(1, 0, soap, old, "5"),
            line(1, 1, soap, new, "7"),
            line(1, 2, towel, NO_BATCH, "2"),
            line(2, 0, soap, old, "1"),
        ];
        let part = |qty: &str| Part {
            line: 1,
            kit,
            qty: q(qty),
        };
        let qs = |all: [&str; 4]| all.map(q).to_vec();
        assert_eq!(
            loss(&lines, &[part("4")], old),
            (qs(["5", "1", "1", "1"]), vec![part("2")]),
            "seven soaps are two kits"
        );
        assert_eq!(
            loss(&lines, &[part("4")], new),
            (qs(["2", "7", "1.5", "0"]), vec![part("1")])
        );
        assert_eq!(loss(&lines, &[part("4")], BatchId::new()).1, []);
    }

    #[test]
    fn what_is_delivered_of_kits_is_stood_for_no_more() {
        let part = |line, qty: &str| Part {
            line,
            kit: ProductId::from_uuid(uuid::Uuid::nil()),
            qty: q(qty),
        };
        let kits = [part(1, "4"), part(3, "2")];
        let some = BTreeMap::from([(1, q("3")), (2, q("1"))]);
        assert_eq!(undelivered(&kits, Some(&some)), [part(1, "1")]);
        assert_eq!(undelivered(&kits, None), [part(1, "0"), part(3, "0")]);
    }
}
