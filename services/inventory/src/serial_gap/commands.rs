//! Naming pieces afterwards.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{InvoiceId, Quantity};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::store;
use crate::{
    Error, State, copy,
    ledger::{self, Key, Kind, Lot, NO_BATCH, Status},
    serial::{self, Piece, SerialState, Sold, place_of},
};

/// What was named.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SerialAssignment)]
pub(super) struct Assigned {
    /// The discrepancy.
    pub id: Uuid,
    /// Numbers that are assigned now.
    pub serials: Vec<String>,
    /// Pieces of it that are still without one.
    pub open: Quantity,
}

/// Gives pieces that a fact moved their numbers.
///
/// # Errors
/// [`Error::SerialNotHere`] for a piece that left, and whose number is not in stock where it left from;
/// [`Error::SerialKnown`] for a piece that lies there, and whose number is in stock already; [`bahi_db::Error::OtherBranch`]
/// where the caller does not work.
pub(super) async fn assign(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    serials: Vec<String>,
) -> Result<Done<Assigned>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Assigned, Error> {
            let seen = store::get(tx, id).await?;
            copy::own_location(tx, seen.location_id).await?;
            let place = (seen.location_id, seen.product_id);
            ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
            let gap = store::lock(tx, id).await?;
            if Quantity::from(serials.len() as i64) > gap.open {
                let text = format!("must be at most {}: so many have no number", gap.open);
                return Err(Fault::field("serials", text).into());
            }
            let mut names = BTreeSet::new();
            for (n, no) in serials.iter().enumerate() {
                if !names.insert((gap.product_id, no.clone())) {
                    return Err(Error::SerialTwice(n, no.clone()));
                }
            }
            let kind = store::kind(tx, &gap).await?;
            let next = store::lock_next(tx, &gap).await?;
            if gap.direction > 0 && next.is_some() {
                let text = "the pieces came from another balance: assign the numbers that left it";
                return Err(Fault::field("id", text).into());
            }
            let next = next.filter(|next| next.open >= Quantity::from(serials.len() as i64));
            if let Some(next) = &next {
                copy::own_location(tx, next.location_id).await?;
            }
            let invoice = match gap.document_id {
                Some(id) => store::settled(tx, id).await?,
                None => None,
            };
            let mut pieces = serial::store::lock(tx, &names, &BTreeMap::new()).await?;
            let lot = lot_of(&gap)?;
            let to = next.as_ref().map(lot_of).transpose()?;
            let mut ids = Vec::new();
            for (n, no) in serials.iter().enumerate() {
                let found = pieces.get(gap.product_id, no).cloned();
                let piece = if gap.direction < 0 {
                    let Some(mut piece) = found.clone().filter(|p| p.lies(lot)) else {
                        let found = place_of(found.as_ref());
                        return Err(Error::SerialNotHere(n, no.clone(), found));
                    };
                    if piece.held.is_some() {
                        let found = serial::PROMISED.to_owned();
                        return Err(Error::SerialNotHere(n, no.clone(), found));
                    }
                    match to {
                        Some(to) => piece.arrive(to),
                        None => gone(&mut piece, kind.as_deref(), invoice, &gap),
                    }
                    piece
                } else {
                    match found {
                        Some(piece) if piece.state == SerialState::InStock => {
                            return Err(Error::SerialKnown(n, no.clone(), place_of(Some(&piece))));
                        }
                        Some(mut piece) => {
                            piece.arrive(lot);
                            piece
                        }
                        None => Piece {
                            id: Uuid::now_v7(),
                            name: (gap.product_id, no.clone()),
                            state: SerialState::InStock,
                            key: lot.0,
                            origin: lot.1,
                            sold: None,
                            held: None,
                            fresh: true,
                            dirty: true,
                        },
                    }
                };
                ids.push(piece.id);
                pieces.set(piece);
            }
            serial::store::save(tx, &pieces, &[]).await?;
            store::close(tx, &gap, &ids).await?;
            if let Some(next) = &next {
                store::close(tx, next, &ids).await?;
            }
            let details = json!({ "product_id": gap.product_id, "location_id": gap.location_id,
                "document": gap.document, "document_id": gap.document_id, "serials": serials });
            tx.audit("inventory.serial.assign", ("serial_gap", id), None, details);
            let open = gap.open - Quantity::from(ids.len() as i64);
            Ok(Assigned { id, serials, open })
        })
        .await
}

fn lot_of(gap: &store::GapRow) -> Result<Lot, Error> {
    let key = Key {
        location: gap.location_id,
        product: gap.product_id,
        batch: gap.batch_id.unwrap_or(NO_BATCH),
        status: Status::named(&gap.status).ok_or(bahi_db::Error::NotFound)?,
    };
    Ok((key, gap.origin))
}

/// What was taken for the same.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SerialOffset)]
pub(super) struct Offset {
    /// The discrepancy.
    pub id: Uuid,
    /// The other one.
    pub against: Uuid,
    /// Pieces that are closed in both.
    pub qty: Quantity,
    /// Pieces of the first that are still open.
    pub open: Quantity,
}

/// Takes pieces that left a balance without a number for those that came to it without one, because nobody will ever know
/// their numbers.
///
/// # Errors
/// When the two are not of one balance, or do not go opposite ways; when one of them is closed;
/// [`bahi_db::Error::OtherBranch`] where the caller does not work.
pub(super) async fn offset(
    state: &State,
    ctx: &Ctx,
    (id, against): (Uuid, Uuid),
    reason: String,
) -> Result<Done<Offset>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Offset, Error> {
            let seen = store::get(tx, id).await?;
            copy::own_location(tx, seen.location_id).await?;
            let place = (seen.location_id, seen.product_id);
            ledger::store::lock(tx, &BTreeSet::from([place]), &BTreeSet::new()).await?;
            // The gate is locked: in which order the two are makes no difference.
            let one = store::lock(tx, id).await?;
            let other = store::lock(tx, against).await?;
            if lot_of(&one)? != lot_of(&other)? || one.direction != -other.direction {
                let text = "must be of the same balance, and go the other way";
                return Err(Fault::field("against", text).into());
            }
            let qty = one.open.min(other.open);
            if !qty.is_positive() {
                return Err(Fault::field("against", "one of them is closed").into());
            }
            store::lower(tx, one.id, qty).await?;
            store::lower(tx, other.id, qty).await?;
            let details = json!({ "product_id": one.product_id, "location_id": one.location_id,
                "against": against, "qty": qty });
            tx.audit(
                "inventory.serial.offset",
                ("serial_gap", id),
                Some(reason),
                details,
            );
            let open = one.open - qty;
            Ok(Offset {
                id,
                against,
                qty,
                open,
            })
        })
        .await
}

/// It left with the movement that a gap is of.
fn gone(piece: &mut Piece, kind: Option<&str>, invoice: Option<InvoiceId>, gap: &store::GapRow) {
    let kind = match kind {
        Some(kind) if kind == Kind::Issue.name() => Kind::Issue,
        Some(kind) if kind == Kind::Scrap.name() => Kind::Scrap,
        _ => Kind::AdjustOut,
    };
    let document = gap.document.clone().unwrap_or_default();
    let (document, id) = match invoice {
        Some(invoice) => ("invoice".to_owned(), invoice.uuid()),
        None => (document, gap.document_id.unwrap_or_default()),
    };
    piece.leave(
        kind,
        Sold {
            kind: document,
            id,
            line: gap.document_line.unwrap_or_default(),
        },
    );
}
