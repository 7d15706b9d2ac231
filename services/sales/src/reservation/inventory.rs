//! The client of inventory's gRPC service: one pooled HTTP/2 channel, our own signed token, a deadline on every call.

use std::{collections::BTreeMap, time::Duration};

use bahi_db::Ctx;
use bahi_http::Signer;
use bahi_proto::{
    auth::{Outbound, code_of},
    demand_hash,
    inventory::v1::{
        AvailabilityRequest, DemandLine, Refused, ReleaseRequest, ReserveRequest,
        reserve_response::Outcome, stock_client::StockClient,
    },
};
use bahi_service::Env;
use bahi_types::{BatchId, InvoiceId, LocationId, ProductId, Quantity};
use serde::{Deserialize, Serialize};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::error::{Error, Result, Short};

/// What a basket takes from stock.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Where from.
    pub location: LocationId,
    /// Line, product, quantity; stocked lines only.
    pub lines: Vec<(i32, ProductId, Quantity)>,
    /// Of location and sums by product.
    pub hash: String,
    /// Serial numbers of the pieces, by line; the hash does not cover them.
    pub serials: BTreeMap<i32, Vec<String>>,
    /// The goods are gone already: what is short is owed.
    pub allow_short: bool,
}

impl Demand {
    /// The demand of stocked lines.
    pub(crate) fn new(location: LocationId, lines: Vec<(i32, ProductId, Quantity)>) -> Self {
        let hash = demand_hash(
            location,
            lines.iter().map(|(_, product, qty)| (*product, *qty)),
        );
        Self {
            location,
            lines,
            hash,
            serials: BTreeMap::new(),
            allow_short: false,
        }
    }

    /// The same, with the pieces that lines name.
    pub(crate) fn naming(self, serials: BTreeMap<i32, Vec<String>>) -> Self {
        Self { serials, ..self }
    }
}

/// A part of a line promised from a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allocated {
    /// Line of the invoice.
    pub line: i32,
    /// Absent for stock without batches.
    pub batch_id: Option<BatchId>,
    /// How much.
    pub qty: Quantity,
}

/// What inventory says to an attempt.
#[derive(Debug)]
pub(crate) enum Promise {
    /// The goods are held.
    Granted(Vec<Allocated>),
    /// Not enough; nothing is held.
    Short(Vec<Short>),
    /// The attempt is over, or holds another basket: void it and take the next.
    Gone,
}

/// Calls inventory.
#[derive(Clone)]
pub(crate) struct Inventory {
    pub(super) stock: StockClient<Channel>,
    pub(super) outbound: Outbound,
    pub(super) timeout: Duration,
}

/// A release is a courtesy: inventory's own sweep does the same a little later.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);

