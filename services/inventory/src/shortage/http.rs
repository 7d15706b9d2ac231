//! Reading shortages over HTTP.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem, page};
use bahi_types::{Cursor, InvoiceId, LocationId, Page, PageQuery, ProductId};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use super::store::{self, ShortageRow};
use crate::{Error, State, ledger::cursor};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list);
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    product: Option<ProductId>,
    location: Option<LocationId>,
}

/// Open shortages, oldest sale first.
#[utoipa::path(tag = "shortages", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<ShortageRow>)))]
#[get("/api/v1/inventory/shortages")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    query
        .sort(&["occurred_at"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let after = cursor(&query)?.map(|c| {
        let mut parts = c.key.split('|');
        Some((
            parts.next()?.parse::<DateTime<Utc>>().ok()?,
            InvoiceId::from_uuid(c.id),
            parts.next()?.parse::<i32>().ok()?,
            parts.next()?.parse::<ProductId>().ok()?,
        ))
    });
    let after = match after {
        Some(None) => {
            return Err(Fault::field("cursor", "the cursor is not one of this list").into());
        }
        Some(place) => place,
        None => None,
    };
    let (product, location, asked) = (filter.product, filter.location, query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, product, location, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let cursor_of = |s: &ShortageRow| Cursor {
        key: format!(
            "{}|{}|{}",
            s.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            s.line,
            s.product_id
        ),
        id: s.invoice_id.uuid(),
    };
    Ok(page(&Page::new(rows, &query, total, cursor_of)))
}
