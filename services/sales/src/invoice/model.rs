//! Baskets, prices, tax and payment: the rules of a sale, without a database.

use async_graphql::{InputObject, OneofObject};
use bahi_events::{BatchAllocation, InvoicePricing, LinePricing};
use bahi_gst::{
    Amounts, Discount, Document, Gstin, Levy, Line as TaxLine, Pricing, RoundOff, StateCode,
    Supply, SupplyFacts, TaxCategory, TaxError, TaxRate, compute, place_of_supply,
};
use bahi_http::{Fault, validate};
use bahi_types::{
    BranchId, CustomerGroupId, CustomerId, InvoiceId, LocationId, Money, PosSessionId, Price,
    ProductId, Quantity, Rate, RegistrationId, ReservationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    catalogue::{Goods, NoTax},
    error::{Error, Result},
    pricing::{DealLine, Market, Wanted},
    promotion::Use,
    right::Rights,
    session::{Method, Takings},
};

/// Most lines of a document.
pub(crate) const MOST_LINES: usize = 500;
/// Most coupons of a sale.
pub(crate) const MOST_COUPONS: usize = 20;

/// A discount: per cent or an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, OneofObject)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "DiscountInput")]
pub(crate) enum Discounted {
    /// 0 to 100.
    Percent(Rate),
    /// Rupees, zero or more.
    Amount(Money),
}

/// Within its bounds.
pub(crate) fn bounded(value: &Option<Discounted>, ctx: &()) -> garde::Result {
    match value {
        None => Ok(()),
        Some(Discounted::Percent(percent)) => validate::percent(percent, ctx),
        Some(Discounted::Amount(amount)) => validate::non_negative(amount, ctx),
    }
}

impl Discounted {
    fn is_zero(self) -> bool {
        match self {
            Self::Percent(percent) => percent.is_zero(),
            Self::Amount(amount) => amount.is_zero(),
        }
    }

    fn of(given: Option<Self>) -> Discount {
        match given {
            None => Discount::None,
            Some(Self::Percent(percent)) => Discount::Percent(percent.decimal()),
            Some(Self::Amount(amount)) => Discount::Amount(amount.decimal()),
        }
    }
}

/// A line of a basket. Exactly one of `product_id`, `barcode` and `sku` names the product.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "SalesLineInput")]
pub(crate) struct NewLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 128))]
    pub barcode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 64))]
    pub sku: Option<String>,
    #[garde(custom(validate::positive))]
    pub qty: Quantity,
    /// Another price than that of the price lists and the catalogue; needs a permission and a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(validate::non_negative)))]
    pub unit_price: Option<Price>,
    /// Of `unit_price`; the catalogue's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_includes_tax: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(bounded))]
    pub discount: Option<Discounted>,
    /// Why the price is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub reason: Option<String>,
    /// The maximum retail price printed on the batch, where it is another than the product's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(validate::positive)))]
    pub batch_mrp: Option<Money>,
    /// Serial numbers of the pieces, of a product that is followed by number: at most as many as `qty`. Nobody else is
    /// promised these pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[graphql(default)]
    #[garde(custom(serial_numbers))]
    pub serials: Vec<String>,
}

/// Serial numbers, each once.
pub(crate) fn serial_numbers(serials: &[String], (): &()) -> garde::Result {
    if serials.len() > 1000 {
        return Err(garde::Error::new("must name at most 1000"));
    }
    for (n, no) in serials.iter().enumerate() {
        validate::line(no, &())?;
        if no.chars().count() > 100 {
            return Err(garde::Error::new("must be at most 100 characters each"));
        }
        if serials[..n].contains(no) {
            return Err(garde::Error::new(format!("names {no} twice")));
        }
    }
    Ok(())
}

/// A line of text.
pub(crate) fn short_text(text: &str, ctx: &()) -> garde::Result {
    validate::line(text, ctx)
}

/// What every basket must satisfy beyond its fields.
pub(crate) fn basket_lines(lines: &[NewLine], (): &()) -> garde::Result {
    for (index, line) in lines.iter().enumerate() {
        let names = [
            line.product_id.is_some(),
            line.barcode.is_some(),
            line.sku.is_some(),
        ];
        if names.into_iter().filter(|given| *given).count() != 1 {
            return Err(garde::Error::new(format!(
                "line {} needs exactly one of product_id, barcode and sku",
                index + 1
            )));
        }
        if line.price_includes_tax.is_some() && line.unit_price.is_none() {
            return Err(garde::Error::new(format!(
                "line {}: price_includes_tax goes with unit_price",
                index + 1
            )));
        }
        if Quantity::from(line.serials.len() as i64) > line.qty {
            return Err(garde::Error::new(format!(
                "line {} names more serials than its quantity",
                index + 1
            )));
        }
    }
    Ok(())
}

/// What is in the basket, without who pays and how.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basket {
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(basket_lines))]
    pub lines: Vec<NewLine>,
    /// Of the whole bill, before tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(bounded))]
    pub bill_discount: Option<Discounted>,
    /// The group of customers whose prices it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub customer_group_id: Option<CustomerGroupId>,
    /// Codes of coupons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = MOST_COUPONS), inner(length(chars, min = 1, max = 100)))]
    pub coupons: Vec<String>,
}

