//! Recalls and traces over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Post, Problem, Versioned, ok};
use bahi_types::{BatchId, Cursor, Page, PageQuery, business_date};
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, BrokenHold},
    store::{self, Lies, Step, Sums},
};
use crate::{
    Error, State,
    batch::{self, BatchBody, Reason},
    ledger::cursor,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(recall).service(trace);
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct Recall {
    batch: BatchBody,
    sums: Sums,
    /// Where goods of it lie.
    on_hand: Vec<Lies>,
    /// Holds that lost goods of it; they keep the rest.
    broken_reservations: Vec<BrokenHold>,
    /// Tills' holds on it that sales was asked about.
    tills_asked: usize,
    /// Sales has answered. Otherwise these holds are asked about again at their deadline.
    tills_answered: bool,
}

impl Versioned for Recall {
    fn version(&self) -> Option<i64> {
        self.batch.version()
    }
}

/// Calls a batch back: nothing of it is promised any more, anywhere, and held carts lose it.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.batch.recall"])), request_body = Reason, responses((status = 200, body = Recall)))]
#[post("/api/v1/inventory/batches/{id:[^:/]+}:recall")]
async fn recall(
    state: web::Data<State>,
    id: web::Path<BatchId>,
    req: Post<Reason>,
) -> Result<HttpResponse, Problem> {
    let (done, answered) = commands::recall(&state, &req.caller.ctx, *id, req.body.reason).await?;
    let today = business_date(state.db.clock().now());
    Ok(ok(&done.map(|r| Recall {
        batch: BatchBody::new(r.batch, today),
        sums: r.sums,
        on_hand: r.lies,
        broken_reservations: r.broken,
        tills_asked: r.tills.len(),
        tills_answered: answered,
    })))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TraceFilter {
    /// Only documents of this kind: `invoice` lists who bought.
    kind: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Trace {
    batch: BatchBody,
    sums: Sums,
    /// Where goods of it lie.
    on_hand: Vec<Lies>,
    #[serde(flatten)]
    page: Page<Step>,
}

/// Where goods of a batch came from and went: receipts, transfers, invoices, returns and the rest, in their order.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.stock.read"])), params(TraceFilter, PageQuery), responses((status = 200, body = Trace)))]
#[get("/api/v1/inventory/batches/{id}/trace")]
async fn trace(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<BatchId>,
    filter: web::Query<TraceFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    query
        .sort(&["at"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let after = match cursor(&query)? {
        None => None,
        Some(at) => Some(
            at.key
                .parse::<i64>()
                .map_err(|_| Fault::field("cursor", "the cursor is not one of this list"))?,
        ),
    };
    let kind = filter.into_inner().kind;
    if kind.as_deref().is_some_and(|k| k.contains('\0')) {
        return Err(Fault::field("kind", "must not contain NUL").into());
    }
    let (id, asked) = (*id, query.clone());
    let (batch, sums, lies, rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| -> Result<_, Error> {
            let batch = batch::store::get(tx, id).await?;
            let (sums, lies) = (store::sums(tx, id).await?, store::lies(tx, id).await?);
            let (rows, total) = store::trace(tx, id, kind.as_deref(), after, &asked).await?;
            Ok((batch, sums, lies, rows, total))
        })
        .await?;
    let today = business_date(state.db.clock().now());
    let page = Page::new(rows, &query, total, |s: &Step| Cursor {
        key: s.seq.to_string(),
        id: s.document_id,
    });
    Ok(HttpResponse::Ok().json(Trace {
        batch: BatchBody::new(batch, today),
        sums,
        on_hand: lies,
        page,
    }))
}
