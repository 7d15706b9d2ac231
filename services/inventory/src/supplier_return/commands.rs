//! Posting a return to a supplier.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, ProductId, Quantity, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::model::choose;
use crate::{
    Error, Short, State, batch, copy,
    document::{self, Kind as Document},
    events,
    landed_cost::{self, Budget, store::ArrivalRow},
    ledger::{self, Key, Kind, Movement, NO_BATCH, Place, Source, Status},
    period, serial,
};

/// A return to be posted.
#[derive(Clone, Debug)]
pub struct NewReturn {
    /// Its id: said twice, it is the same return.
    pub id: Uuid,
    /// Where the goods are.
    pub location: LocationId,
    /// Who gets them.
    pub supplier: Option<Uuid>,
    /// The document that goes with them.
    pub reference: Option<String>,
    /// Why.
    pub reason: String,
    /// The business day it counts for; today when absent.
    pub posting_date: Option<NaiveDate>,
    /// Lines.
    pub lines: Vec<NewLine>,
}

/// A line of it.
#[derive(Clone, Debug)]
pub struct NewLine {
    /// Product.
    pub product: ProductId,
    /// Batch.
    pub batch: Option<BatchId>,
    /// State the goods are in.
    pub status: Status,
    /// How much.
    pub qty: Quantity,
    /// The receipt the goods came with, and its line.
    pub receipt: Option<(Uuid, i32)>,
    /// Serial numbers of the pieces, for a product followed by number.
    pub serials: Vec<String>,
}

/// A posted return to a supplier.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SupplierReturn {
    /// Its id: the source of its movements.
    pub id: Uuid,
    /// Where the goods were.
    pub location_id: LocationId,
    /// Who gets them.
    pub supplier_id: Option<Uuid>,
    /// The document that goes with them.
    pub reference: Option<String>,
    /// Why.
    pub reason: String,
    /// The business day it counts for.
    pub posting_date: NaiveDate,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// What the goods cost; for those who may see values.
    pub cost_value: Option<Money>,
    /// Lines, in the order of the request.
    pub lines: Vec<Line>,
}

/// A line of a posted return.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SupplierReturnLine)]
pub struct Line {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// State the goods were in.
    pub status: Status,
    /// How much.
    pub qty: Quantity,
    /// The receipt they came with, where it was named.
    pub receipt_id: Option<Uuid>,
    /// Line of it.
    pub receipt_line: Option<i32>,
    /// What they cost; for those who may see values.
    pub cost_value: Option<Money>,
}

/// Sends goods back.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewReturn,
) -> Result<Done<SupplierReturn>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| send(tx, &new).await)
        .await
}

/// Sends goods back, in the transaction of whoever decided it; gives the return that was posted under the id if there
/// is one.
///
/// # Errors
/// [`Error::InsufficientStock`] when less is free; [`Error::ReceiptGone`] when less is left of a receipt.
pub async fn send(tx: &mut Tx, new: &NewReturn) -> Result<SupplierReturn, Error> {
    if let Some(posted) = document::store::find(tx, Document::SupplierReturn, new.id).await? {
        return Ok(posted);
    }
    let at = period::moment(tx, new.posting_date).await?;
    let traced: BTreeSet<ProductId> = new
        .lines
        .iter()
        .filter(|l| l.receipt.is_some())
        .map(|l| l.product)
        .collect();
    // Where the goods of a receipt went is read of all places of their products: nothing of them may move meanwhile.
    copy::lock_known(tx, &traced).await?;
    let fresh = ledger::store::guard(tx, "supplier_return", "return_out", &[new.id]).await?;
    if fresh.is_empty() {
        // Another has posted it since we looked: look again.
        return Err(bahi_db::Error::Contention.into());
    }
    copy::open_location(tx, new.location).await?;
    let named: Vec<_> = new.lines.iter().map(|l| (l.product, l.batch)).collect();
    let products = batch::check_lines(tx, &named).await?;
    let named = new.lines.iter();
    let named = named.map(|l| (l.product, l.qty, l.serials.as_slice()));
    serial::check_lines(&products, named)?;
    let arrivals = arrivals(tx, new).await?;
    let mut places: BTreeSet<Place> = new
        .lines
        .iter()
        .map(|l| (new.location, l.product))
        .collect();
    places.extend(ledger::store::places_of_products(tx, &traced).await?);
    let batches = new.lines.iter().filter_map(|l| l.batch).collect();
    let mut books = ledger::store::lock(tx, &places, &batches).await?;
    let named = (0..).zip(&new.lines);
    let named = named.map(|(n, l)| (n, l.product, l.serials.as_slice()));
    serial::refuse_promised(tx, named).await?;
    enough(new, &books)?;
    let (mut midst, mut budget) = (Vec::new(), Budget::default());
    for (n, (line, arrival)) in new.lines.iter().zip(&arrivals).enumerate() {
        let Some(arrival) = arrival else { continue };
        let found = landed_cost::whereabouts(tx, &books, arrival, &mut budget).await?;
        let parts = choose(&found, key(new, line), line.qty)
            .map_err(|left| Error::ReceiptGone { line: n, left })?;
        midst.extend(parts.into_iter().map(|part| (n, part)));
    }
    // From the oldest to the newest, and what leaves in its order after them: so none moves the place of another.
    midst.sort_by_key(|(_, (behind, _))| std::cmp::Reverse(*behind));
    let source = |n: usize| Source {
        kind: "supplier_return",
        id: new.id,
        line: i32::try_from(n).unwrap_or(i32::MAX - 1) + 1,
        purpose: "return_out",
    };
    let why = || Some(new.reason.clone());
    let mut pieces: Vec<_> = new.lines.iter().map(|l| l.serials.iter()).collect();
    for (n, (behind, qty)) in midst {
        let key = key(new, &new.lines[n]);
        books.take_behind(Kind::ReturnOut, key, behind, qty, source(n), why(), at);
        let most = serial::whole(qty).unwrap_or_default();
        books.name(pieces[n].by_ref().take(most).cloned().collect());
    }
    for (n, line) in new.lines.iter().enumerate() {
        if line.receipt.is_none() {
            books.take(
                Kind::ReturnOut,
                key(new, line),
                line.qty,
                source(n),
                why(),
                at,
            );
            books.name(line.serials.clone());
        }
    }
    let movements = ledger::close(tx, books).await?;
    let lines = lines(new, &movements);
    let posted = SupplierReturn {
        id: new.id,
        location_id: new.location,
        supplier_id: new.supplier,
        reference: new.reference.clone(),
        reason: new.reason.clone(),
        posting_date: business_date(at),
        recorded_at: tx.now(),
        cost_value: lines.iter().map(|l| l.cost_value).sum(),
        lines,
    };
    let when = (new.location, posted.posting_date);
    document::store::insert(tx, Document::SupplierReturn, new.id, when, &posted).await?;
    let facts = copy::facts(tx, movements.iter().map(|m| m.draft.key.place())).await?;
    tx.publish(events::returned_to_supplier(&facts, &posted, at));
    let details = json!({
        "location_id": new.location, "supplier_id": new.supplier, "cost_value": posted.cost_value,
    });
    let object = ("stock_document", new.id);
    tx.audit(
        "inventory.supplier_return.post",
        object,
        Some(new.reason.clone()),
        details,
    );
    Ok(posted)
}

