//! The SQL of counters. They live under the nil tenant.

use bahi_db::{Result, Tx, sql};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Bytea, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::Counter;
use crate::schema::attempt;

/// Locks the counters, which are there afterwards.
pub async fn lock(tx: &mut Tx, keys: &[Vec<u8>], now: DateTime<Utc>) -> Result<Vec<Counter>> {
    sql(
        "insert into attempt (tenant_id, key, failures, blocked_until, last_at)
         select $1, key, 0, $3, $3 from unnest($2) as key order by key on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Bytea>, _>(keys)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    let counters = attempt::table
        .filter(attempt::tenant_id.eq(tx.tenant()))
        .filter(attempt::key.eq_any(keys))
        .order(attempt::key)
        .select(Counter::as_select())
        .for_update()
        .load(tx.conn())
        .await?;
    Ok(counters)
}

/// Keeps a counter.
pub async fn save(tx: &mut Tx, counter: &Counter) -> Result<()> {
    diesel::update(attempt::table.find((tx.tenant(), &counter.key)))
        .set((
            attempt::failures.eq(counter.failures),
            attempt::blocked_until.eq(counter.blocked_until),
            attempt::last_at.eq(counter.last_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Forgets a counter.
pub async fn delete(tx: &mut Tx, key: &[u8]) -> Result<()> {
    diesel::delete(attempt::table.find((tx.tenant(), key)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Takes one attempt back.
pub async fn take_back(tx: &mut Tx, key: &[u8], now: DateTime<Utc>) -> Result<()> {
    diesel::update(
        attempt::table
            .find((tx.tenant(), key))
            .filter(attempt::failures.gt(0)),
    )
    .set((
        attempt::failures.eq(attempt::failures - 1),
        attempt::blocked_until.eq(now),
    ))
    .execute(tx.conn())
    .await?;
    Ok(())
}
