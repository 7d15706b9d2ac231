//! `/api/v1/tax-profiles`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_gst::Hsn;
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
    validate,
};
use bahi_types::{Cursor, Page, PageQuery, Price, Rate, TaxProfileId};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    tax_profile::{
        commands,
        model::{Above, Category, Draft, NewRate, TaxProfile, TaxRate},
        store::{self, Filter},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(read)
        .service(update)
        .service(add_rate)
        .service(remove);
}

/// What a client says of a tax profile.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TaxProfileInput {
    /// Name, unique ignoring case.
    #[garde(custom(validate::line))]
    name: String,
    /// HSN code of 4, 6 or 8 digits; a SAC begins with 99.
    #[schema(value_type = String, example = "190531")]
    hsn: Hsn,
    /// How the law treats it; `taxable` when absent.
    #[serde(default = "taxable")]
    category: Category,
    /// The rates in any order, without overlap or gap.
    #[garde(length(min = 1, max = 100), dive)]
    rates: Vec<RateInput>,
}

fn taxable() -> Category {
    Category::Taxable
}

/// A rate and when it holds.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RateInput {
    /// First day.
    valid_from: NaiveDate,
    /// First day on which it no longer holds; the beginning of the next rate when absent.
    valid_to: Option<NaiveDate>,
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
}

/// What holds for units that cost more than a price.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AboveInput {
    /// The price of a unit before tax, after discount; at this price the lower rate still holds.
    #[garde(custom(validate::positive))]
    price: Price,
    /// Per cent: CGST and SGST together, or IGST.
    #[garde(custom(validate::percent))]
    rate: Rate,
    /// Compensation cess in per cent.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    cess: Rate,
}

impl From<AboveInput> for Above {
    fn from(input: AboveInput) -> Self {
        let AboveInput { price, rate, cess } = input;
        Self { price, rate, cess }
    }
}

impl From<TaxProfileInput> for Draft {
    fn from(input: TaxProfileInput) -> Self {
        let TaxProfileInput {
            name,
            hsn,
            category,
            rates,
        } = input;
        let rates = rates.into_iter().map(|rate| {
            let new = NewRate {
                from: rate.valid_from,
                rate: rate.rate,
                cess: rate.cess,
                above: rate.above.map(Above::from),
            };
            TaxRate::new(new, rate.valid_to)
        });
        Self {
            name,
            hsn,
            category,
            rates: rates.collect(),
        }
    }
}

/// A rate that holds from a day on.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct NewRateInput {
    /// First day.
    valid_from: NaiveDate,
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
}

impl From<NewRateInput> for NewRate {
    fn from(input: NewRateInput) -> Self {
        Self {
            from: input.valid_from,
            rate: input.rate,
            cess: input.cess,
            above: input.above.map(Above::from),
        }
    }
}

/// A tax profile.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "TaxProfile")]
pub struct TaxProfileBody {
    /// Id.
    pub(super) id: TaxProfileId,
    /// Version, for `If-Match`.
    version: i64,
    /// Name.
    name: String,
    /// HSN or SAC.
    hsn: String,
    /// How the law treats it.
    category: Category,
    /// The rates, oldest first.
    rates: Vec<RateBody>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

/// A rate and when it holds.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "TaxRate")]
pub struct RateBody {
    /// First day.
    valid_from: NaiveDate,
    /// First day on which it no longer holds.
    valid_to: Option<NaiveDate>,
    /// Per cent.
    rate: Rate,
    /// Compensation cess in per cent.
    cess: Rate,
    /// What holds for dearer units.
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<AboveBody>,
}

/// What holds for units that cost more than a price.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "TaxRateAbove")]
pub struct AboveBody {
    /// The price of a unit before tax, after discount.
    price: Price,
    /// Per cent.
    rate: Rate,
    /// Compensation cess in per cent.
    cess: Rate,
}

impl From<Above> for AboveBody {
    fn from(above: Above) -> Self {
        let Above { price, rate, cess } = above;
        Self { price, rate, cess }
    }
}

impl From<TaxProfile> for TaxProfileBody {
    fn from(profile: TaxProfile) -> Self {
        let head = profile.head;
        let rates = profile.rates.into_iter().map(|rate| RateBody {
            above: rate.above().map(AboveBody::from),
            valid_from: rate.valid_from,
            valid_to: rate.valid_to,
            rate: rate.rate,
            cess: rate.cess,
        });
        Self {
            id: head.id,
            version: head.version,
            name: head.name,
            hsn: head.hsn,
            category: head.category,
            rates: rates.collect(),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }
    }
}

impl Versioned for TaxProfileBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which tax profiles, in which order (`name`, `hsn`).
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[graphql(name = "TaxProfileFilter")]
pub struct ListTaxProfiles {
    #[graphql(skip)]
    page: Option<u32>,
    #[graphql(skip)]
    limit: Option<u32>,
    #[graphql(skip)]
    cursor: Option<String>,
    #[graphql(skip)]
    sort: Option<String>,
    /// This name, ignoring case.
    name: Option<String>,
    /// This HSN or SAC.
    hsn: Option<String>,
    /// This category.
    category: Option<Category>,
}
paging!(ListTaxProfiles);

#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.write"])), operation_id = "create_tax_profile",
    request_body = TaxProfileInput,
    responses(
        (status = 201, body = TaxProfileBody),
        (status = 409, description = "NAME_TAKEN"),
        (status = 422, description = "RATES_OVERLAP, RATES_GAP, RATE_PERIOD, UNLAWFUL_RATE")
    )
)]
#[post("/api/v1/tax-profiles")]
async fn create(
    state: web::Data<State>,
    req: Post<TaxProfileInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(TaxProfileBody::from)))
}

