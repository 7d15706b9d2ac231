//! Reorder levels and suggestions over HTTP.

use actix_web::{HttpResponse, get, put, web};
use bahi_db::{Ctx, Done, Tx};
use bahi_http::{Amend, Caller, Fault, Problem, Versioned, ok, page, validate};
use bahi_types::{Cursor, Fixed, LocationId, Page, PageQuery, ProductId, Quantity};
use chrono::NaiveDate;
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Saved, Stated},
    model::{Days, Demand, Level, MOST_DEMAND, PerDay, Policy, Suggestion},
    store,
};
use crate::{
    Error, State,
    ledger::{Place, cursor},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(state_level).service(suggestions);
}

/// At most what the formulas can hold, and not negative.
fn figure<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_negative() || *value > Fixed::from(MOST_DEMAND) {
        return Err(garde::Error::new("must be between 0 and 1000000000"));
    }
    Ok(())
}

fn days<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_negative() || *value > Fixed::from(3650) {
        return Err(garde::Error::new("must be between 0 and 3650"));
    }
    Ok(())
}

fn quantile<const S: u32>(value: &Fixed<S>, (): &()) -> garde::Result {
    if value.is_negative() || *value > Fixed::from(10) {
        return Err(garde::Error::new("must be between 0 and 10"));
    }
    Ok(())
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct LevelRequest {
    location_id: LocationId,
    product_id: ProductId,
    /// The reorder point; worked out from demand and lead time, when absent.
    #[garde(inner(custom(figure)))]
    min_qty: Option<Quantity>,
    /// Up to which to buy; the point plus the demand of a lead time, when absent.
    #[garde(inner(custom(figure)), inner(custom(validate::positive)))]
    max_qty: Option<Quantity>,
    /// Mean lead time in days, 0 to 3650.
    #[garde(custom(days))]
    lead_days: Days,
    /// Standard deviation of the lead time in days; 0 when absent.
    #[garde(inner(custom(days)))]
    lead_sigma: Option<Days>,
    /// Quantile of the normal distribution for the service level, 0 to 10; 1.65 (95 %) when absent.
    #[garde(inner(custom(quantile)))]
    service_z: Option<Days>,
    /// Minimum order; 0 when absent.
    #[garde(inner(custom(figure)))]
    moq: Option<Quantity>,
    /// Orders are whole packs of so many; 1 when absent.
    #[garde(inner(custom(figure)), inner(custom(validate::positive)))]
    pack: Option<Quantity>,
    /// Days from arrival to the last day of what is bought: no more is suggested than sells within them.
    #[garde(inner(range(min = 1, max = 36_500)))]
    shelf_life_days: Option<i32>,
    /// Ordered and not received yet; 0 when absent.
    #[garde(inner(custom(figure)))]
    on_order: Option<Quantity>,
    /// Mean demand of a day; with `demand_sigma`. The ledger's issues, when absent.
    #[garde(inner(custom(figure)))]
    demand_mean: Option<PerDay>,
    /// Standard deviation of the demand of a day; 0 when absent and `demand_mean` is given.
    #[garde(inner(custom(figure)))]
    demand_sigma: Option<PerDay>,
    /// Days of the ledger that tell the demand, 7 to 365; 90 when absent.
    #[garde(inner(range(min = 7, max = 365)))]
    window_days: Option<i32>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReorderLevel)]
struct LevelBody {
    location_id: LocationId,
    product_id: ProductId,
    min_qty: Option<Quantity>,
    max_qty: Option<Quantity>,
    lead_days: Days,
    lead_sigma: Days,
    service_z: Days,
    moq: Quantity,
    pack: Quantity,
    shelf_life_days: Option<i32>,
    on_order: Quantity,
    window_days: i32,
    /// The demand was stated; otherwise it is the ledger's.
    demand_stated: bool,
    demand_mean: PerDay,
    demand_sigma: PerDay,
    /// Days of the ledger that tell it; days without stock are left out.
    demand_days: i32,
    /// Two decimals.
    #[schema(value_type = String)]
    safety_stock: Decimal,
    /// Below this, buy.
    reorder_point: Quantity,
    /// When it was worked out.
    planned_on: NaiveDate,
    /// On hand and not promised.
    available: Quantity,
    /// What is available is below the point, and `inventory.low_stock` has said so.
    low: bool,
    version: i64,
}

impl LevelBody {
    fn new((level, available): (Level, Quantity)) -> Self {
        Self {
            location_id: level.place.0,
            product_id: level.place.1,
            safety_stock: level.safety_stock(),
            min_qty: level.policy.min_qty,
            max_qty: level.policy.max_qty,
            lead_days: level.policy.lead_days,
            lead_sigma: level.policy.lead_sigma,
            service_z: level.policy.service_z,
            moq: level.policy.moq,
            pack: level.policy.pack,
            shelf_life_days: level.policy.shelf_life_days,
            on_order: level.policy.on_order,
            window_days: level.policy.window_days,
            demand_stated: level.demand_stated,
            demand_mean: level.demand.mean,
            demand_sigma: level.demand.sigma,
            demand_days: level.demand.days,
            reorder_point: level.reorder_point,
            planned_on: level.planned_on,
            available,
            low: level.low,
            version: level.version,
        }
    }
}

