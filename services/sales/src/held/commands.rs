//! Holding, resuming, discarding.

use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::PosSessionId;
use chrono::Duration;

use super::{
    model::{HeldBill, HeldBillId},
    store,
};
use crate::{
    State,
    error::{Error, Result},
    session,
};

/// Puts a basket aside.
pub(super) async fn hold(
    state: &State,
    caller: &Caller,
    session: PosSessionId,
    label: Option<String>,
    basket: serde_json::Value,
    keep: Duration,
) -> Result<Done<HeldBill>> {
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
            if !seat.open {
                return Err(Error::SessionClosed);
            }
            let bill = HeldBill {
                held_bill_id: HeldBillId::new(),
                branch_id: seat.branch_id,
                till_id: seat.till_id,
                session_id: session,
                label,
                basket,
                state: "held".to_owned(),
                held_by: by,
                held_at: tx.now(),
                expires_at: tx.now() + keep,
                ended_by: None,
                ended_till: None,
                ended_at: None,
                version: 1,
            };
            store::insert(tx, &bill).await?;
            Ok(bill)
        })
        .await
}

/// Takes a held bill up at a till of the same branch.
pub(super) async fn resume(
    state: &State,
    caller: &Caller,
    id: HeldBillId,
    session: PosSessionId,
) -> Result<Done<HeldBill>> {
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
            if !seat.open {
                return Err(Error::SessionClosed);
            }
            let bill = held(tx, id).await?;
            // Another branch's basket is none of this till's business.
            if bill.branch_id != seat.branch_id {
                return Err(Fault::NotFound.into());
            }
            Ok(store::end(tx, id, "resumed", by, Some(seat.till_id)).await?)
        })
        .await
}

/// Throws a held bill away.
pub(super) async fn discard(
    state: &State,
    caller: &Caller,
    id: HeldBillId,
) -> Result<Done<HeldBill>> {
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            held(tx, id).await?;
            Ok(store::end(tx, id, "discarded", by, None).await?)
        })
        .await
}

async fn held(tx: &mut Tx, id: HeldBillId) -> Result<HeldBill> {
    let bill = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
    match bill.state_at(tx.now()) {
        "held" => Ok(bill),
        other => Err(Error::NotHeld(other.to_owned())),
    }
}