fn key(new: &NewReturn, line: &NewLine) -> Key {
    let shelf = Key::sellable((new.location, line.product), line.batch.unwrap_or(NO_BATCH));
    shelf.in_status(line.status)
}

/// The lines of receipts that are named, each of the product and batch of its line.
async fn arrivals(tx: &mut Tx, new: &NewReturn) -> Result<Vec<Option<ArrivalRow>>, Error> {
    let ids: Vec<Uuid> = new
        .lines
        .iter()
        .filter_map(|l| l.receipt)
        .map(|r| r.0)
        .collect();
    let known = if ids.is_empty() {
        Vec::new()
    } else {
        landed_cost::store::receipt_lines(tx, &ids).await?
    };
    let mut seen = HashSet::new();
    let mut arrivals = Vec::with_capacity(new.lines.len());
    for (n, line) in new.lines.iter().enumerate() {
        let wrong = |field: &str, message| Fault::field(format!("lines[{n}].{field}"), message);
        let Some((id, of)) = line.receipt else {
            arrivals.push(None);
            continue;
        };
        if !known.iter().any(|a| a.source_id == id) {
            return Err(wrong("receipt_id", "is not a receipt").into());
        }
        let arrival = known
            .iter()
            .find(|a| (a.source_id, a.source_line) == (id, of))
            .ok_or_else(|| wrong("receipt_line", "is not a line of the receipt"))?;
        if arrival.product_id != line.product {
            return Err(wrong("receipt_line", "brought another product").into());
        }
        if arrival.batch_id != line.batch.unwrap_or(NO_BATCH) {
            return Err(wrong("receipt_line", "brought another batch").into());
        }
        if !seen.insert((id, of, line.status)) {
            return Err(wrong("receipt_line", "is named twice").into());
        }
        arrivals.push(Some(arrival.clone()));
    }
    Ok(arrivals)
}

/// Refuses more than is free of a balance, all lines of it together.
fn enough(new: &NewReturn, books: &ledger::Books) -> Result<(), Error> {
    let mut asked: BTreeMap<Key, Quantity> = BTreeMap::new();
    for line in &new.lines {
        *asked.entry(key(new, line)).or_default() += line.qty;
    }
    let short: Vec<Short> = asked
        .into_iter()
        .map(|(key, asked)| (key, asked, books.item(key).free()))
        .filter(|(_, asked, free)| free < asked)
        .map(|(key, asked, available)| Short {
            product_id: key.product,
            lines: Vec::new(),
            asked,
            available,
            excluded: Vec::new(),
            serials: Vec::new(),
        })
        .collect();
    if short.is_empty() {
        Ok(())
    } else {
        Err(Error::InsufficientStock(short))
    }
}

fn lines(new: &NewReturn, movements: &[Movement]) -> Vec<Line> {
    let cost = |n: i32| -> Money {
        let own = |m: &&Movement| m.draft.source.id == new.id && m.draft.source.line == n;
        -movements.iter().filter(own).map(|m| m.value).sum::<Money>()
    };
    (1..)
        .zip(&new.lines)
        .map(|(n, line)| Line {
            line: n,
            product_id: line.product,
            batch_id: line.batch,
            status: line.status,
            qty: line.qty,
            receipt_id: line.receipt.map(|r| r.0),
            receipt_line: line.receipt.map(|r| r.1),
            cost_value: Some(cost(n)),
        })
        .collect()
}