/// One means of payment.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "TenderInput")]
pub(crate) struct NewTender {
    #[garde(custom(handed_over))]
    pub method: Method,
    #[garde(custom(validate::positive))]
    pub amount: Money,
    /// UPI transaction, card slip, voucher number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub reference: Option<String>,
}

impl NewTender {
    /// What leaves the whole of a document owed.
    pub(crate) fn on_credit(total: Money) -> Vec<Self> {
        let whole = Self {
            method: Method::Credit,
            amount: total,
            reference: None,
        };
        if total.is_zero() {
            Vec::new()
        } else {
            vec![whole]
        }
    }
}

/// What comes back is credited by an exchange, not claimed as a means of payment.
fn handed_over(method: &Method, (): &()) -> garde::Result {
    if *method == Method::Exchange {
        return Err(garde::Error::new("comes of an exchange alone"));
    }
    Ok(())
}

/// Who buys, as the document names him.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema, InputObject,
)]
#[serde(deny_unknown_fields)]
#[graphql(name = "BuyerInput")]
pub(crate) struct Buyer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 4, max = 20), pattern(r"^\+?[0-9 -]+$"))]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(sound_gstin)))]
    pub gstin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(min = 1, max = 500))]
    pub address: Option<String>,
    /// GST state code of the address, like `27`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(sound_state)))]
    pub state_code: Option<String>,
}

fn sound_gstin(text: &str, (): &()) -> garde::Result {
    text.parse::<Gstin>().map(|_| ()).map_err(garde::Error::new)
}

/// A GST state code.
pub(crate) fn sound_state(text: &str, (): &()) -> garde::Result {
    text.parse::<StateCode>()
        .map(|_| ())
        .map_err(garde::Error::new)
}

impl Buyer {
    /// Enough to send him a reminder.
    pub fn can_owe(&self) -> bool {
        self.name.is_some() && self.phone.is_some()
    }
}

/// Where the sale is taxed. `moved`: the goods are sent to the buyer; at a counter they are not.
pub(crate) fn supply(
    supplier: StateCode,
    buyer: &Buyer,
    delivery: Option<&str>,
    moved: bool,
) -> Result<Supply> {
    let state = |text: Option<&str>| {
        text.map(str::parse::<StateCode>)
            .transpose()
            .map_err(|e| Error::Uncomputable(e.to_string()))
    };
    let gstin = buyer.gstin.as_deref().map(str::parse::<Gstin>).transpose();
    let gstin = gstin.map_err(|e| Error::Uncomputable(e.to_string()))?;
    let facts = SupplyFacts {
        buyer: gstin.as_ref(),
        address: state(buyer.state_code.as_deref())?,
        delivery: state(delivery)?,
        moved,
        ..SupplyFacts::counter(supplier)
    };
    Ok(place_of_supply(&facts))
}

/// Which taxes are charged. A business without GSTIN charges none.
pub(crate) fn levy_of(supply: Supply, supplier_registered: bool) -> Levy {
    if supplier_registered {
        supply.levy()
    } else {
        Levy::NotCharged
    }
}

/// Under which terms a basket is priced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Which taxes are charged.
    pub levy: Levy,
    /// Payable in whole rupees.
    pub round_to_rupee: bool,
    /// How far the caller may go with prices and discounts.
    pub rights: Rights,
}

/// A priced basket.
#[derive(Clone, Debug)]
pub(crate) struct Priced {
    /// The lines.
    pub lines: Vec<Line>,
    pub gross: Money,
    /// Of lines and bill.
    pub discount: Money,
    pub taxable: Money,
    pub cgst: Money,
    pub sgst: Money,
    pub igst: Money,
    pub cess: Money,
    pub round_off: Money,
    pub total: Money,
    /// How it got its prices.
    pub pricing: Option<InvoicePricing>,
    /// The coupons that it uses.
    pub uses: Vec<Use>,
}

