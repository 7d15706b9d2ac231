//! Everything this service says.

use bahi_events::{
    BATCH_EXPIRING, BATCH_RECALLED, BatchExpiring, BatchRecalled, HoldLine, INVENTORY_ADJUSTED,
    INVENTORY_LOW_STOCK, InventoryAdjusted, InventoryLowStock, Outgoing, RecalledStock,
    STOCK_COMMITTED, STOCK_EXPIRED, STOCK_ISSUED, STOCK_RECEIVED, STOCK_RELEASED,
    STOCK_RESERVATION_BROKEN, STOCK_RESERVED, STOCK_RETURNED, StockHold, StockIssued, StockLine,
    StockReceived, StockReturned, StockSource,
};
use bahi_types::{InvoiceId, LocationId, Quantity, TenantId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    batch::Batch,
    ledger::{Movement, named, unit_cost},
    recall::store::{Lies, Sums},
    reservation::Hold,
    shortage::{SOURCE, Settlement},
};

fn source(kind: &str, id: Uuid, line: Option<i32>) -> StockSource {
    StockSource {
        kind: kind.to_owned(),
        id,
        line,
    }
}

fn line(movement: &Movement) -> StockLine {
    let draft = &movement.draft;
    let out = draft.qty.is_negative();
    StockLine {
        line: draft.source.line,
        product_id: draft.key.product,
        batch_id: named(draft.key.batch),
        status: draft.key.status.name().to_owned(),
        qty: if out { -draft.qty } else { draft.qty },
        cost_value: if out { -movement.value } else { movement.value },
    }
}

/// Goods left for an invoice.
pub fn issued(
    invoice: InvoiceId,
    location: LocationId,
    at: DateTime<Utc>,
    cause: Option<Uuid>,
    movements: &[&Movement],
) -> Outgoing {
    let payload = StockIssued {
        source: source("invoice", invoice.uuid(), None),
        invoice_id: invoice.uuid(),
        location_id: location,
        lines: movements.iter().map(|m| line(m)).collect(),
    };
    let mut event = STOCK_ISSUED.of(invoice.uuid(), 1, &payload).occurred(at);
    event.causation_id = cause;
    event
}

/// Goods left later, for part of an open shortage. The key is the settlement: nothing else ever happens to it.
pub fn shortage_settled(settlement: &Settlement, movements: &[&Movement]) -> Outgoing {
    let payload = StockIssued {
        source: source(SOURCE, settlement.id, None),
        invoice_id: settlement.invoice.uuid(),
        location_id: settlement.place.0,
        lines: movements.iter().map(|m| line(m)).collect(),
    };
    STOCK_ISSUED.of(settlement.id, 1, &payload)
}

/// Goods left for a reservation made through the API. There is no invoice; the reservation stands for it.
pub fn hold_issued(hold: &Hold, movements: &[Movement]) -> Outgoing {
    let payload = StockIssued {
        source: source("reservation", hold.id.uuid(), None),
        invoice_id: hold.id.uuid(),
        location_id: hold.location,
        lines: movements
            .iter()
            .filter(|m| m.draft.source.id == hold.id.uuid() && m.draft.source.purpose == "issue")
            .map(line)
            .collect(),
    };
    STOCK_ISSUED.of(hold.id.uuid(), 1, &payload)
}

/// Goods left with a delivery of an order. Its invoice comes later and moves no stock; the delivery stands for it.
pub fn delivered(fulfilment: Uuid, location: LocationId, movements: &[Movement]) -> Outgoing {
    let payload = StockIssued {
        source: source("fulfilment", fulfilment, None),
        invoice_id: fulfilment,
        location_id: location,
        lines: movements
            .iter()
            .filter(|m| m.draft.source.id == fulfilment)
            .map(line)
            .collect(),
    };
    STOCK_ISSUED.of(fulfilment, 1, &payload)
}

/// Goods came back.
pub fn returned(
    credit_note: InvoiceId,
    invoice: Option<InvoiceId>,
    location: LocationId,
    at: DateTime<Utc>,
    cause: Option<Uuid>,
    movements: &[&Movement],
) -> Outgoing {
    let payload = StockReturned {
        source: source("return", credit_note.uuid(), None),
        invoice_id: invoice.map(InvoiceId::uuid),
        location_id: location,
        lines: movements.iter().map(|m| line(m)).collect(),
    };
    let mut event = STOCK_RETURNED
        .of(credit_note.uuid(), 1, &payload)
        .occurred(at);
    event.causation_id = cause;
    event
}

