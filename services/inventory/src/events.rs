//! Everything this service says.

use std::collections::BTreeMap;

use bahi_events::{
    BATCH_EXPIRING, BATCH_RECALLED, BatchExpiring, BatchRecalled, CountedLine, HoldLine,
    HoldOrderLine, INVENTORY_ADJUSTED, INVENTORY_DEAD_STOCK, INVENTORY_LOW_STOCK,
    INVENTORY_TRANSFERRED, InventoryAdjusted, InventoryDeadStock, InventoryLowStock,
    InventoryTransferred, Outgoing, Premises, RecalledStock, RevaluedLine, STOCK_COMMITTED,
    STOCK_COUNT_POSTED, STOCK_EXPIRED, STOCK_ISSUED, STOCK_RECEIVED, STOCK_RELEASED,
    STOCK_RESERVATION_BROKEN, STOCK_RESERVED, STOCK_RETURNED, STOCK_RETURNED_TO_SUPPLIER,
    STOCK_REVALUED, STOCK_STATUS_CHANGED, StatusChangedLine, StockCountPosted, StockHold,
    StockIssued, StockLine, StockReceived, StockReturned, StockReturnedToSupplier, StockRevalued,
    StockSource, StockStatusChanged, SupplierReturnLine, TransferredLine,
};
use bahi_types::{InvoiceId, LocationId, Quantity, TenantId, business_date};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    batch::Batch,
    copy::Facts,
    count::Count,
    ledger::{Movement, named, unit_cost},
    recall::store::{Lies, Sums},
    reservation::Hold,
    shortage::{SOURCE, Settlement},
    supplier_return::SupplierReturn,
    transfer::{Moved, Transfer},
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
        variance: None,
        uom: movement.known.uom.clone(),
    }
}

/// Where the movements of a document were: it is of one location.
fn premises<'a>(movements: impl IntoIterator<Item = &'a Movement>) -> Premises {
    let first = movements.into_iter().next();
    first.map(|m| m.known.premises.clone()).unwrap_or_default()
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
        premises: premises(movements.iter().copied()),
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
        premises: premises(movements.iter().copied()),
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
        premises: premises(
            movements
                .iter()
                .filter(|m| m.draft.source.id == hold.id.uuid()),
        ),
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
        premises: premises(movements.iter().filter(|m| m.draft.source.id == fulfilment)),
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
        premises: premises(movements.iter().copied()),
    };
    // A cancelled invoice takes itself back: its id has a version already, by what it issued.
    let version = if invoice == Some(credit_note) { 2 } else { 1 };
    let mut event = STOCK_RETURNED
        .of(credit_note.uuid(), version, &payload)
        .occurred(at);
    event.causation_id = cause;
    event
}

/// Goods were received, at a moment of the business day they count for.
pub fn received(
    receipt: Uuid,
    location: LocationId,
    at: DateTime<Utc>,
    movements: &[Movement],
) -> Outgoing {
    let priced = |m: &Movement| StockLine {
        variance: Some(m.variance).filter(|v| !v.is_zero()),
        ..line(m)
    };
    let payload = StockReceived {
        source: source("receipt", receipt, None),
        location_id: location,
        lines: movements
            .iter()
            .filter(|m| m.draft.source.id == receipt)
            .map(priced)
            .collect(),
        premises: premises(movements.iter().filter(|m| m.draft.source.id == receipt)),
    };
    STOCK_RECEIVED.of(receipt, 1, &payload).occurred(at)
}

/// Goods went back to their supplier, at a moment of the business day it counts for.
pub(crate) fn returned_to_supplier(
    facts: &Facts,
    posted: &SupplierReturn,
    at: DateTime<Utc>,
) -> Outgoing {
    let line = |l: &crate::supplier_return::Line| SupplierReturnLine {
        line: l.line,
        product_id: l.product_id,
        batch_id: l.batch_id,
        status: l.status.name().to_owned(),
        qty: l.qty,
        cost_value: l.cost_value.unwrap_or_default(),
        receipt_id: l.receipt_id,
        receipt_line: l.receipt_line,
        uom: facts.uom(l.product_id),
    };
    let payload = StockReturnedToSupplier {
        source: source("supplier_return", posted.id, None),
        supplier_id: posted.supplier_id,
        reference: posted.reference.clone(),
        reason: posted.reason.clone(),
        posting_date: posted.posting_date,
        location_id: posted.location_id,
        lines: posted.lines.iter().map(line).collect(),
        premises: facts.premises(posted.location_id),
    };
    STOCK_RETURNED_TO_SUPPLIER
        .of(posted.id, 1, &payload)
        .occurred(at)
}

/// A balance was corrected. `version` is that of the place, `on_hand_after` that of the balance.
pub fn adjusted(
    tenant: TenantId,
    movement: &Movement,
    version: i64,
    on_hand_after: Quantity,
) -> Outgoing {
    adjusted_for(None, tenant, movement, version, on_hand_after)
}