/// Prices and taxes a basket; `goods` stand beside their lines.
pub(crate) fn price(
    lines: &[NewLine],
    goods: &[&Goods],
    bill_discount: Option<Discounted>,
    terms: Terms,
    market: &Market,
) -> Result<Priced> {
    let discounted = lines
        .iter()
        .filter_map(|l| l.discount)
        .chain(bill_discount)
        .any(|d| !d.is_zero());
    if discounted {
        terms.rights.may_discount()?;
    }
    let wanted = lines.iter().zip(goods).enumerate();
    let wanted = wanted.map(|(index, (line, goods))| want(index + 1, line, goods, terms));
    let deal = market.price(&wanted.collect::<Result<Vec<_>>>()?)?;
    let priced = lines.iter().zip(goods).zip(&deal.lines).enumerate();
    let priced = priced.map(|(index, ((line, goods), deal))| {
        let (mut made, taxed) = price_line(index + 1, line, goods, deal, terms)?;
        let pricing = market.of_line(deal, line.batch_mrp);
        made.pricing = pricing.and_then(|pricing| serde_json::to_value(pricing).ok());
        Ok((made, taxed))
    });
    let made: Vec<(Line, TaxLine)> = priced.collect::<Result<_>>()?;
    // The tax rules know what promotions take off the bill as a discount of the line.
    let of_bill = deal.lines.iter().map(|deal| deal.listed.bill_discount);
    let made = made.into_iter().zip(of_bill);
    let made = made.map(|((line, taxed), of_bill)| (line, taxed, of_bill));
    let mut priced = Priced {
        pricing: market.of_invoice(deal.promotions),
        uses: deal.uses,
        ..taxed(made.collect(), goods, bill_discount, terms)?
    };
    let shared = bill_discount.is_some_and(|d| !d.is_zero());
    for ((line, goods), deal) in priced.lines.iter_mut().zip(goods).zip(&deal.lines) {
        let promoted = deal.listed.discount + deal.listed.bill_discount;
        let given = line.discount + line.bill_discount - promoted;
        let number = usize::try_from(line.line).unwrap_or_default();
        let rights = terms.rights;
        rights.discount(number, line.gross - promoted, given, shared)?;
        watch_cost(number, line, goods, rights)?;
    }
    Ok(priced)
}

/// Refuses a line below cost, or marks it where it may be sold so.
fn watch_cost(number: usize, line: &mut Line, goods: &Goods, rights: Rights) -> Result<()> {
    let Some(cost) = goods.cost else {
        return Ok(());
    };
    if line.taxable.decimal() >= cost.decimal() * line.qty.decimal() {
        return Ok(());
    }
    if !rights.below_cost {
        return Err(Error::BelowCost {
            line: number,
            sku: goods.sku.clone(),
        });
    }
    let pricing = LinePricing {
        below_cost: true,
        ..line_pricing_of(line).unwrap_or_default()
    };
    line.pricing = serde_json::to_value(pricing).ok();
    Ok(())
}

/// Taxes lines, each with what of its discount is its share of one of the bill.
fn taxed(
    lines: Vec<(Line, TaxLine, Money)>,
    goods: &[&Goods],
    bill_discount: Option<Discounted>,
    terms: Terms,
) -> Result<Priced> {
    let (mut made, mut taxed, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for (line, tax, share) in lines {
        made.push(line);
        taxed.push(tax);
        shares.push(share);
    }
    let round_off = if terms.round_to_rupee {
        RoundOff::NearestRupee
    } else {
        RoundOff::None
    };
    let document = Document {
        lines: &taxed,
        bill_discount: Discounted::of(bill_discount),
        levy: terms.levy,
        round_off,
    };
    let uncomputable = |e: TaxError| Error::Uncomputable(e.to_string());
    let mut computed = compute(&document).map_err(uncomputable)?;
    if goods.iter().any(|goods| goods.taxed_by_price()) {
        // Discounts do not depend on the tax, but the tax may depend on what they leave of a unit.
        let mut retaxed = taxed.clone();
        for (at, line) in retaxed.iter_mut().enumerate() {
            let found = &computed.lines[at];
            let left = (found.gross - found.discount - found.bill_discount) / line.qty;
            let inside = line.pricing == Pricing::Inclusive;
            line.tax = tax_at(at + 1, goods[at], left, inside, terms)?;
            made[at].rate = Rate::rounded(line.tax.rate());
            made[at].cess_rate = Rate::rounded(line.tax.cess());
        }
        let lines = &retaxed[..];
        computed = compute(&Document { lines, ..document }).map_err(uncomputable)?;
    }
    for ((line, taxed), of_bill) in made.iter_mut().zip(&computed.lines).zip(shares) {
        let amounts = &taxed.amounts;
        line.gross = Money::rounded(taxed.gross);
        line.discount = Money::rounded(taxed.discount) - of_bill;
        line.bill_discount = Money::rounded(taxed.bill_discount) + of_bill;
        line.taxable = Money::rounded(amounts.taxable);
        line.cgst = Money::rounded(amounts.cgst);
        line.sgst = Money::rounded(amounts.sgst);
        line.igst = Money::rounded(amounts.igst);
        line.cess = Money::rounded(amounts.cess);
        line.total = Money::rounded(taxed.total());
    }
    let totals = &computed.totals;
    Ok(Priced {
        lines: made,
        gross: Money::rounded(totals.gross),
        discount: Money::rounded(totals.discount + totals.bill_discount),
        taxable: Money::rounded(totals.amounts.taxable),
        cgst: Money::rounded(totals.amounts.cgst),
        sgst: Money::rounded(totals.amounts.sgst),
        igst: Money::rounded(totals.amounts.igst),
        cess: Money::rounded(totals.amounts.cess),
        round_off: Money::rounded(totals.round_off),
        total: Money::rounded(totals.payable),
        pricing: None,
        uses: Vec::new(),
    })
}

/// What is asked of the price rules for a line.
fn want<'a>(number: usize, line: &NewLine, goods: &'a Goods, terms: Terms) -> Result<Wanted<'a>> {
    if !goods.for_sale() {
        return Err(Error::NotForSale {
            line: number,
            sku: goods.sku.clone(),
        });
    }
    let highest = goods
        .highest_tax()
        .map_err(|fault| untaxed(number, goods, fault))?;
    Ok(Wanted {
        goods,
        qty: line.qty,
        mrp: line.batch_mrp.or(goods.mrp),
        // Where no tax is charged, none comes on top of a price.
        tax: if terms.levy == Levy::NotCharged {
            TaxRate::NIL_RATED
        } else {
            highest
        },
        price: line.unit_price,
        includes_tax: line.price_includes_tax,
    })
}

