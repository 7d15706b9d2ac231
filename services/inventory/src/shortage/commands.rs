//! Settling shortages, as part of whatever made more available.

use std::collections::BTreeSet;

use bahi_db::Tx;

use super::{
    model::{self, Settlement},
    store,
};
use crate::{
    Error, events,
    ledger::{Books, Movement, Place},
};

/// Settles, oldest sale first, what is owed at the places of `books` where more became available.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn settle(tx: &mut Tx, books: &mut Books) -> Result<Vec<Settlement>, Error> {
    let risen = std::mem::take(&mut books.risen);
    let places: BTreeSet<Place> = risen
        .into_iter()
        .filter(|p| books.available(*p).is_positive())
        .collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let owed = store::lock_open(tx, &places).await?;
    let settled = model::settle(books, &owed, tx.now());
    store::save_settlements(tx, &settled).await?;
    Ok(settled)
}

/// Says what was settled, with its cost.
pub(crate) fn announce(tx: &mut Tx, settled: &[Settlement], movements: &[Movement]) {
    for settlement in settled {
        let own: Vec<_> = movements
            .iter()
            .filter(|m| m.draft.source.id == settlement.id)
            .collect();
        tx.publish(events::shortage_settled(settlement, &own));
    }
}
