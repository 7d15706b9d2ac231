//! A basket, its prices and its tax.

use std::collections::{BTreeMap, HashMap};

use bahi_gst::{Amounts, Discount, Document, Levy, RoundOff, TaxRate, compute};
use bahi_http::Fault;
use bahi_pricing::{Base, Basket, LineFault, Offer, Quote, Rules, resolve};
use bahi_types::{
    BranchId, CategoryId, CustomerGroupId, Money, ProductId, Quantity, TaxProfileId, UnitId,
};
use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::{
    Error,
    product::model::{Product, Status},
    tax_profile::model::TaxProfile,
    text::fold,
};

/// A product as a client names it.
#[derive(Clone, Debug)]
pub enum Named {
    /// By its id.
    Id(ProductId),
    /// By its SKU.
    Sku(String),
}

/// A line as a client says it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The product.
    pub product: Named,
    /// The unit; that of the product's stock when none.
    pub unit_id: Option<UnitId>,
    /// How many.
    pub qty: Quantity,
    /// MRP of the batch, for one stock unit; for one of that unit where it is not the product's.
    pub batch_mrp: Option<Money>,
}

/// A basket as a client says it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The day.
    pub date: NaiveDate,
    /// The branch.
    pub branch: Option<BranchId>,
    /// The group of the customer.
    pub customer_group: Option<CustomerGroupId>,
    /// The supply crosses a state border.
    pub inter_state: bool,
    /// Codes of coupons, folded.
    pub coupons: Vec<String>,
    /// The lines.
    pub lines: Vec<Asked>,
}

/// What the lines of a basket refer to.
#[derive(Clone, Debug, Default)]
pub struct Goods {
    /// Products by id.
    pub products: HashMap<ProductId, Product>,
    /// Their ids by folded SKU.
    pub by_sku: HashMap<String, ProductId>,
    /// Tax profiles.
    pub taxes: HashMap<TaxProfileId, TaxProfile>,
    /// For each category that a product is of: itself and all above it.
    pub categories: HashMap<CategoryId, Vec<CategoryId>>,
    /// Units that lines name.
    pub units: Vec<UnitId>,
}

impl Goods {
    fn product(&self, named: &Named) -> Option<&Product> {
        match named {
            Named::Id(id) => self.products.get(id),
            Named::Sku(sku) => self.products.get(self.by_sku.get(&fold(sku))?),
        }
    }
}

/// A line with its product.
#[derive(Clone, Debug)]
pub struct Line {
    /// The product.
    pub product: Product,
    /// The unit.
    pub unit_id: UnitId,
    /// How many.
    pub qty: Quantity,
    /// MRP of one of that unit.
    pub mrp: Option<Money>,
    /// Its rate and its amounts; none where its profile has no rate for the day.
    pub tax: Option<(TaxRate, Amounts)>,
}

/// A basket with its prices.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The day.
    pub date: NaiveDate,
    /// The lines.
    pub lines: Vec<Line>,
    /// Their prices.
    pub quote: Quote,
    /// The sum of what is taxed and of the taxes, where every line has a tax.
    pub totals: Option<Amounts>,
}

/// The basket in the terms of the pricing rules, and the products of its lines.
///
/// # Errors
/// The line whose product or unit is unknown or not for sale.
pub fn basket(request: &Request, goods: &Goods) -> Result<(Basket, Vec<Line>), Error> {
    let mut lines = Vec::with_capacity(request.lines.len());
    let mut priced = Vec::with_capacity(request.lines.len());
    for (at, asked) in request.lines.iter().enumerate() {
        let field = |name: &str| format!("lines[{at}].{name}");
        let product = goods.product(&asked.product).ok_or_else(|| {
            Error::UnknownAt(field(match asked.product {
                Named::Id(_) => "product_id",
                Named::Sku(_) => "sku",
            }))
        })?;
        if !matches!(product.status, Status::Active | Status::Discontinued) {
            return Err(Error::NotForSale {
                field: format!("lines[{at}]"),
                sku: product.sku.clone(),
            });
        }
        if asked
            .unit_id
            .is_some_and(|unit| !goods.units.contains(&unit))
        {
            return Err(Error::UnknownAt(field("unit_id")));
        }
        let unit = asked.unit_id.unwrap_or(product.unit_id);
        let has = unit == product.unit_id || product.units.get(unit).is_some();
        let (factor, price) = product.unit_price(Some(unit));
        // Where the factor is not known only the line itself can say what is printed on one of the unit.
        let mrp = match asked.batch_mrp {
            Some(mrp) => Some(factor.mrp(mrp)),
            None => product.unit_mrp(factor).filter(|_| has),
        };
        let category = product.category_id;
        let tax = goods.taxes.get(&product.tax_profile_id);
        let tax = tax.and_then(|tax| tax.highest_on(request.date));
        priced.push(bahi_pricing::Line {
            product: product.id,
            unit,
            qty: asked.qty,
            base: has.then_some(Base {
                price,
                includes_tax: product.price_includes_tax,
            }),
            mrp,
            tax: tax.unwrap_or(TaxRate::NIL_RATED),
            categories: category
                .and_then(|id| goods.categories.get(&id).cloned())
                .unwrap_or_default(),
            brand: product.brand_id,
        });
        lines.push(Line {
            product: product.clone(),
            unit_id: unit,
            qty: asked.qty,
            mrp,
            tax: None,
        });
    }
    let basket = Basket {
        date: request.date,
        branch: request.branch,
        customer_group: request.customer_group,
        lines: priced,
        coupons: request.coupons.clone(),
    };
    Ok((basket, lines))
}