/// The discount of a line: what promotions take off, and then the cashier's, of what is left.
fn discount_of(deal: &DealLine, given: Option<Discounted>) -> Discount {
    let promoted = deal.listed.discount + deal.listed.bill_discount;
    if promoted.is_zero() {
        return Discounted::of(given);
    }
    let given = match given {
        None => Money::ZERO,
        Some(Discounted::Percent(percent)) => {
            Money::rounded(deal.listed.net.decimal() * percent.decimal() / Decimal::ONE_HUNDRED)
        }
        Some(Discounted::Amount(amount)) => amount,
    };
    Discount::Amount((promoted + given).decimal())
}

fn price_line(
    number: usize,
    line: &NewLine,
    goods: &Goods,
    deal: &DealLine,
    terms: Terms,
) -> Result<(Line, TaxLine)> {
    let another = deal.own.is_some();
    let (unit_price, inclusive) = match deal.own {
        Some(own) => (own.price, own.includes_tax),
        None => (deal.listed.unit_price, deal.listed.includes_tax),
    };
    let tax = tax_at(number, goods, unit_price.decimal(), inclusive, terms)?;
    if another {
        let listed = (deal.listed.unit_price, deal.listed.includes_tax);
        // Both with the tax inside, so that a price without it does not pass for a lower one.
        let whole = |(price, inside): (Price, bool)| match inside || terms.levy == Levy::NotCharged
        {
            true => price.decimal(),
            false => {
                price.decimal() * (Decimal::ONE_HUNDRED + tax.rate() + tax.cess())
                    / Decimal::ONE_HUNDRED
            }
        };
        terms
            .rights
            .price(number, whole(listed), whole((unit_price, inclusive)))?;
    }
    if another && line.reason.is_none() {
        return Err(Error::ReasonNeeded { line: number });
    }
    // The others are under it already.
    if let Some(mrp) = line.batch_mrp.or(goods.mrp).filter(|_| another) {
        let on_top = !inclusive && terms.levy != Levy::NotCharged;
        let percent = if on_top {
            tax.rate() + tax.cess()
        } else {
            Decimal::ZERO
        };
        let with_tax = Money::rounded(
            unit_price.decimal() * (Decimal::ONE_HUNDRED + percent) / Decimal::ONE_HUNDRED,
        );
        if with_tax > mrp {
            return Err(Error::AboveMrp {
                line: number,
                price: with_tax,
                mrp,
            });
        }
    }
    let taxed = TaxLine {
        unit_price: unit_price.decimal(),
        pricing: if inclusive {
            Pricing::Inclusive
        } else {
            Pricing::Exclusive
        },
        discount: discount_of(deal, line.discount),
        ..deal.listed.taxed(line.qty, tax)
    };
    let made = Line {
        line: i32::try_from(number).unwrap_or(i32::MAX),
        product_id: goods.product_id,
        sku: goods.sku.clone(),
        description: goods.name.clone(),
        stocked: goods.stocked,
        hsn: goods.hsn.clone(),
        uqc: goods.uqc.clone(),
        qty: line.qty,
        unit_price,
        price_includes_tax: inclusive,
        list_price: another.then_some(deal.listed.unit_price),
        override_reason: line.reason.clone().filter(|_| another),
        gross: Money::ZERO,
        discount: Money::ZERO,
        bill_discount: Money::ZERO,
        tax_category: category_name(tax.category()).to_owned(),
        rate: Rate::rounded(tax.rate()),
        cess_rate: Rate::rounded(tax.cess()),
        taxable: Money::ZERO,
        cgst: Money::ZERO,
        sgst: Money::ZERO,
        igst: Money::ZERO,
        cess: Money::ZERO,
        total: Money::ZERO,
        batches: serde_json::Value::Array(Vec::new()),
        serials: serde_json::Value::from(line.serials.clone()),
        returned_qty: Quantity::ZERO,
        returned_taxable: Money::ZERO,
        returned_cgst: Money::ZERO,
        returned_sgst: Money::ZERO,
        returned_igst: Money::ZERO,
        returned_cess: Money::ZERO,
        credited_taxable: Money::ZERO,
        credited_cgst: Money::ZERO,
        credited_sgst: Money::ZERO,
        credited_igst: Money::ZERO,
        credited_cess: Money::ZERO,
        debited_taxable: Money::ZERO,
        debited_cgst: Money::ZERO,
        debited_sgst: Money::ZERO,
        debited_igst: Money::ZERO,
        debited_cess: Money::ZERO,
        pricing: None,
        of_order: None,
    };
    Ok((made, taxed))
}

