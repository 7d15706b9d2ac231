//! Reports over HTTP.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem};
use bahi_types::{Cursor, LocationId, Money, Page, PageQuery, ProductId, Quantity, business_date};
use chrono::{DateTime, Duration, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    model::{AGES, BySteadiness, ByValue, DEAD_DAYS, by_steadiness, by_value},
    store::{self, Aged, Dead, Filter, Issued, Span},
};
use crate::{Error, State, ledger::cursor};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(dead_stock).service(ageing).service(abc);
}

fn foreign_cursor() -> Fault {
    Fault::field("cursor", "the cursor is not one of this list")
}

fn only_order(query: &PageQuery, field: &'static str) -> Result<(), Fault> {
    query
        .sort(&[field])
        .map(|_| ())
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DeadFilter {
    /// Days in which nothing has left, 1 to 3650; 90 when absent.
    days: Option<u32>,
    location: Option<LocationId>,
    product: Option<ProductId>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeadStock {
    /// Nothing has left since.
    since: DateTime<Utc>,
    /// Sum over the whole list.
    total_qty: Quantity,
    /// Sum over the whole list.
    total_value: Money,
    #[serde(flatten)]
    page: Page<Dead>,
}

/// Stock that lies and does not move, the dearest first.
#[utoipa::path(tag = "reports", security(("bearer" = ["inventory.valuation.read"])), params(DeadFilter, PageQuery), responses((status = 200, body = DeadStock)))]
#[get("/api/v1/inventory/dead-stock")]
async fn dead_stock(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<DeadFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    only_order(&query, "value")?;
    let days = filter.days.unwrap_or(DEAD_DAYS.unsigned_abs());
    if !(1..=3650).contains(&days) {
        return Err(Fault::field("days", "must be 1 to 3650").into());
    }
    let after = match cursor(&query)? {
        None => None,
        Some(at) => {
            let (value, location) = at.key.split_once('|').ok_or_else(foreign_cursor)?;
            Some((
                value.parse().map_err(|_| foreign_cursor())?,
                ProductId::from_uuid(at.id),
                location.parse().map_err(|_| foreign_cursor())?,
            ))
        }
    };
    let since = state.db.clock().now() - Duration::days(days.into());
    let places = Filter {
        location: filter.location,
        product: filter.product,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::dead(tx, places, since, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let page = Page::new(rows, &query, total.rows, |d: &Dead| Cursor {
        key: format!("{}|{}", d.value, d.location_id),
        id: d.product_id.uuid(),
    });
    Ok(HttpResponse::Ok().json(DeadStock {
        since,
        total_qty: total.qty,
        total_value: total.value,
        page,
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct PlaceFilter {
    location: Option<LocationId>,
    product: Option<ProductId>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct AgeBucket {
    /// Youngest, in days.
    from_days: i32,
    /// Oldest, in days; absent for the last bucket.
    to_days: Option<i32>,
    qty: Quantity,
    value: Money,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct AgedRow {
    product_id: ProductId,
    location_id: LocationId,
    qty: Quantity,
    value: Money,
    buckets: Vec<AgeBucket>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Ageing {
    as_of: NaiveDate,
    /// Sum over the whole list: the valuation of now.
    total_value: Money,
    total_qty: Quantity,
    /// Sums over the whole list.
    totals: Vec<AgeBucket>,
    #[serde(flatten)]
    page: Page<AgedRow>,
}

fn buckets(qtys: &[Quantity], values: &[Money]) -> Vec<AgeBucket> {
    AGES.iter()
        .zip(qtys.iter().zip(values))
        .map(|((from_days, to_days), (qty, value))| AgeBucket {
            from_days: *from_days,
            to_days: *to_days,
            qty: *qty,
            value: *value,
        })
        .collect()
}

/// Stock by the age of its cost layers.
#[utoipa::path(tag = "reports", security(("bearer" = ["inventory.valuation.read"])), params(PlaceFilter, PageQuery), responses((status = 200, body = Ageing)))]
#[get("/api/v1/inventory/ageing")]
async fn ageing(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<PlaceFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    only_order(&query, "product")?;
    let after = match cursor(&query)? {
        None => None,
        Some(at) => Some((
            ProductId::from_uuid(at.id),
            at.key.parse().map_err(|_| foreign_cursor())?,
        )),
    };
    let places = Filter {
        location: filter.location,
        product: filter.product,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::ageing(tx, places, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let page = Page::new(rows, &query, total.rows, |a: &Aged| Cursor {
        key: a.location_id.to_string(),
        id: a.product_id.uuid(),
    });
    Ok(HttpResponse::Ok().json(Ageing {
        as_of: business_date(state.db.clock().now()),
        total_value: total.value,
        total_qty: total.qty,
        totals: buckets(&total.qtys, &total.values),
        page: page.map(|a| AgedRow {
            product_id: a.product_id,
            location_id: a.location_id,
            qty: a.qty,
            value: a.value,
            buckets: buckets(&a.qtys, &a.values),
        }),
    }))
}

/// Length of the periods whose demand is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Every {
    /// One day.
    Day,
    /// Seven days.
    #[default]
    Week,
    /// Thirty days.
    Month,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AbcFilter {
    /// First business day.
    from: NaiveDate,
    /// Last business day, included; at most 1830 days.
    to: NaiveDate,
    location: Option<LocationId>,
    /// `day`, `week` (the default) or `month` of 30 days: demand is compared over whole ones, counted from `from`.
    #[param(inline)]
    period: Option<Every>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct AbcRow {
    product_id: ProductId,
    sku: Option<String>,
    name: Option<String>,
    /// Issued.
    qty: Quantity,
    /// What that cost us.
    value: Money,
    /// Per cent of the whole value.
    #[schema(value_type = String)]
    share: Decimal,
    abc: ByValue,
    /// Mean demand of a period.
    #[schema(value_type = String)]
    demand_mean: Decimal,
    /// Its coefficient of variation; absent where there was no demand in any whole period.
    #[schema(value_type = Option<String>)]
    variation: Option<Decimal>,
    xyz: BySteadiness,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Abc {
    from: NaiveDate,
    to: NaiveDate,
    /// Whole periods in between.
    periods: i32,
    /// Sum over the whole list.
    total_qty: Quantity,
    /// Sum over the whole list.
    total_value: Money,
    #[serde(flatten)]
    page: Page<AbcRow>,
}

/// Products by the value issued (ABC) and the steadiness of their demand (XYZ), the most valuable first.
#[utoipa::path(tag = "reports", security(("bearer" = ["inventory.valuation.read"])), params(AbcFilter, PageQuery), responses((status = 200, body = Abc)))]
#[get("/api/v1/inventory/abc")]
async fn abc(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<AbcFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    only_order(&query, "value")?;
    let after = match cursor(&query)? {
        None => None,
        Some(at) => Some((
            at.key.parse().map_err(|_| foreign_cursor())?,
            ProductId::from_uuid(at.id),
        )),
    };
    let days = (filter.to - filter.from).num_days() + 1;
    if !(1..=1830).contains(&days) {
        return Err(Fault::field("to", "must be 0 to 1829 days after from").into());
    }
    let end = filter
        .to
        .succ_opt()
        .ok_or_else(|| Fault::field("to", "is out of range"))?;
    let length = match filter.period.unwrap_or_default() {
        Every::Day => 1,
        Every::Week => 7,
        Every::Month => 30,
    };
    let periods = i32::try_from(days).unwrap_or(i32::MAX) / length;
    let span = Span {
        from: filter.from,
        to: end,
        length,
        // Less than one whole period: what there is counts as one.
        periods: periods.max(1),
    };
    let (location, asked) = (filter.location, query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::issued(tx, span, location, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let page = Page::new(rows, &query, total.rows, |i: &Issued| Cursor {
        key: i.value.to_string(),
        id: i.product_id.uuid(),
    });
    Ok(HttpResponse::Ok().json(Abc {
        from: filter.from,
        to: filter.to,
        periods: span.periods,
        total_qty: total.qty,
        total_value: total.value,
        page: page.map(|i| AbcRow {
            product_id: i.product_id,
            sku: i.sku,
            name: i.name,
            qty: i.qty,
            value: i.value,
            share: i.share,
            abc: by_value(i.before, i.total),
            demand_mean: i.mean,
            variation: i.variation,
            xyz: by_steadiness(i.variation),
        }),
    }))
}
