//! Counting an attempt, and taking it back.

use bahi_db::{Ctx, Tx};
use bahi_types::TenantId;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{
    model::{Counted, count},
    store,
};
use crate::{Error, State};

/// An attempt that was counted. Whoever holds it has the lane of his network; the password is looked at meanwhile.
pub struct Taken {
    /// How many failures the account would have with it.
    pub failures: i32,
    _lane: OwnedSemaphorePermit,
}

/// Counts an attempt, before the password is looked at.
pub async fn take(state: &State, counted: &Counted) -> Result<Taken, Error> {
    let lane = state.lanes.enter(counted).await?;
    let ctx = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let counted = counted.clone();
    let taken = state.db.write(&ctx, async move |tx: &mut Tx| {
        let now = tx.now();
        let counters = store::lock(tx, &counted.keys(), now).await?;
        let mut failures = 0;
        for counter in &counters {
            let next = count(counter, counted.limit(&counter.key), now)
                .map_err(|retry_after| Error::TooManyAttempts { retry_after })?;
            store::save(tx, &next).await?;
            if next.key == counted.account {
                failures = next.failures;
            }
        }
        Ok::<_, Error>(failures)
    });
    Ok(Taken {
        failures: taken.await?.value,
        _lane: lane,
    })
}

/// Takes an attempt back whose password was right, as the last step of `tx`, which is the nil tenant's afterwards.
pub async fn forgive(tx: &mut Tx, counted: &Counted) -> Result<(), Error> {
    tx.enter(TenantId::from_uuid(Uuid::nil())).await?;
    let now = tx.now();
    let mut keys = counted.keys();
    // What is one user's begins anew. Of the others, and of the network, only this attempt is taken back, or one good account
    // would let its owner guess at all others.
    for key in keys.drain(..) {
        if key == counted.account && counted.own {
            store::delete(tx, &key).await?;
        } else {
            store::take_back(tx, &key, now).await?;
        }
    }
    Ok(())
}