/// The prices that lists have for a product's stock unit, for its other units in the basket. A list's own price in a unit
/// goes before what follows from the stock unit's.
pub fn in_units(offers: &[Offer], lines: &[Line]) -> Vec<Offer> {
    let mut more = BTreeMap::new();
    for line in lines {
        let product = &line.product;
        let Some(unit) = product.units.get(line.unit_id) else {
            continue;
        };
        let of = |unit: UnitId| {
            let of = move |offer: &&Offer| offer.product == product.id && offer.unit == unit;
            offers.iter().filter(of)
        };
        // From this quantity on a list has a price of its own in the unit.
        let mut own: HashMap<_, Quantity> = HashMap::new();
        for offer in of(unit.unit_id) {
            let least = own.entry(offer.list).or_insert(offer.min_qty);
            *least = offer.min_qty.min(*least);
        }
        for offer in of(product.unit_id) {
            // A quantity too large to say is never reached.
            let Ok(min_qty) = unit.factor().at_least(offer.min_qty) else {
                continue;
            };
            if own.get(&offer.list).is_some_and(|least| min_qty >= *least) {
                continue;
            }
            let key = (offer.entry, unit.unit_id);
            more.entry(key).or_insert_with(|| Offer {
                unit: unit.unit_id,
                min_qty,
                price: unit.factor().price(offer.price),
                ..offer.clone()
            });
        }
    }
    more.into_values().collect()
}

/// Prices and taxes a basket.
///
/// # Errors
/// The line that has no price, or whose amounts are too large.
pub fn quote(
    request: &Request,
    goods: &Goods,
    basket: &Basket,
    mut lines: Vec<Line>,
    rules: &Rules,
) -> Result<Quoted, Error> {
    let quote = resolve(basket, rules).map_err(|fault| match fault.fault {
        LineFault::NoPrice => Error::NoPrice {
            field: format!("lines[{}].unit_id", fault.line),
            sku: lines[fault.line].product.sku.clone(),
        },
        other => Fault::field(format!("lines[{}].qty", fault.line), other.to_string()).into(),
    })?;
    let mut taxed = Vec::new();
    let mut places = Vec::new();
    for (at, (line, priced)) in lines.iter().zip(&quote.lines).enumerate() {
        // What is left of one unit decides, where the rate depends on the price.
        let left = priced.left_of_unit(line.qty);
        let tax = goods.taxes.get(&line.product.tax_profile_id);
        let tax = tax.and_then(|tax| tax.tax_on(request.date, left, priced.includes_tax));
        let Some(tax) = tax else { continue };
        places.push(at);
        taxed.push(priced.taxed(line.qty, tax));
    }
    let mut totals = None;
    if !taxed.is_empty() {
        let document = Document {
            lines: &taxed,
            bill_discount: Discount::None,
            levy: if request.inter_state {
                Levy::Inter
            } else {
                Levy::Intra
            },
            round_off: RoundOff::None,
        };
        let computed =
            compute(&document).map_err(|fault| Fault::field("lines", fault.to_string()))?;
        for (at, line) in places.iter().zip(&computed.lines) {
            lines[*at].tax = Some((line.tax, line.amounts));
        }
        totals = (taxed.len() == lines.len()).then_some(computed.totals.amounts);
    }
    Ok(Quoted {
        date: request.date,
        lines,
        quote,
        totals,
    })
}

/// An amount of the tax rules as money.
pub fn money(amount: Decimal) -> Money {
    Money::rounded(amount)
}
