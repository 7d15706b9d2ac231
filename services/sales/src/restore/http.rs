//! Orphans over HTTP.

use actix_web::{HttpResponse, get, web};
use bahi_http::{Caller, Problem, page};
use bahi_types::{Cursor, Page, PageQuery};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::store;
use crate::{State, error::Error};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list);
}

/// An event of this service that a restored database did not know.
#[derive(Debug, Serialize, ToSchema)]
struct OrphanBody {
    event_id: Uuid,
    event_type: String,
    aggregate_id: String,
    /// Number of the document.
    number: Option<String>,
    /// `reimported`, or `listed` for a person to see to.
    state: String,
    /// Why it is only listed.
    reason: Option<String>,
    /// The event as it was said.
    event: Value,
    found_at: DateTime<Utc>,
}

/// What restores from a backup had lost, in the order in which it was found.
#[utoipa::path(tag = "restore", security(("bearer" = ["sales.invoice.read"])), params(PageQuery), responses((status = 200, body = Page<OrphanBody>)))]
#[get("/api/v1/sales/restore-orphans")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> std::result::Result<HttpResponse, Problem> {
    let (limit, offset) = (query.limit(), query.offset());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_, Error> {
            // An event may be of any branch, and does not say which.
            tx.ctx().everywhere()?;
            Ok(store::orphans(tx, limit, offset).await?)
        })
        .await?;
    // Few, and read once: pages are enough, there is no cursor.
    let mut orphans = Page::new(rows, &query, total, |o| Cursor {
        key: o.found_at.to_rfc3339(),
        id: o.event_id,
    });
    orphans.next_cursor = None;
    Ok(page(&orphans.map(|o| OrphanBody {
        event_id: o.event_id,
        event_type: o.event_type,
        aggregate_id: o.aggregate_id,
        number: o.number,
        state: o.state,
        reason: o.reason,
        event: o.event,
        found_at: o.found_at,
    })))
}
