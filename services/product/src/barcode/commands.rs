//! Making barcodes of our own.

use std::collections::HashSet;

use bahi_db::{Ctx, Done, Error as Db, Tx};

use crate::{
    Error, State,
    barcode::{model::Gtin, store},
};

/// Makes `count` barcodes that nobody has. They are ours from now on, whether they are used or not.
pub async fn generate(state: &State, ctx: &Ctx, count: u32) -> Result<Done<Vec<Gtin>>, Error> {
    let generate = async move |tx: &mut Tx| -> Result<Vec<Gtin>, Error> {
        let mut fresh = Vec::new();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        while fresh.len() < wanted {
            let missing = i64::try_from(wanted - fresh.len()).unwrap_or(i64::MAX);
            let first = store::take_numbers(tx, missing).await.map_err(exhausted)?;
            let made = (first..first + missing).map(|number| Gtin::own(number.unsigned_abs()));
            let made: Vec<Gtin> = made.collect();
            // A code of the range may have come in by hand or by import, from the shop's former system.
            let codes: Vec<String> = made.iter().map(Gtin::canonical).collect();
            let taken: HashSet<String> = store::owners(tx, &codes)
                .await?
                .into_iter()
                .map(|(code, _)| code)
                .collect();
            fresh.extend(
                made.into_iter()
                    .filter(|code| !taken.contains(&code.canonical())),
            );
        }
        Ok(fresh)
    };
    state.db.write(ctx, generate).await
}

fn exhausted(error: Error) -> Error {
    match error {
        Error::Db(Db::Check(_)) => Error::RangeExhausted,
        other => other,
    }
}
