//! Posting a receipt.

use std::collections::BTreeSet;

use async_graphql::SimpleObject;
use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error, State, batch, copy, document, events,
    ledger::{self, Cost, Key, Kind, NO_BATCH, Place, Source, named, worth},
    period, serial,
};

/// A receipt to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewReceipt {
    pub location: LocationId,
    pub reference: Option<String>,
    pub posting_date: Option<NaiveDate>,
    pub lines: Vec<NewLine>,
}

/// A line of it.
#[derive(Clone, Debug)]
pub(super) struct NewLine {
    pub product: ProductId,
    pub qty: Quantity,
    pub unit_cost: Price,
    pub batch_no: Option<String>,
    pub label: batch::Label,
    pub serials: Vec<String>,
}

/// A posted receipt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[graphql(name = "StockReceipt", complex)]
pub(crate) struct Receipt {
    /// Its id: the source of its movements.
    #[graphql(skip)]
    pub id: Uuid,
    /// Where the goods went.
    pub location_id: LocationId,
    /// The sender's document.
    pub reference: Option<String>,
    /// The business day it counts for.
    #[serde(default)]
    pub posting_date: NaiveDate,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// Sum of the lines' values; for those who may see values.
    pub value: Option<Money>,
    /// Lines, in the order of the request.
    // A list gives none.
    #[serde(default)]
    #[schema(required = true)]
    #[graphql(skip)]
    pub lines: Vec<Line>,
}

/// A line of a posted receipt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = ReceiptLine)]
#[graphql(name = "StockReceiptLine", complex)]
pub(crate) struct Line {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// Quantity.
    pub qty: Quantity,
    /// Cost of one unit; for those who may see values.
    pub unit_cost: Option<Price>,
    /// What was paid; for those who may see values.
    pub value: Option<Money>,
    /// What of it is not stock but a variance, for a product valued at standard cost; for those who may see
    /// values.
    #[serde(default)]
    pub variance: Option<Money>,
    /// Serial numbers of the pieces, for a product followed by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// Puts goods into stock.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewReceipt,
) -> Result<Done<Receipt>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Receipt, Error> {
            let at = period::moment(tx, new.posting_date).await?;
            copy::open_location(tx, new.location).await?;
            let ids: BTreeSet<ProductId> = new.lines.iter().map(|l| l.product).collect();
            let products = copy::products(tx, &ids).await?;
            let mut batches = Vec::new();
            for (n, line) in new.lines.iter().enumerate() {
                let Some(product) = products.get(&line.product) else {
                    continue;
                };
                if !product.stocked {
                    return Err(Error::NotStocked(n));
                }
                match (&line.batch_no, product.batch_tracked) {
                    (None, true) => return Err(Error::BatchNumberRequired(n)),
                    (Some(_), false) => return Err(Error::NotBatchTracked(n)),
                    (Some(no), true) => batches.push(batch::Named {
                        line: n,
                        product: line.product,
                        no,
                        label: line.label,
                    }),
                    (None, false) => {}
                }
            }
            let lines = new.lines.iter();
            let pieces = lines.map(|l| (l.product, l.qty, l.serials.as_slice()));
            serial::check_lines(&products, pieces)?;
            let known = batch::ensure(tx, &batches).await?;
            let batch_of = |line: &NewLine| {
                let no = line.batch_no.as_ref()?;
                known.get(&(line.product, no.clone()))
            };
            for (n, line) in new.lines.iter().enumerate() {
                let tracked = products
                    .get(&line.product)
                    .is_some_and(|p| p.expiry_tracked);
                if tracked && batch_of(line).is_some_and(|b| b.expiry.is_none()) {
                    return Err(Error::ExpiryRequired(n));
                }
            }
            let places: BTreeSet<Place> = ids.into_iter().map(|p| (new.location, p)).collect();
            let mut books =
                ledger::store::lock(tx, &places, &known.values().map(|b| b.id).collect()).await?;
            let (id, now) = (Uuid::now_v7(), tx.now());
            let mut receipt = Receipt {
                id,
                location_id: new.location,
                reference: new.reference.clone(),
                posting_date: business_date(at),
                recorded_at: now,
                value: None,
                lines: Vec::with_capacity(new.lines.len()),
            };
            let mut total = Money::ZERO;
            for (n, line) in (1..).zip(&new.lines) {
                let Some(value) = worth(line.qty, line.unit_cost) else {
                    return Err(Fault::field(
                        format!("lines[{}].unit_cost", n - 1),
                        "makes too large a value",
                    )
                    .into());
                };
                let batch = batch_of(line).map_or(NO_BATCH, |b| b.id);
                let source = Source {
                    kind: "receipt",
                    id,
                    line: n,
                    purpose: "receipt",
                };
                let key = Key::sellable((new.location, line.product), batch);
                let cost = Cost::Known(value, line.unit_cost);
                books.put(Kind::Receipt, key, line.qty, cost, source, None, at);
                books.name(line.serials.clone());
                total += value;
                receipt.lines.push(Line {
                    line: n,
                    product_id: line.product,
                    batch_id: named(batch),
                    qty: line.qty,
                    unit_cost: Some(line.unit_cost),
                    value: Some(value),
                    variance: None,
                    serials: line.serials.clone(),
                });
            }
            receipt.value = Some(total);
            let movements = ledger::close(tx, books).await?;
            // A line makes one movement, and the lines come in their order.
            let own = movements.iter().filter(|m| m.draft.source.id == id);
            for (line, movement) in receipt.lines.iter_mut().zip(own) {
                line.variance = Some(movement.variance);
            }
            let when = (receipt.location_id, receipt.posting_date);
            document::store::insert(tx, document::Kind::Receipt, id, when, &receipt).await?;
            tx.publish(events::received(id, new.location, at, &movements));
            Ok(receipt)
        })
        .await
}
