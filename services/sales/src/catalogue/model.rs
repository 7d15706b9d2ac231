//! A product as a till sees it.

use bahi_gst::TaxRate;
use bahi_types::{Money, Price, ProductId, Rate};
use diesel::{
    QueryableByName,
    sql_types::{Bool, Nullable, Numeric, Text, Uuid as SqlUuid},
};

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
    /// None while the tax profile is not here yet.
    #[diesel(sql_type = Nullable<Text>)]
    pub category: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub rate: Option<Rate>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub cess: Option<Rate>,
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
    /// May it be sold? What is being sold off still may.
    pub(crate) fn for_sale(&self) -> bool {
        matches!(self.status.as_str(), "active" | "discontinued")
    }

    /// Its category, rate and cess.
    pub(crate) fn tax(&self) -> Result<TaxRate, NoTax> {
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
            category: category.map(str::to_owned),
            rate: rate.map(|r| r.parse().unwrap()),
            cess: rate.map(|_| Rate::ZERO),
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
    }
}
