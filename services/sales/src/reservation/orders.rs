//! What orders ask of inventory. Every call may be repeated: it gives the first answer.

use std::collections::BTreeMap;

use bahi_db::Ctx;
use bahi_proto::{
    auth::code_of,
    inventory::v1::{
        AvailabilityRequest, DeliverLine, DeliverRequest, DemandLine, HoldForOrderRequest,
        ReleaseOrderRequest, deliver_response::Outcome as Delivery,
        hold_for_order_response::Outcome,
    },
};
use bahi_types::{BatchId, CustomerGroupId, CustomerId, LocationId, ProductId, Quantity};
use tonic::{Code, Status};
use uuid::Uuid;

use super::inventory::{Demand, Inventory, shortages, unavailable, unreadable};
use crate::error::{Result, Short};

/// What inventory says to an attempt to hold stock for an order.
#[derive(Debug)]
pub(crate) enum Held {
    /// By line of the order.
    Granted {
        /// Of the hold.
        version: i64,
        lines: BTreeMap<i32, Quantity>,
    },
    /// Not enough; the attempt is over.
    Short(Vec<Short>),
    /// The attempt is over: take the next.
    Gone,
    /// The demand cannot be held, whatever there is.
    Refused(String),
}

/// Part of a line that is handed over.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    pub line: i32,
    pub qty: Quantity,
    pub batch_id: Option<BatchId>,
    pub serials: Vec<String>,
}

/// What inventory says to a delivery.
#[derive(Debug)]
pub(crate) enum Handed {
    /// What left: line, product, batch, quantity.
    Over(Vec<(i32, ProductId, Option<BatchId>, Quantity)>),
    /// Nothing left, and nothing ever will for this delivery.
    Refused { why: String, message: String },
}

impl Inventory {
    /// Holds stock for an attempt of an order, in place of every lower one.
    pub(crate) async fn hold_for_order(
        &self,
        ctx: &Ctx,
        (order, attempt): (Uuid, u32),
        demand: &Demand,
        allow_short: bool,
        (customer, group): (Option<CustomerId>, Option<CustomerGroupId>),
        number: &str,
    ) -> Result<Held> {
        let lines = demand.lines.iter().map(|(line, product, qty)| DemandLine {
            line: *line,
            product_id: product.to_string(),
            qty: qty.to_string(),
            batch_id: None,
            serials: Vec::new(),
        });
        let request = HoldForOrderRequest {
            order_id: order.to_string(),
            attempt,
            location_id: demand.location.to_string(),
            lines: lines.collect(),
            demand_hash: demand.hash.clone(),
            allow_short,
            customer_id: customer.map(|c| c.to_string()).unwrap_or_default(),
            customer_group: group.map(|g| g.to_string()).unwrap_or_default(),
            reference: number.to_owned(),
        };
        let request = self
            .outbound
            .request(ctx, request, self.timeout)
            .map_err(|s| unavailable(&s))?;
        let answer = match self.stock.clone().hold_for_order(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return refusal(&status),
        };
        match answer.outcome {
            Some(Outcome::Held(held)) => {
                let lines = held.lines.into_iter().map(|l| {
                    let qty = l.qty.parse().map_err(|_| unreadable())?;
                    Ok((l.line, qty))
                });
                Ok(Held::Granted {
                    version: held.version,
                    lines: lines.collect::<Result<_>>()?,
                })
            }
            Some(Outcome::Refused(refused)) => shortages(refused, &demand.lines).map(Held::Short),
            Some(Outcome::Terminal(_)) => Ok(Held::Gone),
            None => Err(unreadable()),
        }
    }

    /// Issues a delivery from an order's hold.
    pub(crate) async fn deliver(
        &self,
        ctx: &Ctx,
        (order, attempt): (Uuid, u32),
        fulfilment: Uuid,
        parts: &[Hand],
    ) -> Result<Handed> {
        let lines = parts.iter().map(|part| DeliverLine {
            line: part.line,
            qty: part.qty.to_string(),
            batch_id: part.batch_id.map(|b| b.to_string()),
            serials: part.serials.clone(),
        });
        let request = DeliverRequest {
            order_id: order.to_string(),
            attempt,
            fulfilment_id: fulfilment.to_string(),
            lines: lines.collect(),
        };
        let request = self
            .outbound
            .request(ctx, request, self.timeout)
            .map_err(|s| unavailable(&s))?;
        let answer = self.stock.clone().deliver(request).await;
        let answer = answer.map_err(|s| unavailable(&s))?.into_inner();
        match answer.outcome {
            Some(Delivery::Delivered(delivered)) => {
                let parts = delivered.allocations.into_iter().map(|part| {
                    let product = part.product_id.as_deref().ok_or_else(unreadable)?;
                    let batch = part.batch_id.as_deref().map(str::parse).transpose();
                    Ok((
                        part.line,
                        product.parse().map_err(|_| unreadable())?,
                        batch.map_err(|_| unreadable())?,
                        part.qty.parse().map_err(|_| unreadable())?,
                    ))
                });
                parts.collect::<Result<_>>().map(Handed::Over)
            }
            Some(Delivery::Refused(refused)) => Ok(Handed::Refused {
                why: refused.code,
                message: refused.message,
            }),
            None => Err(unreadable()),
        }
    }

    /// Gives an order's hold back.
    pub(crate) async fn release_order(
        &self,
        ctx: &Ctx,
        (order, attempt): (Uuid, u32),
    ) -> Result<()> {
        let request = ReleaseOrderRequest {
            order_id: order.to_string(),
            attempt,
        };
        let request = self
            .outbound
            .request(ctx, request, self.timeout)
            .map_err(|s| unavailable(&s))?;
        let answer = self.stock.clone().release_order(request).await;
        answer.map(|_| ()).map_err(|s| unavailable(&s))
    }

    /// What could be promised now, by product.
    pub(crate) async fn available(
        &self,
        ctx: &Ctx,
        location: LocationId,
        products: &[ProductId],
    ) -> Result<BTreeMap<ProductId, Quantity>> {
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
        let answer = answer.map_err(|s| unavailable(&s))?.into_inner();
        let items = answer.items.into_iter().map(|item| {
            Ok((
                item.product_id.parse().map_err(|_| unreadable())?,
                item.available.parse().map_err(|_| unreadable())?,
            ))
        });
        items.collect()
    }
}

fn refusal(status: &Status) -> Result<Held> {
    match (status.code(), code_of(status)) {
        (Code::FailedPrecondition, Some("OTHER_BASKET")) => Ok(Held::Gone),
        (Code::InvalidArgument | Code::FailedPrecondition, _) => {
            Ok(Held::Refused(status.message().to_owned()))
        }
        _ => Err(unavailable(status)),
    }
}
