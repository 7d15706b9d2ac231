//! Holds over HTTP.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Ctx, Done, Tx};
use bahi_http::{Caller, Empty, Fault, Post, Problem, Versioned, created, ok, validate};
use bahi_types::{BatchId, CustomerId, InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Duration, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Issued, Made, Wish},
    model::{Allocation, Ask, Hold, HoldState, Owner, Terms},
    store,
};
use crate::{Error, State, kit, ledger::named, serial};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(find)
        .service(commit)
        .service(release);
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Reservation)]
struct HoldBody {
    id: ReservationId,
    owner: Owner,
    state: HoldState,
    location_id: LocationId,
    reference: Option<String>,
    /// The order, for an order's.
    order_id: Option<Uuid>,
    /// When it lapses; a sale's: when sales is asked what became of it.
    deadline: Option<DateTime<Utc>>,
    /// The invoice-to-be, for a sale's.
    invoice_id: Option<InvoiceId>,
    created_at: DateTime<Utc>,
    /// What it holds, or held.
    allocations: Vec<Allocation>,
    /// Lines that stand for kits: their allocations are of the components.
    kits: Vec<KitLine>,
    version: i64,
}

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
struct KitLine {
    line: i32,
    /// The kit.
    product_id: ProductId,
    /// How many.
    qty: Quantity,
}

impl HoldBody {
    fn new(hold: Hold, kits: Vec<kit::Part>) -> Self {
        Self {
            id: hold.id,
            owner: hold.owner,
            state: hold.state,
            location_id: hold.location,
            reference: hold.reference,
            order_id: hold.order,
            deadline: hold.deadline,
            invoice_id: hold.invoice,
            created_at: hold.created_at,
            allocations: hold
                .lines
                .into_iter()
                .map(|l| Allocation {
                    line: l.line,
                    product_id: l.product,
                    batch_id: named(l.batch),
                    qty: l.qty,
                })
                .collect(),
            kits: kits
                .into_iter()
                .map(|part| KitLine {
                    line: part.line,
                    product_id: part.kit,
                    qty: part.qty,
                })
                .collect(),
            version: hold.version,
        }
    }
}

impl Versioned for HoldBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

async fn body(state: &State, ctx: &Ctx, id: ReservationId) -> Result<HoldBody, Error> {
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let (hold, kits) = state
        .db
        .read(&ctx, async move |tx: &mut Tx| -> Result<_, Error> {
            Ok((store::get(tx, id).await?, kit::store::parts(tx, id).await?))
        })
        .await?;
    Ok(HoldBody::new(hold, kits))
}