#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.read"])), operation_id = "list_tax_profiles",
    params(ListTaxProfiles),
    responses((status = 200, body = Page<TaxProfileBody>))
)]
#[get("/api/v1/tax-profiles")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListTaxProfiles>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    Ok(page(
        &listed(&state, &caller, query.into_inner(), &paging).await?,
    ))
}

/// A part of the list.
pub async fn listed(
    state: &State,
    caller: &Caller,
    filter: ListTaxProfiles,
    paging: &PageQuery,
) -> Result<Page<TaxProfileBody>, Error> {
    caller.require("product.tax_profile.read")?;
    let walk = Walk::read(paging, &["name", "hsn"])?;
    let ListTaxProfiles {
        name,
        hsn,
        category,
        ..
    } = filter;
    let filter = Filter {
        name,
        hsn,
        category,
    };
    let (profiles, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let cursor = |profile: &TaxProfile| Cursor {
        key: if walk.sort.field == "hsn" {
            profile.head.hsn.clone()
        } else {
            profile.head.name.clone()
        },
        id: profile.head.id.uuid(),
    };
    Ok(Page::new(profiles, paging, total, cursor).map(TaxProfileBody::from))
}

#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.read"])), operation_id = "read_tax_profile",
    params(("id" = TaxProfileId, Path)),
    responses((status = 200, body = TaxProfileBody))
)]
#[get("/api/v1/tax-profiles/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<TaxProfileId>,
) -> Result<HttpResponse, Problem> {
    let profile = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(TaxProfileBody::from(profile))))
}

#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.write"])), operation_id = "update_tax_profile",
    params(("id" = TaxProfileId, Path)),
    request_body = TaxProfileInput,
    responses(
        (status = 200, body = TaxProfileBody),
        (status = 409, description = "NAME_TAKEN, FIXED_BY_USE"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "RATES_OVERLAP, RATES_GAP, RATE_PERIOD, UNLAWFUL_RATE")
    )
)]
#[put("/api/v1/tax-profiles/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<TaxProfileId>,
    req: Amend<TaxProfileInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(TaxProfileBody::from)))
}

/// Adds a rate that holds from a day on; the one before it ends there.
#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.write"])), operation_id = "add_tax_rate",
    params(("id" = TaxProfileId, Path)),
    request_body = NewRateInput,
    responses(
        (status = 201, body = TaxProfileBody),
        (status = 409, description = "RATE_EXISTS"),
        (status = 422, description = "UNLAWFUL_RATE")
    )
)]
#[post("/api/v1/tax-profiles/{id}/rates")]
async fn add_rate(
    state: web::Data<State>,
    id: web::Path<TaxProfileId>,
    req: Post<NewRateInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::add_rate(&state, &req.caller.ctx, *id, req.body.into()).await?;
    Ok(created(&made.map(TaxProfileBody::from)))
}

#[utoipa::path(
    tag = "tax profiles",
    security(("bearer" = ["product.tax_profile.write"])), operation_id = "delete_tax_profile",
    params(("id" = TaxProfileId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "IN_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/tax-profiles/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<TaxProfileId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