impl Inventory {
    /// From `BAHI_INVENTORY_GRPC` and `BAHI_RESERVE_TIMEOUT_MS`.
    pub(crate) fn new(env: &Env, signer: Signer) -> anyhow::Result<Self> {
        let url = env.parse("BAHI_INVENTORY_GRPC", "http://127.0.0.1:9002".to_owned())?;
        let timeout = Duration::from_millis(env.parse("BAHI_RESERVE_TIMEOUT_MS", 2000)?);
        let channel = Endpoint::from_shared(url)?
            .connect_timeout(Duration::from_millis(500))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(3))
            .connect_lazy();
        Ok(Self {
            stock: StockClient::new(channel),
            outbound: Outbound::new(signer),
            timeout,
        })
    }

    /// What may be promised of products at a location now; at most 500.
    pub(crate) async fn availability(
        &self,
        ctx: &Ctx,
        location: LocationId,
        products: &[ProductId],
    ) -> Result<Vec<(ProductId, Quantity)>> {
        let request = AvailabilityRequest {
            location_id: location.to_string(),
            product_ids: products.iter().map(ToString::to_string).collect(),
            with_batches: false,
        };
        let request = self
            .outbound
            .request(ctx, request, self.timeout)
            .map_err(|s| unavailable(&s))?;
        let answer = self.stock.clone().availability(request).await;
        let items = answer.map_err(|s| unavailable(&s))?.into_inner().items;
        let level = |item: bahi_proto::inventory::v1::Available| {
            let product = item.product_id.parse().map_err(|_| unreadable())?;
            let available = item.available.parse().map_err(|_| unreadable())?;
            Ok((product, available))
        };
        items.into_iter().map(level).collect()
    }

    /// Asks for the goods of one attempt.
    pub(crate) async fn reserve(
        &self,
        ctx: &Ctx,
        invoice: InvoiceId,
        attempt: u32,
        demand: &Demand,
    ) -> Result<Promise> {
        let lines = demand.lines.iter().map(|(line, product, qty)| DemandLine {
            line: *line,
            product_id: product.to_string(),
            qty: qty.to_string(),
            batch_id: None,
            serials: demand.serials.get(line).cloned().unwrap_or_default(),
        });
        let request = ReserveRequest {
            invoice_id: invoice.to_string(),
            attempt,
            location_id: demand.location.to_string(),
            lines: lines.collect(),
            demand_hash: demand.hash.clone(),
            deadline_seconds: 0,
            allow_short: demand.allow_short,
            ..ReserveRequest::default()
        };
        let request = self
            .outbound
            .request(ctx, request, self.timeout)
            .map_err(|s| unavailable(&s))?;
        let answer = match self.stock.clone().reserve(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return refusal(&status),
        };
        match answer.outcome {
            Some(Outcome::Granted(granted)) => {
                // A line of kits has no batches of its own; which ones its components came from, inventory knows.
                let own = granted.allocations.into_iter();
                let own = own.filter(|part| part.product_id.is_none());
                let parts = own.map(|part| {
                    let batch_id = part
                        .batch_id
                        .as_deref()
                        .map(str::parse)
                        .transpose()
                        .map_err(|_| unreadable())?;
                    let qty = part.qty.parse().map_err(|_| unreadable())?;
                    Ok(Allocated {
                        line: part.line,
                        batch_id,
                        qty,
                    })
                });
                parts.collect::<Result<_>>().map(Promise::Granted)
            }
            Some(Outcome::Refused(refused)) => {
                shortages(refused, &demand.lines).map(Promise::Short)
            }
            Some(Outcome::Terminal(_)) => Ok(Promise::Gone),
            None => Err(unreadable()),
        }
    }

    /// Gives an attempt's hold back. Its `void` must be committed. Failing is harmless.
    pub(crate) async fn release(&self, ctx: &Ctx, invoice: InvoiceId, attempt: u32) {
        let request = ReleaseRequest {
            invoice_id: invoice.to_string(),
            attempt,
        };
        let Ok(request) = self.outbound.request(ctx, request, RELEASE_WITHIN) else {
            return;
        };
        if let Err(status) = self.stock.clone().release(request).await {
            tracing::info!(%invoice, attempt, code = %status.code(), "the hold stays until inventory asks about it");
        }
    }
}

/// Which products are short, and which lines ask for them.
pub(super) fn shortages(
    refused: Refused,
    lines: &[(i32, ProductId, Quantity)],
) -> Result<Vec<Short>> {
    let short = refused.lines.into_iter().map(|short| {
        let product_id: ProductId = short.product_id.parse().map_err(|_| unreadable())?;
        let of_product = lines.iter().filter(|l| l.1 == product_id);
        // Of a component inventory says which lines' kits want it.
        let lines = if short.lines.is_empty() {
            of_product.map(|l| l.0).collect()
        } else {
            short.lines
        };
        Ok(Short {
            product_id,
            lines,
            asked: short.asked.parse().map_err(|_| unreadable())?,
            available: short.available.parse().map_err(|_| unreadable())?,
            serials: short.serials,
        })
    });
    short.collect()
}

fn refusal(status: &Status) -> Result<Promise> {
    match (status.code(), code_of(status)) {
        (Code::FailedPrecondition, Some("OTHER_BASKET")) => Ok(Promise::Gone),
        (Code::FailedPrecondition, Some("NOT_YET_KNOWN")) => Err(bahi_http::Fault::NotYetKnown(
            "A product or the location, to the stock,".into(),
        )
        .into()),
        (Code::InvalidArgument | Code::FailedPrecondition, _) => {
            Err(Error::InventoryRefused(status.message().to_owned()))
        }
        _ => Err(unavailable(status)),
    }
}

pub(super) fn unavailable(status: &Status) -> Error {
    tracing::warn!(code = %status.code(), message = status.message(), "inventory did not answer");
    Error::InventoryUnavailable
}

pub(super) fn unreadable() -> Error {
    tracing::error!("inventory's answer cannot be read");
    Error::InventoryUnavailable
}
