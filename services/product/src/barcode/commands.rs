//! Making barcodes of our own.

use std::collections::HashSet;

use bahi_db::{Ctx, Done, Error as Db, Tx};

use crate::{
    Error, State,
    barcode::{
        model::{Gtin, Prefix},
        store,
    },
};

/// Makes `count` barcodes that nobody has, of the range 29 or of a company prefix. They are ours from now on, whether they
/// are used or not.
pub async fn generate(
    state: &State,
    ctx: &Ctx,
    count: u32,
    prefix: Option<Prefix>,
) -> Result<Done<Vec<Gtin>>, Error> {
    let generate = async move |tx: &mut Tx| -> Result<Vec<Gtin>, Error> {
        let mut fresh = Vec::new();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        while fresh.len() < wanted {
            let missing = i64::try_from(wanted - fresh.len()).unwrap_or(i64::MAX);
            let first = match &prefix {
                None => store::take_numbers(tx, missing).await,
                Some(prefix) => store::take_references(tx, prefix.as_str(), missing).await,
            };
            let first = first.map_err(exhausted)?;
            let code = |number: i64| match &prefix {
                None => Gtin::own(number.unsigned_abs()),
                Some(prefix) => prefix.code(number.unsigned_abs()),
            };
            let made: Vec<Gtin> = (first..first + missing).map(code).collect();
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
