//! Keeps the outbox small: slots of the ring that are published and old enough are emptied by TRUNCATE, which
//! leaves nothing for vacuum to do and costs the same for a row as for millions.

use std::time::Duration;

use tokio_postgres::Client;

use crate::session::{PATIENCE, SessionError, within};

/// Slots of the ring, as the table declares them.
const SLOTS: i16 = 8;
/// How long a slot is written.
const PERIOD: Duration = Duration::from_secs(3 * 3600);
/// Checkpoints that are kept; only the last matters, the others tell what happened.
const CHECKPOINTS: i64 = 1000;

/// Empties what may be emptied and returns how many slots that were. Safe to run anywhere and at any time:
/// what is lost if it is wrong is checked under the lock that keeps everyone else out.
pub async fn sweep(client: &mut Client, retention: Duration) -> Result<u64, SessionError> {
    let mut emptied = 0;
    for slot in 0..SLOTS {
        if is_due(client, slot, retention).await? && empty(client, slot).await? {
            emptied += 1;
        }
    }
    let trim = "delete from outbox.checkpoint c using (select shard, max(id) - $1::int8 as kept from outbox.checkpoint group by shard) k \
                 where c.shard = k.shard and c.id < k.kept";
    within(PATIENCE, client.execute(trim, &[&CHECKPOINTS])).await?;
    Ok(emptied)
}

/// How many slots hold rows of which the newest could have been published and emptied two periods ago.
pub async fn overdue(client: &Client, retention: Duration) -> Result<i64, SessionError> {
    let mut overdue = 0;
    for slot in 0..SLOTS {
        overdue += i64::from(is_due(client, slot, retention + 2 * PERIOD).await?);
    }
    Ok(overdue)
}

/// Whether the slot is neither the one that is written nor the next, has rows, and its newest is old enough.
async fn is_due(client: &Client, slot: i16, retention: Duration) -> Result<bool, SessionError> {
    let due = format!(
        "select $1 not in (c.slot, (c.slot + 1) % {SLOTS}) and exists ( \
           select from (select e.\"timestamp\" from outbox.event_{slot} e order by e.seq desc limit 1) newest \
            where newest.\"timestamp\" < now() - make_interval(secs => $2::int8)) \
           from (select (extract(epoch from now())::int8 / 10800) % {SLOTS} as slot) c"
    );
    let seconds = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
    let row = within(
        PATIENCE,
        client.query_one(&due, &[&i64::from(slot), &seconds]),
    )
    .await?;
    Ok(row.get(0))
}

/// Empties the slot unless a row in it is not published or parked; false if it is not possible now.
async fn empty(client: &mut Client, slot: i16) -> Result<bool, SessionError> {
    let tx = within(PATIENCE, client.transaction()).await?;
    // A reader holds the table for moments; a writer of a transaction that is hours old may come back another time.
    let lock = format!(
        "set local lock_timeout = '20ms'; lock table outbox.event_{slot} in access exclusive mode"
    );
    match within(PATIENCE, tx.batch_execute(&lock)).await {
        Err(SessionError::Database(error))
            if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) =>
        {
            return Ok(false);
        }
        locked => locked?,
    }
    // Under the lock every row of the slot is committed or dead. What a checkpoint's snapshot does not see is not
    // published, also where the window after it is published in part. Of every shard, whosever the row is: that keeps
    // a row too long at most.
    let needed = format!(
        "select exists (select from outbox.shard s left join lateral \
                          (select snap from outbox.checkpoint where shard = s.shard order by lease_epoch desc, id desc limit 1) c on true \
                         where c.snap is null \
                            or exists (select from outbox.event_{slot} e \
                                        where e.txid >= pg_snapshot_xmin(c.snap) and not pg_visible_in_snapshot(e.txid, c.snap))) \
             or exists (select from outbox.parked where slot = $1)"
    );
    if within(PATIENCE, tx.query_one(&needed, &[&slot]))
        .await?
        .get(0)
    {
        return Ok(false);
    }
    within(
        PATIENCE,
        tx.batch_execute(&format!("truncate outbox.event_{slot}")),
    )
    .await?;
    within(PATIENCE, tx.commit()).await?;
    Ok(true)
}
