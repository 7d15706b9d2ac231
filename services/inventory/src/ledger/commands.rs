//! The end of every transaction that moves stock: settle what is owed, work out costs, write.

use bahi_db::Tx;

use super::{
    model::{Books, Layers, Movement, value},
    store,
};
use crate::{Error, period, shortage};

/// Settles open shortages where more became available, values every movement, and writes balances, layers and
/// movements. Call it last; everything that must come before a settlement has been done to `books` by then.
///
/// # Errors
/// When the database refuses, or no cost layer backs what goes out.
pub(crate) async fn close(tx: &mut Tx, books: Books) -> Result<Vec<Movement>, Error> {
    let (movements, settled) = write(tx, books).await?;
    shortage::announce(tx, &settled, &movements);
    Ok(movements)
}

async fn write(
    tx: &mut Tx,
    mut books: Books,
) -> Result<(Vec<Movement>, Vec<shortage::Settlement>), Error> {
    let settled = shortage::settle(tx, &mut books).await?;
    let mut layers = store::layers(tx, &books.outgoing()).await?;
    let movements = value(std::mem::take(&mut books.drafts), &mut layers)?;
    let open = period::open(tx, movements.iter().map(|m| m.draft.occurred_at)).await?;
    let (tenant, now, conn) = (tx.tenant().uuid(), tx.now(), tx.shared());
    futures::try_join!(
        store::save_items(conn, tenant, &books),
        store::save_layers(conn, tenant, now, &layers),
        store::save_movements(conn, tenant, now, open, &movements),
    )
    .map_err(bahi_db::Error::from)?;
    Ok((movements, settled))
}

/// Writes what a revaluation made of layers, and its movements. The gates of their places are locked.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn save_values(
    tx: &mut Tx,
    layers: &Layers,
    movements: &[Movement],
) -> Result<(), Error> {
    let open = period::open(tx, movements.iter().map(|m| m.draft.occurred_at)).await?;
    let (tenant, now, conn) = (tx.tenant().uuid(), tx.now(), tx.shared());
    futures::try_join!(
        store::save_layers(conn, tenant, now, layers),
        store::save_movements(conn, tenant, now, open, movements),
    )
    .map_err(bahi_db::Error::from)?;
    Ok(())
}
