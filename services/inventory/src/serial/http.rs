//! Serial numbers over HTTP.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{
    Caller, Fault, Problem, page,
    search::{Hit, Hits, Search, score},
    validate,
};
use bahi_types::{BatchId, Cursor, LocationId, Page, PageQuery, ProductId};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    model::SerialState,
    store::{self, SerialRow, Step},
};
use crate::{
    Error, State,
    ledger::{Status, after_id, cursor, page_by_id},
};

/// Most pieces that a trace looks at: a number may be one in several products.
const PIECES: i64 = 200;

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(trace).service(hits);
}

/// Numbers as a request names them.
///
/// # Errors
/// For one that is empty, longer than 100 characters, or no line of text.
pub(crate) fn numbers(serials: &[String], (): &()) -> garde::Result {
    if serials.len() > 1000 {
        return Err(garde::Error::new("must name at most 1000"));
    }
    for no in serials {
        validate::line(no, &())?;
        if no.chars().count() > 100 {
            return Err(garde::Error::new("must be at most 100 characters each"));
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    product_id: Option<ProductId>,
    /// Only pieces that lie here.
    location_id: Option<LocationId>,
    batch_id: Option<BatchId>,
    /// Only pieces in stock, in this status: `sellable`, `quarantine`, `damaged` or `in_transit`.
    status: Option<Status>,
    /// `in_stock`, `sold`, `gone` or `scrapped`.
    #[param(inline)]
    state: Option<SerialState>,
    /// This number.
    serial: Option<String>,
}

fn text(field: &str, value: Option<String>) -> Result<Option<String>, Fault> {
    if value.as_deref().is_some_and(|text| text.contains('\0')) {
        return Err(Fault::field(field, "must not contain NUL"));
    }
    Ok(value)
}

/// Pieces, in the order they came first.
#[utoipa::path(tag = "serials", security(("bearer" = ["inventory.stock.read"])), operation_id = "list_serials", params(Filter, PageQuery), responses((status = 200, body = Page<SerialRow>)))]
#[get("/api/v1/inventory/serials")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let filter = filter.into_inner();
    let filter = store::Filter {
        product: filter.product_id,
        location: filter.location_id,
        batch: filter.batch_id,
        status: filter.status.map(Status::name),
        state: filter.state.map(SerialState::name),
        no: text("serial", filter.serial)?,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let found = page_by_id(rows, &query, total, |s| s.id);
    Ok(page(&found))
}

/// Pieces with a number, for a search through everything.
#[utoipa::path(tag = "search", security(("bearer" = ["inventory.stock.read"])), operation_id = "search_serials", params(Search), responses((status = 200, body = Hits)))]
#[get("/internal/v1/search/serials")]
async fn hits(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Search>,
) -> Result<HttpResponse, Problem> {
    let wanted = query.wanted()?;
    let read = async |tx: &mut Tx| -> Result<Vec<SerialRow>, Error> {
        let most = wanted.offset + wanted.read;
        Ok(store::by_number(tx, &wanted.q, None, most).await?)
    };
    let found = state.db.read(&caller.ctx, read).await?;
    let hits = found
        .into_iter()
        .skip(usize::try_from(wanted.offset).unwrap_or(usize::MAX));
    let hits = hits.map(|piece| Hit {
        kind: "serial".to_owned(),
        id: piece.id,
        score: score::CODE,
        url: format!("/api/v1/inventory/serials?product_id={}", piece.product_id),
        title: piece.serial,
        subtitle: Some(piece.state),
    });
    Ok(HttpResponse::Ok().json(wanted.hits(hits.collect())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TraceFilter {
    /// Only the piece of this product: several products may use one number.
    product_id: Option<ProductId>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SerialTrace)]
struct Trace {
    /// The pieces with this number, as they are now.
    pieces: Vec<SerialRow>,
    /// Where they came from and went, in the ledger's order.
    movements: Vec<Step>,
    next_cursor: Option<String>,
}

/// Every movement of the pieces with a number: where they were received, moved to, who bought them, what came back.
#[utoipa::path(tag = "serials", security(("bearer" = ["inventory.stock.read"])), operation_id = "trace_serial", params(TraceFilter, PageQuery), responses((status = 200, body = Trace)))]
#[get("/api/v1/inventory/serials/{serial}/trace")]
async fn trace(
    state: web::Data<State>,
    caller: Caller,
    serial: web::Path<String>,
    filter: web::Query<TraceFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = cursor(&query)?
        .map(|c| c.key.parse::<i64>())
        .transpose()
        .map_err(|_| Fault::field("cursor", "the cursor is not one of this list"))?;
    let (no, product) = (serial.into_inner(), filter.product_id);
    if no.contains('\0') {
        return Err(Fault::field("serial", "must not contain NUL").into());
    }
    let most = query.limit();
    let (pieces, mut movements) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| -> Result<_, Error> {
            let pieces = store::by_number(tx, &no, product, PIECES).await?;
            let ids: Vec<Uuid> = pieces.iter().map(|p| p.id).collect();
            let movements = store::trace(tx, &ids, after, most + 1).await?;
            Ok((pieces, movements))
        })
        .await?;
    if pieces.is_empty() {
        return Err(Error::from(bahi_db::Error::NotFound).into());
    }
    let more = movements.len() as i64 > most;
    movements.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let last = movements.last().filter(|_| more).map(|step| Cursor {
        key: step.seq.to_string(),
        id: step.serial_id,
    });
    Ok(HttpResponse::Ok().json(Trace {
        pieces,
        movements,
        next_cursor: last.map(|c| c.encode()),
    }))
}
