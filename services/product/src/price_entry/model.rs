//! A price of a price list, and which of them contradict each other.

use std::collections::HashMap;

use bahi_pricing::Period;
use bahi_types::{
    Money, Price, PriceEntryId, PriceListId, ProductId, Quantity, UnitId, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    price_list::model::{PriceList, sound},
    product::model::Product,
    schema::price_entry,
    tax_profile::model::TaxProfile,
};

/// Prices that are added at once at most.
pub const MOST_AT_ONCE: usize = 1000;
/// Prices of one product in one list at most: units, breaks and seasons.
pub const MOST_OF_PRODUCT: usize = 100;

/// A price of a price list.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = price_entry, treat_none_as_null = true)]
pub struct PriceEntry {
    /// Id.
    pub id: PriceEntryId,
    /// The list.
    pub price_list_id: PriceListId,
    /// The product.
    pub product_id: ProductId,
    /// The unit of the price.
    pub unit_id: UnitId,
    /// Quantity from which it holds, in that unit.
    pub min_qty: Quantity,
    /// Of one unit.
    pub price: Price,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
}

/// What can be said of a price.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The product.
    pub product_id: ProductId,
    /// The unit; that of the product's stock when none.
    pub unit_id: Option<UnitId>,
    /// Quantity from which it holds.
    pub min_qty: Quantity,
    /// Of one unit.
    pub price: Price,
    /// When it holds.
    pub period: Period,
}

impl PriceEntry {
    /// The price that `draft` says; `field` is where it says so.
    ///
    /// # Errors
    /// When its period ends before it begins, or it is above the MRP.
    pub fn said(
        id: PriceEntryId,
        list: &PriceList,
        draft: &Draft,
        product: &Product,
        tax: Option<&TaxProfile>,
        field: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        sound(field, &draft.period)?;
        let entry = Self {
            id,
            price_list_id: list.id,
            product_id: product.id,
            unit_id: draft.unit_id.unwrap_or(product.unit_id),
            min_qty: draft.min_qty,
            price: draft.price,
            valid_from: draft.period.from,
            valid_to: draft.period.to,
        };
        if let Some(mrp) = product.mrp.filter(|_| entry.unit_id == product.unit_id) {
            let day = draft.period.from.unwrap_or_else(|| business_date(now));
            let price = match tax {
                Some(tax) if !list.price_includes_tax => tax.with_tax(draft.price, day),
                _ => Money::rounded(draft.price.decimal()),
            };
            if price > mrp {
                return Err(Error::EntryAboveMrp {
                    field: format!("{field}price"),
                    price,
                    mrp,
                });
            }
        }
        Ok(entry)
    }

    /// When it holds.
    pub fn period(&self) -> Period {
        Period {
            from: self.valid_from,
            to: self.valid_to,
        }
    }

    fn contradicts(&self, other: &Self) -> bool {
        self.id != other.id
            && (self.product_id, self.unit_id, self.min_qty)
                == (other.product_id, other.unit_id, other.min_qty)
            && self.period().overlaps(&other.period())
    }
}

/// Refuses new prices, each with its field, that contradict each other or those there are; and too many of a product.
///
/// # Errors
/// [`Error::PriceRulesOverlap`], [`Error::TooManyPrices`].
pub fn consistent(known: &[PriceEntry], new: &[(String, PriceEntry)]) -> Result<(), Error> {
    let mut of: HashMap<ProductId, Vec<(&str, &PriceEntry)>> = HashMap::new();
    for entry in known {
        of.entry(entry.product_id).or_default().push(("", entry));
    }
    for (field, entry) in new {
        let others = of.entry(entry.product_id).or_default();
        if let Some((other, clash)) = others.iter().find(|(_, other)| entry.contradicts(other)) {
            return Err(Error::PriceRulesOverlap {
                field: field.clone(),
                other: if other.is_empty() {
                    clash.id.to_string()
                } else {
                    (*other).to_owned()
                },
            });
        }
        others.push((field, entry));
        if others.len() > MOST_OF_PRODUCT {
            return Err(Error::TooManyPrices {
                field: field.clone(),
                most: MOST_OF_PRODUCT,
            });
        }
    }
    Ok(())
}
