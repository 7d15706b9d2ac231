//! How the goods of a product are valued, and how what is on hand gets another value. Pure.
//!
//! * First in, first out: every receipt is a layer of its own.
//! * Moving average: a balance (location, product, batch, status) has one layer, into which receipts merge. The scope
//!   is the balance and not the product: a receipt in one town must not wait for the tills of another.
//! * Standard: one layer too, worth quantity × standard cost as nearly as paise allow after every receipt, issue or
//!   return; what was paid beyond it is a variance and never stock.
//! * A layer is worth nothing exactly when it is empty: what rounding left over goes out with the last unit.

use bahi_types::{Money, MovementId, Price, ProductId, Quantity};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::{
    Cost, Draft, Key, Kind, Known, Layer, Layers, Lot, Movement, Source, share, unit_cost, worth,
};

/// How the goods of a product are valued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Costing {
    /// First in, first out.
    #[default]
    Fifo,
    /// Moving average.
    Average,
    /// At this cost of one unit.
    Standard(Price),
}

/// The name of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// First in, first out.
    Fifo,
    /// Moving average.
    Average,
    /// Standard cost.
    Standard,
}

impl Method {
    /// As the database and events write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Average => "average",
            Self::Standard => "standard",
        }
    }
}

impl Costing {
    /// From the database; what has no row is valued first in, first out.
    pub fn from_row(method: Option<&str>, standard: Option<Price>) -> Self {
        match (method, standard) {
            (Some("average"), _) => Self::Average,
            (Some("standard"), Some(unit)) => Self::Standard(unit),
            _ => Self::Fifo,
        }
    }

    /// Its method.
    pub const fn method(self) -> Method {
        match self {
            Self::Fifo => Method::Fifo,
            Self::Average => Method::Average,
            Self::Standard(_) => Method::Standard,
        }
    }

    /// The standard cost of one unit.
    pub const fn standard(self) -> Option<Price> {
        match self {
            Self::Standard(unit) => Some(unit),
            Self::Fifo | Self::Average => None,
        }
    }

    /// A balance has one layer.
    pub(super) const fn merged(self) -> bool {
        !matches!(self, Self::Fifo)
    }
}

/// What `qty` more is worth at standard beside what a balance holds: never less than nothing. `None` when no shop has
/// that much money.
pub(super) fn standard_in(
    (held, value): (Quantity, Money),
    qty: Quantity,
    unit: Price,
) -> Option<Money> {
    let more = worth(held + qty, unit)? - value;
    Some(if more.is_negative() {
        Money::ZERO
    } else {
        more
    })
}

/// What goes out of a balance worth `value` when `rest` stays: between nothing and all of it.
pub(super) fn standard_out(value: Money, rest: Quantity, unit: Price) -> Option<Money> {
    let out = value - worth(rest, unit)?;
    Some(if out.is_negative() {
        Money::ZERO
    } else {
        out.min(value)
    })
}

/// Another value for goods on hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Every unit is worth this now.
    UnitCost(Price),
    /// The product is valued in this way from now on.
    Costing(Costing),
    /// `value` more for the `qty` of goods that lie behind `behind` of later ones.
    Raise {
        /// Quantity that came in later and is still there.
        behind: Quantity,
        /// Quantity that is raised.
        qty: Quantity,
        /// By how much, all of it together.
        value: Money,
    },
}

impl Movement {
    /// The movement of a change of value; none for one that changes nothing.
    pub fn revaluing(
        source: Source,
        allocation_no: i32,
        key: Key,
        delta: Money,
        reason: Option<String>,
        occurred_at: DateTime<Utc>,
    ) -> Option<Self> {
        let draft = Draft {
            kind: Kind::Revalue,
            source,
            key,
            origin: Uuid::nil(),
            qty: Quantity::ZERO,
            cost: Cost::Known(delta, Price::ZERO),
            reason,
            occurred_at,
            serials: Vec::new(),
            said: Vec::new(),
        };
        (!delta.is_zero()).then(|| Self {
            numbered: false,
            id: MovementId::new(),
            draft,
            allocation_no,
            value: delta,
            variance: Money::ZERO,
            known: Known::default(),
        })
    }
}

