//! Finding what was scanned.

use std::sync::Arc;

use bahi_db::{Ctx, Tx};
use bahi_http::Fault;
use bahi_types::{UnitId, business_date};

use crate::{
    Error, State,
    barcode_pattern::{self, model::Rule},
    product::model::Product,
    scan::{
        model::{self, Candidate, Scan},
        store,
    },
};

/// What a code stands for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The product.
    pub product: Arc<Product>,
    /// The unit of the product; none is the stock unit.
    pub unit: Option<UnitId>,
    /// What the code says.
    pub said: Candidate,
}

/// Finds the product that a scanned code stands for, in memory or else in the database.
pub async fn find(state: &State, ctx: &Ctx, text: &str) -> Result<Found, Error> {
    let rules = if model::restricted(text) {
        rules(state, ctx).await?
    } else {
        Arc::default()
    };
    let today = business_date(state.db.clock().now());
    let scan = model::read(text, &rules, today)
        .map_err(|error| Fault::field("barcode", error.to_string()))?;
    let candidates = match scan {
        Scan::Item(candidates) => candidates,
        Scan::LogisticUnit(sscc) => return Err(Error::LogisticUnit(sscc)),
    };
    for said in &candidates {
        // A candidate that is not known here may be in the database, before those behind it.
        let Some(product) = state.index.find(ctx.tenant, &said.code) else {
            break;
        };
        if let Some(found) = found(product, said) {
            return Ok(found);
        }
    }
    let mark = state.index.mark();
    let codes: Vec<String> = candidates.iter().map(|c| c.code.canonical()).collect();
    let claimants = state
        .db
        .read(ctx, async |tx: &mut Tx| store::claimants(tx, &codes).await)
        .await?;
    let claimants: Vec<(String, Arc<Product>)> = claimants
        .into_iter()
        .map(|(code, product)| (code, Arc::new(product)))
        .collect();
    for (said, code) in candidates.iter().zip(&codes) {
        let claimant = claimants.iter().find(|(claimed, _)| claimed == code);
        let Some((_, product)) = claimant else {
            continue;
        };
        if let Some(found) = found(product.clone(), said) {
            let kept = product.clone();
            state.index.keep(ctx.tenant, &said.code, kept, mark);
            return Ok(found);
        }
    }
    let codes = candidates.into_iter().map(|said| said.code.to_string());
    Err(Error::UnknownBarcode(codes.collect()))
}

fn found(product: Arc<Product>, said: &Candidate) -> Option<Found> {
    let unit = product.claimed(&said.code)?;
    Some(Found {
        product,
        unit,
        said: said.clone(),
    })
}

/// The patterns that the tenant reads with.
async fn rules(state: &State, ctx: &Ctx) -> Result<Arc<Vec<Rule>>, Error> {
    if let Some(rules) = state.index.rules(ctx.tenant) {
        return Ok(rules);
    }
    let mark = state.index.mark();
    let patterns = state
        .db
        .read(ctx, async |tx: &mut Tx| {
            barcode_pattern::store::all(tx).await
        })
        .await?;
    let rules = Arc::new(barcode_pattern::model::rules(&patterns));
    state.index.keep_rules(ctx.tenant, rules.clone(), mark);
    Ok(rules)
}
