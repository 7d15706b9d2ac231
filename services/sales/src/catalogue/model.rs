//! A product as a till sees it.

use bahi_gst::{PriceBand, RateHistory, RateRow, TaxRate};
use bahi_types::{BrandId, CategoryId, Money, Price, ProductId, Rate, UnitId};
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{Bool, Date, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use rust_decimal::Decimal;

/// A product with its tax of one day.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Goods {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub sku: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Text)]
    pub hsn: String,
    #[diesel(sql_type = Text)]
    pub uqc: String,
    #[diesel(sql_type = Numeric)]
    pub price: Price,
    #[diesel(sql_type = Bool)]
    pub price_includes_tax: bool,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub mrp: Option<Money>,
    #[diesel(sql_type = Text)]
    pub status: String,
    /// It stands for its variants.
    #[diesel(sql_type = Bool)]
    pub template: bool,
    /// None while the tax profile is not here yet.
    #[diesel(sql_type = Nullable<Text>)]
    pub category: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub rate: Option<Rate>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub cess: Option<Rate>,
    /// The first day of the rate.
    #[diesel(sql_type = Nullable<Date>)]
    pub rate_from: Option<NaiveDate>,
    /// Price of a unit before tax, after discount, above which another rate holds.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub price_limit: Option<Price>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub rate_above: Option<Rate>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub cess_above: Option<Rate>,
    /// The unit it is sold in; like the next two unknown for what was heard of before these were kept.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub stock_unit_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub category_id: Option<CategoryId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub brand_id: Option<BrandId>,
    /// What one unit cost us where it is sold, where that is known. It is told to nobody.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub cost: Option<Price>,
}

/// Why a product has no tax.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTax {
    /// Its profile has not arrived.
    NotYetKnown,
    /// Its profile has no rate for the day.
    NoRate,
}

impl Goods {
    /// May it be sold? What is being sold off still may; of a template only the variants.
    pub(crate) fn for_sale(&self) -> bool {
        !self.template && matches!(self.status.as_str(), "active" | "discontinued")
    }

    /// Its category, rate and cess at a price of one unit after discount.
    pub(crate) fn tax_at(&self, price: Decimal, includes_tax: bool) -> Result<TaxRate, NoTax> {
        let low = self.tax()?;
        let above = (
            self.rate_from,
            self.price_limit,
            self.rate_above,
            self.cess_above,
        );
        let (Some(from), Some(limit), Some(rate), Some(cess)) = above else {
            return Ok(low);
        };
        let row = |band, tax| RateRow {
            from,
            to: None,
            band,
            tax,
        };
        let limit = limit.decimal();
        let found = TaxRate::taxable(rate.decimal(), cess.decimal()).and_then(|high| {
            let history = RateHistory::try_new(vec![
                row(PriceBand::UpTo(limit), low),
                row(PriceBand::Above(limit), high),
            ])?;
            if includes_tax {
                history.on_inclusive(from, price)
            } else {
                history.on(from, price)
            }
        });
        found.map_err(|_| NoTax::NoRate)
    }

    /// The highest tax that a price may have, so that what is left of an MRP holds at any.
    pub(crate) fn highest_tax(&self) -> Result<TaxRate, NoTax> {
        let low = self.tax()?;
        let (Some(rate), Some(cess)) = (self.rate_above, self.cess_above) else {
            return Ok(low);
        };
        let high = TaxRate::taxable(rate.decimal(), cess.decimal()).map_err(|_| NoTax::NoRate)?;
        let whole = |tax: &TaxRate| tax.rate() + tax.cess();
        Ok(if whole(&high) > whole(&low) {
            high
        } else {
            low
        })
    }

    /// Whether its rate depends on its price.
    pub(crate) fn taxed_by_price(&self) -> bool {
        self.price_limit.is_some()
    }

    /// Its category, rate and cess, at the lower price where that matters.
    fn tax(&self) -> Result<TaxRate, NoTax> {
        match self.category.as_deref() {
            None => Err(NoTax::NotYetKnown),
            Some("nil") => Ok(TaxRate::NIL_RATED),
            Some("exempt") => Ok(TaxRate::EXEMPT),
            Some("non_gst") => Ok(TaxRate::NON_GST),
            Some(_) => {
                let (Some(rate), Some(cess)) = (self.rate, self.cess) else {
                    return Err(NoTax::NoRate);
                };
                TaxRate::taxable(rate.decimal(), cess.decimal()).map_err(|_| NoTax::NoRate)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goods(category: Option<&str>, rate: Option<&str>) -> Goods {
        Goods {
            product_id: ProductId::new(),
            sku: "A".into(),
            name: "A".into(),
            stocked: true,
            hsn: "1905".into(),
            uqc: "PCS".into(),
            price: Price::from(1),
            price_includes_tax: true,
            mrp: None,
            status: "active".into(),
            template: false,
            category: category.map(str::to_owned),
            rate: rate.map(|r| r.parse().unwrap()),
            cess: rate.map(|_| Rate::ZERO),
            rate_from: rate.map(|_| "2025-09-22".parse().unwrap()),
            price_limit: None,
            rate_above: None,
            cess_above: None,
            stock_unit_id: None,
            category_id: None,
            brand_id: None,
            cost: None,
        }
    }

    #[test]
    fn a_missing_profile_is_not_a_missing_rate() {
        assert_eq!(goods(None, None).tax(), Err(NoTax::NotYetKnown));
        assert_eq!(goods(Some("taxable"), None).tax(), Err(NoTax::NoRate));
        assert_eq!(goods(Some("nil"), None).tax(), Ok(TaxRate::NIL_RATED));
        assert_eq!(
            goods(Some("taxable"), Some("18")).tax().unwrap().rate(),
            "18".parse().unwrap()
        );
    }

    #[test]
    fn what_is_sold_off_is_still_for_sale() {
        let with = |status: &str| {
            Goods {
                status: status.into(),
                ..goods(None, None)
            }
            .for_sale()
        };
        assert!(with("active") && with("discontinued"));
        assert!(!with("draft") && !with("archived") && !with("deleted"));
        let template = Goods {
            template: true,
            ..goods(None, None)
        };
        assert!(!template.for_sale(), "its variants are sold");
    }
}
