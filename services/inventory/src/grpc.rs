//! What sales asks of us before it says yes to a customer, and what others ask about stock.

use std::collections::BTreeMap;

use bahi_db::Tx;
use bahi_proto::{
    auth::status_of,
    inventory::v1::{
        Allocation, AvailabilityRequest, AvailabilityResponse, Available, BatchAvailable,
        DeliverLine, DeliverRequest, DeliverResponse, Delivered, DeliveryRefused, DemandLine,
        Granted, HoldForOrderRequest, HoldForOrderResponse, HoldState as WireState, LineQty,
        OrderHeld, Refused, ReleaseOrderRequest, ReleaseRequest, ReleaseResponse, ReserveRequest,
        ReserveResponse, Shortage, Summary, SummaryRequest, SummaryResponse, Terminal,
        deliver_response::Outcome as WireDelivery,
        hold_for_order_response::Outcome as WireHold,
        reserve_response::Outcome as Wire,
        stock_server::{Stock, StockServer},
    },
};
use bahi_types::{BatchId, InvoiceId, ProductId, Quantity};
use chrono::Duration;
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    Error, State, batch,
    error::Short,
    ledger::{named, summary, with_kits},
    reservation::{self, Ask, Demand, Handed, HoldState, Issued, Outcome, Owner, Promised, Terms},
    serial,
};

/// Most lines of a demand, and products of a question.
const MOST: usize = 500;
/// Highest attempt that is believed: five a request and one request a second would take half an hour to get there.
const ATTEMPTS: u32 = 10_000;

/// The gRPC services.
pub fn routes(state: &State) -> Routes {
    Routes::new(StockServer::new(Server(state.clone())))
}

