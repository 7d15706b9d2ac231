//! A basket and the rules that it is priced by.

use std::collections::HashMap;

use bahi_events::{InvoicePricing, InvoicePromotion, LinePricing, LinePromotion};
use bahi_gst::TaxRate;
use bahi_pricing::{Base, Basket, CouponOutcome, Line, PricedLine, Quote, Rule, Rules, Why};
use bahi_types::{
    BranchId, CategoryId, CustomerGroupId, CustomerId, Money, Price, PromotionId, Quantity, UnitId,
};
use chrono::NaiveDate;
use uuid::Uuid;

use crate::{
    catalogue::Goods,
    error::{Error, Result},
    promotion::Use,
};

/// The rules that may concern a basket, and for whom, where and when it is priced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Market {
    pub date: NaiveDate,
    /// Known once the place of the sale is.
    pub branch: Option<BranchId>,
    pub customer_group: Option<CustomerGroupId>,
    pub customer: Option<CustomerId>,
    /// Of coupons, folded, each once.
    pub codes: Vec<String>,
    pub rules: Rules,
    pub names: HashMap<PromotionId, String>,
    /// Categories with all above them.
    pub categories: HashMap<CategoryId, Vec<CategoryId>>,
}

/// A line that wants a price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub goods: &'a Goods,
    pub qty: Quantity,
    /// Of one unit.
    pub mrp: Option<Money>,
    /// The highest that its price may have.
    pub tax: TaxRate,
    /// The price that the request names.
    pub price: Option<Price>,
    /// Whether that includes tax, where the request says so.
    pub includes_tax: Option<bool>,
}

/// A line with its price.
#[derive(Clone, Debug)]
pub(crate) struct DealLine {
    /// As the copies price it.
    pub listed: PricedLine,
    /// Another price, that the request names; then nothing else of the rules holds.
    pub own: Option<Base>,
}

/// A basket with its prices.
#[derive(Clone, Debug)]
pub(crate) struct Deal {
    /// As in the basket.
    pub lines: Vec<DealLine>,
    /// What promotions have taken off.
    pub promotions: Vec<InvoicePromotion>,
    /// The coupons that it uses.
    pub uses: Vec<Use>,
}

