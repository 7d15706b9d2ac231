//! Waiting until everything that is committed now is published.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{Exit, place::Places};

/// Between looks.
const PACE: Duration = Duration::from_millis(200);

/// Parked events are counted and not waited for.
pub async fn drain(
    places: &Places,
    db: &str,
    timeout: u64,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let place = places.connect(db).await?;
    let now = place
        .client
        .query_one("select pg_current_snapshot()::text", &[])
        .await?;
    let now: String = now.get(0);
    let open = "select count(*) filter (where not parked), count(*) filter (where parked) from outbox.status \
                 where not published and pg_visible_in_snapshot(txid, $1::text::pg_snapshot)";
    let deadline = Instant::now() + Duration::from_secs(timeout);
    let mut told = None;
    loop {
        let row = place.client.query_one(open, &[&now]).await?;
        let (left, parked): (i64, i64) = (row.get(0), row.get(1));
        if left == 0 {
            writeln!(
                out,
                "{db}: everything committed so far is published; {parked} parked"
            )?;
            return Ok(Exit::Done);
        }
        if Instant::now() > deadline {
            writeln!(
                out,
                "{db}: {left} events are not published after {timeout} s"
            )?;
            return Ok(Exit::Refused);
        }
        if told.replace(left) != Some(left) {
            eprintln!("{db}: {left} to go");
        }
        tokio::time::sleep(PACE).await;
    }
}
