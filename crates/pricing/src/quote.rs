//! What a basket comes to: a price for every line, what is taken off it, and why.

use std::collections::BTreeMap;

use bahi_gst::{Discount, Pricing, TaxRate};
use bahi_types::{
    CouponId, Money, Price, PriceEntryId, PriceListId, ProductId, PromotionId, Quantity, UnitId,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Base, Basket, Considered, CouponOutcome, Line, Offer, RuleKind, Rules,
    apply::{self, Position},
    cap::cap,
    list::choose,
    paise::{money, mul_div, narrow, parts},
};

/// What a promotion takes off a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PromotionShare)]
pub struct Share {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Rupees off.
    pub amount: Money,
    /// It is the line's share of a discount on the bill.
    pub of_bill: bool,
}

/// A promotion that has taken something off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PromotionTaken)]
pub struct Taken {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// The coupon that opened it.
    pub coupon_id: Option<CouponId>,
    /// Rupees off in all.
    pub amount: Money,
}

/// A line with its price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedLine {
    /// Price of one unit before promotions.
    pub unit_price: Price,
    /// It includes tax, and so do the amounts below.
    pub includes_tax: bool,
    /// Quantity × price.
    pub gross: Money,
    /// Taken off by promotions on goods.
    pub discount: Money,
    /// Taken off by promotions on the bill.
    pub bill_discount: Money,
    /// What is left.
    pub net: Money,
    /// What each promotion takes off, in the order in which they did.
    pub shares: Vec<Share>,
    /// Every rule that was considered.
    pub considered: Vec<Considered>,
}

impl PricedLine {
    /// What is left of one of `qty` units, which decides where the rate depends on the price.
    pub fn left_of_unit(&self, qty: Quantity) -> Decimal {
        self.net.decimal() / qty.decimal()
    }

    /// The line as the tax rules take it: all that promotions take off is its own discount.
    pub fn taxed(&self, qty: Quantity, tax: TaxRate) -> bahi_gst::Line {
        bahi_gst::Line {
            qty: qty.decimal(),
            unit_price: self.unit_price.decimal(),
            pricing: if self.includes_tax {
                Pricing::Inclusive
            } else {
                Pricing::Exclusive
            },
            discount: Discount::Amount((self.discount + self.bill_discount).decimal()),
            tax,
        }
    }

    /// The price of a list that it is sold at; none at the product's own.
    pub fn listed(&self) -> Option<(PriceListId, PriceEntryId)> {
        let mut of_lists = self
            .considered
            .iter()
            .filter(|considered| considered.won && considered.rule == RuleKind::PriceList);
        of_lists.find_map(|won| {
            let list = PriceListId::from_uuid(won.id?);
            Some((list, PriceEntryId::from_uuid(won.entry_id?)))
        })
    }
}

/// A basket with its prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The lines, as in the basket.
    pub lines: Vec<PricedLine>,
    /// The promotions, in the order in which they were applied.
    pub promotions: Vec<Taken>,
    /// The coupons, in the order of the basket.
    pub coupons: Vec<CouponOutcome>,
}

/// Why a basket cannot have prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}: {fault}", .line + 1)]
pub struct Fault {
    /// Which line, from 0.
    pub line: usize,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Quantities are more than zero.
    #[error("the quantity must be greater than zero")]
    Quantity,
    /// Neither the product nor a list has a price in this unit.
    #[error("there is no price in this unit")]
    NoPrice,
    /// 10^15 rupees or more, by itself or with the lines before it.
    #[error("the amount is too large")]
    TooLarge,
}

/// Gives a basket its prices.
///
/// # Errors
/// The line that cannot have one.
pub fn resolve(basket: &Basket, rules: &Rules) -> Result<Quote, Fault> {
    let order = canonical_order(&basket.lines);
    let quantities = quantities(basket)?;
    let mut offers: BTreeMap<(ProductId, UnitId), Vec<&Offer>> = BTreeMap::new();
    for offer in &rules.offers {
        offers
            .entry((offer.product, offer.unit))
            .or_default()
            .push(offer);
    }
    let mut positions: Vec<Position> = Vec::new();
    for group in order.chunk_by(|a, b| key(&basket.lines[*a]) == key(&basket.lines[*b])) {
        let line = &basket.lines[group[0]];
        let of = (line.product, line.unit);
        let qty = quantities.get(&of).copied().unwrap_or(line.qty);
        let offers = offers.get(&of).map_or(&[][..], Vec::as_slice);
        let (price, mut considered) = choose(basket, line.base, offers, qty);
        let price = price.ok_or(Fault {
            line: group[0],
            fault: LineFault::NoPrice,
        })?;
        let price = match line.mrp {
            None => price,
            Some(mrp) => {
                let qtys: Vec<Quantity> =
                    group.iter().map(|line| basket.lines[*line].qty).collect();
                let (capped, lowered) = cap(price, mrp, line.tax, &qtys);
                if lowered {
                    considered.push(Considered::won(RuleKind::Mrp, None));
                }
                capped
            }
        };
        positions.push(position(basket, group, price, considered)?);
    }
    total_is_sound(&positions)?;
    let (coupons, promotions) = apply::promotions(basket, rules, &mut positions);
    Ok(quote(basket, positions, promotions, coupons))
}