impl Layer {
    /// Merges goods in.
    pub(super) fn grow(&mut self, qty: Quantity, value: Money) {
        self.qty += qty;
        self.value += value;
        self.unit_cost = unit_cost(self.value, self.qty);
        self.dirty = true;
    }
}

impl Layers {
    /// Sets how a product is valued.
    pub fn set_costing(&mut self, product: ProductId, costing: Costing) {
        self.costing.insert(product, costing);
    }

    pub(super) fn costing_of(&self, lot: Lot) -> Costing {
        self.costing
            .get(&lot.0.product)
            .copied()
            .unwrap_or_default()
    }

    /// What is loaded of a lot.
    pub fn held(&self, lot: Lot) -> (Quantity, Money) {
        let layers = self.open.get(&lot).into_iter().flatten();
        layers.fold((Quantity::ZERO, Money::ZERO), |(qty, value), layer| {
            (qty + layer.qty, value + layer.value)
        })
    }

    /// Gives the goods of a lot, all of whose layers are loaded, another value, and says by how much it changed;
    /// `None` when it makes more money than any shop has.
    pub fn revalue(&mut self, lot: Lot, change: Change) -> Option<Money> {
        let before = self.held(lot).1;
        match change {
            Change::UnitCost(unit) => self.price(lot, unit)?,
            Change::Costing(costing) => {
                self.set_costing(lot.0.product, costing);
                if costing.merged() {
                    self.merge(lot);
                }
                if let Costing::Standard(unit) = costing {
                    self.price(lot, unit)?;
                }
            }
            Change::Raise { behind, qty, value } => self.raise(lot, behind, qty, value),
        }
        Some(self.held(lot).1 - before)
    }

    /// Cumulative products, so that the layers together are worth quantity × unit rounded once.
    fn price(&mut self, lot: Lot, unit: Price) -> Option<()> {
        let (mut qty, mut value) = (Quantity::ZERO, Money::ZERO);
        for layer in self.open.entry(lot).or_default() {
            qty += layer.qty;
            let due = worth(qty, unit)?;
            layer.value = due - value;
            layer.unit_cost = unit;
            layer.dirty = true;
            value = due;
        }
        Some(())
    }

    fn merge(&mut self, lot: Lot) {
        let layers = self.open.entry(lot).or_default();
        let rest: Vec<Layer> = layers.drain(1.min(layers.len())..).collect();
        let Some(first) = layers.front_mut() else {
            return;
        };
        for layer in rest {
            first.grow(layer.qty, layer.value);
            if !layer.fresh {
                self.spent.push(layer.id);
            }
        }
    }

    fn raise(&mut self, lot: Lot, behind: Quantity, qty: Quantity, value: Money) {
        let end = behind + qty;
        let (mut at, mut done, mut given) = (Quantity::ZERO, Quantity::ZERO, Money::ZERO);
        for layer in self.open.entry(lot).or_default().iter_mut().rev() {
            let from = if at < behind { behind } else { at };
            at += layer.qty;
            let to = at.min(end);
            if to <= from {
                continue;
            }
            done += to - from;
            let due = share(value, done, qty);
            layer.grow(Quantity::ZERO, due - given);
            given = due;
        }
    }
}

#[cfg(test)]
mod tests {
    use bahi_types::LocationId;

