//! What an invoice takes from stock, and what a return gives back.

use std::collections::BTreeMap;

use bahi_events::{Envelope, InvoiceIssued, ReturnProcessed};
use bahi_types::{InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::{
    ledger::{Books, Kind, Place, Source, deal, store::Told},
    recall::Buyer,
    reservation::{Answer, Ask, Hold},
    shortage::Shortage,
};

/// An invoice, as far as stock is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Sale {
    /// The invoice.
    pub invoice: InvoiceId,
    /// The hold that promised the stock.
    pub reservation: Option<ReservationId>,
    /// Hash of its demand.
    pub demand_hash: String,
    /// Where the goods come from.
    pub location: LocationId,
    /// What moves stock.
    pub lines: Vec<Ask>,
    /// Business time.
    pub occurred_at: DateTime<Utc>,
    /// The event that told of it.
    pub cause: Option<Uuid>,
    /// Who bought, as far as it is said.
    pub buyer: Buyer,
    /// What is known of that event, for counts.
    pub told: Told,
}

/// A sale told this much later than it happened was made offline: a request takes seconds.
const LATE: Duration = Duration::seconds(60);

/// What counts have to know of an event.
fn told<P>(event: &Envelope<P>) -> Told {
    Told {
        txid: event.txid,
        epoch: event.txid.map(|_| event.epoch),
        late_at: (event.timestamp - event.occurred_at > LATE).then_some(event.occurred_at),
    }
}

impl Sale {
    /// The places it needs.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.lines.iter().map(|l| (self.location, l.product))
    }

    /// From what sales answered about a hold.
    pub fn from_answer(reservation: ReservationId, answer: Answer) -> Self {
        Self {
            invoice: answer.invoice_id,
            reservation: Some(reservation),
            demand_hash: answer.demand_hash,
            location: answer.location_id,
            lines: answer.lines,
            occurred_at: answer.occurred_at,
            cause: None,
            told: Told::default(),
            buyer: Buyer {
                invoice: answer.invoice_id,
                number: answer.number,
                date: None,
                customer: None,
                gstin: None,
            },
        }
    }
}

impl From<&Envelope<InvoiceIssued>> for Sale {
    fn from(event: &Envelope<InvoiceIssued>) -> Self {
        let invoice = &event.payload;
        // Goods of a line with a fulfilment left with the delivery.
        let moves = |l: &&bahi_events::InvoiceLine| {
            l.stocked && l.fulfilment_id.is_none() && l.qty.is_positive()
        };
        let lines = invoice.lines.iter().filter(moves);
        Self {
            invoice: invoice.invoice_id,
            reservation: invoice.reservation_id,
            demand_hash: invoice.demand_hash.clone(),
            location: invoice.location_id,
            lines: lines
                .map(|l| Ask {
                    line: l.line,
                    product: l.product_id,
                    qty: l.qty,
                })
                .collect(),
            occurred_at: event.occurred_at,
            cause: Some(event.event_id),
            told: told(event),
            buyer: Buyer {
                invoice: invoice.invoice_id,
                number: invoice.number.clone(),
                date: Some(invoice.date),
                customer: invoice.customer_id,
                gstin: invoice.gstin_buyer.clone(),
            },
        }
    }
}

/// Takes the goods of a sale out of the books: what its hold has first, then what is available; the rest is owed.
pub(crate) fn issue(
    books: &mut Books,
    sale: &Sale,
    hold: Option<&Hold>,
    now: DateTime<Utc>,
) -> Vec<Shortage> {
    let mut pools = BTreeMap::new();
    if let Some(hold) = hold.filter(|h| h.is_pending()) {
        if hold.demand_hash.as_deref() == Some(sale.demand_hash.as_str()) {
            pools = hold.pools();
        } else {
            hold.free(books, now);
        }
    }
    let mut owed = Vec::new();
    for ask in &sale.lines {
        let source = Source {
            kind: "invoice",
            id: sale.invoice.uuid(),
            line: ask.line,
            purpose: "issue",
        };
        let mut left = ask.qty;
        if let Some(pool) = pools.get_mut(&ask.product) {
            for (held, missing) in deal(pool, &[ask.qty]) {
                left = missing;
                for taken in held {
                    books.take_held(Kind::Issue, taken, source, sale.occurred_at);
                }
            }
        }
        let place = (sale.location, ask.product);
        let (taken, missing) = books.pick(place, left, 0);
        for (key, qty) in taken {
            books.take(Kind::Issue, key, qty, source, None, sale.occurred_at);
        }
        if missing.is_positive() {
            owed.push(Shortage {
                invoice: sale.invoice,
                line: ask.line,
                place,
                open: missing,
                occurred_at: sale.occurred_at,
            });
        }
    }
    if let Some(hold) = hold {
        for (n, taken) in (0..).zip(pools.into_values().flatten()) {
            books.unhold(taken, hold.source(n, "quarantine"), now);
        }
    }
    owed
}

/// A return, as far as stock is concerned.
#[derive(Clone, Debug)]
pub struct Back {
    /// The credit note.
    pub credit_note: InvoiceId,
    /// The invoice it corrects.
    pub invoice: Option<InvoiceId>,
    /// Where the goods go.
    pub location: LocationId,
    /// What moves stock.
    pub lines: Vec<BackLine>,
    /// Business time.
    pub occurred_at: DateTime<Utc>,
    /// The event that told of it.
    pub cause: Option<Uuid>,
    /// What is known of that event, for counts.
    pub told: Told,
}

/// A line of a return.
#[derive(Clone, Debug)]
pub struct BackLine {
    /// Line of the credit note.
    pub line: i32,
    /// Line of the invoice.
    pub original: Option<i32>,
    /// Product.
    pub product: ProductId,
    /// How much.
    pub qty: Quantity,
    /// `restock`, `quarantine` or `scrap`.
    pub disposition: String,
}

impl From<&Envelope<ReturnProcessed>> for Back {
    fn from(event: &Envelope<ReturnProcessed>) -> Self {
        let note = &event.payload;
        let lines = note
            .lines
            .iter()
            .filter(|l| l.stocked && l.qty.is_positive());
        Self {
            credit_note: note.credit_note_id,
            invoice: note.original_invoice_id,
            location: note.location_id,
            lines: lines
                .map(|l| BackLine {
                    line: l.line,
                    original: l.original_line,
                    product: l.product_id,
                    qty: l.qty,
                    disposition: l.disposition.clone(),
                })
                .collect(),
            occurred_at: event.occurred_at,
            cause: Some(event.event_id),
            told: told(event),
        }
    }
}
