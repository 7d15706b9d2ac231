//! Summing a trail up again.

use bahi_db::{Ctx, Tx};

use super::{
    model::{Verdict, ZERO},
    store,
};
use crate::{Error, State};

/// Records that one statement looks at: a trail of any length is walked in steps, each in good time.
pub const STEP: i64 = 10_000;

/// Sums the whole trail up again, `step` records at a time and all as of one moment. `noted` is a record's number and hash as
/// somebody kept them elsewhere: who can write to the database can chain a trail anew, but not so that it leads to what was noted.
pub async fn verify(
    state: &State,
    ctx: &Ctx,
    noted: Option<(i64, Vec<u8>)>,
    step: i64,
) -> Result<Verdict, Error> {
    let walk = async move |tx: &mut Tx| -> Result<Verdict, Error> {
        let end = store::end(tx).await?;
        let (mut number, mut hash) = (0, ZERO.to_vec());
        let (mut after, mut upto) = (i64::MIN, step);
        let broken_at = loop {
            let walked = store::walk(tx, (after, upto), &hash, noted.clone()).await?;
            number = walked.number.unwrap_or(number);
            hash = walked.hash.unwrap_or(hash);
            if walked.broken_at.is_some() || number != upto {
                break walked.broken_at;
            }
            (after, upto) = (upto, upto + step);
        };
        // What comes after the last one of the chain is behind a gap.
        let whole = (end.last, end.number) == (number, number) && end.hash == hash;
        let led_to = noted.as_ref().is_none_or(|(noted, _)| *noted <= number);
        Ok(Verdict {
            number: end.number,
            hash: end.hash,
            broken_at: broken_at.or((!whole || !led_to).then_some(number + 1)),
        })
    };
    state.db.read_snapshot(ctx, walk).await
}
