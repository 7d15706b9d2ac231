//! What a line of a revaluation asks for. Pure.

use bahi_types::{BatchId, LocationId, Price, ProductId, Quantity};

use crate::{
    Error,
    ledger::{Change, Costing, Item, Key, Method, Status},
};

/// A line to be posted.
#[derive(Clone, Debug)]
pub struct NewLine {
    /// Product.
    pub product: ProductId,
    /// Only there.
    pub location: Option<LocationId>,
    /// Only of it.
    pub batch: Option<BatchId>,
    /// Only in this state.
    pub status: Option<Status>,
    /// Cost of one unit from now on.
    pub unit_cost: Option<Price>,
    /// Method from now on.
    pub method: Option<Method>,
    /// Standard cost from now on.
    pub standard_cost: Option<Price>,
}

impl NewLine {
    /// The balance is one that the line is about.
    pub fn takes(&self, key: Key, item: &Item) -> bool {
        key.product == self.product
            && item.on_hand.is_positive()
            && key.status != Status::InTransit
            && self.location.is_none_or(|l| l == key.location)
            && self.batch.is_none_or(|b| b == key.batch)
            && self.status.is_none_or(|s| s == key.status)
    }

    /// What it changes, for a product valued as `now`. `n` counts the lines from 0.
    ///
    /// # Errors
    /// [`Error::StandardCosted`], [`Error::NotStandardCosted`].
    pub fn change(&self, n: usize, now: Costing) -> Result<Change, Error> {
        if let Some(unit) = self.unit_cost {
            return match now {
                Costing::Standard(_) => Err(Error::StandardCosted(n)),
                Costing::Fifo | Costing::Average => Ok(Change::UnitCost(unit)),
            };
        }
        let costing = match (self.method.unwrap_or(now.method()), self.standard_cost) {
            (Method::Standard, Some(unit)) => Costing::Standard(unit),
            (Method::Standard, None) => match now {
                Costing::Standard(unit) => Costing::Standard(unit),
                Costing::Fifo | Costing::Average => return Err(Error::NotStandardCosted(n)),
            },
            (_, Some(_)) => return Err(Error::NotStandardCosted(n)),
            (Method::Fifo, None) => Costing::Fifo,
            (Method::Average, None) => Costing::Average,
        };
        Ok(Change::Costing(costing))
    }
}

/// Something of the product is on its way.
pub fn under_way<'a>(
    items: impl IntoIterator<Item = (&'a Key, &'a Item)>,
    product: ProductId,
) -> bool {
    items.into_iter().any(|(key, item)| {
        key.product == product && key.status == Status::InTransit && item.on_hand > Quantity::ZERO
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(unit: Option<&str>, method: Option<Method>, standard: Option<&str>) -> NewLine {
        NewLine {
            product: ProductId::new(),
            location: None,
            batch: None,
            status: None,
            unit_cost: unit.map(|u| u.parse().unwrap()),
            method,
            standard_cost: standard.map(|u| u.parse().unwrap()),
        }
    }

    #[test]
    fn a_line_changes_the_cost_or_the_method_as_the_product_allows() {
        let five: Price = "5".parse().unwrap();
        let standard = Costing::Standard(five);
        let of = |line: NewLine, now| line.change(0, now).ok();
        for (asked, now, expected) in [
            (
                line(Some("5"), None, None),
                Costing::Fifo,
                Some(Change::UnitCost(five)),
            ),
            (line(Some("5"), None, None), standard, None),
            (line(None, None, Some("5")), Costing::Average, None),
            (
                line(None, None, Some("5")),
                Costing::Standard(Price::ZERO),
                Some(Change::Costing(standard)),
            ),
            (
                line(None, Some(Method::Standard), None),
                Costing::Fifo,
                None,
            ),
            (
                line(None, Some(Method::Standard), Some("5")),
                Costing::Fifo,
                Some(Change::Costing(standard)),
            ),
            (line(None, Some(Method::Fifo), Some("5")), standard, None),
            (
                line(None, Some(Method::Fifo), None),
                standard,
                Some(Change::Costing(Costing::Fifo)),
            ),
        ] {
            assert_eq!(of(asked.clone(), now), expected, "{asked:?}, {now:?}");
        }
    }
}
