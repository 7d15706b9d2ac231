//! Holding, resuming, discarding.

use std::sync::Arc;

use bahi_db::{Ctx, Db, Done, Tx};
use bahi_events::{POS_BILL_DISCARDED, POS_BILL_EXPIRED, POS_BILL_HELD, POS_BILL_RESUMED};
use bahi_http::{Caller, Fault};
use bahi_types::{InvoiceId, PosSessionId, ProductId, Quantity, TillId};
use chrono::Duration;
use serde_json::json;

use super::{
    model::{HeldBill, HeldBillId},
    store,
};
use crate::{
    State,
    error::{Error, Result},
    events,
    invoice::{self, Basket, Header, Line},
    session,
};

/// May take a bill over that another till has.
const TAKE_OVER: &str = "sales.held_bill.take_over";

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
    let lines = serde_json::from_value(basket.clone()).map_err(bahi_db::Error::from)?;
    // What cannot be priced now may be when it is taken up.
    let priced = state.db.read(&caller.ctx, async |tx| {
        invoice::priced_now(tx, caller, session, &lines).await
    });
    let held_total = priced.await.ok().map(|(header, _)| header.total);
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
                invoice_id: None,
                held_total,
                version: 1,
            };
            store::insert(tx, &bill).await?;
            tx.publish(events::bill(POS_BILL_HELD, &bill, by));
            Ok(bill)
        })
        .await
}

/// What a bill comes to when it is taken up, and what of it is there.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// Its header and lines as it would be sold now, or why it would not.
    pub priced: std::result::Result<(Header, Vec<Line>), Arc<Error>>,
    /// What may be promised of each product; none while the stock cannot be asked.
    pub available: Option<Vec<(ProductId, Quantity)>>,
}

/// Takes a held bill up at a till of the same branch.
pub(super) async fn resume(
    state: &State,
    caller: &Caller,
    id: HeldBillId,
    session: PosSessionId,
    take_over: bool,
) -> Result<Done<HeldBill>> {
    let by = caller.user()?;
    if take_over {
        caller.require(TAKE_OVER)?;
    }
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
            if !seat.open {
                return Err(Error::SessionClosed);
            }
            let bill = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            // Another branch's basket is none of this till's business.
            if bill.branch_id != seat.branch_id {
                return Err(Fault::NotFound.into());
            }
            bill.claim(seat.till_id, take_over, tx.now())?;
            let from = bill.ended_till.filter(|till| *till != seat.till_id);
            if let Some(from) = from {
                let details =
                    json!({ "from_till": from, "from_user": bill.ended_by, "till": seat.till_id });
                tx.audit(
                    "sales.held_bill.take_over",
                    ("held_bill", id.uuid()),
                    None,
                    details,
                );
            }
            let bill = store::end(tx, id, "resumed", by, Some(seat.till_id)).await?;
            tx.publish(events::bill(POS_BILL_RESUMED, &bill, by));
            Ok(bill)
        })
        .await
}

/// Prices a bill that was taken up and asks for its stock. What goes wrong is part of the answer.
pub(super) async fn check(
    state: &State,
    caller: &Caller,
    session: PosSessionId,
    bill: &HeldBill,
) -> Result<Check> {
    let basket: Basket =
        serde_json::from_value(bill.basket.clone()).map_err(bahi_db::Error::from)?;
    let priced = state.db.read(&caller.ctx, async |tx| {
        invoice::priced_now(tx, caller, session, &basket).await
    });
    let priced = priced.await;
    let available = match &priced {
        Ok((header, lines)) => {
            let mut ids: Vec<ProductId> = lines.iter().map(|l| l.product_id).collect();
            ids.sort_unstable();
            ids.dedup();
            let asked = state
                .inventory
                .availability(&caller.ctx, header.location_id, &ids);
            asked.await.ok()
        }
        Err(_) => None,
    };
    Ok(Check {
        priced: priced.map_err(Arc::new),
        available,
    })
}

/// Gives a bill back that was taken up: who has taken it up may, or somebody who may take it over.
pub(super) async fn release(
    state: &State,
    caller: &Caller,
    id: HeldBillId,
) -> Result<Done<HeldBill>> {
    let by = caller.user()?;
    let may = caller.grants.allow(TAKE_OVER);
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let bill = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if bill.state != "resumed" {
                return Err(Error::NotHeld(bill.state_at(tx.now()).to_owned()));
            }
            if bill.ended_by != Some(by) && !may {
                return Err(Error::BillTaken {
                    till_id: bill.ended_till,
                    user_id: bill.ended_by,
                    since: bill.ended_at,
                });
            }
            let bill = store::give_back(tx, id).await?;
            tx.publish(events::bill(POS_BILL_HELD, &bill, by));
            Ok(bill)
        })
        .await
}

/// Ends a bill by its sale, in the sale's transaction: only the till that has taken it up sells it.
pub(crate) async fn sell(
    tx: &mut Tx,
    id: HeldBillId,
    till: Option<TillId>,
    invoice: InvoiceId,
) -> Result<()> {
    let bill = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
    if bill.state != "resumed" {
        return Err(Error::NotHeld(bill.state));
    }
    if bill.ended_till != till {
        return Err(Error::BillTaken {
            till_id: bill.ended_till,
            user_id: bill.ended_by,
            since: bill.ended_at,
        });
    }
    Ok(store::sold(tx, id, invoice).await?)
}

/// Ends every bill of every tenant whose time is over, and tells of each; answers how many.
///
/// # Errors
/// When the database cannot be reached.
pub(crate) async fn expire(db: &Db) -> Result<usize> {
    let mut expired = 0;
    for tenant in store::due(db).await? {
        let ctx = Ctx::service(db.service(), tenant);
        let done = db.write(&ctx, async |tx: &mut Tx| {
            let bills = store::expire(tx).await?;
            for bill in &bills {
                tx.publish(events::bill(POS_BILL_EXPIRED, bill, bill.held_by));
            }
            Ok::<_, Error>(bills.len())
        });
        expired += done.await?.value;
    }
    Ok(expired)
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
            let bill = store::end(tx, id, "discarded", by, None).await?;
            tx.publish(events::bill(POS_BILL_DISCARDED, &bill, by));
            Ok(bill)
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
