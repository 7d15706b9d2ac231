//! Landed costs over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created, ok, page, validate};
use bahi_types::{Money, Page, PageQuery, Quantity};
use chrono::NaiveDate;
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, LandedCost, NewLandedCost, NewReceipt},
    model::Basis,
    store::{self, Head},
};
use crate::{
    Error, State,
    ledger::{after_id, page_by_id},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create).service(list).service(find);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct LandedCostRequest {
    /// The sender's document, such as the carrier's bill.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// The business day it counts for, in an open period; today when absent.
    posting_date: Option<NaiveDate>,
    /// What is spread, without recoverable tax.
    #[garde(custom(validate::positive))]
    amount: Money,
    basis: Basis,
    /// 1 to 50; together at most 500 lines.
    #[garde(length(min = 1, max = 50), dive)]
    receipts: Vec<LandedReceiptRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct LandedReceiptRequest {
    receipt_id: Uuid,
    /// All lines of the receipt when absent.
    #[garde(dive)]
    lines: Option<Vec<LandedLineRequest>>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct LandedLineRequest {
    /// Line of the receipt, from 1.
    line: i32,
    /// What the line weighs, all of it, in any unit; where the basis is weight.
    #[garde(inner(custom(validate::non_negative)))]
    weight: Option<Quantity>,
}

impl Versioned for LandedCost {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Spreads a cost that came late over goods that were received.
#[utoipa::path(tag = "landed_costs", security(("bearer" = ["inventory.stock.revalue"])), request_body = LandedCostRequest, responses((status = 201, body = LandedCost)))]
#[post("/api/v1/inventory/landed-costs")]
async fn create(
    state: web::Data<State>,
    req: Post<LandedCostRequest>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let named: Vec<Option<usize>> = body
        .receipts
        .iter()
        .map(|r| r.lines.as_ref().map(Vec::len))
        .collect();
    if named.contains(&Some(0)) || named.iter().flatten().sum::<usize>() > 500 {
        let message = "must name at least one line each, and at most 500 together";
        return Err(Fault::field("receipts", message).into());
    }
    let receipts = body.receipts.into_iter().map(|r| NewReceipt {
        id: r.receipt_id,
        lines: r
            .lines
            .map(|lines| lines.into_iter().map(|l| (l.line, l.weight)).collect()),
    });
    let new = NewLandedCost {
        reference: body.reference,
        posting_date: body.posting_date,
        amount: body.amount,
        basis: body.basis,
        receipts: receipts.collect(),
    };
    Ok(created(
        &commands::post(&state, &req.caller.ctx, new).await?,
    ))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only those for goods of this receipt.
    receipt: Option<Uuid>,
}

/// Landed costs, in the order they were posted.
#[utoipa::path(tag = "landed_costs", security(("bearer" = ["inventory.valuation.read"])), params(Filter, PageQuery), responses((status = 200, body = Page<Head>)))]
#[get("/api/v1/inventory/landed-costs")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let after = after_id(&query)?;
    let (receipt, asked) = (filter.receipt, query.clone());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, receipt, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    Ok(page(&page_by_id(rows, &query, total, |head| head.id)))
}

/// A landed cost.
#[utoipa::path(tag = "landed_costs", security(("bearer" = ["inventory.valuation.read"])), responses((status = 200, body = LandedCost)))]
#[get("/api/v1/inventory/landed-costs/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let (head, lines) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::get(tx, *id).await.map_err(Error::from)
        })
        .await?;
    Ok(ok(&Done::first(LandedCost { head, lines })))
}
