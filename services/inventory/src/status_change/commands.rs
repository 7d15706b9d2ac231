//! Posting a change of status.

use std::collections::{BTreeSet, HashMap};

use async_graphql::SimpleObject;
use bahi_db::{Ctx, Done, Tx};
use bahi_events::StatusChangedLine;
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, ProductId, Quantity, ReservationId, business_date};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Short, State, batch, copy, document, events,
    ledger::{self, Key, Kind, Movement, NO_BATCH, Place, Source, Status},
    reservation::{self, Broken},
    serial,
};

/// A change to be posted.
#[derive(Clone, Debug)]
pub(super) struct NewChange {
    pub location: LocationId,
    pub reason: String,
    pub lines: Vec<NewLine>,
}

/// A line of it.
#[derive(Clone, Debug)]
pub(super) struct NewLine {
    pub product: ProductId,
    pub batch: Option<BatchId>,
    pub from: Status,
    pub to: Status,
    pub qty: Quantity,
    pub serials: Vec<String>,
}

impl NewLine {
    fn key(&self, location: LocationId) -> Key {
        Key::sellable((location, self.product), self.batch.unwrap_or(NO_BATCH)).in_status(self.from)
    }

    /// It tells of what happened to the goods, and is not a decision about them.
    fn is_fact(&self) -> bool {
        matches!(self.to, Status::Damaged | Status::Scrap)
    }
}

/// A posted change of status.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[graphql(name = "StockStatusChange", complex)]
pub(crate) struct StatusChange {
    /// Its id: the source of its movements.
    #[graphql(skip)]
    pub id: Uuid,
    /// Where.
    pub location_id: LocationId,
    /// Why.
    pub reason: String,
    /// When it was posted.
    pub recorded_at: DateTime<Utc>,
    /// Lines, in the order of the request.
    // A list gives none.
    #[serde(default)]
    #[schema(required = true)]
    #[graphql(skip)]
    pub lines: Vec<Line>,
    /// Holds that lost goods because they are gone.
    pub broken_reservations: Vec<ReservationId>,
}

/// A line of a posted change.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, SimpleObject)]
#[schema(as = StatusChangeLine)]
#[graphql(name = "StockStatusChangeLine", complex)]
pub(crate) struct Line {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// State before.
    pub from: Status,
    /// State after.
    pub to: Status,
    /// How much.
    pub qty: Quantity,
    /// What it cost; for those who may see values.
    pub cost_value: Option<Money>,
}

/// Moves goods to another state, breaking promises where that is a fact.
pub(super) async fn post(
    state: &State,
    ctx: &Ctx,
    new: NewChange,
) -> Result<Done<StatusChange>, Error> {
    state.restore.passed().await?;
    reservation::asking(state, ctx, || attempt(state, ctx, new.clone())).await
}

async fn attempt(state: &State, ctx: &Ctx, new: NewChange) -> Result<Done<StatusChange>, Error> {
    state
        .db
        .write(
            ctx,
            async move |tx: &mut Tx| -> Result<StatusChange, Error> {
                let facts: Vec<Key> = new
                    .lines
                    .iter()
                    .filter(|l| l.is_fact() && l.from == Status::Sellable)
                    .map(|l| l.key(new.location))
                    .collect();
                let mut broken = Broken::lock(tx, &facts).await?;
                check(tx, &new).await?;
                let own: BTreeSet<Place> = new
                    .lines
                    .iter()
                    .map(|l| (new.location, l.product))
                    .collect();
                let places: BTreeSet<Place> = own.iter().copied().chain(broken.places()).collect();
                let batches = new.lines.iter().filter_map(|l| l.batch).collect();
                let mut books = ledger::store::lock(tx, &places, &batches).await?;
                let chosen = (0..).zip(&new.lines).filter(|(_, l)| !l.is_fact());
                let chosen = chosen.map(|(n, l)| (n, l.product, l.serials.as_slice()));
                serial::refuse_promised(tx, chosen).await?;
                let (id, now) = (Uuid::now_v7(), tx.now());
                for (n, line) in (1..).zip(&new.lines) {
                    let key = line.key(new.location);
                    let item = books.item(key);
                    let there = if line.is_fact() {
                        item.on_hand
                    } else {
                        item.free()
                    };
                    if there < line.qty {
                        return Err(Error::InsufficientStock(vec![Short {
                            product_id: line.product,
                            lines: Vec::new(),
                            asked: line.qty,
                            available: there,
                            excluded: Vec::new(),
                            serials: Vec::new(),
                        }]));
                    }
                    let target = key.in_status(line.to);
                    if line.to == Status::Sellable && books.shelf_or_quarantine(target) != target {
                        return Err(Error::BatchUnfit(n as usize - 1));
                    }
                    let source = Source {
                        kind: "status_change",
                        id,
                        line: n,
                        purpose: "status",
                    };
                    if line.is_fact() {
                        broken.make_free(&mut books, (key, line.qty), source, now)?;
                    }
                    let (kinds, nil) = ((Kind::StatusChange, Kind::StatusChange), Uuid::nil());
                    books.carry(
                        kinds,
                        (key, nil),
                        (target, nil),
                        line.qty,
                        source,
                        Some(&new.reason),
                        now,
                    );
                    books.name(line.serials.clone());
                    if line.to == Status::Scrap {
                        let source = Source {
                            purpose: "scrap",
                            ..source
                        };
                        books.take(
                            Kind::Scrap,
                            target,
                            line.qty,
                            source,
                            Some(new.reason.clone()),
                            now,
                        );
                        books.name(line.serials.clone());
                    }
                    books.touch(key.place());
                }
                broken.save(tx).await?;
                let versions: HashMap<Place, i64> =
                    own.iter().map(|p| (*p, books.version(*p))).collect();
                let movements = ledger::close(tx, books).await?;
                let lines = lines(&new, id, &movements);
                announce(tx, &new, id, &lines, &movements, &versions);
                let change = StatusChange {
                    id,
                    location_id: new.location,
                    reason: new.reason.clone(),
                    recorded_at: now,
                    lines,
                    broken_reservations: broken.announce(tx),
                };
                let when = (change.location_id, business_date(now));
                document::store::insert(tx, document::Kind::StatusChange, id, when, &change)
                    .await?;
                let details = json!({ "location_id": new.location, "lines": change.lines });
                tx.audit(
                    "inventory.stock.status_change",
                    ("stock_document", id),
                    Some(new.reason),
                    details,
                );
                Ok(change)
            },
        )
        .await
}