/// The tax of a line at a price of one unit; where no tax is charged, none is inside the price.
fn tax_at(
    line: usize,
    goods: &Goods,
    price: Decimal,
    inclusive: bool,
    terms: Terms,
) -> Result<TaxRate> {
    let inside = inclusive && terms.levy != Levy::NotCharged;
    goods
        .tax_at(price, inside)
        .map_err(|fault| untaxed(line, goods, fault))
}

fn untaxed(line: usize, goods: &Goods, fault: NoTax) -> Error {
    match fault {
        NoTax::NotYetKnown => {
            Fault::NotYetKnown(format!("The tax profile of {}", goods.sku)).into()
        }
        NoTax::NoRate => Error::NoTaxRate {
            line,
            sku: goods.sku.clone(),
        },
    }
}

fn category_name(category: TaxCategory) -> &'static str {
    match category {
        TaxCategory::Taxable => "taxable",
        TaxCategory::NilRated => "nil",
        TaxCategory::Exempt => "exempt",
        TaxCategory::NonGst => "non_gst",
    }
}

/// How a total was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Sums by means.
    pub takings: Takings,
    /// Given back, in cash.
    pub change: Money,
}

/// Sets tenders against the total (S2).
pub(super) fn settle(total: Money, tenders: &[NewTender]) -> Result<Settled> {
    let takings = Takings::of(tenders.iter().map(|t| (t.method, t.amount)));
    let change = takings.total() - total;
    if change.is_negative() {
        return Err(Error::TenderShort {
            total,
            missing: -change,
        });
    }
    if change > takings.get(Method::Cash) {
        return Err(Error::ChangeNotCash {
            total,
            excess: change,
        });
    }
    Ok(Settled { takings, change })
}

/// An invoice's header.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Header {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = Text)]
    pub series: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub issued_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin_supplier: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin_buyer: Option<String>,
    #[diesel(sql_type = Text)]
    pub place_of_supply: String,
    #[diesel(sql_type = Bool)]
    pub inter_state: bool,
    #[diesel(sql_type = Bool)]
    pub reverse_charge: bool,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub till_id: Option<TillId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<PosSessionId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub buyer_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub buyer_phone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub buyer_address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub buyer_state: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub cashier_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub salesperson_id: Option<UserId>,
    #[diesel(sql_type = SqlUuid)]
    pub reservation_id: ReservationId,
    #[diesel(sql_type = Text)]
    pub demand_hash: String,
    #[diesel(sql_type = Numeric)]
    pub gross: Money,
    #[diesel(sql_type = Numeric)]
    pub discount: Money,
    #[diesel(sql_type = Numeric)]
    pub taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub igst: Money,
    #[diesel(sql_type = Numeric)]
    pub cess: Money,
    #[diesel(sql_type = Numeric)]
    pub round_off: Money,
    #[diesel(sql_type = Bool)]
    pub round_to_rupee: bool,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    #[diesel(sql_type = Numeric)]
    pub tendered: Money,
    #[diesel(sql_type = Numeric)]
    pub tendered_cash: Money,
    #[diesel(sql_type = Numeric)]
    pub change: Money,
    #[diesel(sql_type = Numeric)]
    pub credit: Money,
    #[diesel(sql_type = Text)]
    pub currency: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_reference: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub external_date: Option<DateTime<Utc>>,
    #[diesel(sql_type = Numeric)]
    pub returned: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_credit: Money,
    /// By receipts.
    #[diesel(sql_type = Numeric)]
    pub paid: Money,
    /// By notes that lower prices, or by its cancellation.
    #[diesel(sql_type = Numeric)]
    pub credited: Money,
    /// What of that was taken off what is owed.
    #[diesel(sql_type = Numeric)]
    pub credited_credit: Money,
    /// By notes that raise prices.
    #[diesel(sql_type = Numeric)]
    pub debited: Money,
    /// What is still to be paid.
    #[diesel(sql_type = Numeric)]
    pub open: Money,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
    /// As [`InvoicePricing`].
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub pricing: Option<serde_json::Value>,
    /// The buyer's reference.
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
    /// Remark.
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    /// Whom to call about the delivery.
    #[diesel(sql_type = Nullable<Text>)]
    pub delivery_contact: Option<String>,
}

impl Header {
    /// What the buyer has given and not got back: what may be refunded.
    pub fn refundable(&self) -> Money {
        let given = self.total - self.credit + self.paid;
        let back = self.returned - self.returned_credit + self.credited - self.credited_credit;
        given - back
    }

    /// What must have been given back in all when its lines have given back `in_all`, in whole rupees where it was sold
    /// in them. `whole`: all goods are back.
    pub fn due_back(&self, lines: &[Line], in_all: Money, whole: bool) -> Money {
        let charged = self.total + self.debited;
        let of_lines = lines
            .iter()
            .map(|l| Money::rounded(l.sold().total() + l.debited().total()))
            .sum::<Money>();
        if whole || in_all == of_lines {
            charged
        } else if self.round_to_rupee {
            // Half up; amounts here are never negative.
            Money::rounded(bahi_types::round_to(in_all.decimal(), 0)).min(charged)
        } else {
            in_all
        }
    }

