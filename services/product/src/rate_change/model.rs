//! What a new rate does to a profile.

use bahi_types::{Money, ProductId, TaxProfileId};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    product::model::Product,
    tax_profile::model::{Category, NewRate, TaxProfile, TaxRate},
    text::words,
};

/// Profiles that are changed at once at most.
pub const MOST: usize = 500;

words! {
    /// What becomes of a profile.
    #[schema(as = RateChangeOutcome)]
    pub enum Outcome {
        /// It gets the rate.
        Changed = "changed",
        /// It has the rate already.
        Unchanged = "unchanged",
        /// It has no rate to change.
        NotTaxable = "not_taxable",
        /// It has another rate from that very day on.
        RateExists = "rate_exists",
    }
}

/// A profile that a change is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affected {
    /// The profile.
    pub id: TaxProfileId,
    /// Name.
    pub name: String,
    /// HSN or SAC.
    pub hsn: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The rate that holds on that day without the change.
    pub old: Option<TaxRate>,
    /// The day on which the next known rate begins.
    pub until: Option<NaiveDate>,
    /// Its version after the change.
    pub version: i64,
    /// How many products it has.
    pub products: i64,
}

/// What a new rate makes of a profile, and the profile with it where it changes.
///
/// # Errors
/// [`Error::UnlawfulRate`].
pub fn plan(
    profile: &TaxProfile,
    rate: NewRate,
    products: i64,
    now: DateTime<Utc>,
) -> Result<(Affected, Option<TaxProfile>), Error> {
    let same = |known: &&TaxRate| {
        (known.rate, known.cess, known.above()) == (rate.rate, rate.cess, rate.above)
    };
    let held = profile.rate_on(rate.from);
    let (outcome, after) = if profile.head.category != Category::Taxable {
        (Outcome::NotTaxable, None)
    } else if held.filter(same).is_some() {
        (Outcome::Unchanged, None)
    } else if held.is_some_and(|held| held.valid_from == rate.from) {
        (Outcome::RateExists, None)
    } else {
        (Outcome::Changed, Some(profile.with_rate(rate, now)?))
    };
    let next = profile.rates.iter().map(|known| known.valid_from);
    let affected = Affected {
        id: profile.head.id,
        name: profile.head.name.clone(),
        hsn: profile.head.hsn.clone(),
        outcome,
        old: held.cloned(),
        until: next.filter(|from| *from > rate.from).min(),
        version: after.as_ref().unwrap_or(profile).head.version,
        products,
    };
    Ok((affected, after))
}

/// A product that a change is about.
#[derive(Clone, Debug, PartialEq)]
pub struct AffectedProduct {
    /// The product.
    pub id: ProductId,
    /// Stock-keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Its profile.
    pub tax_profile_id: TaxProfileId,
    /// Its price with the new tax; the price itself where that includes tax.
    pub with_tax: Money,
    /// That is above its MRP.
    pub above_mrp: bool,
}

/// A product under its profile as it will be.
pub fn affected(product: &Product, profile: &TaxProfile, day: NaiveDate) -> AffectedProduct {
    let with_tax = if product.price_includes_tax {
        Money::rounded(product.price.decimal())
    } else {
        profile.with_tax(product.price, day)
    };
    AffectedProduct {
        id: product.id,
        sku: product.sku.clone(),
        name: product.name.clone(),
        tax_profile_id: product.tax_profile_id,
        with_tax,
        above_mrp: product.mrp.is_some_and(|mrp| with_tax > mrp),
    }
}
