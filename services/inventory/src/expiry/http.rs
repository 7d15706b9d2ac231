//! Reading what comes near its last day.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem};
use bahi_types::{
    BatchId, Cursor, LocationId, Money, Page, PageQuery, ProductId, Quantity, business_date,
};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    model::{days_left, threshold},
    store::{self, AtRisk},
};
use crate::{Error, State, costs, ledger::cursor};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list);
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AlertFilter {
    location: Option<LocationId>,
    product: Option<ProductId>,
    /// Goods with at most so many days left, 0 to 3650; 90 when absent. Expired ones are always listed.
    days: Option<u32>,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct ExpiryAlert {
    batch_id: BatchId,
    no: String,
    product_id: ProductId,
    location_id: LocationId,
    /// Last day on which it may be sold.
    expiry: NaiveDate,
    /// Days until then; negative when it is past.
    days_left: i32,
    /// The threshold it has reached: 90, 60, 30, 7 or 0 days.
    threshold: Option<i32>,
    /// It may not be sold any more.
    expired: bool,
    /// On the shelf.
    qty: Quantity,
    /// What that cost us; for those who may see values.
    value: Option<Money>,
    /// When it was last said (`batch.expiring`).
    alerted_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ExpiryAlerts {
    /// Sum over the whole list; for those who may see values.
    total_value: Option<Money>,
    #[serde(flatten)]
    page: Page<ExpiryAlert>,
}

fn place(cursor: &Cursor) -> Option<(NaiveDate, BatchId, LocationId)> {
    let (expiry, location) = cursor.key.split_once('|')?;
    Some((
        expiry.parse().ok()?,
        BatchId::from_uuid(cursor.id),
        location.parse().ok()?,
    ))
}

/// Goods near or past their last day, the nearest first.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.stock.read"])), params(AlertFilter, PageQuery), responses((status = 200, body = ExpiryAlerts)))]
#[get("/api/v1/inventory/expiry-alerts")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<AlertFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let values = costs::seen_by(&caller);
    query
        .sort(&["expiry"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let after = match cursor(&query)? {
        None => None,
        Some(at) => Some(
            place(&at)
                .ok_or_else(|| Fault::field("cursor", "the cursor is not one of this list"))?,
        ),
    };
    let days = filter.days.unwrap_or(90);
    if days > 3650 {
        return Err(Fault::field("days", "must be 0 to 3650").into());
    }
    let today = business_date(state.db.clock().now());
    let wanted = store::Filter {
        until: today
            .checked_add_days(Days::new(days.into()))
            .unwrap_or(today),
        location: filter.location,
        product: filter.product,
    };
    let asked = query.clone();
    let (rows, total, value) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, &wanted, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let cursor_of = |g: &AtRisk| Cursor {
        key: format!("{}|{}", g.expiry, g.location_id),
        id: g.batch_id.uuid(),
    };
    let page = Page::new(rows, &query, total, cursor_of).map(|g| {
        let days_left = days_left(g.expiry, today);
        ExpiryAlert {
            batch_id: g.batch_id,
            no: g.no,
            product_id: g.product_id,
            location_id: g.location_id,
            expiry: g.expiry,
            days_left,
            threshold: threshold(days_left),
            expired: days_left < 0,
            qty: g.qty,
            value: values.then_some(g.value),
            alerted_at: g.raised_at,
        }
    });
    Ok(HttpResponse::Ok().json(ExpiryAlerts {
        total_value: values.then_some(value),
        page,
    }))
}