/// Goods were received.
pub fn received(receipt: Uuid, location: LocationId, movements: &[Movement]) -> Outgoing {
    let payload = StockReceived {
        source: source("receipt", receipt, None),
        location_id: location,
        lines: movements
            .iter()
            .filter(|m| m.draft.source.id == receipt)
            .map(line)
            .collect(),
    };
    STOCK_RECEIVED.of(receipt, 1, &payload)
}

/// A balance was corrected. `version` is that of the place, `on_hand_after` that of the balance.
pub fn adjusted(
    tenant: TenantId,
    movement: &Movement,
    version: i64,
    on_hand_after: Quantity,
) -> Outgoing {
    let draft = &movement.draft;
    let payload = InventoryAdjusted {
        movement_id: movement.id,
        product_id: draft.key.product,
        location_id: draft.key.location,
        batch_id: named(draft.key.batch),
        status: draft.key.status.name().to_owned(),
        qty_delta: draft.qty,
        unit_cost: unit_cost(movement.value, draft.qty),
        value_delta: movement.value,
        reason: draft.reason.clone().unwrap_or_default(),
        source: source(draft.source.kind, draft.source.id, Some(draft.source.line)),
        on_hand_after,
    };
    INVENTORY_ADJUSTED.about(
        format!("{tenant}|{}|{}", draft.key.location, draft.key.product),
        version,
        &payload,
    )
}

/// What became of a hold made through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldNews {
    /// Granted.
    Reserved,
    /// Given back.
    Released,
    /// Lapsed.
    Expired,
    /// Issued.
    Committed,
}

fn held(hold: &Hold) -> StockHold {
    StockHold {
        reservation_id: hold.id,
        reference: hold.reference.clone(),
        location_id: hold.location,
        lines: hold
            .lines
            .iter()
            .filter(|l| !l.qty.is_zero())
            .map(|l| HoldLine {
                product_id: l.product,
                batch_id: named(l.batch),
                qty: l.qty,
            })
            .collect(),
    }
}

/// News of a hold.
pub fn hold(news: HoldNews, hold: &Hold, version: i64) -> Outgoing {
    let payload = held(hold);
    let event = match news {
        HoldNews::Reserved => STOCK_RESERVED,
        HoldNews::Released => STOCK_RELEASED,
        HoldNews::Expired => STOCK_EXPIRED,
        HoldNews::Committed => STOCK_COMMITTED,
    };
    event.of(hold.id.uuid(), version, &payload)
}

/// A hold lost goods; `lost` has their lines only.
pub fn hold_broken(lost: &Hold) -> Outgoing {
    STOCK_RESERVATION_BROKEN.of(lost.id.uuid(), lost.version + 1, &held(lost))
}

/// Goods come near their last day.
pub fn expiring(version: i64, payload: &BatchExpiring) -> Outgoing {
    BATCH_EXPIRING.of(payload.batch_id.uuid(), version, payload)
}

/// A batch was called back.
pub(crate) fn recalled(batch: &Batch, reason: &str, sums: &Sums, lies: &[Lies]) -> Outgoing {
    let payload = BatchRecalled {
        batch_id: batch.id,
        no: batch.no.clone(),
        product_id: batch.product_id,
        expiry: batch.expiry,
        reason: reason.to_owned(),
        recalled_at: batch.recalled_at.unwrap_or_default(),
        on_hand: lies
            .iter()
            .map(|l| RecalledStock {
                location_id: l.location_id,
                qty: l.on_hand,
            })
            .collect(),
        sold_qty: sums.sold,
        returned_qty: sums.returned,
    };
    BATCH_RECALLED.of(batch.id.uuid(), batch.version, &payload)
}

/// Stock fell below its reorder point.
pub fn low_stock(tenant: TenantId, version: i64, payload: &InventoryLowStock) -> Outgoing {
    INVENTORY_LOW_STOCK.about(
        format!("{tenant}|{}|{}", payload.location_id, payload.product_id),
        version,
        payload,
    )
}