    /// Whether it is paid, apart from its fiscal state.
    pub fn payment_status(&self) -> &'static str {
        let settled = self.credit + self.debited - self.open;
        if self.open.is_zero() {
            if self.status == "cancelled" {
                "cancelled"
            } else {
                "paid"
            }
        } else if settled.is_positive() || self.total > self.credit {
            "partially_paid"
        } else {
            "unpaid"
        }
    }
}

/// A line of an invoice.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Line {
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub sku: String,
    #[diesel(sql_type = Text)]
    pub description: String,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Text)]
    pub hsn: String,
    #[diesel(sql_type = Text)]
    pub uqc: String,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub unit_price: Price,
    #[diesel(sql_type = Bool)]
    pub price_includes_tax: bool,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub list_price: Option<Price>,
    #[diesel(sql_type = Nullable<Text>)]
    pub override_reason: Option<String>,
    #[diesel(sql_type = Numeric)]
    pub gross: Money,
    #[diesel(sql_type = Numeric)]
    pub discount: Money,
    #[diesel(sql_type = Numeric)]
    pub bill_discount: Money,
    #[diesel(sql_type = Text)]
    pub tax_category: String,
    #[diesel(sql_type = Numeric)]
    pub rate: Rate,
    #[diesel(sql_type = Numeric)]
    pub cess_rate: Rate,
    #[diesel(sql_type = Numeric)]
    pub taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub igst: Money,
    #[diesel(sql_type = Numeric)]
    pub cess: Money,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    /// As [`BatchAllocation`]s.
    #[diesel(sql_type = Jsonb)]
    pub batches: serde_json::Value,
    /// Serial numbers of its pieces.
    #[diesel(sql_type = Jsonb)]
    pub serials: serde_json::Value,
    #[diesel(sql_type = Numeric)]
    pub returned_qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub returned_taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_igst: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_cess: Money,
    /// Given back by notes on its price.
    #[diesel(sql_type = Numeric)]
    pub credited_taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub credited_cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub credited_sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub credited_igst: Money,
    #[diesel(sql_type = Numeric)]
    pub credited_cess: Money,
    /// Charged by notes on its price.
    #[diesel(sql_type = Numeric)]
    pub debited_taxable: Money,
    #[diesel(sql_type = Numeric)]
    pub debited_cgst: Money,
    #[diesel(sql_type = Numeric)]
    pub debited_sgst: Money,
    #[diesel(sql_type = Numeric)]
    pub debited_igst: Money,
    #[diesel(sql_type = Numeric)]
    pub debited_cess: Money,
    /// As [`LinePricing`].
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub pricing: Option<serde_json::Value>,
    /// As [`OfOrder`], of a line that bills an order.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[serde(default)]
    pub of_order: Option<serde_json::Value>,
}

/// What of an order a line bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfOrder {
    pub order_id: Uuid,
    /// Line of the order.
    pub line: i32,
    /// The delivery with which the goods left, where they have.
    pub fulfilment_id: Option<Uuid>,
}

/// What of an order a line bills.
pub(crate) fn of_order(line: &Line) -> Option<OfOrder> {
    let of = line.of_order.clone()?;
    serde_json::from_value(of).ok()
}

/// A line whose price was agreed on before: only its tax is new.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// As it was agreed, of the quantity that is billed.
    pub line: Line,
    /// Of the line, of promotions and the cashier, for that quantity.
    pub discount: Money,
    /// Of the bill, likewise.
    pub bill_discount: Money,
}

/// Taxes lines whose prices were agreed on; `goods` stand beside them.
pub(super) fn tax_again(agreed: Vec<Agreed>, goods: &[&Goods], terms: Terms) -> Result<Priced> {
    let mut lines = Vec::with_capacity(agreed.len());
    for (at, (agreed, goods)) in agreed.into_iter().zip(goods).enumerate() {
        let line = agreed.line;
        let inclusive = line.price_includes_tax;
        let tax = tax_at(at + 1, goods, line.unit_price.decimal(), inclusive, terms)?;
        let taxed = TaxLine {
            qty: line.qty.decimal(),
            unit_price: line.unit_price.decimal(),
            pricing: if inclusive {
                Pricing::Inclusive
            } else {
                Pricing::Exclusive
            },
            discount: Discount::Amount((agreed.discount + agreed.bill_discount).decimal()),
            tax,
        };
        let made = Line {
            line: i32::try_from(at + 1).unwrap_or(i32::MAX),
            hsn: goods.hsn.clone(),
            tax_category: category_name(tax.category()).to_owned(),
            rate: Rate::rounded(tax.rate()),
            cess_rate: Rate::rounded(tax.cess()),
            ..line
        };
        lines.push((made, taxed, agreed.bill_discount));
    }
    taxed(lines, goods, None, terms)
}

impl Line {
    /// As it was sold.
    pub fn sold(&self) -> Amounts {
        Amounts {
            taxable: self.taxable.decimal(),
            cgst: self.cgst.decimal(),
            sgst: self.sgst.decimal(),
            igst: self.igst.decimal(),
            cess: self.cess.decimal(),
        }
    }

