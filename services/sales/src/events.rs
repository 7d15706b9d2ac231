//! Everything sales says.

use bahi_events::{
    Allocation, COMMISSION_ACCRUED, COMMISSION_REVERSED, CancelledLine, CommissionEntry,
    CommissionPosted, EventType, FulfilmentLine, INVOICE_CANCELLED, INVOICE_CREDITED,
    INVOICE_DEBITED, INVOICE_EDITED, INVOICE_ISSUED, InvoiceCancelled, InvoiceEdited,
    InvoiceIssued, InvoiceLine, ORDER_CANCELLED, ORDER_CLOSED, ORDER_CONFIRMED, ORDER_CREATED,
    ORDER_FULFILLED, Offline, OrderFulfilled, OrderLine, Outgoing, PAYMENT_ALLOCATED,
    PAYMENT_CAPTURED, PAYMENT_REFUNDED, PAYMENT_REVERSED, POS_NUMBER_VOIDED, POS_SESSION_CLOSED,
    POS_SESSION_OPENED, PaymentAllocated, PaymentCaptured, PaymentRefunded, PaymentReversed,
    PosBill, PosNumberVoided, PosSessionClosed, PosSessionOpened, PriceNote, PriceNoteLine,
    RETURN_PROCESSED, ReturnLine, ReturnProcessed, SalesOrder, Tax, Tender, TenderCount,
};
use bahi_types::{InvoiceId, Money, PosSessionId, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{
    cancellation::Cancellation,
    commission::{Entry, Posting},
    error::Result,
    held::HeldBill,
    invoice::{
        Header, Invoice, Line, batches_of, line_pricing_of, of_order, pricing_of, serials_of,
    },
    offline::Slip,
    order::{self, Order},
    price_note::{Kind, Note},
    receipt::{Receipt, Refund},
    returns::CreditNote,
    session::{Count, Session},
};

/// A till was opened.
pub(crate) fn session_opened(session: &Session) -> Outgoing {
    let payload = PosSessionOpened {
        session_id: session.session_id,
        till_id: session.till_id,
        opened_by: session.opened_by,
        opening_float: session.opening_float,
    };
    POS_SESSION_OPENED
        .of(session.session_id.uuid(), 1, &payload)
        .occurred(session.opened_at)
}

/// A till was closed; `session` is as it was while open.
pub(crate) fn session_closed(
    session: &Session,
    counts: &[Count],
    retained: Money,
    deposited: Money,
) -> Outgoing {
    let tenders = counts.iter().map(|c| TenderCount {
        method: c.method.clone(),
        expected: c.expected,
        counted: c.counted,
        variance: c.variance,
    });
    let payload = PosSessionClosed {
        session_id: session.session_id,
        till_id: session.till_id,
        tenders: tenders.collect(),
        retained,
        deposited,
    };
    POS_SESSION_CLOSED.of(session.session_id.uuid(), session.version + 1, &payload)
}

/// Something was done with a held bill, by `by`.
pub(crate) fn bill(event: EventType<PosBill>, bill: &HeldBill, by: UserId) -> Outgoing {
    let payload = PosBill {
        held_bill_id: bill.held_bill_id.uuid(),
        branch_id: bill.branch_id,
        till_id: bill.till_id,
        label: bill.label.clone(),
        by,
        expires_at: bill.expires_at,
    };
    event.of(bill.held_bill_id.uuid(), bill.version, &payload)
}

fn tender(t: &crate::invoice::Tender) -> Tender {
    Tender {
        method: t.method.clone(),
        amount: t.amount,
        reference: t.reference.clone(),
    }
}

/// An invoice was issued; `offline` when a till had made it while it was away.
pub(crate) fn invoice_issued(invoice: &Invoice, offline: Option<Offline>) -> Outgoing {
    let h = &invoice.header;
    let lines = invoice.lines.iter().map(|l| {
        let of = of_order(l);
        InvoiceLine {
            order_id: of.as_ref().map(|o| o.order_id),
            order_line: of.as_ref().map(|o| o.line),
            line: l.line,
            product_id: l.product_id,
            stocked: l.stocked,
            description: l.description.clone(),
            hsn: l.hsn.clone(),
            uqc: l.uqc.clone(),
            qty: l.qty,
            unit_price: l.unit_price,
            price_includes_tax: l.price_includes_tax,
            discount: l.discount + l.bill_discount,
            taxable: l.taxable,
            rate: l.rate,
            cess_rate: l.cess_rate,
            tax_category: l.tax_category.clone(),
            tax: Tax {
                cgst: l.cgst,
                sgst: l.sgst,
                igst: l.igst,
                cess: l.cess,
            },
            total: l.total,
            batch_allocations: batches_of(l),
            fulfilment_id: of.and_then(|o| o.fulfilment_id),
            pricing: line_pricing_of(l),
            serials: serials_of(&l.serials),
        }
    });
    let tenders = invoice.tenders.iter().map(tender);
    let payload = InvoiceIssued {
        invoice_id: h.invoice_id,
        number: h.number.clone(),
        date: h.date,
        kind: h.kind.clone(),
        registration_id: h.registration_id,
        gstin_supplier: h.gstin_supplier.clone(),
        gstin_buyer: h.gstin_buyer.clone(),
        pos: h.place_of_supply.clone(),
        reverse_charge: h.reverse_charge,
        branch_id: h.branch_id,
        location_id: h.location_id,
        till_id: h.till_id,
        session_id: h.session_id,
        customer_id: h.customer_id,
        salesperson_id: h.salesperson_id,
        reservation_id: Some(h.reservation_id),
        demand_hash: h.demand_hash.clone(),
        lines: lines.collect(),
        taxable: h.taxable,
        tax: Tax {
            cgst: h.cgst,
            sgst: h.sgst,
            igst: h.igst,
            cess: h.cess,
        },
        round_off: h.round_off,
        total: h.total,
        currency: h.currency.clone(),
        tenders: tenders.collect(),
        change: h.change,
        external_reference: h.external_reference.clone(),
        external_date: h.external_date,
        pricing: pricing_of(h),
        offline,
    };
    INVOICE_ISSUED
        .of(h.invoice_id.uuid(), h.version, &payload)
        .occurred(h.issued_at)
}

/// Goods came back. Of the original invoice at its new `version`, so that it cannot overtake the issue; a return
/// without bill is an aggregate of its own. `offline` when a till had made it while it was away.
pub(crate) fn return_processed(
    note: &CreditNote,
    version: i64,
    offline: Option<Offline>,
) -> Outgoing {
    let h = &note.header;
    let lines = note.lines.iter().map(|l| ReturnLine {
        line: l.line,
        original_line: l.original_line,
        product_id: l.product_id,
        stocked: l.stocked,
        qty: l.qty,
        taxable: l.taxable,
        rate: l.rate,
        tax: Tax {
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
        },
        total: l.total,
        disposition: l.disposition.clone(),
        serials: serials_of(&l.serials),
    });
    let tenders = note.tenders.iter().map(tender);
    let payload = ReturnProcessed {
        credit_note_id: h.credit_note_id,
        number: h.number.clone(),
        date: h.date,
        original_invoice_id: h.original_invoice_id,
        branch_id: h.branch_id,
        location_id: h.location_id,
        till_id: h.till_id,
        session_id: h.session_id,
        lines: lines.collect(),
        taxable: h.taxable,
        tax: Tax {
            cgst: h.cgst,
            sgst: h.sgst,
            igst: h.igst,
            cess: h.cess,
        },
        round_off: h.round_off,
        total: h.total,
        refund_tenders: tenders.collect(),
        reason: h.reason.clone(),
        external_reference: h.external_reference.clone(),
        offline,
    };
    let aggregate = h.original_invoice_id.unwrap_or(h.credit_note_id);
    RETURN_PROCESSED
        .of(aggregate.uuid(), version, &payload)
        .occurred(h.issued_at)
}

/// An invoice was cancelled; `header` is as it stood before, but for its new `version`.
pub(crate) fn invoice_cancelled(
    header: &Header,
    lines: &[Line],
    cancelled: &Cancellation,
    version: i64,
) -> Outgoing {
    let lines = lines.iter().map(|l| CancelledLine {
        line: l.line,
        product_id: l.product_id,
        // An order's goods left with its deliveries and come back by returns.
        stocked: l.stocked && l.of_order.is_none(),
        qty: l.qty,
        serials: serials_of(&l.serials),
    });
    let tenders = cancelled.tenders.iter().map(tender);
    let payload = InvoiceCancelled {
        invoice_id: header.invoice_id,
        number: header.number.clone(),
        date: header.date,
        at: cancelled.at,
        reason_code: cancelled.reason.name().to_owned(),
        note: cancelled.note.clone(),
        registration_id: header.registration_id,
        branch_id: header.branch_id,
        location_id: header.location_id,
        till_id: header.till_id,
        session_id: cancelled.session_id,
        customer_id: header.customer_id,
        lines: lines.collect(),
        taxable: header.taxable,
        tax: Tax {
            cgst: header.cgst,
            sgst: header.sgst,
            igst: header.igst,
            cess: header.cess,
        },
        round_off: header.round_off,
        total: header.total,
        credited: cancelled.credited,
        refund_tenders: tenders.collect(),
    };
    INVOICE_CANCELLED
        .of(header.invoice_id.uuid(), version, &payload)
        .occurred(cancelled.at)
}

/// What is not fiscal of an invoice is other than it was.
pub(crate) fn invoice_edited(header: &Header, changed: Vec<String>) -> Outgoing {
    let payload = InvoiceEdited {
        invoice_id: header.invoice_id,
        number: header.number.clone(),
        reference: header.reference.clone(),
        salesperson_id: header.salesperson_id,
        note: header.note.clone(),
        delivery_contact: header.delivery_contact.clone(),
        changed_fields: changed,
    };
    INVOICE_EDITED.of(header.invoice_id.uuid(), header.version, &payload)
}

/// A note changed prices of an invoice, which is at `version` by it.
pub(crate) fn price_noted(note: &Note, version: i64) -> Outgoing {
    let h = &note.header;
    let lines = note.lines.iter().map(|l| PriceNoteLine {
        line: l.line,
        original_line: l.original_line,
        product_id: l.product_id,
        hsn: l.hsn.clone(),
        rate: l.rate,
        cess_rate: l.cess_rate,
        taxable: l.taxable,
        tax: Tax {
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
        },
        total: l.total,
    });
    let tenders = note.tenders.iter().map(tender);
    let payload = PriceNote {
        note_id: h.note_id,
        number: h.number.clone(),
        date: h.date,
        original_invoice_id: h.original_invoice_id,
        registration_id: h.registration_id,
        branch_id: h.branch_id,
        session_id: h.session_id,
        customer_id: h.customer_id,
        lines: lines.collect(),
        taxable: h.taxable,
        tax: Tax {
            cgst: h.cgst,
            sgst: h.sgst,
            igst: h.igst,
            cess: h.cess,
        },
        round_off: h.round_off,
        total: h.total,
        refund_tenders: tenders.collect(),
        reason: h.reason.clone(),
    };
    let event = match note.kind() {
        Kind::Credit => INVOICE_CREDITED,
        Kind::Debit => INVOICE_DEBITED,
    };
    event
        .of(h.original_invoice_id.uuid(), version, &payload)
        .occurred(h.issued_at)
}

/// Money came in, and paid these.
pub(crate) fn payment_captured(receipt: &Receipt, paid: &[Allocation]) -> Outgoing {
    let payload = PaymentCaptured {
        receipt_id: receipt.receipt_id,
        number: receipt.number.clone(),
        date: receipt.date,
        registration_id: receipt.registration_id,
        branch_id: receipt.branch_id,
        till_id: receipt.till_id,
        session_id: receipt.session_id,
        customer_id: receipt.customer_id,
        method: receipt.method.clone(),
        amount: receipt.amount,
        currency: receipt.currency.clone(),
        reference: receipt.reference.clone(),
        allocations: paid.to_vec(),
        unallocated: receipt.unallocated(),
    };
    PAYMENT_CAPTURED
        .of(receipt.receipt_id.uuid(), receipt.version, &payload)
        .occurred(receipt.received_at)
}

/// What was left of a receipt paid these.
pub(crate) fn payment_allocated(
    receipt: &Receipt,
    paid: &[Allocation],
    date: NaiveDate,
) -> Outgoing {
    let payload = PaymentAllocated {
        receipt_id: receipt.receipt_id,
        date,
        customer_id: receipt.customer_id,
        allocations: paid.to_vec(),
        unallocated: receipt.unallocated(),
    };
    PAYMENT_ALLOCATED.of(receipt.receipt_id.uuid(), receipt.version, &payload)
}

/// What was left of a receipt was given back.
pub(crate) fn payment_refunded(receipt: &Receipt, refund: &Refund) -> Outgoing {
    let payload = PaymentRefunded {
        receipt_id: receipt.receipt_id,
        refund_id: refund.refund_id,
        date: refund.date,
        customer_id: receipt.customer_id,
        session_id: refund.session_id,
        method: refund.method.clone(),
        amount: refund.amount,
        reason: refund.reason.clone(),
        unallocated: receipt.unallocated(),
    };
    PAYMENT_REFUNDED.of(receipt.receipt_id.uuid(), receipt.version, &payload)
}

/// A receipt was none; these are owed again.
pub(crate) fn payment_reversed(
    receipt: &Receipt,
    undone: &[Allocation],
    drawer: Option<PosSessionId>,
    date: NaiveDate,
) -> Outgoing {
    let payload = PaymentReversed {
        receipt_id: receipt.receipt_id,
        number: receipt.number.clone(),
        date,
        customer_id: receipt.customer_id,
        session_id: drawer,
        method: receipt.method.clone(),
        amount: receipt.amount,
        reason: receipt.reversal_reason.clone().unwrap_or_default(),
        allocations: undone.to_vec(),
    };
    PAYMENT_REVERSED.of(receipt.receipt_id.uuid(), receipt.version, &payload)
}

/// An order as it is.
fn sales_order(order: &Order) -> Result<SalesOrder> {
    let (h, offer) = (&order.head, order.offer()?);
    let line = |l: &order::OrderLine| {
        let priced = l.priced()?;
        Ok(OrderLine {
            line: l.line,
            product_id: l.product_id,
            stocked: l.stocked,
            description: priced.description,
            qty: l.qty,
            uom: priced.uqc,
            unit_price: priced.unit_price,
            price_includes_tax: priced.price_includes_tax,
            discount: priced.discount + priced.bill_discount,
            taxable: priced.taxable,
            tax: Tax {
                cgst: priced.cgst,
                sgst: priced.sgst,
                igst: priced.igst,
                cess: priced.cess,
            },
            total: priced.total,
            held: l.held,
            delivered: l.delivered,
            invoiced: l.invoiced,
        })
    };
    Ok(SalesOrder {
        order_id: h.order_id.uuid(),
        number: h.number.clone(),
        date: h.date,
        status: h.status.clone(),
        quotation_id: h.quotation_id,
        registration_id: h.registration_id,
        branch_id: h.branch_id,
        location_id: h.location_id,
        customer_id: h.customer_id,
        gstin_buyer: offer.buyer.gstin,
        salesperson_id: offer.salesperson_id,
        lines: order.lines.iter().map(line).collect::<Result<_>>()?,
        taxable: offer.taxable,
        tax: Tax {
            cgst: offer.cgst,
            sgst: offer.sgst,
            igst: offer.igst,
            cess: offer.cess,
        },
        round_off: offer.round_off,
        total: offer.total,
        currency: offer.currency,
        external_reference: offer.external_reference,
    })
}

fn of_order_as(event: EventType<SalesOrder>, order: &Order) -> Result<Outgoing> {
    let h = &order.head;
    Ok(event.of(h.order_id.uuid(), h.version, &sales_order(order)?))
}

/// An order was taken down.
pub(crate) fn order_created(order: &Order) -> Result<Outgoing> {
    of_order_as(ORDER_CREATED, order)
}

/// An order was confirmed.
pub(crate) fn order_confirmed(order: &Order) -> Result<Outgoing> {
    of_order_as(ORDER_CONFIRMED, order)
}

/// An order was cancelled.
pub(crate) fn order_cancelled(order: &Order) -> Result<Outgoing> {
    of_order_as(ORDER_CANCELLED, order)
}

/// An order was closed.
pub(crate) fn order_closed(order: &Order) -> Result<Outgoing> {
    of_order_as(ORDER_CLOSED, order)
}

/// Goods of an order were delivered.
pub(crate) fn order_fulfilled(
    order: &Order,
    (fulfilment_id, number): (Uuid, &str),
    at: DateTime<Utc>,
    lines: &[order::FulfilmentLine],
) -> Result<Outgoing> {
    let lines = lines.iter().map(|l| FulfilmentLine {
        line: l.line,
        product_id: l.product_id,
        stocked: l.stocked,
        qty: l.qty,
        batch_allocations: serde_json::from_value(l.batches.clone()).unwrap_or_default(),
        serials: serials_of(&l.serials),
    });
    let payload = OrderFulfilled {
        fulfilment_id,
        fulfilment_number: number.to_owned(),
        delivered_at: at,
        delivered: lines.collect(),
        order: sales_order(order)?,
    };
    let h = &order.head;
    Ok(ORDER_FULFILLED
        .of(h.order_id.uuid(), h.version, &payload)
        .occurred(at))
}

/// A till's offline number stands on no document of its own.
pub(crate) fn number_voided(slip: &Slip, reason: &str, invoice: Option<InvoiceId>) -> Outgoing {
    let payload = PosNumberVoided {
        till_id: slip.till_id,
        registration_id: slip.registration_id,
        number: slip.number.text(),
        date: slip.date,
        reason: reason.to_owned(),
        invoice_id: invoice,
        offline: slip.told(),
    };
    let number = Uuid::new_v5(&slip.registration_id.uuid(), payload.number.as_bytes());
    POS_NUMBER_VOIDED
        .of(number, 1, &payload)
        .occurred(slip.issued_at)
}

/// A document earned commission, or took it back.
pub(crate) fn commission_posted(posting: &Posting) -> Outgoing {
    let named = |n: i32| (n > 0).then_some(n);
    let entry = |e: &Entry| CommissionEntry {
        entry_id: e.entry_id,
        kind: e.kind.to_owned(),
        line: named(e.line),
        rule: named(e.rule),
        base: e.base,
        amount: e.amount,
    };
    let payload = CommissionPosted {
        posting_id: posting.posting_id,
        salesperson_id: posting.salesperson_id,
        plan_id: posting.plan_id.uuid(),
        basis: posting.basis.to_owned(),
        invoice_id: posting.invoice_id,
        invoice_number: posting.number.clone(),
        document_kind: posting.document_kind.to_owned(),
        document_id: posting.document_id,
        date: posting.date,
        period_from: posting.period.0,
        period_to: posting.period.1,
        base: posting.base(),
        amount: posting.amount(),
        currency: posting.currency.clone(),
        entries: posting.entries.iter().map(entry).collect(),
    };
    let event = if posting.is_back() {
        COMMISSION_REVERSED
    } else {
        COMMISSION_ACCRUED
    };
    event.of(posting.posting_id, 1, &payload)
}
