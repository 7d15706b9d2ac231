//! Transfers over HTTP.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, post, web};
use async_graphql::InputObject;
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Empty, Fault, Post, Problem, Versioned, created, ok, validate};
use bahi_types::{BatchId, LocationId, Money, Page, PageQuery, ProductId, Quantity};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, NewTransfer},
    model::{Arrived, Transfer, TransferState},
    store,
};
use crate::{
    Error, State,
    costs::{self, Costs, shown},
    ledger::{Status, after_id, page_by_id},
    serial,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(send)
        .service(list)
        .service(find)
        .service(approve)
        .service(ship)
        .service(receive)
        .service(close_short)
        .service(cancel);
}

impl Versioned for Transfer {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

impl Costs for Transfer {
    fn hide_costs(&mut self) {
        self.value_in_transit = None;
        for part in self.lines.iter_mut().flat_map(|l| &mut l.parts) {
            (part.shipped_value, part.received_value) = (None, None);
            (part.short_value, part.in_transit_value) = (None, None);
        }
    }
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockTransferInput")]
pub(super) struct TransferRequest {
    from_location_id: LocationId,
    to_location_id: LocationId,
    /// In your words.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// 1 to 500.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<TransferLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "StockTransferLineInput")]
struct TransferLineRequest {
    product_id: ProductId,
    /// This batch; first expired first out when absent.
    batch_id: Option<BatchId>,
    /// `sellable`, which is the default, `quarantine` or `damaged`: the goods arrive in it too.
    #[garde(inner(custom(at_rest)))]
    status: Option<Status>,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Serial numbers of the pieces, for a product followed by number, where they are sent at once; of a draft they are
    /// named when it is shipped. At most 1000.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

fn at_rest(value: &Status, (): &()) -> garde::Result {
    if value.at_rest() {
        Ok(())
    } else {
        Err(garde::Error::new("must be sellable, quarantine or damaged"))
    }
}

impl TransferRequest {
    /// As a draft, whose pieces are not named yet.
    pub(super) fn draft(self) -> Result<NewTransfer, Fault> {
        match self.lines.iter().position(|l| !l.serials.is_empty()) {
            None => Ok(self.into()),
            Some(n) => Err(Fault::field(
                format!("lines[{n}].serials"),
                "are named when the transfer is shipped",
            )),
        }
    }
}

impl From<TransferRequest> for NewTransfer {
    fn from(body: TransferRequest) -> Self {
        let lines = body.lines.into_iter().map(|l| commands::NewLine {
            product: l.product_id,
            batch: l.batch_id,
            status: l.status.unwrap_or(Status::Sellable),
            qty: l.qty,
            serials: l.serials,
        });
        Self {
            from: body.from_location_id,
            to: body.to_location_id,
            reference: body.reference,
            lines: lines.collect(),
        }
    }
}

/// Writes a draft of a transfer; no goods move yet.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.write"])), request_body = TransferRequest, responses((status = 201, body = Transfer)))]
#[post("/api/v1/inventory/transfers")]
async fn create(
    state: web::Data<State>,
    req: Post<TransferRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::create(&state, &req.caller.ctx, req.body.draft()?).await?;
    Ok(created(&done.map(|t| shown(&req.caller, t))))
}

/// Writes, approves and ships a transfer in one go. Its receiver confirms what arrives.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.write"])), request_body = TransferRequest, responses((status = 201, body = Transfer)))]
#[post("/api/v1/inventory/transfer")]
async fn send(
    state: web::Data<State>,
    req: Post<TransferRequest>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("inventory.transfer.approve")?;
    let done = commands::send(&state, &req.caller.ctx, req.body.into(), None).await?;
    Ok(created(&done.map(|t| shown(&req.caller, t))))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "StockTransferFilter")]
pub(super) struct Filter {
    state: Option<TransferState>,
    /// Location of the sender.
    from: Option<LocationId>,
    /// Location of the receiver.
    to: Option<LocationId>,
    /// Only transfers with this product.
    product: Option<ProductId>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Transfers {
    /// Cost of all that is on its way in the whole list; for those who may see values.
    value_in_transit: Option<Money>,
    #[serde(flatten)]
    page: Page<Transfer>,
}

/// Transfers, in the order they were written.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.stock.read"])), params(Filter, PageQuery), responses((status = 200, body = Transfers)))]
#[get("/api/v1/inventory/transfers")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<Filter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (value_in_transit, page) = listed(&state, &caller, filter.into_inner(), &query).await?;
    Ok(HttpResponse::Ok().json(Transfers {
        value_in_transit,
        page,
    }))
}

/// A part of the list, with the cost of all that is on its way in the whole of it.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: Filter,
    query: &PageQuery,
) -> Result<(Option<Money>, Page<Transfer>), Error> {
    caller.require("inventory.stock.read")?;
    let after = after_id(query)?;
    let filter = store::Filter {
        state: filter.state,
        from: filter.from,
        to: filter.to,
        product: filter.product,
    };
    let asked = query.clone();
    let (rows, total, value_in_transit) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::list(tx, &filter, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let page = page_by_id(rows, query, total, |t| t.id);
    let value = costs::seen_by(caller).then_some(value_in_transit);
    Ok((value, page.map(|t| shown(caller, t))))
}

/// A transfer.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Transfer)))]
#[get("/api/v1/inventory/transfers/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let id = *id;
    let found = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            store::get(tx, id).await.map_err(Error::from)
        })
        .await?;
    Ok(ok(&Done::first(shown(&caller, found))))
}

