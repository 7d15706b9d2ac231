//! What an invoice takes from stock, and what a return gives back.

use std::collections::{BTreeMap, VecDeque};

use bahi_events::{Envelope, InvoiceCancelled, InvoiceIssued, ReturnProcessed};
use bahi_types::{InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::{
    ledger::{Books, Key, Kind, Place, Source, Taken, deal, store::Told},
    recall::Buyer,
    reservation::{Answer, Ask, Hold},
    serial::{Pieces, on_shelf, store::Waiting, whole},
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
    /// Serial numbers of the pieces, by line.
    pub serials: BTreeMap<i32, Vec<String>>,
    /// Lines whose goods left with deliveries.
    pub billed: Vec<Billed>,
}

/// A line that bills what left with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Billed {
    /// Line of the invoice.
    pub line: i32,
    /// The delivery.
    pub fulfilment: Uuid,
    /// Line of the order, and so of the delivery.
    pub of: i32,
    /// Product.
    pub product: ProductId,
    /// How much.
    pub qty: Quantity,
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
            serials: answer.serials,
            occurred_at: answer.occurred_at,
            cause: None,
            billed: Vec::new(),
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
        // Goods of an order leave with its deliveries, billed before or after.
        let moves = |l: &&bahi_events::InvoiceLine| {
            let of_order = l.fulfilment_id.is_some() || l.order_id.is_some();
            l.stocked && !of_order && l.qty.is_positive()
        };
        let billed = invoice
            .lines
            .iter()
            .filter(|l| l.stocked && l.qty.is_positive());
        let billed = billed.filter_map(|l| {
            Some(Billed {
                line: l.line,
                fulfilment: l.fulfilment_id?,
                of: l.order_line?,
                product: l.product_id,
                qty: l.qty,
            })
        });
        let lines = invoice.lines.iter().filter(moves);
        let named = lines.clone().filter(|l| !l.serials.is_empty());
        Self {
            billed: billed.collect(),
            serials: named.map(|l| (l.line, l.serials.clone())).collect(),
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
    pieces: &Pieces,
) -> (Vec<Shortage>, Vec<Waiting>) {
    let mut pools = BTreeMap::new();
    if let Some(hold) = hold.filter(|h| h.is_pending()) {
        if hold.demand_hash.as_deref() == Some(sale.demand_hash.as_str()) {
            pools = hold.pools();
        } else {
            hold.free(books, now);
        }
    }
    let (mut owed, mut waiting) = (Vec::new(), Vec::new());
    let source = |ask: &Ask| Source {
        kind: "invoice",
        id: sale.invoice.uuid(),
        line: ask.line,
        purpose: "issue",
    };
    // The pieces that lines name first: what is not named must not take the quantity they rest on.
    let mut named: BTreeMap<i32, (Quantity, Vec<String>)> = BTreeMap::new();
    for ask in sale.lines.iter() {
        let Some(names) = sale.serials.get(&ask.line) else {
            continue;
        };
        let (there, mut others) = on_shelf(pieces, (sale.location, ask.product), names);
        let mut got = Quantity::ZERO;
        for (key, names) in there {
            let wanted = Quantity::from(names.len() as i64).min(ask.qty - got);
            let pool = pools.get_mut(&ask.product);
            let held = pool.map_or(Quantity::ZERO, |pool| draw(pool, key, wanted));
            if held.is_positive() {
                books.take_held(Kind::Issue, (key, held), source(ask), sale.occurred_at);
                books.name(names[..count(held)].to_vec());
            }
            let free = books.item(key).free().min(wanted - held);
            let free = Quantity::from(count(free) as i64);
            if free.is_positive() {
                books.take(Kind::Issue, key, free, source(ask), None, sale.occurred_at);
                books.name(names[count(held)..count(held + free)].to_vec());
            }
            others.extend_from_slice(&names[count(held + free)..]);
            got += held + free;
        }
        named.insert(ask.line, (got, others));
    }
    for ask in &sale.lines {
        let source = source(ask);
        let (got, mut names) = named.remove(&ask.line).unwrap_or_default();
        let mut left = ask.qty - got;
        let first = books.drafts.len();
        if let Some(pool) = pools.get_mut(&ask.product) {
            for (held, missing) in deal(pool, &[left]) {
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
        // Numbers that are not there to be taken go with whatever leaves; those of goods that are owed wait for them.
        for draft in books.drafts.iter_mut().skip(first) {
            let most = count(-draft.qty).min(names.len());
            draft.serials.extend(names.drain(..most));
        }
        if missing.is_positive() {
            waiting.extend(names.drain(..).map(|no| Waiting {
                invoice_id: sale.invoice,
                line: ask.line,
                no,
            }));
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
    (owed, waiting)
}

/// Whole pieces of a quantity.
fn count(qty: Quantity) -> usize {
    whole(Quantity::rounded(qty.decimal().floor())).unwrap_or_default()
}

/// Takes up to `wanted` of a balance out of a pool.
fn draw(pool: &mut VecDeque<Taken>, key: Key, wanted: Quantity) -> Quantity {
    let mut got = Quantity::ZERO;
    for (_, there) in pool.iter_mut().filter(|taken| taken.0 == key) {
        let part = Quantity::from(count((*there).min(wanted - got)) as i64);
        *there -= part;
        got += part;
    }
    pool.retain(|taken| taken.1.is_positive());
    got
}

/// A return, as far as stock is concerned.
#[derive(Clone, Debug)]
pub struct Back {
    /// The credit note; of a cancelled invoice, the invoice itself.
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
    /// Serial numbers of the pieces.
    pub serials: Vec<String>,
}

/// A cancelled invoice is taken back whole, by itself.
impl From<&Envelope<InvoiceCancelled>> for Back {
    fn from(event: &Envelope<InvoiceCancelled>) -> Self {
        let invoice = &event.payload;
        let lines = invoice
            .lines
            .iter()
            .filter(|l| l.stocked && l.qty.is_positive());
        Self {
            credit_note: invoice.invoice_id,
            invoice: Some(invoice.invoice_id),
            location: invoice.location_id,
            lines: lines
                .map(|l| BackLine {
                    line: l.line,
                    original: Some(l.line),
                    product: l.product_id,
                    qty: l.qty,
                    disposition: "restock".to_owned(),
                    serials: l.serials.clone(),
                })
                .collect(),
            occurred_at: event.occurred_at,
            cause: Some(event.event_id),
            told: told(event),
        }
    }
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
                    serials: l.serials.clone(),
                })
                .collect(),
            occurred_at: event.occurred_at,
            cause: Some(event.event_id),
            told: told(event),
        }
    }
}
