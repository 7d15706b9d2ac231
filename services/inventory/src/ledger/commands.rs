//! The end of every transaction that moves stock: settle what is owed, work out costs, write.

use std::collections::BTreeMap;

use bahi_db::Tx;
use bahi_types::Quantity;

use super::{
    model::{Books, Key, Known, Layers, Movement, Place, value},
    store,
};
use crate::{
    Error,
    copy::{self, Facts},
    period, reorder_level, serial, shortage,
};

/// Settles open shortages where more became available, values every movement, writes balances, layers and movements,
/// and says where stock has fallen below its reorder point. Call it last; everything that must come before a settlement has been done to `books` by then.
///
/// # Errors
/// When the database refuses, or no cost layer backs what goes out.
pub(crate) async fn close(tx: &mut Tx, books: Books) -> Result<Vec<Movement>, Error> {
    let (movements, settled, low, facts) = write(tx, books).await?;
    for (level, available) in &low {
        tx.publish(reorder_level::low_stock(
            tx.tenant(),
            &facts,
            level,
            *available,
        ));
    }
    shortage::announce(tx, &settled, &movements);
    Ok(movements)
}

/// Places that have fallen below their reorder point, with what is available.
type Low = Vec<(reorder_level::Level, Quantity)>;

async fn write(
    tx: &mut Tx,
    mut books: Books,
) -> Result<(Vec<Movement>, Vec<shortage::Settlement>, Low, Facts), Error> {
    let settled = shortage::settle(tx, &mut books).await?;
    let mut layers = store::layers(tx, &books.outgoing()).await?;
    let mut movements = value(std::mem::take(&mut books.drafts), &mut layers)?;
    let followed = serial::follow(tx, &movements, &layers.numbered, &settled).await?;
    let open = period::open(tx, movements.iter().map(|m| m.draft.occurred_at)).await?;
    let available: BTreeMap<Place, Quantity> = books
        .dirty()
        .map(|(key, _)| (key.place(), books.available(key.place())))
        .collect();
    let (tenant, now, conn) = (tx.tenant().uuid(), tx.now(), tx.shared());
    let places = available.keys().copied().collect();
    let (.., low, facts) = futures::try_join!(
        store::save_items(conn, tenant, &books),
        store::save_layers(conn, tenant, now, &layers),
        store::save_movements(conn, tenant, now, open, &movements),
        reorder_level::cross(conn, tenant, &available),
        copy::store::facts(conn, tenant, &places),
    )
    .map_err(bahi_db::Error::from)?;
    followed.save(tx, &movements).await?;
    tell(&facts, &mut movements);
    Ok((movements, settled, low, facts))
}

/// Enters what is known of the product and location of movements.
fn tell(facts: &Facts, movements: &mut [Movement]) {
    for movement in movements {
        let (location, product) = movement.draft.key.place();
        movement.known = Known {
            uom: facts.uom(product),
            premises: facts.premises(location),
        };
    }
}

/// What settlements of shortages took out of a balance within the transaction of `movements`.
pub(crate) fn settled_from(movements: &[Movement], key: Key) -> Quantity {
    movements
        .iter()
        .filter(|m| m.draft.key == key && m.draft.source.kind == shortage::SOURCE)
        .map(|m| -m.draft.qty)
        .sum()
}

/// Writes what a revaluation made of layers, and its movements. The gates of their places are locked.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn save_values(
    tx: &mut Tx,
    layers: &Layers,
    movements: &mut [Movement],
) -> Result<(), Error> {
    let open = period::open(tx, movements.iter().map(|m| m.draft.occurred_at)).await?;
    let (tenant, now, conn) = (tx.tenant().uuid(), tx.now(), tx.shared());
    let places = movements.iter().map(|m| m.draft.key.place()).collect();
    let (.., facts) = futures::try_join!(
        store::save_layers(conn, tenant, now, layers),
        store::save_movements(conn, tenant, now, open, movements),
        copy::store::facts(conn, tenant, &places),
    )
    .map_err(bahi_db::Error::from)?;
    tell(&facts, movements);
    Ok(())
}