/// Lets a draft be shipped.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.approve"])), request_body = Empty, responses((status = 200, body = Transfer)))]
#[post("/api/v1/inventory/transfers/{id:[^:/]+}:approve")]
async fn approve(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::approve(&state, &req.caller.ctx, *id).await?;
    Ok(ok(&done.map(|t| shown(&req.caller, t))))
}

#[derive(Clone, Debug, Default, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[graphql(name = "ShipStockInput")]
pub(super) struct ShipRequest {
    /// Number of the e-way bill, where one is needed.
    #[garde(inner(custom(validate::line), length(chars, max = 50)))]
    eway_bill_no: Option<String>,
    /// The pieces of lines whose product is followed by number, at most 500.
    #[serde(default)]
    #[graphql(default)]
    #[garde(length(max = 500), dive)]
    lines: Vec<ShippedLine>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "ShipStockLineInput")]
struct ShippedLine {
    /// Line of the transfer, from 1.
    line: i32,
    /// Serial numbers of its pieces, at most 1000.
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

impl ShipRequest {
    /// The number of the e-way bill, and the pieces by line.
    pub(super) fn named(self) -> (Option<String>, BTreeMap<i32, Vec<String>>) {
        let mut serials: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for line in self.lines {
            serials.entry(line.line).or_default().extend(line.serials);
        }
        (self.eway_bill_no, serials)
    }
}

/// Sends the goods, all of them or nothing.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.write"])), request_body = ShipRequest, responses((status = 200, body = Transfer)))]
#[post("/api/v1/inventory/transfers/{id:[^:/]+}:ship")]
async fn ship(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<ShipRequest>,
) -> Result<HttpResponse, Problem> {
    let (bill, serials) = req.body.named();
    let done = commands::ship(&state, &req.caller.ctx, *id, bill, serials).await?;
    Ok(ok(&done.map(|t| shown(&req.caller, t))))
}

#[derive(Clone, Debug, Default, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[graphql(name = "ReceiveStockInput")]
pub(super) struct ReceiveRequest {
    /// What arrived, 1 to 500; everything that is on its way when absent.
    #[garde(custom(some), dive)]
    lines: Option<Vec<ArrivedLine>>,
}

fn some(value: &Option<Vec<ArrivedLine>>, (): &()) -> garde::Result {
    match value {
        Some(lines) if !(1..=500).contains(&lines.len()) => {
            Err(garde::Error::new("must have 1 to 500 entries"))
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "ReceiveStockLineInput")]
struct ArrivedLine {
    /// Line of the transfer, from 1.
    line: i32,
    /// Of this batch; of whichever is on its way when absent.
    batch_id: Option<BatchId>,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Serial numbers of the pieces, for a product followed by number, unless all of the line has arrived. At most 1000.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

impl ReceiveRequest {
    /// What arrived; everything when nothing is said.
    pub(super) fn arrived(self) -> Option<Vec<Arrived>> {
        let line = |l: ArrivedLine| Arrived {
            line: l.line,
            batch: l.batch_id,
            qty: l.qty,
            serials: l.serials,
        };
        Some(self.lines?.into_iter().map(line).collect())
    }
}

/// Goods arrive, in one go or in parts; never more than is on its way.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.receive"])), request_body = ReceiveRequest, responses((status = 200, body = Transfer)))]
#[post("/api/v1/inventory/transfers/{id:[^:/]+}:receive")]
async fn receive(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<ReceiveRequest>,
) -> Result<HttpResponse, Problem> {
    let done = commands::receive(&state, &req.caller.ctx, *id, req.body.arrived()).await?;
    Ok(ok(&done.map(|t| shown(&req.caller, t))))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferReason {
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    pub(super) reason: String,
}

/// No more will arrive: what is missing is lost.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.receive"])), request_body = TransferReason, responses((status = 200, body = Transfer)))]
#[post("/api/v1/inventory/transfers/{id:[^:/]+}:close-short")]
async fn close_short(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<TransferReason>,
) -> Result<HttpResponse, Problem> {
    let done = commands::close_short(&state, &req.caller.ctx, *id, req.body.reason).await?;
    Ok(ok(&done.map(|t| shown(&req.caller, t))))
}

/// Calls off a transfer that has not left.
#[utoipa::path(tag = "transfers", security(("bearer" = ["inventory.transfer.write"])), request_body = TransferReason, responses((status = 200, body = Transfer)))]
#[post("/api/v1/inventory/transfers/{id:[^:/]+}:cancel")]
async fn cancel(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<TransferReason>,
) -> Result<HttpResponse, Problem> {
    let done = commands::cancel(&state, &req.caller.ctx, *id, req.body.reason).await?;
    Ok(ok(&done.map(|t| shown(&req.caller, t))))
}
