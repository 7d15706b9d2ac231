//! The unit price of a product: from one price list, or from the product itself.

use std::cmp::Reverse;

use bahi_types::{Price, PriceEntryId, PriceListId, ProductId, Quantity, UnitId};

use crate::{Audience, Base, Basket, Considered, Period, RuleKind, Why};

/// A price of a price list.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The list.
    pub list: PriceListId,
    /// Lists of a higher priority go before others.
    pub priority: i32,
    /// For whom the list is.
    pub audience: Audience,
    /// When the list holds.
    pub list_period: Period,
    /// The price in it.
    pub entry: PriceEntryId,
    /// The product.
    pub product: ProductId,
    /// The unit of the price.
    pub unit: UnitId,
    /// Quantity from which it holds, of all lines of the product in this unit together.
    pub min_qty: Quantity,
    /// The price of one unit.
    pub price: Price,
    /// The price includes tax.
    pub includes_tax: bool,
    /// When the price holds.
    pub period: Period,
}

impl Offer {
    fn refuses(&self, basket: &Basket, qty: Quantity) -> Option<Why> {
        self.audience.refuses(basket).or_else(|| {
            if !self.list_period.holds(basket.date) || !self.period.holds(basket.date) {
                Some(Why::NotInDate)
            } else {
                (qty < self.min_qty).then_some(Why::QuantityNotReached)
            }
        })
    }

    /// The greater wins.
    fn rank(&self) -> impl Ord + use<> {
        (
            self.priority,
            self.audience.narrowness(),
            Reverse(self.list),
            self.min_qty,
            Reverse(self.entry),
        )
    }

    /// Why it loses to `winner`.
    fn behind(&self, winner: &Self) -> Why {
        if self.priority < winner.priority {
            Why::LowerPriority
        } else if self.audience.narrowness() < winner.audience.narrowness() {
            Why::WiderAudience
        } else if self.list == winner.list && self.min_qty < winner.min_qty {
            Why::SmallerBreak
        } else {
            Why::SameRank
        }
    }
}

/// The price of `qty` of a product among the offers for it, and what was considered; none when nobody has a price.
pub(crate) fn choose(
    basket: &Basket,
    base: Option<Base>,
    offers: &[&Offer],
    qty: Quantity,
) -> (Option<Base>, Vec<Considered>) {
    let fitting = offers
        .iter()
        .filter(|offer| offer.refuses(basket, qty).is_none());
    let winner = fitting.max_by(|a, b| a.rank().cmp(&b.rank())).copied();
    let mut considered: Vec<Considered> = offers
        .iter()
        .map(|offer| {
            let list = Some(offer.list.uuid());
            let lost = |why| Considered::lost(RuleKind::PriceList, list, why);
            let verdict = match (offer.refuses(basket, qty), winner) {
                (Some(Why::QuantityNotReached), _) => {
                    let needed = Price::rounded(offer.min_qty.decimal());
                    lost(Why::QuantityNotReached).needing(Some(needed))
                }
                (Some(why), _) => lost(why),
                (None, Some(winner)) if winner.entry != offer.entry => {
                    lost(offer.behind(winner)).than(Some(winner.list.uuid()))
                }
                _ => Considered::won(RuleKind::PriceList, list),
            };
            verdict.of_entry(offer.entry.uuid())
        })
        .collect();
    if base.is_some() {
        considered.push(match winner {
            None => Considered::won(RuleKind::BasePrice, None),
            Some(winner) => Considered::lost(RuleKind::BasePrice, None, Why::PriceListWins)
                .than(Some(winner.list.uuid())),
        });
    }
    let price = winner.map_or(base, |offer| {
        Some(Base {
            price: offer.price,
            includes_tax: offer.includes_tax,
        })
    });
    (price, considered)
}