/// Lines that are alike in all but their quantity: they are priced as one.
fn key(line: &Line) -> impl Ord + '_ {
    (
        line.product,
        line.unit,
        line.mrp,
        line.base,
        (line.tax.category(), line.tax.rate(), line.tax.cess()),
        line.brand,
        line.categories.as_slice(),
    )
}

/// The lines in an order that does not depend on how they were given.
fn canonical_order(lines: &[Line]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&lines[*a], &lines[*b]);
        key(a).cmp(&key(b)).then(b.qty.cmp(&a.qty))
    });
    order
}

/// The quantity of each product in each unit, of all lines together.
fn quantities(basket: &Basket) -> Result<BTreeMap<(ProductId, UnitId), Quantity>, Fault> {
    let mut sums: BTreeMap<(ProductId, UnitId), Quantity> = BTreeMap::new();
    for (at, line) in basket.lines.iter().enumerate() {
        let refused = |fault| Fault { line: at, fault };
        if !line.qty.is_positive() {
            return Err(refused(LineFault::Quantity));
        }
        let sum = sums.entry((line.product, line.unit)).or_default();
        // Both are below 10^15, and so must their sum be.
        *sum = Quantity::try_new(sum.decimal() + line.qty.decimal())
            .map_err(|_| refused(LineFault::TooLarge))?;
    }
    Ok(sums)
}

fn position(
    basket: &Basket,
    group: &[usize],
    price: Base,
    considered: Vec<Considered>,
) -> Result<Position, Fault> {
    let gross = group.iter().map(|line| {
        let gross = mul_div(parts(basket.lines[*line].qty), parts(price.price), 100_000);
        narrow(gross).ok_or(Fault {
            line: *line,
            fault: LineFault::TooLarge,
        })
    });
    let gross: Vec<i64> = gross.collect::<Result<_, _>>()?;
    let qty = group.iter().map(|line| parts(basket.lines[*line].qty));
    Ok(Position {
        lines: group.to_vec(),
        qty: qty.sum(),
        price,
        net: gross.iter().copied().map(i128::from).collect(),
        shares: vec![Vec::new(); group.len()],
        gross,
        considered,
        used: 0,
        touched: Vec::new(),
    })
}

fn total_is_sound(positions: &[Position]) -> Result<(), Fault> {
    let mut total = 0;
    for position in positions {
        for (line, gross) in position.lines.iter().zip(&position.gross) {
            total += i128::from(*gross);
            narrow(total).ok_or(Fault {
                line: *line,
                fault: LineFault::TooLarge,
            })?;
        }
    }
    Ok(())
}

fn quote(
    basket: &Basket,
    positions: Vec<Position>,
    promotions: Vec<Taken>,
    coupons: Vec<CouponOutcome>,
) -> Quote {
    let mut lines: Vec<Option<PricedLine>> = vec![None; basket.lines.len()];
    for position in positions {
        let Position {
            lines: places,
            gross,
            shares,
            price,
            considered,
            ..
        } = position;
        for ((place, gross), shares) in places.into_iter().zip(gross).zip(shares) {
            let sum = |of_bill| -> Money {
                let those = shares.iter().filter(|share| share.of_bill == of_bill);
                those.map(|share| share.amount).sum()
            };
            let (discount, bill_discount, gross) = (sum(false), sum(true), money(gross));
            lines[place] = Some(PricedLine {
                unit_price: price.price,
                includes_tax: price.includes_tax,
                gross,
                discount,
                bill_discount,
                net: gross - discount - bill_discount,
                shares,
                considered: considered.clone(),
            });
        }
    }
    Quote {
        lines: lines.into_iter().flatten().collect(),
        promotions,
        coupons,
    }
}