impl Versioned for LevelBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct LevelFilter {
    location: Option<LocationId>,
    product: Option<ProductId>,
    /// Only those below their point, or only the others.
    low: Option<bool>,
}

type Found = (Vec<(Level, Quantity)>, i64);

async fn read(
    state: &State,
    ctx: &Ctx,
    filter: store::Filter,
    query: &PageQuery,
) -> Result<Found, Problem> {
    query
        .sort(&["location"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let foreign = || Fault::field("cursor", "the cursor is not one of this list");
    let after: Option<Place> = match cursor(query)? {
        None => None,
        Some(at) => Some((
            at.key.parse().map_err(|_| foreign())?,
            ProductId::from_uuid(at.id),
        )),
    };
    let asked = query.clone();
    Ok(state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            store::list(tx, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?)
}

fn cursor_of((level, _): &(Level, Quantity)) -> Cursor {
    Cursor {
        key: level.place.0.to_string(),
        id: level.place.1.uuid(),
    }
}

/// Reorder levels, by location and product.
#[utoipa::path(tag = "planning", security(("bearer" = ["inventory.stock.read"])), params(LevelFilter, PageQuery), responses((status = 200, body = Page<LevelBody>)))]
#[get("/api/v1/inventory/reorder-levels")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<LevelFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let wanted = store::Filter {
        location: filter.location,
        product: filter.product,
        low: filter.low,
        to_buy: false,
    };
    let (rows, total) = read(&state, &caller.ctx, wanted, &query).await?;
    Ok(page(
        &Page::new(rows, &query, total, cursor_of).map(LevelBody::new),
    ))
}

/// States the reorder level of a product at a location, and plans it. `If-Match: "0"` for one that is not there yet.
#[utoipa::path(tag = "planning", security(("bearer" = ["inventory.planning.write"])), request_body = LevelRequest, responses((status = 200, body = LevelBody), (status = 412, description = "STALE_VERSION")))]
#[put("/api/v1/inventory/reorder-levels")]
async fn state_level(
    state: web::Data<State>,
    req: Amend<LevelRequest>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    if body
        .max_qty
        .zip(body.min_qty)
        .is_some_and(|(max, min)| max < min)
    {
        return Err(Fault::field("max_qty", "must not be less than min_qty").into());
    }
    if body.demand_sigma.is_some() && body.demand_mean.is_none() {
        return Err(Fault::field("demand_mean", "must be given with demand_sigma").into());
    }
    let stated = Stated {
        place: (body.location_id, body.product_id),
        demand: body.demand_mean.map(|mean| Demand {
            mean,
            sigma: body.demand_sigma.unwrap_or_default(),
            days: 0,
        }),
        policy: Policy {
            min_qty: body.min_qty,
            max_qty: body.max_qty,
            lead_days: body.lead_days,
            lead_sigma: body.lead_sigma.unwrap_or_default(),
            service_z: body
                .service_z
                .unwrap_or_else(|| Days::rounded(Decimal::new(165, 2))),
            moq: body.moq.unwrap_or_default(),
            pack: body.pack.unwrap_or_else(|| Quantity::from(1)),
            shelf_life_days: body.shelf_life_days,
            on_order: body.on_order.unwrap_or_default(),
            window_days: body.window_days.unwrap_or(90),
        },
    };
    let done = commands::put(&state, &req.caller.ctx, req.version, stated).await?;
    Ok(ok(&answer(&state, &req.caller.ctx, done).await?))
}

async fn answer(state: &State, ctx: &Ctx, done: Done<Saved>) -> Result<Done<LevelBody>, Problem> {
    let filter = store::Filter {
        location: Some(done.value.0),
        product: Some(done.value.1),
        ..store::Filter::default()
    };
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let (mut rows, _) = read(state, &ctx, filter, &PageQuery::default()).await?;
    let level = rows.pop().ok_or(Fault::NotFound)?;
    Ok(done.map(|_| LevelBody::new(level)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct SuggestionFilter {
    location: Option<LocationId>,
    product: Option<ProductId>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct SuggestionRow {
    location_id: LocationId,
    product_id: ProductId,
    available: Quantity,
    on_order: Quantity,
    #[serde(flatten)]
    suggestion: Suggestion,
}

/// What to buy: places of which available and on order together are below the reorder point.
#[utoipa::path(tag = "planning", security(("bearer" = ["inventory.stock.read"])), params(SuggestionFilter, PageQuery), responses((status = 200, body = Page<SuggestionRow>)))]
#[get("/api/v1/inventory/reorder-suggestions")]
async fn suggestions(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<SuggestionFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let wanted = store::Filter {
        location: filter.location,
        product: filter.product,
        low: None,
        to_buy: true,
    };
    let (rows, total) = read(&state, &caller.ctx, wanted, &query).await?;
    let found = Page::new(rows, &query, total, cursor_of);
    Ok(page(&found.map(|(level, available)| SuggestionRow {
        location_id: level.place.0,
        product_id: level.place.1,
        available,
        on_order: level.policy.on_order,
        suggestion: level.suggest(available),
    })))
}
