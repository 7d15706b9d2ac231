//! Everything sales says.

use bahi_events::{
    INVOICE_ISSUED, InvoiceIssued, InvoiceLine, Outgoing, POS_SESSION_CLOSED, POS_SESSION_OPENED,
    PosSessionClosed, PosSessionOpened, RETURN_PROCESSED, ReturnLine, ReturnProcessed, Tax, Tender,
    TenderCount,
};
use bahi_types::Money;

use crate::{
    invoice::{Invoice, batches_of, line_pricing_of, pricing_of, serials_of},
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

/// An invoice was issued.
pub(crate) fn invoice_issued(invoice: &Invoice) -> Outgoing {
    let h = &invoice.header;
    let lines = invoice.lines.iter().map(|l| InvoiceLine {
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
        fulfilment_id: None,
        pricing: line_pricing_of(l),
        serials: serials_of(&l.serials),
    });
    let tenders = invoice.tenders.iter().map(|t| Tender {
        method: t.method.clone(),
        amount: t.amount,
        reference: t.reference.clone(),
    });
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
    };
    INVOICE_ISSUED
        .of(h.invoice_id.uuid(), h.version, &payload)
        .occurred(h.issued_at)
}

/// Goods came back. Of the original invoice at its new `version`, so that it cannot overtake the issue; a return
/// without bill is an aggregate of its own.
pub(crate) fn return_processed(note: &CreditNote, version: i64) -> Outgoing {
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
    let tenders = note.tenders.iter().map(|t| Tender {
        method: t.method.clone(),
        amount: t.amount,
        reference: t.reference.clone(),
    });
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
    };
    let aggregate = h.original_invoice_id.unwrap_or(h.credit_note_id);
    RETURN_PROCESSED
        .of(aggregate.uuid(), version, &payload)
        .occurred(h.issued_at)
}
