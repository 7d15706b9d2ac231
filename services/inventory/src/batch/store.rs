//! Every SQL statement about batches.

use std::collections::BTreeSet;

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, PageQuery, ProductId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

/// A batch.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Batch {
    #[diesel(sql_type = SqlUuid)]
    pub id: BatchId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Text)]
    pub no: String,
    #[diesel(sql_type = Nullable<Date>)]
    pub expiry: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    pub blocked: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub block_reason: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// Locks a batch.
pub(crate) async fn lock(tx: &mut Tx, id: BatchId) -> Result<Batch> {
    sql(
        "select id, product_id, no, expiry, blocked, block_reason, created_at, version
         from batch where tenant_id = $1 and id = $2 for update",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?
    .ok_or(Error::NotFound)
}

/// Keeps the flags of batches as they are until the end of the transaction, and reads them.
pub(crate) async fn share(tx: &mut Tx, ids: &BTreeSet<BatchId>) -> Result<Vec<Batch>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sql(
        "select id, product_id, no, expiry, blocked, block_reason, created_at, version
         from batch where tenant_id = $1 and id = any ($2) order by id for share",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// Writes the flag.
pub(crate) async fn save(tx: &mut Tx, batch: &Batch) -> Result<()> {
    sql("update batch set blocked = $3, block_reason = $4, version = $5 where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(batch.id)
        .bind::<Bool, _>(batch.blocked)
        .bind::<Nullable<Text>, _>(&batch.block_reason)
        .bind::<BigInt, _>(batch.version)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes the batches that are not there yet, and locks all of them for sharing.
pub(super) async fn ensure(
    tx: &mut Tx,
    wanted: &[(ProductId, String, Option<NaiveDate>)],
) -> Result<Vec<Batch>> {
    let now = tx.now();
    let products: Vec<_> = wanted.iter().map(|w| w.0).collect();
    let numbers: Vec<_> = wanted.iter().map(|w| w.1.as_str()).collect();
    sql("insert into batch (tenant_id, id, product_id, no, expiry, created_at)
         select $1, u.id, u.p, u.n, u.e, $6 from unnest($2, $3, $4, $5) as u(id, p, n, e) order by u.p, u.n
         on conflict (tenant_id, product_id, no) do nothing")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(wanted.iter().map(|_| BatchId::new()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(&products)
        .bind::<Array<Text>, _>(&numbers)
        .bind::<Array<Nullable<Date>>, _>(wanted.iter().map(|w| w.2).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    sql("select b.id, b.product_id, b.no, b.expiry, b.blocked, b.block_reason, b.created_at, b.version
         from unnest($2, $3) as u(p, n)
         join batch b on b.tenant_id = $1 and b.product_id = u.p and b.no = u.n order by b.id for share of b")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(&products)
        .bind::<Array<Text>, _>(&numbers)
        .load(tx.conn())
        .await
        .map_err(Error::from)
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub product: Option<ProductId>,
    pub blocked: Option<bool>,
    pub expiring_before: Option<NaiveDate>,
    pub no: Option<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of batches, in the order they were made, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<BatchId>,
    page: &PageQuery,
) -> Result<(Vec<Batch>, i64)> {
    let count: Count = sql("select count(*) as total from batch where tenant_id = $1 and ($2 is null or product_id = $2)
         and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<Bool>, _>(filter.blocked)
        .bind::<Nullable<Date>, _>(filter.expiring_before)
        .bind::<Nullable<Text>, _>(&filter.no)
        .get_result(tx.conn())
        .await?;
    let rows = sql("select id, product_id, no, expiry, blocked, block_reason, created_at, version
         from batch where tenant_id = $1 and ($2 is null or product_id = $2)
         and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)
         and ($6 is null or id > $6) order by id limit $7 offset $8")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<Bool>, _>(filter.blocked)
        .bind::<Nullable<Date>, _>(filter.expiring_before)
        .bind::<Nullable<Text>, _>(&filter.no)
        .bind::<Nullable<SqlUuid>, _>(after)
        .bind::<BigInt, _>(page.limit())
        .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
        .load(tx.conn())
        .await?;
    Ok((rows, count.total))
}
