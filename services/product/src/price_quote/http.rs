//! `/api/v1/price-quotes`.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpResponse, post, web};
use bahi_db::{Done, Tx};
use bahi_gst::{Amounts, TaxRate};
use bahi_http::{Fault, Post, Problem, Versioned, ok, validate};
use bahi_pricing::{Considered, CouponOutcome, PricedLine, RuleKind, Share, Taken};
use bahi_types::{
    BranchId, CustomerGroupId, Money, Price, ProductId, PromotionId, Quantity, Rate, UnitId,
    business_date,
};
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State, coupon,
    price_list::model::sane,
    price_quote::{
        commands,
        model::{self, Asked, Named, Quoted, Request, money},
    },
    product::model as product,
    tax_profile::model::Category,
};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(price);
}

/// A basket.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct QuoteInput {
    /// The day; today when absent.
    date: Option<NaiveDate>,
    /// Where it is sold; without a branch's own prices when absent.
    branch_id: Option<BranchId>,
    /// The group of the customer.
    customer_group_id: Option<CustomerGroupId>,
    /// The supply crosses a state border: IGST, not CGST and SGST.
    #[serde(default)]
    inter_state: bool,
    /// Coupons, at most 20.
    #[serde(default)]
    #[garde(length(max = 20), inner(length(chars, min = 1, max = 100)))]
    coupon_codes: Vec<String>,
    /// Say for each line which rules were considered; true when absent.
    #[serde(default = "yes")]
    explain: bool,
    /// The lines, at most 200.
    #[garde(length(min = 1, max = 200), dive)]
    lines: Vec<QuoteLineInput>,
}

fn yes() -> bool {
    true
}

/// A line of a basket: `product_id` or `sku`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct QuoteLineInput {
    /// The product.
    product_id: Option<ProductId>,
    /// Its SKU, in any case.
    #[garde(inner(custom(valid_sku)))]
    sku: Option<String>,
    /// The unit; that of the product's stock when absent.
    unit_id: Option<UnitId>,
    /// How many of that unit.
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// MRP printed on the batch, for one of that unit; the product's when absent.
    #[garde(custom(validate::optional(validate::positive)))]
    batch_mrp: Option<Money>,
}

fn valid_sku(text: &str, (): &()) -> garde::Result {
    product::sku(text).map_err(garde::Error::new)
}

impl QuoteInput {
    fn read(self, today: NaiveDate) -> Result<Request, Fault> {
        let line = |(at, line): (usize, QuoteLineInput)| {
            let product = match (line.product_id, line.sku) {
                (Some(id), None) => Named::Id(id),
                (None, Some(sku)) => Named::Sku(sku),
                _ => {
                    let field = format!("lines[{at}].product_id");
                    return Err(Fault::field(field, "name either product_id or sku"));
                }
            };
            Ok(Asked {
                product,
                unit_id: line.unit_id,
                qty: line.qty,
                batch_mrp: line.batch_mrp,
            })
        };
        let lines = self.lines.into_iter().enumerate().map(line);
        let date = self.date.unwrap_or(today);
        sane("date", date)?;
        Ok(Request {
            date,
            branch: self.branch_id,
            customer_group: self.customer_group_id,
            inter_state: self.inter_state,
            coupons: self
                .coupon_codes
                .iter()
                .map(|code| coupon::model::folded(code))
                .collect(),
            lines: lines.collect::<Result<_, _>>()?,
        })
    }
}

/// A basket with its prices.
#[derive(Serialize, ToSchema)]
pub struct QuoteBody {
    /// The day.
    date: NaiveDate,
    /// The lines, as they were given.
    lines: Vec<QuoteLineBody>,
    /// Sums of the lines.
    totals: QuoteTotals,
    /// What promotions have taken off, in the order in which they did.
    promotions: Vec<Taken>,
    /// What became of the coupons.
    coupons: Vec<CouponOutcome>,
    /// Names of the promotions that lines speak of, by id.
    names: BTreeMap<String, String>,
}

/// A line with its price.
#[derive(Serialize, ToSchema)]
pub struct QuoteLineBody {
    /// The product.
    product_id: ProductId,
    /// Its SKU.
    sku: String,
    /// Its name.
    name: String,
    /// The unit.
    unit_id: UnitId,
    /// How many.
    qty: Quantity,
    /// MRP of one, tax included.
    mrp: Option<Money>,
    /// Price of one before promotions.
    unit_price: Price,
    /// It includes tax, and so do the amounts up to `net`.
    price_includes_tax: bool,
    /// Quantity × price.
    gross: Money,
    /// Taken off by promotions on goods.
    discount: Money,
    /// Taken off by promotions on the bill.
    bill_discount: Money,
    /// What is left.
    net: Money,
    /// What each promotion takes off.
    promotions: Vec<Share>,
    /// The tax; none where the profile has no rate for the day.
    tax: Option<QuoteTax>,
    /// Which rules won and which lost, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    considered: Option<Vec<Considered>>,
}