async fn answer(state: &State, ctx: &Ctx, done: Done<Made>) -> Result<Done<HoldBody>, Error> {
    let body = body(state, ctx, done.value.id).await?;
    Ok(Done {
        value: body,
        replayed: done.replayed,
    })
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct ReservationRequest {
    location_id: LocationId,
    /// What it is for, in your words.
    #[garde(inner(custom(validate::line)))]
    reference: Option<String>,
    /// Seconds after which it lapses, at most a day; 900 when absent.
    #[garde(inner(range(min = 1, max = 86_400)))]
    ttl_seconds: Option<u32>,
    /// The confirmed order it is for: it lasts until the order closes, and has no `ttl_seconds`.
    order_id: Option<Uuid>,
    /// Days every batch must still keep.
    #[garde(inner(range(max = 3650)))]
    min_shelf_life_days: Option<u32>,
    /// Who buys: rules for this customer may ask for a longer shelf life.
    customer_id: Option<CustomerId>,
    /// The group of who buys: so may rules for the group.
    #[garde(inner(custom(validate::line)))]
    customer_group: Option<String>,
    /// Why a batch is chosen against first expired, first out, or below the minimum shelf life. Needs the permission
    /// `inventory.batch.override`; it is audited.
    #[garde(inner(custom(validate::line)))]
    override_reason: Option<String>,
    /// 1 to 500; the lines of one product are checked together. A kit holds its components.
    #[garde(length(min = 1, max = 500), dive)]
    lines: Vec<ReservationLineRequest>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct ReservationLineRequest {
    product_id: ProductId,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Take it from this batch and no other.
    batch_id: Option<BatchId>,
}

/// Holds stock until a deadline, or until an order closes; all of it or nothing.
#[utoipa::path(tag = "reservations", security(("bearer" = ["inventory.reservation.write"])), request_body = ReservationRequest, responses((status = 201, body = HoldBody)))]
#[post("/api/v1/inventory/reservations")]
async fn create(
    state: web::Data<State>,
    req: Post<ReservationRequest>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    if body.override_reason.is_some() {
        req.caller.require("inventory.batch.override")?;
    }
    if body.order_id.is_some() && body.ttl_seconds.is_some() {
        return Err(Fault::field("ttl_seconds", "an order's hold has no end of its own").into());
    }
    let chosen = (1..)
        .zip(&body.lines)
        .filter_map(|(line, l)| Some((line, l.batch_id?)))
        .collect();
    let lines = (1..).zip(body.lines).map(|(line, l)| Ask {
        line,
        product: l.product_id,
        qty: l.qty,
    });
    let wish = Wish {
        location: body.location_id,
        lines: lines.collect(),
        reference: body.reference,
        ttl: Duration::seconds(i64::from(body.ttl_seconds.unwrap_or(900))),
        order: body.order_id,
        terms: Terms {
            min_days: body.min_shelf_life_days.unwrap_or(0),
            customer: body.customer_id,
            group: body.customer_group,
            chosen,
            reason: body.override_reason,
            ..Terms::default()
        },
    };
    let done = commands::hold(&state, &req.caller.ctx, wish).await?;
    Ok(created(&answer(&state, &req.caller.ctx, done).await?))
}

/// A hold.
#[utoipa::path(tag = "reservations", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = HoldBody)))]
#[get("/api/v1/inventory/reservations/{id}")]
async fn find(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ReservationId>,
) -> Result<HttpResponse, Problem> {
    Ok(ok(&Done::first(body(&state, &caller.ctx, *id).await?)))
}

#[derive(Clone, Debug, Default, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CommitRequest {
    /// What is issued; lines that are not named are released. Absent: everything.
    #[garde(dive)]
    lines: Option<Vec<CommitLine>>,
    /// The delivery, for an order's hold: what is not issued stays promised. Told twice, it counts once.
    fulfilment_id: Option<Uuid>,
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct CommitLine {
    /// Line of the reservation, from 1.
    line: i32,
    /// How much; of a line that stands for kits, how many kits.
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Serial numbers of the pieces, of a product followed by number: at most as many as `qty`, at most 1000. Pieces that are
    /// not named are listed until they are.
    #[serde(default)]
    #[garde(custom(serial::numbers))]
    serials: Vec<String>,
}

/// Issues what is held; what is not issued is released, except of an order's hold.
#[utoipa::path(tag = "reservations", security(("bearer" = ["inventory.reservation.write"])), request_body = CommitRequest, responses((status = 200, body = HoldBody)))]
#[post("/api/v1/inventory/reservations/{id:[^:/]+}:commit")]
async fn commit(
    state: web::Data<State>,
    id: web::Path<ReservationId>,
    req: Post<CommitRequest>,
) -> Result<HttpResponse, Problem> {
    let mut serials = Vec::new();
    let wanted = req.body.lines.map(|lines| {
        let mut sums: BTreeMap<i32, Quantity> = BTreeMap::new();
        for line in lines {
            *sums.entry(line.line).or_default() += line.qty;
            serials.push((line.line, line.serials));
        }
        sums
    });
    let fulfilment = req.body.fulfilment_id;
    let issued = Issued {
        wanted,
        serials,
        ..Issued::default()
    };
    let done = commands::commit(&state, &req.caller.ctx, *id, issued, fulfilment).await?;
    Ok(ok(&answer(&state, &req.caller.ctx, done).await?))
}

/// Gives a hold back.
#[utoipa::path(tag = "reservations", security(("bearer" = ["inventory.reservation.write"])), request_body = Empty, responses((status = 200, body = HoldBody)))]
#[post("/api/v1/inventory/reservations/{id:[^:/]+}:release")]
async fn release(
    state: web::Data<State>,
    id: web::Path<ReservationId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::let_go(&state, &req.caller.ctx, *id).await?;
    Ok(ok(&answer(&state, &req.caller.ctx, done).await?))
}