/// As [`adjusted`], for one of the tenant's reasons.
pub fn adjusted_for(
    reason_code: Option<String>,
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
        reason_code,
        source: source(draft.source.kind, draft.source.id, Some(draft.source.line)),
        on_hand_after,
        uom: movement.known.uom.clone(),
        premises: movement.known.premises.clone(),
    };
    let key = format!("{tenant}|{}|{}", draft.key.location, draft.key.product);
    INVENTORY_ADJUSTED
        .about(key, version, &payload)
        .occurred(draft.occurred_at)
}

/// A balance with another value, as `stock.revalued` lists it.
pub fn revalued_line(movement: &Movement, qty: Quantity) -> RevaluedLine {
    let key = movement.draft.key;
    RevaluedLine {
        line: movement.draft.source.line,
        product_id: key.product,
        location_id: key.location,
        batch_id: named(key.batch),
        status: key.status.name().to_owned(),
        qty,
        value_delta: movement.value,
        uom: movement.known.uom.clone(),
        premises: movement.known.premises.clone(),
    }
}

/// Goods on hand got another value.
pub fn revalued(
    kind: &'static str,
    id: Uuid,
    at: DateTime<Utc>,
    fill: impl FnOnce(&mut StockRevalued),
) -> Outgoing {
    let mut payload = StockRevalued {
        source: source(kind, id, None),
        reason: None,
        posting_date: business_date(at),
        lines: Vec::new(),
        expensed: Vec::new(),
        costings: Vec::new(),
    };
    fill(&mut payload);
    STOCK_REVALUED.of(id, 1, &payload).occurred(at)
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
        order_id: hold.order,
        order_lines: Vec::new(),
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

/// A phase of a transfer: what it moved.
pub(crate) fn transferred(
    facts: &Facts,
    transfer: &Transfer,
    phase: &str,
    moved: &[Moved],
) -> Outgoing {
    let line = |m: &Moved| {
        let line = transfer.lines.iter().find(|l| l.line == m.line)?;
        Some(TransferredLine {
            line: m.line,
            product_id: line.product_id,
            batch_id: named(m.batch),
            status: line.status.name().to_owned(),
            qty: m.qty,
            value: m.value,
            uom: facts.uom(line.product_id),
        })
    };
    let payload = InventoryTransferred {
        transfer_id: transfer.id,
        phase: phase.to_owned(),
        from_location_id: transfer.from_location_id,
        to_location_id: transfer.to_location_id,
        registration_from: transfer.registration_from,
        registration_to: transfer.registration_to,
        gstin_from: transfer.gstin_from.clone(),
        gstin_to: transfer.gstin_to.clone(),
        taxable: transfer.taxable,
        eway_bill_no: transfer.eway_bill_no.clone(),
        reason: transfer.reason.clone(),
        lines: moved.iter().filter_map(line).collect(),
        branch_from: facts.premises(transfer.from_location_id).branch_id,
        branch_to: facts.premises(transfer.to_location_id).branch_id,
    };
    INVENTORY_TRANSFERRED.of(transfer.id, transfer.version, &payload)
}

/// Goods were found to be in another state.
pub fn status_changed(
    id: Uuid,
    (location, premises): (LocationId, Premises),
    reason: &str,
    lines: Vec<StatusChangedLine>,
) -> Outgoing {
    let payload = StockStatusChanged {
        source: source("status_change", id, None),
        location_id: location,
        reason: reason.to_owned(),
        lines,
        premises,
    };
    STOCK_STATUS_CHANGED.of(id, 1, &payload)
}

/// A count was posted.
pub(crate) fn count_posted(facts: &Facts, count: &Count) -> Outgoing {
    let line = |l: &crate::count::CountLine| CountedLine {
        line: l.line,
        product_id: l.product_id,
        batch_id: l.batch_id,
        status: l.status.name().to_owned(),
        counted: l.counted.unwrap_or_default(),
        book: l.expected.unwrap_or_default(),
        variance: l.variance.unwrap_or_default(),
        qty_delta: l.qty_delta.unwrap_or_default(),
        value_delta: l.value_delta.unwrap_or_default(),
        uom: facts.uom(l.product_id),
    };
    let payload = StockCountPosted {
        count_id: count.id,
        location_id: count.location_id,
        value_delta: count.value_delta.unwrap_or_default(),
        lines: count.lines.iter().map(line).collect(),
        premises: facts.premises(count.location_id),
    };
    STOCK_COUNT_POSTED.of(count.id, count.version, &payload)
}

/// A hold lost goods; `lost` has their lines only, and `by_line` what that is in the lines' own products.
pub fn hold_broken(lost: &Hold, by_line: &BTreeMap<i32, Quantity>) -> Outgoing {
    let lines = by_line.iter().filter(|_| lost.order.is_some());
    let payload = StockHold {
        order_lines: lines
            .map(|(line, qty)| HoldOrderLine {
                line: *line,
                qty: *qty,
            })
            .collect(),
        ..held(lost)
    };
    STOCK_RESERVATION_BROKEN.of(lost.id.uuid(), lost.version + 1, &payload)
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

/// Goods of a place do not move.
pub fn dead_stock(tenant: TenantId, version: i64, payload: &InventoryDeadStock) -> Outgoing {
    INVENTORY_DEAD_STOCK.about(
        format!("{tenant}|{}|{}", payload.location_id, payload.product_id),
        version,
        payload,
    )
}