/// The tax of a line.
#[derive(Serialize, ToSchema)]
pub struct QuoteTax {
    /// How the law treats it.
    category: Category,
    /// Per cent.
    rate: Rate,
    /// Compensation cess in per cent.
    cess_rate: Rate,
    /// Its amounts.
    #[serde(flatten)]
    amounts: QuoteAmounts,
}

/// What is taxed, and the taxes.
#[derive(Serialize, ToSchema)]
pub struct QuoteAmounts {
    /// Value that is taxed.
    taxable: Money,
    /// Central tax.
    cgst: Money,
    /// State tax.
    sgst: Money,
    /// Integrated tax.
    igst: Money,
    /// Compensation cess.
    cess: Money,
    /// What is to be paid.
    total: Money,
}

impl From<Amounts> for QuoteAmounts {
    fn from(amounts: Amounts) -> Self {
        Self {
            taxable: money(amounts.taxable),
            cgst: money(amounts.cgst),
            sgst: money(amounts.sgst),
            igst: money(amounts.igst),
            cess: money(amounts.cess),
            total: money(amounts.total()),
        }
    }
}

/// Sums of the lines.
#[derive(Serialize, ToSchema)]
pub struct QuoteTotals {
    /// Of the gross amounts.
    gross: Money,
    /// Taken off by promotions on goods.
    discount: Money,
    /// Taken off by promotions on the bill.
    bill_discount: Money,
    /// What is left.
    net: Money,
    /// The tax; none where a line has none.
    tax: Option<QuoteAmounts>,
}

impl Versioned for QuoteBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

fn body(quoted: Quoted, names: &HashMap<PromotionId, String>, explain: bool) -> QuoteBody {
    let Quoted {
        date,
        lines,
        quote,
        totals,
    } = quoted;
    let sum = |of: fn(&PricedLine) -> Money| -> Money { quote.lines.iter().map(of).sum() };
    let totals = QuoteTotals {
        gross: sum(|line| line.gross),
        discount: sum(|line| line.discount),
        bill_discount: sum(|line| line.bill_discount),
        net: sum(|line| line.net),
        tax: totals.map(QuoteAmounts::from),
    };
    let spoken_of = quote
        .lines
        .iter()
        .flat_map(|line| &line.considered)
        .filter(|considered| considered.rule == RuleKind::Promotion)
        .filter_map(|considered| considered.id.map(PromotionId::from_uuid));
    let names = spoken_of.filter_map(|id| Some((id.to_string(), names.get(&id)?.clone())));
    QuoteBody {
        date,
        totals,
        names: names.collect(),
        promotions: quote.promotions,
        coupons: quote.coupons,
        lines: lines
            .into_iter()
            .zip(quote.lines)
            .map(|(line, priced)| line_body(line, priced, explain))
            .collect(),
    }
}

fn line_body(line: model::Line, priced: PricedLine, explain: bool) -> QuoteLineBody {
    let tax = |(tax, amounts): (TaxRate, Amounts)| QuoteTax {
        category: Category::from(tax.category()),
        rate: Rate::rounded(tax.rate()),
        cess_rate: Rate::rounded(tax.cess()),
        amounts: amounts.into(),
    };
    QuoteLineBody {
        product_id: line.product.id,
        sku: line.product.sku,
        name: line.product.name,
        unit_id: line.unit_id,
        qty: line.qty,
        mrp: line.mrp,
        unit_price: priced.unit_price,
        price_includes_tax: priced.includes_tax,
        gross: priced.gross,
        discount: priced.discount,
        bill_discount: priced.bill_discount,
        net: priced.net,
        promotions: priced.shares,
        tax: line.tax.map(tax),
        considered: explain.then_some(priced.considered),
    }
}

/// What a basket would cost, and why. Nothing is written.
#[utoipa::path(
    tag = "price quotes",
    security(("bearer" = ["product.product.read"])), operation_id = "quote_prices",
    request_body = QuoteInput,
    responses(
        (status = 200, body = QuoteBody),
        (status = 422, description = "UNKNOWN_REFERENCE, NOT_FOR_SALE, NO_PRICE")
    )
)]
#[post("/api/v1/price-quotes")]
async fn price(state: web::Data<State>, req: Post<QuoteInput>) -> Result<HttpResponse, Problem> {
    let explain = req.body.explain;
    let request = req.body.read(business_date(state.db.clock().now()))?;
    let (quoted, names) = state
        .db
        .read(&req.caller.ctx, async |tx: &mut Tx| {
            commands::quote(tx, &request).await
        })
        .await?;
    Ok(ok(&Done::first(body(quoted, &names, explain))))
}
