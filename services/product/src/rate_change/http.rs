//! `/api/v1/tax-profiles:rate-change`.

use std::collections::HashMap;

use actix_web::{HttpResponse, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Fault, Post, Problem, Versioned, Walk, ok, paging, validate};
use bahi_types::{Money, ProductId, Rate, TaxProfileId};
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    price_list::model::sane,
    product,
    rate_change::{
        commands::{self, Plan, Target},
        model::{Affected, AffectedProduct, MOST, Outcome, affected},
    },
    tax_profile::{
        http::{AboveBody, AboveInput},
        model::{NewRate, TaxProfile},
    },
};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(change);
}

/// A new rate, and which profiles get it: `hsn` or `profile_ids`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RateChangeInput {
    /// Beginnings of HSN or SAC codes, of 2, 4, 6 or 8 digits.
    #[serde(default)]
    #[garde(length(max = 100), inner(custom(valid_prefix)))]
    hsn: Vec<String>,
    /// Profiles.
    #[serde(default)]
    #[garde(length(max = MOST))]
    profile_ids: Vec<TaxProfileId>,
    /// Per cent: CGST and SGST together, or IGST.
    #[garde(custom(validate::percent))]
    rate: Rate,
    /// Compensation cess in per cent.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    cess: Rate,
    /// What holds for dearer units.
    #[garde(dive)]
    above: Option<AboveInput>,
    /// First day.
    valid_from: NaiveDate,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

fn valid_prefix(text: &str, (): &()) -> garde::Result {
    let digits = matches!(text.len(), 2 | 4 | 6 | 8) && text.bytes().all(|b| b.is_ascii_digit());
    if digits {
        Ok(())
    } else {
        Err(garde::Error::new("must have 2, 4, 6 or 8 digits"))
    }
}

impl RateChangeInput {
    fn read(self) -> Result<(Target, NewRate, bool), Fault> {
        sane("valid_from", self.valid_from)?;
        let rate = NewRate {
            from: self.valid_from,
            rate: self.rate,
            cess: self.cess,
            above: self.above.map(Into::into),
        };
        let target = match (self.hsn.is_empty(), self.profile_ids.is_empty()) {
            (false, true) => Target::Prefixes(self.hsn),
            (true, false) => Target::Profiles(self.profile_ids),
            _ => return Err(Fault::field("hsn", "name either hsn or profile_ids")),
        };
        Ok((target, rate, self.dry_run))
    }
}

/// What a change comes to.
#[derive(Serialize, ToSchema)]
pub struct RateChangeBody {
    /// Nothing has changed.
    dry_run: bool,
    /// First day.
    valid_from: NaiveDate,
    /// The profiles.
    profiles: Vec<AffectedBody>,
    /// Products of the profiles that change, in all.
    products_total: i64,
    /// A page of them, by SKU.
    products: Vec<AffectedProductBody>,
}

/// A profile that a change is about.
#[derive(Serialize, ToSchema)]
pub struct AffectedBody {
    /// The profile.
    id: TaxProfileId,
    /// Name.
    name: String,
    /// HSN or SAC.
    hsn: String,
    /// What becomes of it.
    outcome: Outcome,
    /// The rate before, in per cent.
    old_rate: Option<Rate>,
    /// The cess before, in per cent.
    old_cess: Option<Rate>,
    /// What held for dearer units before.
    old_above: Option<AboveBody>,
    /// The day on which the next known rate begins.
    valid_to: Option<NaiveDate>,
    /// Version after the change.
    version: i64,
    /// How many products it has.
    products: i64,
}

impl From<Affected> for AffectedBody {
    fn from(affected: Affected) -> Self {
        let old = affected.old;
        Self {
            id: affected.id,
            name: affected.name,
            hsn: affected.hsn,
            outcome: affected.outcome,
            old_rate: old.as_ref().map(|old| old.rate),
            old_cess: old.as_ref().map(|old| old.cess),
            old_above: old.and_then(|old| old.above()).map(AboveBody::from),
            valid_to: affected.until,
            version: affected.version,
            products: affected.products,
        }
    }
}

/// A product that a change is about.
#[derive(Serialize, ToSchema)]
pub struct AffectedProductBody {
    /// The product.
    id: ProductId,
    /// Stock-keeping unit.
    sku: String,
    /// Name.
    name: String,
    /// Its profile.
    tax_profile_id: TaxProfileId,
    /// Its price with the new tax; the price itself where that includes tax.
    price_with_tax: Money,
    /// That is above its MRP: the till will charge the MRP.
    above_mrp: bool,
}

impl From<AffectedProduct> for AffectedProductBody {
    fn from(product: AffectedProduct) -> Self {
        let AffectedProduct {
            id,
            sku,
            name,
            tax_profile_id,
            with_tax,
            above_mrp,
        } = product;
        Self {
            id,
            sku,
            name,
            tax_profile_id,
            price_with_tax: with_tax,
            above_mrp,
        }
    }
}

impl Versioned for RateChangeBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Which page of the products.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RateChangePage {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
}
paging!(RateChangePage);

/// Gives many profiles a new rate from a day on, all or none; or says what that would come to.
#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.write"])), operation_id = "change_rates",
    params(RateChangePage),
    request_body = RateChangeInput,
    responses(
        (status = 200, body = RateChangeBody),
        (status = 409, description = "RATE_EXISTS"),
        (status = 422, description = "UNLAWFUL_RATE, UNKNOWN_REFERENCE, TOO_MANY_PROFILES")
    )
)]
#[post("/api/v1/tax-profiles:rate-change")]
async fn change(
    state: web::Data<State>,
    query: web::Query<RateChangePage>,
    req: Post<RateChangeInput>,
) -> Result<HttpResponse, Problem> {
    let walk = Walk::read(&query.paging(), &["sku"])?;
    let ctx = &req.caller.ctx;
    let (target, rate, dry_run) = req.body.read()?;
    let done = if dry_run {
        let previewed = state
            .db
            .read(ctx, async |tx: &mut Tx| {
                commands::preview(tx, &target, rate).await
            })
            .await?;
        Done::first(previewed)
    } else {
        commands::apply(&state, ctx, target, rate).await?
    };
    let Plan { affected, after } = done.value;
    let changing: HashMap<TaxProfileId, TaxProfile> = after
        .into_iter()
        .zip(&affected)
        .filter(|(_, affected)| affected.outcome == Outcome::Changed)
        .map(|(profile, _)| (profile.head.id, profile))
        .collect();
    let filter = product::store::Filter {
        tax_profiles: Some(changing.keys().copied().collect()),
        ..product::store::Filter::default()
    };
    let (products, products_total) = state
        .db
        .read(ctx, async |tx: &mut Tx| -> Result<_, Error> {
            product::store::list(tx, &filter, &walk).await
        })
        .await?;
    let products = products.iter().filter_map(|product| {
        let profile = changing.get(&product.tax_profile_id)?;
        Some(self::affected(product, profile, rate.from).into())
    });
    let body = RateChangeBody {
        dry_run,
        valid_from: rate.from,
        products: products.collect(),
        products_total,
        profiles: affected.into_iter().map(AffectedBody::from).collect(),
    };
    Ok(ok(&Done {
        value: body,
        replayed: done.replayed,
    }))
}
