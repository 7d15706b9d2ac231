//! Opening, cash in and out, closing.

use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::{Money, PosSessionId, TillId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{CountFault, Denomination, Method, Session},
    store,
};
use crate::{
    State,
    error::{Error, Result},
    events, offline, organisation,
};

/// Opens a till.
pub(super) async fn open(
    state: &State,
    caller: &Caller,
    till: TillId,
    float: Money,
) -> Result<Done<Session>> {
    state.restore.passed().await?;
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let place = organisation::till(tx, till)
                .await?
                .ok_or_else(|| Fault::NotYetKnown("The till".into()))?;
            if place.registration_id.is_none() || place.state_code.is_none() {
                return Err(Fault::NotYetKnown("The till's branch or registration".into()).into());
            }
            if !place.active {
                return Err(Error::NotActive("The till"));
            }
            let id = PosSessionId::new();
            if store::insert(tx, id, till, place.branch_id, place.location_id, by, float).await?
                == 0
            {
                let open = store::open_of(tx, till)
                    .await?
                    .ok_or(bahi_db::Error::Contention)?;
                return Err(Error::TillInUse(open));
            }
            let session = store::find(tx, id).await?.ok_or(bahi_db::Error::NotFound)?;
            offline::provide(tx, till, &place).await?;
            tx.publish(events::session_opened(&session));
            Ok(session)
        })
        .await
}

/// A movement of cash that was entered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Moved {
    pub movement_id: Uuid,
}

/// Puts cash in or takes it out.
pub(super) async fn move_cash(
    state: &State,
    caller: &Caller,
    session: PosSessionId,
    direction: &'static str,
    amount: Money,
    reason: String,
) -> Result<Done<Moved>> {
    state.restore.passed().await?;
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let movement_id = Uuid::now_v7();
            if store::move_cash(tx, movement_id, session, direction, amount, &reason, by).await?
                == 0
            {
                store::find(tx, session).await?.ok_or(Fault::NotFound)?;
                return Err(Error::SessionClosed);
            }
            let action = if direction == "in" {
                "sales.cash.in"
            } else {
                "sales.cash.out"
            };
            tx.audit(
                action,
                ("pos_session", session.uuid()),
                Some(reason),
                json!({ "amount": amount }),
            );
            Ok(Moved { movement_id })
        })
        .await
}

/// Counts and closes a till.
pub(super) async fn close(
    state: &State,
    caller: &Caller,
    id: PosSessionId,
    (counted, denominations): (Vec<(Method, Money)>, Vec<Denomination>),
    retained: Money,
) -> Result<Done<()>> {
    state.restore.passed().await?;
    let by = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let session = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if session.state != "open" {
                return Err(Error::SessionClosed);
            }
            let mut counts = session
                .count(&counted, retained)
                .map_err(|fault| match fault {
                    CountFault::Missing(methods) => Error::CountMissing(methods),
                    CountFault::RetainedTooMuch => Error::RetainedTooMuch,
                })?;
            for count in &mut counts {
                if count.method == Method::Cash.name() && !denominations.is_empty() {
                    let told = serde_json::to_value(&denominations);
                    count.denominations = Some(told.map_err(bahi_db::Error::from)?);
                }
            }
            let cash: Money = counted
                .iter()
                .filter(|(m, _)| *m == Method::Cash)
                .map(|(_, amount)| *amount)
                .sum();
            store::close(tx, &session, by, &counts, retained, cash - retained).await?;
            tx.publish(events::session_closed(
                &session,
                &counts,
                retained,
                cash - retained,
            ));
            Ok(())
        })
        .await
}
