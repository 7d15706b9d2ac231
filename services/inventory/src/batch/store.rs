//! Every SQL statement about batches.

use std::collections::{BTreeSet, HashMap};

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, ProductId, Quantity, business_date};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Bool, Date, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Batch, Label};

macro_rules! batches {
    ($rest:literal) => {
        concat!(
            "select b.id, b.product_id, b.no, b.mfg, b.expiry, b.mrp, b.blocked, b.block_reason, b.recalled_at,
                    b.disposed_at, b.created_at, b.version ",
            $rest
        )
    };
}

/// A batch.
pub(crate) async fn get(tx: &mut Tx, id: BatchId) -> Result<Batch> {
    sql(batches!(
        "from batch b where b.tenant_id = $1 and b.id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?
    .ok_or(Error::NotFound)
}

/// Batches by id.
pub(super) async fn by_ids(tx: &mut Tx, ids: &[BatchId]) -> Result<Vec<Batch>> {
    sql(batches!(
        "from batch b where b.tenant_id = $1 and b.id = any ($2)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// Locks a batch.
pub(crate) async fn lock(tx: &mut Tx, id: BatchId) -> Result<Batch> {
    sql(batches!(
        "from batch b where b.tenant_id = $1 and b.id = $2 for update"
    ))
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
    sql(batches!(
        "from batch b where b.tenant_id = $1 and b.id = any ($2) order by b.id for share"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// Writes what can change of a batch.
pub(crate) async fn save(tx: &mut Tx, batch: &Batch) -> Result<()> {
    sql("update batch set blocked = $3, block_reason = $4, recalled_at = $5, disposed_at = $6, version = $7
         where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(batch.id)
        .bind::<Bool, _>(batch.blocked)
        .bind::<Nullable<Text>, _>(&batch.block_reason)
        .bind::<Nullable<Timestamptz>, _>(batch.recalled_at)
        .bind::<Nullable<Timestamptz>, _>(batch.disposed_at)
        .bind::<BigInt, _>(batch.version)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes the batches that are not there yet, and locks all of them for sharing.
pub(super) async fn ensure(
    tx: &mut Tx,
    wanted: &[(ProductId, String, Label)],
) -> Result<Vec<Batch>> {
    let now = tx.now();
    let products: Vec<_> = wanted.iter().map(|w| w.0).collect();
    let numbers: Vec<_> = wanted.iter().map(|w| w.1.as_str()).collect();
    sql("insert into batch (tenant_id, id, product_id, no, mfg, expiry, mrp, created_at)
         select $1, u.id, u.p, u.n, u.f, u.e, u.m, $8 from unnest($2, $3, $4, $5, $6, $7) as u(id, p, n, f, e, m)
         order by u.p, u.n
         on conflict (tenant_id, product_id, no) do nothing")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(wanted.iter().map(|_| BatchId::new()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(&products)
        .bind::<Array<Text>, _>(&numbers)
        .bind::<Array<Nullable<Date>>, _>(wanted.iter().map(|w| w.2.mfg).collect::<Vec<_>>())
        .bind::<Array<Nullable<Date>>, _>(wanted.iter().map(|w| w.2.expiry).collect::<Vec<_>>())
        .bind::<Array<Nullable<Numeric>>, _>(wanted.iter().map(|w| w.2.mrp).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    sql(batches!(
        "from unnest($2, $3) as u(p, n)
         join batch b on b.tenant_id = $1 and b.product_id = u.p and b.no = u.n order by b.id for share of b"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(&products)
    .bind::<Array<Text>, _>(&numbers)
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// Writes what a later document adds to the label.
pub(super) async fn complete(tx: &mut Tx, batch: &Batch) -> Result<()> {
    sql("update batch set mfg = $3, mrp = $4, version = version + 1
         where tenant_id = $1 and id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(batch.id)
    .bind::<Nullable<Date>, _>(batch.mfg)
    .bind::<Nullable<Numeric>, _>(batch.mrp)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    pub product: Option<ProductId>,
    pub blocked: Option<bool>,
    pub recalled: Option<bool>,
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
    let count: Count = sql("select count(*) as total from batch b where tenant_id = $1 and ($2 is null or product_id = $2)
         and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)
         and ($6 is null or (recalled_at is not null) = $6)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<Bool>, _>(filter.blocked)
        .bind::<Nullable<Date>, _>(filter.expiring_before)
        .bind::<Nullable<Text>, _>(&filter.no)
        .bind::<Nullable<Bool>, _>(filter.recalled)
        .get_result(tx.conn())
        .await?;
    let rows = sql(batches!(
        "from batch b where tenant_id = $1 and ($2 is null or product_id = $2)
         and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)
         and ($6 is null or (recalled_at is not null) = $6)
         and ($7 is null or id > $7) order by id limit $8 offset $9"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<Bool>, _>(filter.blocked)
    .bind::<Nullable<Date>, _>(filter.expiring_before)
    .bind::<Nullable<Text>, _>(&filter.no)
    .bind::<Nullable<Bool>, _>(filter.recalled)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}

#[derive(QueryableByName)]
struct CountOf {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// The first batches of each of these products after one, in the order they were made, and how many each has.
pub(super) async fn of_products(
    tx: &mut Tx,
    products: &[ProductId],
    filter: &Filter,
    after: Option<BatchId>,
    limit: i64,
) -> Result<HashMap<ProductId, (Vec<Batch>, i64)>> {
    let counts: Vec<CountOf> = sql(
        "select product_id, count(*) as total from batch b where tenant_id = $1 and product_id = any ($7)
         and ($2 is null or product_id = $2)
         and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)
         and ($6 is null or (recalled_at is not null) = $6)
         group by product_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<Bool>, _>(filter.blocked)
    .bind::<Nullable<Date>, _>(filter.expiring_before)
    .bind::<Nullable<Text>, _>(&filter.no)
    .bind::<Nullable<Bool>, _>(filter.recalled)
    .bind::<Array<SqlUuid>, _>(products)
    .load(tx.conn())
    .await?;
    let rows: Vec<Batch> = sql(batches!(
        "from unnest($7) as u(p) cross join lateral (
           select * from batch where tenant_id = $1 and product_id = u.p and ($2 is null or product_id = $2)
           and ($3 is null or blocked = $3) and ($4 is null or expiry < $4) and ($5 is null or no = $5)
           and ($6 is null or (recalled_at is not null) = $6)
           and ($8 is null or id > $8) order by id limit $9) b
         order by b.id"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<Bool>, _>(filter.blocked)
    .bind::<Nullable<Date>, _>(filter.expiring_before)
    .bind::<Nullable<Text>, _>(&filter.no)
    .bind::<Nullable<Bool>, _>(filter.recalled)
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx.conn())
    .await?;
    let mut found: HashMap<ProductId, (Vec<Batch>, i64)> = HashMap::new();
    for count in counts {
        found.entry(count.product_id).or_default().1 = count.total;
    }
    for batch in rows {
        found.entry(batch.product_id).or_default().0.push(batch);
    }
    Ok(found)
}

/// A batch of which something is available at a location, as a till offers it.
#[derive(Clone, Debug, QueryableByName, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct BatchAvailable {
    #[diesel(sql_type = SqlUuid)]
    #[serde(skip)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: BatchId,
    #[diesel(sql_type = Text)]
    pub no: String,
    /// Last day on which it may be sold.
    #[diesel(sql_type = Nullable<Date>)]
    pub expiry: Option<NaiveDate>,
    /// Day on which it was made.
    #[diesel(sql_type = Nullable<Date>)]
    pub mfg: Option<NaiveDate>,
    /// Maximum retail price printed on it.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub mrp: Option<Money>,
    #[diesel(sql_type = Numeric)]
    pub available: Quantity,
}

/// The batches of products of which something is available at a location, first expired first.
pub(crate) async fn available(
    tx: &mut Tx,
    location: LocationId,
    products: &[ProductId],
) -> Result<Vec<BatchAvailable>> {
    let today = business_date(tx.now());
    sql("select b.product_id, b.id as batch_id, b.no, b.expiry, b.mfg, b.mrp, s.on_hand - s.reserved as available
         from stock_item s join batch b on b.tenant_id = s.tenant_id and b.id = s.batch_id
         where s.tenant_id = $1 and s.location_id = $2 and s.product_id = any ($3) and s.status = 'sellable'
           and s.on_hand > s.reserved and not s.blocked and (s.expiry is null or s.expiry >= $4)
         order by b.product_id, b.expiry nulls last, b.id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(location)
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Date, _>(today)
        .load(tx.conn())
        .await
        .map_err(Error::from)
}