/// Checks place, products and batches, which are locked after the holds, as everywhere.
async fn check(tx: &mut Tx, new: &NewChange) -> Result<(), Error> {
    copy::open_location(tx, new.location).await?;
    let named: Vec<_> = new.lines.iter().map(|l| (l.product, l.batch)).collect();
    let products = batch::check_lines(tx, &named).await?;
    let named = new.lines.iter();
    serial::check_lines(
        &products,
        named.map(|l| (l.product, l.qty, l.serials.as_slice())),
    )?;
    match new.lines.iter().position(|l| l.from == l.to) {
        Some(n) => Err(Fault::field(format!("lines[{n}].to"), "must differ from `from`").into()),
        None => Ok(()),
    }
}

fn lines(new: &NewChange, id: Uuid, movements: &[Movement]) -> Vec<Line> {
    let cost = |n: i32| -> Money {
        let own = |m: &&Movement| {
            let source = m.draft.source;
            source.id == id
                && source.line == n
                && source.purpose == "status"
                && m.draft.qty.is_positive()
        };
        movements.iter().filter(own).map(|m| m.value).sum()
    };
    (1..)
        .zip(&new.lines)
        .map(|(n, line)| Line {
            line: n,
            product_id: line.product,
            batch_id: line.batch,
            from: line.from,
            to: line.to,
            qty: line.qty,
            cost_value: Some(cost(n)),
        })
        .collect()
}

/// What stays in stock has changed its state; what was thrown away is a loss.
fn announce(
    tx: &mut Tx,
    new: &NewChange,
    id: Uuid,
    lines: &[Line],
    movements: &[Movement],
    versions: &HashMap<Place, i64>,
) {
    let known = |line: i32| {
        let of_line = |m: &&Movement| m.draft.source.id == id && m.draft.source.line == line;
        movements.iter().find(of_line).map(|m| &m.known)
    };
    let premises = lines.first().and_then(|l| known(l.line));
    let premises = premises.map(|k| k.premises.clone()).unwrap_or_default();
    let kept: Vec<_> = lines
        .iter()
        .filter(|l| l.to != Status::Scrap)
        .map(|l| StatusChangedLine {
            line: l.line,
            product_id: l.product_id,
            batch_id: l.batch_id,
            from: l.from.name().to_owned(),
            to: l.to.name().to_owned(),
            qty: l.qty,
            cost_value: l.cost_value.unwrap_or_default(),
            uom: known(l.line).and_then(|k| k.uom.clone()),
        })
        .collect();
    if !kept.is_empty() {
        tx.publish(events::status_changed(
            id,
            (new.location, premises),
            &new.reason,
            kept,
        ));
    }
    let scrapped = |m: &&Movement| m.draft.source.id == id && m.draft.kind == Kind::Scrap;
    for movement in movements.iter().filter(scrapped) {
        let version = versions
            .get(&movement.draft.key.place())
            .copied()
            .unwrap_or(1);
        // Nothing rests in scrap.
        tx.publish(events::adjusted(
            tx.tenant(),
            movement,
            version,
            Quantity::ZERO,
        ));
    }
}