    /// What was given back for goods.
    pub fn returned(&self) -> Amounts {
        Amounts {
            taxable: self.returned_taxable.decimal(),
            cgst: self.returned_cgst.decimal(),
            sgst: self.returned_sgst.decimal(),
            igst: self.returned_igst.decimal(),
            cess: self.returned_cess.decimal(),
        }
    }

    /// What was given back by notes on its price.
    pub fn credited(&self) -> Amounts {
        Amounts {
            taxable: self.credited_taxable.decimal(),
            cgst: self.credited_cgst.decimal(),
            sgst: self.credited_sgst.decimal(),
            igst: self.credited_igst.decimal(),
            cess: self.credited_cess.decimal(),
        }
    }

    /// What was charged by notes on its price.
    pub fn debited(&self) -> Amounts {
        Amounts {
            taxable: self.debited_taxable.decimal(),
            cgst: self.debited_cgst.decimal(),
            sgst: self.debited_sgst.decimal(),
            igst: self.debited_igst.decimal(),
            cess: self.debited_cess.decimal(),
        }
    }

    /// A note has changed its price.
    pub fn is_noted(&self) -> bool {
        !self.credited().total().is_zero() || !self.debited().total().is_zero()
    }

    /// What may still be given back of it.
    pub fn left(&self) -> Amounts {
        let (sold, debited) = (self.sold(), self.debited());
        let (returned, credited) = (self.returned(), self.credited());
        let left =
            |f: fn(&Amounts) -> Decimal| f(&sold) + f(&debited) - f(&returned) - f(&credited);
        Amounts {
            taxable: left(|a| a.taxable),
            cgst: left(|a| a.cgst),
            sgst: left(|a| a.sgst),
            igst: left(|a| a.igst),
            cess: left(|a| a.cess),
        }
    }
}

/// How an invoice got its prices, where that is more than the products' own.
pub(crate) fn pricing_of(header: &Header) -> Option<InvoicePricing> {
    serde_json::from_value(header.pricing.clone()?).ok()
}

/// How a line got its price, where that is more than the product's own.
pub(crate) fn line_pricing_of(line: &Line) -> Option<LinePricing> {
    serde_json::from_value(line.pricing.clone()?).ok()
}

/// Serial numbers as a line keeps them.
pub(crate) fn serials_of(kept: &serde_json::Value) -> Vec<String> {
    serde_json::from_value(kept.clone()).unwrap_or_default()
}

/// The batches a line was promised from.
pub(crate) fn batches_of(line: &Line) -> Vec<BatchAllocation> {
    serde_json::from_value(line.batches.clone()).unwrap_or_default()
}

/// A payment of an invoice.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Tender {
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
}

impl From<&NewTender> for Tender {
    fn from(given: &NewTender) -> Self {
        Self {
            method: given.method.name().to_owned(),
            amount: given.amount,
            reference: given.reference.clone(),
        }
    }
}

/// A whole invoice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invoice {
    pub header: Header,
    pub lines: Vec<Line>,
    pub tenders: Vec<Tender>,
}

