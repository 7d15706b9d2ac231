//! What the books would have charged, beside what the till did. It changes nothing but the reasons of prices that agree.

use bahi_events::OfflineDifference;
use bahi_gst::Levy;
use bahi_types::{Money, ProductId};

use super::model::{FrozenLine, Sale};
use crate::{
    bundle::{Changes, Version},
    catalogue::Goods,
    error::Error,
    invoice::{Line, NewLine, Priced, Terms, price},
    pricing::Market,
    promotion::Use,
    right::Rights,
};

/// What the books know of the goods of a sale.
pub(super) struct Books<'a> {
    pub goods: &'a [&'a Goods],
    pub market: &'a Market,
    /// When they were changed last.
    pub changes: &'a Changes,
    /// What the till had read.
    pub catalogue: Option<Version>,
}

impl Books<'_> {
    /// Whether the till could not know the product as it is now.
    fn since(&self, product: ProductId) -> bool {
        self.catalogue
            .is_none_or(|had| self.changes.since(product, had))
    }
}

/// Prices the goods as the books do today, takes the reasons of the prices over into `priced` where the line came out
/// the same, and says what came out otherwise. Uses of coupons are counted in any case, beyond every limit.
pub(super) fn compare(
    sale: &Sale,
    levy: Levy,
    books: &Books<'_>,
    priced: &mut Priced,
) -> Vec<OfflineDifference> {
    let wanted: Vec<NewLine> = sale.lines.iter().map(wanted).collect();
    let terms = Terms {
        levy,
        round_to_rupee: false,
        rights: Rights::ALL,
    };
    let known = match price(&wanted, books.goods, None, terms, books.market) {
        Ok(known) => known,
        Err(error) => {
            priced.uses = taken(sale, books.market);
            return vec![refusal(sale, books, &error)];
        }
    };
    let mut differences = Vec::new();
    for ((told, made), known) in sale.lines.iter().zip(&mut priced.lines).zip(&known.lines) {
        let before = differences.len();
        of_line(told, known, books, &mut differences);
        if differences.len() == before {
            made.pricing = known.pricing.clone();
        }
    }
    priced.pricing = known.pricing.filter(|_| differences.is_empty());
    let costs = sale.lines.iter().zip(books.goods).enumerate();
    differences.extend(costs.filter_map(|(at, (told, goods))| below_cost(at, told, goods, books)));
    priced.uses = known.uses.into_iter().map(unlimited).collect();
    differences
}

fn wanted(line: &FrozenLine) -> NewLine {
    NewLine {
        product_id: Some(line.product_id),
        barcode: None,
        sku: None,
        qty: line.qty,
        // Another price of the cashier's is compared by the list price that he saw.
        unit_price: None,
        price_includes_tax: None,
        discount: None,
        reason: None,
        batch_mrp: line.batch_mrp,
        serials: Vec::new(),
    }
}

fn of_line(
    told: &FrozenLine,
    known: &Line,
    books: &Books<'_>,
    differences: &mut Vec<OfflineDifference>,
) {
    let mut differ = |what: &str, told_text: String, known_text: String| {
        if told_text != known_text {
            differences.push(OfflineDifference {
                line: Some(known.line),
                what: what.to_owned(),
                told: told_text,
                known: known_text,
                since: books.since(told.product_id),
            });
        }
    };
    let price = told.list_price.unwrap_or(told.unit_price);
    differ(
        "unit_price",
        price.to_string(),
        known.unit_price.to_string(),
    );
    let (off, promoted) = (
        told.discount + told.bill_discount,
        known.discount + known.bill_discount,
    );
    differ("discount", off.to_string(), promoted.to_string());
    differ("rate", told.rate.to_string(), known.rate.to_string());
    differ(
        "cess_rate",
        told.cess_rate.to_string(),
        known.cess_rate.to_string(),
    );
    differ(
        "tax_category",
        told.tax_category.name().to_owned(),
        known.tax_category.clone(),
    );
    if let Some(mrp) = told.batch_mrp.or(mrp_of(books, told.product_id))
        && told.total > whole(mrp, told)
    {
        differ("mrp", told.total.to_string(), whole(mrp, told).to_string());
    }
}

/// It was sold for less than it cost us; nobody asked then, so it is said now.
fn below_cost(
    at: usize,
    told: &FrozenLine,
    goods: &Goods,
    books: &Books<'_>,
) -> Option<OfflineDifference> {
    let cost = Money::rounded(goods.cost?.decimal() * told.qty.decimal());
    (told.taxable < cost).then(|| OfflineDifference {
        line: i32::try_from(at + 1).ok(),
        what: "below_cost".into(),
        told: told.taxable.to_string(),
        known: cost.to_string(),
        since: books.since(told.product_id),
    })
}

fn mrp_of(books: &Books<'_>, product: ProductId) -> Option<Money> {
    let mut goods = books.goods.iter();
    goods.find(|g| g.product_id == product)?.mrp
}

/// What a line may cost at most.
fn whole(mrp: Money, line: &FrozenLine) -> Money {
    Money::rounded(mrp.decimal() * line.qty.decimal())
}

/// The books would not have sold it at all.
fn refusal(sale: &Sale, books: &Books<'_>, error: &Error) -> OfflineDifference {
    use bahi_http::Refusal;
    OfflineDifference {
        line: None,
        what: "pricing".into(),
        told: sale.total.to_string(),
        known: error.verdict().code.to_owned(),
        since: sale.lines.iter().any(|l| books.since(l.product_id)),
    }
}

fn unlimited(used: Use) -> Use {
    Use {
        limit: None,
        limit_per_customer: None,
        ..used
    }
}

/// The coupons that the till has taken, as far as they are known.
fn taken(sale: &Sale, market: &Market) -> Vec<Use> {
    let coupons = market.rules.coupons.iter();
    let used = coupons.map(|coupon| Use {
        coupon_id: coupon.id,
        code: coupon.code.clone(),
        limit: None,
        limit_per_customer: None,
        customer: sale.customer_id,
    });
    used.collect()
}