    use super::*;
    use crate::ledger::{NO_BATCH, value};

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }
    fn m(text: &str) -> Money {
        text.parse().unwrap()
    }
    fn p(text: &str) -> Price {
        text.parse().unwrap()
    }
    fn key() -> Key {
        let place = (
            LocationId::from_uuid(Uuid::from_u128(1)),
            ProductId::from_uuid(Uuid::from_u128(2)),
        );
        Key::sellable(place, NO_BATCH)
    }
    fn lot() -> Lot {
        (key(), Uuid::nil())
    }
    fn moved(layers: &mut Layers, qty: &str, cost: Cost) -> (Money, Money) {
        let source = Source {
            kind: "receipt",
            id: Uuid::from_u128(9),
            line: 1,
            purpose: "receipt",
        };
        let draft = Draft {
            kind: Kind::Receipt,
            source,
            key: key(),
            origin: Uuid::nil(),
            qty: q(qty),
            cost,
            reason: None,
            occurred_at: DateTime::UNIX_EPOCH,
            serials: Vec::new(),
            said: Vec::new(),
        };
        let movement = value(vec![draft], layers).unwrap().remove(0);
        (movement.value, movement.variance)
    }
    fn bought(layers: &mut Layers, qty: &str, unit: &str) -> (Money, Money) {
        let paid = worth(q(qty), p(unit)).unwrap();
        moved(layers, qty, Cost::Known(paid, p(unit)))
    }
    fn sold(layers: &mut Layers, qty: &str) -> Money {
        -moved(layers, &format!("-{qty}"), Cost::Fifo).0
    }
    fn of(costing: Costing) -> Layers {
        let mut layers = Layers::default();
        layers.set_costing(key().product, costing);
        layers
    }

    #[test]
    fn a_moving_average_follows_the_published_steps() {
        let mut layers = of(Costing::Average);
        bought(&mut layers, "8", "10");
        bought(&mut layers, "4", "16");
        assert_eq!(layers.held(lot()), (q("12"), m("144")));
        assert_eq!(sold(&mut layers, "10"), m("120"));
        assert_eq!(layers.held(lot()), (q("2"), m("24")));
        bought(&mut layers, "2", "6");
        assert_eq!(layers.held(lot()), (q("4"), m("36")));
        assert_eq!(layers.open().count(), 1);
        assert_eq!(layers.open().next().unwrap().1.unit_cost, p("9"));
    }

    #[test]
    fn a_standard_keeps_what_was_paid_beyond_it_apart() {
        let mut layers = of(Costing::Standard(p("3.3333")));
        // Each alone would be 3.33; together they are 10.00, and no paisa drifts away.
        let ins: Vec<_> = (0..3).map(|_| bought(&mut layers, "1", "4")).collect();
        assert_eq!(
            ins,
            [
                (m("3.33"), m("0.67")),
                (m("3.34"), m("0.66")),
                (m("3.33"), m("0.67"))
            ]
        );
        assert_eq!(layers.held(lot()), (q("3"), m("10.00")));
        assert_eq!(sold(&mut layers, "2"), m("6.67"));
        assert_eq!(sold(&mut layers, "1"), m("3.33"));
        assert_eq!(layers.held(lot()), (Quantity::ZERO, Money::ZERO));
    }

    #[test]
    fn a_new_unit_cost_leaves_no_paisa_between_the_layers() {
        let mut layers = of(Costing::Fifo);
        for _ in 0..3 {
            bought(&mut layers, "1", "1");
        }
        assert_eq!(
            layers.revalue(lot(), Change::UnitCost(p("0.3333"))),
            Some(m("-2.00"))
        );
        let values: Vec<_> = layers.open().map(|(_, l)| l.value.to_string()).collect();
        assert_eq!(values, ["0.33", "0.34", "0.33"]);
    }

    #[test]
    fn a_change_of_method_merges_the_layers_and_keeps_their_value() {
        let mut layers = of(Costing::Fifo);
        bought(&mut layers, "8", "10");
        bought(&mut layers, "4", "16");
        let delta = layers.revalue(lot(), Change::Costing(Costing::Average));
        assert_eq!(delta, Some(Money::ZERO));
        assert_eq!(layers.open().count(), 1);
        let delta = layers.revalue(lot(), Change::Costing(Costing::Standard(p("15"))));
        assert_eq!(delta, Some(m("36")));
        assert_eq!(layers.held(lot()), (q("12"), m("180")));
    }

    #[test]
    fn a_late_cost_raises_the_goods_it_belongs_to_and_no_others() {
        let mut layers = of(Costing::Fifo);
        for unit in ["1", "2", "3"] {
            bought(&mut layers, "10", unit);
        }
        sold(&mut layers, "4");
        // Of the first receipt six are left, behind twenty later ones.
        let raise = Change::Raise {
            behind: q("20"),
            qty: q("6"),
            value: m("0.07"),
        };
        assert_eq!(layers.revalue(lot(), raise), Some(m("0.07")));
        let values: Vec<_> = layers.open().map(|(_, l)| l.value.to_string()).collect();
        assert_eq!(values, ["6.07", "20.00", "30.00"]);
    }
}