/// An amount, in tests.
#[cfg(test)]
fn money(text: &str) -> Money {
    Money::rounded(text.parse().unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::right::Allowance;

    fn goods(price: &str, rate: &str, mrp: Option<&str>) -> Goods {
        Goods {
            product_id: ProductId::new(),
            sku: "SKU".into(),
            name: "Thing".into(),
            stocked: true,
            hsn: "854442".into(),
            uqc: "PCS".into(),
            price: price.parse().unwrap(),
            price_includes_tax: true,
            mrp: mrp.map(|m| m.parse().unwrap()),
            status: "active".into(),
            template: false,
            category: Some("taxable".into()),
            rate: Some(rate.parse().unwrap()),
            cess: Some(Rate::ZERO),
            rate_from: Some("2025-09-22".parse().unwrap()),
            price_limit: None,
            rate_above: None,
            cess_above: None,
            stock_unit_id: None,
            category_id: None,
            brand_id: None,
            cost: None,
        }
    }

    /// Without lists and promotions.
    fn price(
        lines: &[NewLine],
        goods: &[&Goods],
        bill_discount: Option<Discounted>,
        terms: Terms,
    ) -> Result<Priced> {
        super::price(lines, goods, bill_discount, terms, &Market::default())
    }

    fn line(qty: &str) -> NewLine {
        NewLine {
            product_id: Some(ProductId::new()),
            barcode: None,
            sku: None,
            qty: qty.parse().unwrap(),
            unit_price: None,
            price_includes_tax: None,
            discount: None,
            reason: None,
            batch_mrp: None,
            serials: Vec::new(),
        }
    }

    const TERMS: Terms = Terms {
        levy: Levy::Intra,
        round_to_rupee: false,
        rights: Rights::ALL,
    };

    #[test]
    fn what_is_left_of_a_pair_decides_the_rate_of_footwear() {
        let shoes = Goods {
            price_limit: Some(Price::from(2500)),
            rate_above: Some(Rate::from(18)),
            cess_above: Some(Rate::ZERO),
            ..goods("2700", "5", None)
        };
        let rate = |bill_discount: Option<Discounted>| {
            let priced = price(&[line("2")], &[&shoes], bill_discount, TERMS).unwrap();
            (priced.lines[0].rate, priced.total)
        };
        assert_eq!(rate(None), (Rate::from(18), money("5400")));
        let off = Discounted::Amount(money("150"));
        assert_eq!(rate(Some(off)), (Rate::from(5), money("5250")));
    }

    #[test]
    fn a_shelf_price_stays_exact() {
        let cable = goods("299", "18", None);
        let priced = price(&[line("1")], &[&cable], None, TERMS).unwrap();
        assert_eq!(
            (priced.taxable, priced.cgst, priced.total),
            (money("253.38"), money("22.81"), money("299"))
        );
    }

    #[test]
    fn the_line_amount_is_rounded_once() {
        let loose = goods("33.3333", "0", None);
        let priced = price(&[line("1.005")], &[&loose], None, TERMS).unwrap();
        assert_eq!(priced.gross, money("33.50"));
    }

    #[test]
    fn another_price_needs_permission_and_reason_and_stays_under_the_mrp() {
        let cable = goods("299", "18", Some("299"));
        let cheaper = NewLine {
            unit_price: Some("250".parse().unwrap()),
            ..line("1")
        };
        let refused = price(
            std::slice::from_ref(&cheaper),
            &[&cable],
            None,
            Terms {
                rights: Rights {
                    price: Allowance::None,
                    ..Rights::ALL
                },
                ..TERMS
            },
        );
        assert!(matches!(
            refused,
            Err(Error::Fault(Fault::Forbidden(permission))) if permission == "sales.price.override"
        ));
        assert!(matches!(
            price(std::slice::from_ref(&cheaper), &[&cable], None, TERMS),
            Err(Error::ReasonNeeded { line: 1 })
        ));
        let reasoned = NewLine {
            reason: Some("torn".into()),
            ..cheaper
        };
        let sold = price(std::slice::from_ref(&reasoned), &[&cable], None, TERMS).unwrap();
        assert_eq!(sold.lines[0].list_price, Some("299".parse().unwrap()));
        // 253.40 without tax is 299.01 with it.
        let dearer = NewLine {
            unit_price: Some("253.40".parse().unwrap()),
            price_includes_tax: Some(false),
            ..reasoned
        };
        assert!(matches!(
            price(&[dearer], &[&cable], None, TERMS),
            Err(Error::AboveMrp { line: 1, .. })
        ));
    }

    #[test]
    fn naming_the_catalogue_price_is_no_override() {
        let cable = goods("299", "18", None);
        let same = NewLine {
            unit_price: Some("299.00".parse().unwrap()),
            ..line("1")
        };
        let sold = price(
            &[same],
            &[&cable],
            None,
            Terms {
                rights: Rights {
                    price: Allowance::None,
                    ..Rights::ALL
                },
                ..TERMS
            },
        )
        .unwrap();
        assert_eq!(sold.lines[0].list_price, None);
    }

    #[test]
    fn a_discount_needs_permission() {
        let cable = goods("299", "18", None);
        let none = Terms {
            rights: Rights {
                discount: Allowance::None,
                ..Rights::ALL
            },
            ..TERMS
        };
        let ten = Some(Discounted::Percent(Rate::from(10)));
        let refused = price(&[line("1")], &[&cable], ten, none);
        assert!(matches!(
            refused,
            Err(Error::Fault(Fault::Forbidden(permission))) if permission == "sales.discount.give"
        ));
        assert!(
            price(
                &[line("1")],
                &[&cable],
                Some(Discounted::Amount(Money::ZERO)),
                none
            )
            .is_ok()
        );
    }

    #[test]
    fn change_comes_from_cash_alone() {
        let tender = |method, amount: &str| NewTender {
            method,
            amount: money(amount),
            reference: None,
        };
        let split = settle(
            money("431"),
            &[tender(Method::Upi, "200"), tender(Method::Cash, "300")],
        )
        .unwrap();
        assert_eq!(split.change, money("69"));
        let short = settle(money("431"), &[tender(Method::Cash, "400")]);
        assert!(matches!(short, Err(Error::TenderShort { missing, .. }) if missing == money("31")));
        let over = settle(
            money("431"),
            &[tender(Method::Upi, "450"), tender(Method::Cash, "10")],
        );
        assert!(matches!(over, Err(Error::ChangeNotCash { excess, .. }) if excess == money("29")));
        assert_eq!(settle(Money::ZERO, &[]).unwrap().change, Money::ZERO);
    }

    #[test]
    fn a_counter_sale_is_taxed_at_the_counter_and_goods_sent_where_they_go() {
        let home: StateCode = "27".parse().unwrap();
        let vendor = Buyer {
            gstin: Some("29AABCR1718E1ZL".into()),
            ..Buyer::default()
        };
        assert!(!supply(home, &vendor, None, false).unwrap().inter);
        assert!(supply(home, &vendor, None, true).unwrap().inter);
        assert!(!supply(home, &Buyer::default(), None, true).unwrap().inter);
    }
}