impl Market {
    /// Prices a basket.
    ///
    /// # Errors
    /// [`Error::CouponRefused`], [`Error::CouponUsedUp`], [`Error::CouponNeedsCustomer`]; amounts that are too large.
    pub(crate) fn price(&self, wanted: &[Wanted<'_>]) -> Result<Deal> {
        let lines: Vec<Line> = wanted.iter().map(|w| self.line(w)).collect();
        let mut quote = self.resolve(lines.clone(), &self.rules)?;
        let own: Vec<Option<Base>> = wanted
            .iter()
            .zip(&quote.lines)
            .map(|(wanted, listed)| another(wanted, listed))
            .collect();
        if own.iter().any(Option::is_some) {
            quote = self.without(&own, lines, quote)?;
        }
        let uses = self.uses(&quote.coupons)?;
        let promotions = quote.promotions.iter().map(|taken| {
            let coupon = uses.iter().find(|u| Some(u.coupon_id) == taken.coupon_id);
            InvoicePromotion {
                promotion_id: taken.promotion_id,
                name: self.name(taken.promotion_id),
                amount: taken.amount,
                coupon_id: taken.coupon_id,
                coupon_code: coupon.map(|u| u.code.clone()),
            }
        });
        Ok(Deal {
            promotions: promotions.collect(),
            uses,
            lines: quote
                .lines
                .into_iter()
                .zip(own)
                .map(|(listed, own)| DealLine { listed, own })
                .collect(),
        })
    }

    /// Whether a promotion is about categories.
    pub(super) fn names_categories(&self) -> bool {
        self.rules.promotions.iter().any(|promotion| {
            let got = match &promotion.rule {
                Rule::BuyGet { get: Some(get), .. } => !get.categories.is_empty(),
                _ => false,
            };
            got || !promotion.scope.categories.is_empty()
        })
    }

    /// How a line got its price, for the invoice; nothing at the product's own price.
    pub(crate) fn of_line(&self, line: &DealLine, batch_mrp: Option<Money>) -> Option<LinePricing> {
        let listed = line.listed.listed().filter(|_| line.own.is_none());
        let promotions = line.listed.shares.iter().map(|share| LinePromotion {
            promotion_id: share.promotion_id,
            name: self.name(share.promotion_id),
            amount: share.amount,
            of_bill: share.of_bill,
        });
        let pricing = LinePricing {
            price_list_id: listed.map(|l| l.0),
            price_entry_id: listed.map(|l| l.1),
            batch_mrp,
            promotions: promotions.collect(),
            below_cost: false,
        };
        (pricing != LinePricing::default()).then_some(pricing)
    }

    /// How an invoice got its prices.
    pub(crate) fn of_invoice(&self, promotions: Vec<InvoicePromotion>) -> Option<InvoicePricing> {
        let pricing = InvoicePricing {
            customer_group_id: self.customer_group,
            promotions,
        };
        (pricing != InvoicePricing::default()).then_some(pricing)
    }

    fn line(&self, wanted: &Wanted<'_>) -> Line {
        let goods = wanted.goods;
        let above = |id: CategoryId| {
            let known = self.categories.get(&id).cloned();
            known.unwrap_or_else(|| vec![id])
        };
        Line {
            product: goods.product_id,
            // No list has a price in no unit: what was heard of before units were kept has its own price.
            unit: goods
                .stock_unit_id
                .unwrap_or_else(|| UnitId::from_uuid(Uuid::nil())),
            qty: wanted.qty,
            base: Some(Base {
                price: goods.price,
                includes_tax: goods.price_includes_tax,
            }),
            mrp: wanted.mrp,
            tax: wanted.tax,
            categories: goods.category_id.map(above).unwrap_or_default(),
            brand: goods.brand_id,
        }
    }

    fn resolve(&self, lines: Vec<Line>, rules: &Rules) -> Result<Quote> {
        let basket = Basket {
            date: self.date,
            branch: self.branch,
            customer_group: self.customer_group,
            lines,
            coupons: self.codes.clone(),
        };
        bahi_pricing::resolve(&basket, rules).map_err(|e| Error::Uncomputable(e.to_string()))
    }

    /// The promotions again, without the lines that have a price of their own: the others keep theirs.
    fn without(&self, own: &[Option<Base>], lines: Vec<Line>, mut quote: Quote) -> Result<Quote> {
        let rules = Rules {
            offers: Vec::new(),
            ..self.rules.clone()
        };
        let kept = lines.into_iter().zip(&quote.lines).zip(own);
        let kept = kept.filter(|(_, own)| own.is_none());
        let kept = kept.map(|((line, listed), _)| Line {
            base: Some(Base {
                price: listed.unit_price,
                includes_tax: listed.includes_tax,
            }),
            mrp: None,
            ..line
        });
        let again = self.resolve(kept.collect(), &rules)?;
        let mut priced = again.lines.into_iter();
        for (line, own) in quote.lines.iter_mut().zip(own) {
            line.shares.clear();
            (line.discount, line.bill_discount, line.net) = (Money::ZERO, Money::ZERO, line.gross);
            if own.is_some() {
                continue;
            }
            if let Some(priced) = priced.next() {
                // The reasons of the price are those of the first time.
                *line = PricedLine {
                    considered: std::mem::take(&mut line.considered),
                    ..priced
                };
            }
        }
        Ok(Quote {
            lines: quote.lines,
            promotions: again.promotions,
            coupons: again.coupons,
        })
    }

    fn uses(&self, outcomes: &[CouponOutcome]) -> Result<Vec<Use>> {
        outcomes
            .iter()
            .map(|outcome| self.of_coupon(outcome))
            .collect()
    }

    fn of_coupon(&self, outcome: &CouponOutcome) -> Result<Use> {
        let code = outcome.code.clone();
        let mut coupons = self.rules.coupons.iter();
        let coupon = coupons.find(|coupon| Some(coupon.id) == outcome.coupon_id);
        match (coupon, outcome.why) {
            (_, Some(Why::CouponUsedUp)) => Err(Error::CouponUsedUp {
                code,
                by_customer: false,
            }),
            (_, Some(Why::CouponUsedUpByCustomer)) => Err(Error::CouponUsedUp {
                code,
                by_customer: true,
            }),
            (Some(coupon), None) if outcome.applied => {
                if coupon.limit_per_customer.is_some() && self.customer.is_none() {
                    return Err(Error::CouponNeedsCustomer(code));
                }
                Ok(Use {
                    coupon_id: coupon.id,
                    code,
                    limit: coupon.limit,
                    limit_per_customer: coupon.limit_per_customer,
                    customer: self.customer,
                })
            }
            (_, why) => Err(Error::CouponRefused {
                code,
                why: why.unwrap_or(Why::NoBenefit),
            }),
        }
    }

    fn name(&self, promotion: PromotionId) -> String {
        self.names.get(&promotion).cloned().unwrap_or_default()
    }
}

/// The price that the request names, where it is another than that of the copies.
fn another(wanted: &Wanted<'_>, listed: &PricedLine) -> Option<Base> {
    let named = Base {
        price: wanted.price.unwrap_or(listed.unit_price),
        includes_tax: wanted.includes_tax.unwrap_or(listed.includes_tax),
    };
    let of_copies = Base {
        price: listed.unit_price,
        includes_tax: listed.includes_tax,
    };
    (named != of_copies).then_some(named)
}
