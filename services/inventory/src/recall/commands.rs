//! Calling a batch back.

use std::collections::BTreeSet;

use bahi_db::{Ctx, Done, Tx};
use bahi_types::{BatchId, InvoiceId, LocationId, Quantity, ReservationId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::store::{self, Lies, Sums};
use crate::{
    Error, State,
    batch::{self, Batch},
    error::HoldRef,
    events, kit,
    ledger::{self, Books, Key, Place, Source},
    reservation::{self, Hold, Owner},
};

/// A hold that lost goods.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct BrokenHold {
    /// The hold.
    pub reservation_id: ReservationId,
    /// Whose it is.
    pub owner: Owner,
    /// What it lost.
    pub qty: Quantity,
}

/// What a recall did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recalled {
    pub batch: Batch,
    pub sums: Sums,
    pub lies: Vec<Lies>,
    pub broken: Vec<BrokenHold>,
    /// Tills' holds on the batch that nobody had decided: reservation, invoice, attempt.
    pub tills: Vec<(ReservationId, InvoiceId, u32)>,
}

/// Calls a batch back. Doing it again changes nothing.
///
/// # Errors
/// When there is no such batch, or it was disposed of; [`bahi_db::Error::OtherBranch`] to who does not work for all.
pub(super) async fn recall(
    state: &State,
    ctx: &Ctx,
    id: BatchId,
    reason: String,
) -> Result<(Done<Recalled>, bool), Error> {
    ctx.everywhere()?;
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Recalled, Error> {
            let product = store::product_of(tx, id).await?;
            let places = ledger::store::places_of(tx, product, id).await?;
            // Holds before batch and gates, as everywhere.
            let mut holds = holding(tx, &places, id).await?;
            let mut batch = batch::store::lock(tx, id).await?;
            let first = batch.recall(&reason, tx.now())?;
            let gates = gates(&places, &holds);
            ledger::store::lock(tx, &gates, &BTreeSet::new()).await?;
            batch::store::save(tx, &batch).await?;
            ledger::store::set_blocked(tx, id, true).await?;
            let mut books = ledger::store::lock(tx, &gates, &BTreeSet::new()).await?;
            all_seen(&books, &holds, &places, id)?;
            for place in &places {
                books.touch(*place);
            }
            let document = Uuid::now_v7();
            let broken = break_holds(tx, &mut books, &mut holds, id, ("recall", document)).await?;
            ledger::close(tx, books).await?;
            let (sums, lies) = (store::sums(tx, id).await?, store::lies(tx, id).await?);
            if first {
                tx.publish(events::recalled(&batch, &reason, &sums, &lies));
                tx.audit(
                    "inventory.batch.recall",
                    ("batch", id.uuid()),
                    Some(reason),
                    json!({ "no": batch.no, "product_id": batch.product_id, "broken": broken }),
                );
            }
            let undecided = |h: &&Hold| h.owner == Owner::Sales && h.answer.is_none();
            let tills = holds
                .iter()
                .filter(undecided)
                .map(|h| {
                    let invoice = h.invoice.unwrap_or(InvoiceId::from_uuid(Uuid::nil()));
                    (h.id, invoice, h.attempt.unwrap_or_default())
                })
                .collect();
            Ok(Recalled {
                batch,
                sums,
                lies,
                broken,
                tills,
            })
        })
        .await?;
    // Nothing of the batch is promised any more; only now is there time to ask about what was.
    let tills: Vec<HoldRef> = done
        .value
        .tills
        .iter()
        .map(|(id, invoice, attempt)| HoldRef {
            id: *id,
            invoice: *invoice,
            attempt: *attempt,
        })
        .collect();
    let inner = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let answered = tills.is_empty() || reservation::ask(state, &inner, &tills).await.is_ok();
    Ok((done, answered))
}

/// Locks the pending holds on a batch.
pub(crate) async fn holding(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
    batch: BatchId,
) -> Result<Vec<Hold>, Error> {
    let keys: Vec<Key> = places.iter().map(|p| Key::sellable(*p, batch)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let ids = reservation::store::holding(tx, &keys).await?;
    let mut holds = reservation::store::lock(tx, &ids).await?;
    holds.retain(Hold::is_pending);
    Ok(holds)
}

fn held(hold: &Hold, batch: BatchId, at: Option<LocationId>) -> Quantity {
    let of = |l: &&reservation::HoldLine| {
        l.batch == batch && at.is_none_or(|location| location == hold.location)
    };
    hold.lines.iter().filter(of).map(|l| l.qty).sum()
}

/// The places to lock for it: where the batch lies, and where the holds on it have the other components of their kits.
pub(crate) fn gates(places: &BTreeSet<Place>, holds: &[Hold]) -> BTreeSet<Place> {
    let theirs = holds.iter().flat_map(Hold::places);
    places.iter().copied().chain(theirs).collect()
}

/// Refuses to go on when a hold was granted between the look at them and the gates: look again.
pub(crate) fn all_seen(
    books: &Books,
    holds: &[Hold],
    places: &BTreeSet<Place>,
    batch: BatchId,
) -> Result<(), Error> {
    for place in places {
        let seen: Quantity = holds.iter().map(|h| held(h, batch, Some(place.0))).sum();
        if books.item(Key::sellable(*place, batch)).reserved != seen {
            return Err(bahi_db::Error::Contention.into());
        }
    }
    Ok(())
}

/// Takes the goods of a batch, which is blocked by now, from the holds of the API and of orders, and with them what
/// makes no whole kit any more. Tills' stay.
pub(crate) async fn break_holds(
    tx: &mut Tx,
    books: &mut Books,
    holds: &mut [Hold],
    batch: BatchId,
    (kind, document): (&'static str, Uuid),
) -> Result<Vec<BrokenHold>, Error> {
    let now = tx.now();
    let (mut broken, mut line_no) = (Vec::new(), 0);
    for hold in holds.iter_mut().filter(|h| h.owner != Owner::Sales) {
        let kits = kit::store::parts(tx, hold.id).await?;
        let (gone, left) = kit::loss(&hold.lines, &kits, batch);
        let mut lost = hold.clone();
        for ((line, out), gone) in hold.lines.iter_mut().zip(&mut lost.lines).zip(gone) {
            line.qty -= gone;
            out.qty = gone;
        }
        lost.lines.retain(|l| l.qty.is_positive());
        for line in &lost.lines {
            line_no += 1;
            let source = Source {
                kind,
                id: document,
                line: line_no,
                purpose: "quarantine",
            };
            books.unhold((hold.key(line), line.qty), source, now);
            reservation::store::lower(tx, hold.id, line, line.qty).await?;
        }
        kit::store::leave(tx, hold.id, &left).await?;
        let empty = hold.lines.iter().all(|l| l.qty.is_zero());
        if empty && hold.owner == Owner::Api {
            reservation::store::end(tx, reservation::HoldState::Released, &[hold.id]).await?;
        } else {
            reservation::store::touch(tx, hold.id).await?;
        }
        broken.push(BrokenHold {
            reservation_id: hold.id,
            owner: hold.owner,
            qty: lost.lines.iter().map(|l| l.qty).sum(),
        });
        let gone = left.iter().filter_map(|part| {
            let before = kits.iter().find(|k| k.line == part.line)?;
            let qty = before.qty - part.qty;
            Some(kit::Part { qty, ..*part })
        });
        let gone: Vec<_> = gone.collect();
        let by_line = reservation::lost_by_line(&lost.lines, &kits, &gone);
        tx.publish(events::hold_broken(&lost, &by_line));
    }
    Ok(broken)
}