struct Server(State);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Stock for Server {
    async fn reserve(&self, request: Request<ReserveRequest>) -> Answer<ReserveResponse> {
        let ctx = self.0.guard.admit(&request, "Reserve")?;
        self.0.restore.passed().await.map_err(|e| status_of(&e))?;
        let demand = demand(&self.0, request.into_inner())?;
        let reservation_id = demand.id().to_string();
        let asked: BTreeMap<i32, ProductId> =
            demand.lines.iter().map(|l| (l.line, l.product)).collect();
        let outcome = reservation::reserve(&self.0, &ctx, demand)
            .await
            .map_err(|e| status_of(&e))?;
        let outcome = match outcome {
            Outcome::Granted(allocations) => {
                let allocations = allocations.into_iter().map(|a| Allocation {
                    line: a.line,
                    batch_id: a.batch_id.map(|b| b.to_string()),
                    qty: a.qty.to_string(),
                    product_id: (asked.get(&a.line) != Some(&a.product_id))
                        .then(|| a.product_id.to_string()),
                });
                Wire::Granted(Granted {
                    reservation_id,
                    allocations: allocations.collect(),
                })
            }
            Outcome::Refused(short) => Wire::Refused(refused(short)),
            Outcome::Terminal(state) => Wire::Terminal(Terminal {
                reservation_id,
                state: wire(state).into(),
            }),
        };
        Ok(Response::new(ReserveResponse {
            outcome: Some(outcome),
        }))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Answer<ReleaseResponse> {
        let ctx = self.0.guard.admit(&request, "Release")?;
        let ask = request.into_inner();
        let invoice: InvoiceId = id("invoice_id", &ask.invoice_id)?;
        let attempt = attempt(ask.attempt)?;
        let state = reservation::release(&self.0, &ctx, Owner::Sales, invoice, attempt)
            .await
            .map_err(|e| status_of(&e))?;
        Ok(Response::new(ReleaseResponse {
            state: wire(state).into(),
        }))
    }

    async fn hold_for_order(
        &self,
        request: Request<HoldForOrderRequest>,
    ) -> Answer<HoldForOrderResponse> {
        let ctx = self.0.guard.admit(&request, "HoldForOrder")?;
        let demand = order_demand(request.into_inner())?;
        let reservation_id = demand.id().to_string();
        let promised = reservation::hold_for_order(&self.0, &ctx, demand)
            .await
            .map_err(|e| status_of(&e))?;
        let outcome = match promised {
            Promised::Held { version, lines } => WireHold::Held(OrderHeld {
                reservation_id,
                version,
                lines: lines
                    .into_iter()
                    .map(|(line, qty)| LineQty {
                        line,
                        qty: qty.to_string(),
                    })
                    .collect(),
            }),
            Promised::Refused(short) => WireHold::Refused(refused(short)),
            Promised::Terminal(state) => WireHold::Terminal(Terminal {
                reservation_id,
                state: wire(state).into(),
            }),
        };
        Ok(Response::new(HoldForOrderResponse {
            outcome: Some(outcome),
        }))
    }

    async fn deliver(&self, request: Request<DeliverRequest>) -> Answer<DeliverResponse> {
        let ctx = self.0.guard.admit(&request, "Deliver")?;
        let ask = request.into_inner();
        let order: InvoiceId = id("order_id", &ask.order_id)?;
        let attempt = attempt(ask.attempt)?;
        let fulfilment = id("fulfilment_id", &ask.fulfilment_id)?;
        let issued = issued(ask.lines)?;
        let handed = reservation::deliver(&self.0, &ctx, (order, attempt), issued, fulfilment)
            .await
            .map_err(|e| status_of(&e))?;
        let outcome = match handed {
            Handed::Over(parts) => WireDelivery::Delivered(Delivered {
                allocations: parts
                    .into_iter()
                    .map(|(line, product, batch, qty)| Allocation {
                        line,
                        batch_id: named(batch).map(|b| b.to_string()),
                        qty: qty.to_string(),
                        product_id: Some(product.to_string()),
                    })
                    .collect(),
            }),
            Handed::Refused(why) => WireDelivery::Refused(DeliveryRefused {
                code: why.code,
                message: why.message,
            }),
        };
        Ok(Response::new(DeliverResponse {
            outcome: Some(outcome),
        }))
    }

    async fn release_order(
        &self,
        request: Request<ReleaseOrderRequest>,
    ) -> Answer<ReleaseResponse> {
        let ctx = self.0.guard.admit(&request, "ReleaseOrder")?;
        let ask = request.into_inner();
        let order: InvoiceId = id("order_id", &ask.order_id)?;
        let attempt = attempt(ask.attempt)?;
        let state = reservation::release(&self.0, &ctx, Owner::Order, order, attempt)
            .await
            .map_err(|e| status_of(&e))?;
        Ok(Response::new(ReleaseResponse {
            state: wire(state).into(),
        }))
    }

    async fn availability(
        &self,
        request: Request<AvailabilityRequest>,
    ) -> Answer<AvailabilityResponse> {
        let ctx = self.0.guard.admit(&request, "Availability")?;
        let ask = request.into_inner();
        let location = id("location_id", &ask.location_id)?;
        let (products, named) = (products(&ask.product_ids)?, ask.with_batches);
        let (items, lots) = self
            .0
            .db
            .read(&ctx, async move |tx: &mut Tx| -> Result<_, Error> {
                let (items, ..) = with_kits(tx, location, &products).await?;
                let lots = if named {
                    batch::store::available(tx, location, &products).await?
                } else {
                    Vec::new()
                };
                Ok((items, lots))
            })
            .await
            .map_err(|e| status_of(&e))?;
        let items = items.into_iter().map(|a| Available {
            product_id: a.product_id.to_string(),
            available: a.available.to_string(),
            batches: lots
                .iter()
                .filter(|b| b.product_id == a.product_id)
                .map(|b| BatchAvailable {
                    batch_id: b.batch_id.to_string(),
                    no: b.no.clone(),
                    expiry: b.expiry.map(|d| d.to_string()),
                    mfg: b.mfg.map(|d| d.to_string()),
                    mrp: b.mrp.map(|m| m.to_string()),
                    available: b.available.to_string(),
                })
                .collect(),
        });
        Ok(Response::new(AvailabilityResponse {
            items: items.collect(),
        }))
    }

    async fn summary(&self, request: Request<SummaryRequest>) -> Answer<SummaryResponse> {
        let ctx = self.0.guard.admit(&request, "Summary")?;
        // Before the events of the meantime are read, a restored database may know nothing of what has come in.
        self.0.restore.passed().await.map_err(|e| status_of(&e))?;
        let products = products(&request.into_inner().product_ids)?;
        let items = self
            .0
            .db
            .read(&ctx, async move |tx: &mut Tx| {
                summary(tx, &products).await.map_err(Error::from)
            })
            .await
            .map_err(|e| status_of(&e))?;
        let items = items.into_iter().map(|s| Summary {
            product_id: s.product_id.to_string(),
            on_hand: s.on_hand.to_string(),
            reserved: s.reserved.to_string(),
            available: s.available.to_string(),
            owed: s.owed.to_string(),
            moved: s.moved,
            open_documents: s.documents,
        });
        Ok(Response::new(SummaryResponse {
            items: items.collect(),
        }))
    }
}

#[allow(clippy::result_large_err)] // A status is what tonic wants.
fn products(ids: &[String]) -> Result<Vec<ProductId>, Status> {
    if ids.len() > MOST {
        return Err(malformed("product_ids", "are too many"));
    }
    ids.iter().map(|p| id("product_ids", p)).collect()
}

/// A text that may be empty, for nothing.
#[allow(clippy::result_large_err)]
fn text(field: &str, text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    bahi_http::validate::line(text, &()).map_err(|e| malformed(field, e.message()))?;
    Ok(Some(text.to_owned()))
}

#[allow(clippy::result_large_err)]
fn terms(ask: &ReserveRequest) -> Result<Terms, Status> {
    if ask.min_shelf_life_days > 3650 {
        return Err(malformed("min_shelf_life_days", "must be at most 3650"));
    }
    let chosen = |l: &DemandLine| {
        let batch = l.batch_id.as_deref()?;
        Some(id("batch_id", batch).map(|batch| (l.line, batch)))
    };
    let mut serials = BTreeMap::new();
    for line in ask.lines.iter().filter(|l| !l.serials.is_empty()) {
        serial::numbers(&line.serials, &()).map_err(|e| malformed("serials", e.message()))?;
        serials.insert(line.line, line.serials.clone());
    }
    Ok(Terms {
        serials,
        min_days: ask.min_shelf_life_days,
        customer: text("customer_id", &ask.customer_id)?
            .map(|c| id("customer_id", &c))
            .transpose()?,
        group: text("customer_group", &ask.customer_group)?,
        chosen: ask
            .lines
            .iter()
            .filter_map(chosen)
            .collect::<Result<_, _>>()?,
        reason: text("override_reason", &ask.override_reason)?,
        by: text("override_by", &ask.override_by)?,
        ..Terms::default()
    })
}

#[allow(clippy::result_large_err)]
fn asks(lines: &[DemandLine]) -> Result<Vec<Ask>, Status> {
    if lines.len() > MOST {
        return Err(malformed("lines", "are too many"));
    }
    let line = |l: &DemandLine| {
        Ok(Ask {
            line: l.line,
            product: id("product_id", &l.product_id)?,
            qty: quantity(&l.qty)?,
        })
    };
    lines.iter().map(line).collect()
}

#[allow(clippy::result_large_err)]
fn quantity(text: &str) -> Result<Quantity, Status> {
    let qty: Quantity = text
        .parse()
        .map_err(|_| malformed("qty", "is no quantity"))?;
    if !qty.is_positive() {
        return Err(malformed("qty", "must be greater than zero"));
    }
    Ok(qty)
}

#[allow(clippy::result_large_err)]
fn sound_hash(hash: String) -> Result<String, Status> {
    if hash.is_empty() || hash.len() > 200 || hash.contains('\0') {
        return Err(malformed("demand_hash", "must be 1 to 200 characters"));
    }
    Ok(hash)
}

#[allow(clippy::result_large_err)]
fn order_demand(ask: HoldForOrderRequest) -> Result<Demand, Status> {
    Ok(Demand {
        owner: Owner::Order,
        terms: Terms {
            customer: text("customer_id", &ask.customer_id)?
                .map(|c| id("customer_id", &c))
                .transpose()?,
            group: text("customer_group", &ask.customer_group)?,
            ..Terms::default()
        },
        invoice: id("order_id", &ask.order_id)?,
        attempt: attempt(ask.attempt)?,
        location: id("location_id", &ask.location_id)?,
        lines: asks(&ask.lines)?,
        demand_hash: sound_hash(ask.demand_hash)?,
        deadline: None,
        reference: text("reference", &ask.reference)?,
        allow_short: ask.allow_short,
    })
}

/// What a delivery takes; a line may come in several parts.
#[allow(clippy::result_large_err)]
fn issued(lines: Vec<DeliverLine>) -> Result<Issued, Status> {
    if lines.is_empty() || lines.len() > 2 * MOST {
        return Err(malformed("lines", "must be 1 to 1000"));
    }
    let mut wanted: BTreeMap<i32, Quantity> = BTreeMap::new();
    let (mut of_batch, mut batches) = (BTreeMap::new(), BTreeMap::new());
    let mut serials = Vec::new();
    for line in lines {
        let qty = quantity(&line.qty)?;
        serial::numbers(&line.serials, &()).map_err(|e| malformed("serials", e.message()))?;
        *wanted.entry(line.line).or_default() += qty;
        if let Some(batch) = &line.batch_id {
            let batch: BatchId = id("batch_id", batch)?;
            *batches.entry((line.line, batch)).or_insert(Quantity::ZERO) += qty;
            *of_batch.entry(line.line).or_insert(Quantity::ZERO) += qty;
        }
        if !line.serials.is_empty() {
            serials.push((line.line, line.serials));
        }
    }
    if of_batch
        .iter()
        .any(|(line, qty)| wanted.get(line) != Some(qty))
    {
        return Err(malformed(
            "batch_id",
            "is of all parts of a line, or of none",
        ));
    }
    Ok(Issued {
        wanted: Some(wanted),
        serials,
        batches,
    })
}

fn refused(short: Vec<Short>) -> Refused {
    let lines = short.into_iter().map(|s| Shortage {
        product_id: s.product_id.to_string(),
        asked: s.asked.to_string(),
        available: s.available.to_string(),
        serials: s.serials,
        lines: s.lines,
    });
    Refused {
        lines: lines.collect(),
    }
}

#[allow(clippy::result_large_err)]
fn demand(state: &State, ask: ReserveRequest) -> Result<Demand, Status> {
    let lines = asks(&ask.lines)?;
    let demand_hash = sound_hash(ask.demand_hash.clone())?;
    let seconds = i64::from(ask.deadline_seconds.min(86_400));
    let wait = if seconds == 0 {
        state.config.hold
    } else {
        Duration::seconds(seconds)
    };
    Ok(Demand {
        owner: Owner::Sales,
        terms: terms(&ask)?,
        invoice: id("invoice_id", &ask.invoice_id)?,
        attempt: attempt(ask.attempt)?,
        location: id("location_id", &ask.location_id)?,
        lines,
        demand_hash,
        deadline: Some(state.db.clock().now() + wait),
        reference: None,
        allow_short: ask.allow_short,
    })
}

#[allow(clippy::result_large_err)]
fn attempt(attempt: u32) -> Result<u32, Status> {
    if (1..=ATTEMPTS).contains(&attempt) {
        Ok(attempt)
    } else {
        Err(malformed("attempt", "is out of range"))
    }
}

#[allow(clippy::result_large_err)]
fn id<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|_| malformed(field, "is no id"))
}

fn malformed(field: &str, what: &str) -> Status {
    status_of(&bahi_http::Fault::field(field, what))
}

fn wire(state: HoldState) -> WireState {
    match state {
        HoldState::Pending => WireState::Pending,
        HoldState::Committed => WireState::Committed,
        HoldState::Released => WireState::Released,
        HoldState::Expired => WireState::Expired,
    }
}
