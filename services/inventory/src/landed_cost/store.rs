//! Every SQL statement about landed costs.

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, ProductId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::{Since, Stretch};
use crate::ledger::{Key, Status};

/// A movement that brought goods into a balance.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct ArrivalRow {
    #[diesel(sql_type = SqlUuid)]
    pub source_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub source_line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: BatchId,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    #[diesel(sql_type = Numeric)]
    pub value: Money,
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub origin: Option<Uuid>,
}

impl ArrivalRow {
    /// Its balance.
    pub(crate) fn key(&self) -> Option<Key> {
        Some(Key {
            location: self.location_id,
            product: self.product_id,
            batch: self.batch_id,
            status: Status::named(&self.status)?,
        })
    }
}

/// The lines of receipts.
pub(crate) async fn receipt_lines(tx: &mut Tx, receipts: &[Uuid]) -> Result<Vec<ArrivalRow>> {
    sql("select source_id, source_line, location_id, product_id, batch_id, status, qty, value, seq, origin from movement
         where tenant_id = $1 and source_type = 'receipt' and source_id = any ($2) and kind = 'receipt'
         order by source_id, source_line")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(receipts)
        .load(tx.conn())
        .await
        .map_err(Error::from)
}

/// What came into and went out of a balance after a movement, up to and after each time that goods were taken from its
/// midst. What is in transit is counted by its
/// origin, whose layers do not mix with others. The gate of the place is locked; `on_hand` is the balance now.
pub(super) async fn since(
    tx: &mut Tx,
    key: Key,
    arrival: &ArrivalRow,
    on_hand: Quantity,
) -> Result<Since> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Numeric)]
        came: Quantity,
        #[diesel(sql_type = Numeric)]
        went: Quantity,
        #[diesel(sql_type = Numeric)]
        behind: Quantity,
        #[diesel(sql_type = Numeric)]
        plucked: Quantity,
    }
    let rows: Vec<Row> = sql("select coalesce(sum(qty) filter (where qty > 0), 0) as came,
           coalesce(-sum(qty) filter (where qty < 0 and behind is null), 0) as went,
           coalesce(max(behind), 0) as behind, coalesce(-sum(qty) filter (where behind is not null), 0) as plucked
         from (select qty, behind,
                 count(behind) over (order by seq rows between unbounded preceding and 1 preceding) as stretch
               from movement where tenant_id = $1 and product_id = $2 and seq > $3
                 and location_id = $4 and batch_id = $5 and status = $6 and origin is not distinct from $7) m
         group by stretch order by stretch")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(key.product)
    .bind::<BigInt, _>(arrival.seq)
    .bind::<SqlUuid, _>(key.location)
    .bind::<SqlUuid, _>(key.batch)
    .bind::<Text, _>(key.status.name())
    .bind::<Nullable<SqlUuid>, _>(arrival.origin)
    .load(tx.conn())
    .await?;
    let change: Quantity = rows.iter().map(|r| r.came - r.went - r.plucked).sum();
    let stretch = |r: &Row| Stretch {
        came: r.came,
        went: r.went,
        behind: r.behind,
        plucked: r.plucked,
    };
    Ok(Since {
        before: if arrival.origin.is_some() {
            Quantity::ZERO
        } else {
            on_hand - change - arrival.qty
        },
        stretches: rows.iter().map(stretch).collect(),
    })
}

/// Where goods went that left a balance for another one: the movement out, counted in all that went out since the
/// arrival, and the movement in that took them over.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Onward {
    /// All that had gone out with it.
    #[diesel(sql_type = Numeric)]
    pub gone: Quantity,
    #[diesel(embed)]
    pub arrival: ArrivalRow,
}

/// The moves to other balances among what went out of one after an arrival, between two counts of it.
pub(super) async fn onward(
    tx: &mut Tx,
    key: Key,
    arrival: &ArrivalRow,
    (from, to): (Quantity, Quantity),
) -> Result<Vec<Onward>> {
    sql("select o.gone, n.source_id, n.source_line, n.location_id, n.product_id, n.batch_id, n.status, n.qty, n.value, n.seq, n.origin
         from (select m.*, sum(-m.qty) over (order by m.seq) as gone from movement m
               where m.tenant_id = $1 and m.product_id = $2 and m.seq > $3 and m.qty < 0
                 and m.location_id = $4 and m.batch_id = $5 and m.status = $6 and m.origin is not distinct from $7
                 and m.behind is null) o
         join movement n on n.tenant_id = o.tenant_id and n.source_type = o.source_type and n.source_id = o.source_id
           and n.source_line = o.source_line and n.purpose = o.purpose and n.allocation_no = o.allocation_no + 1
           and n.product_id = o.product_id and n.qty = -o.qty
         where o.kind in ('status_change', 'transfer_out', 'transfer_in') and o.gone > $8 and o.gone + o.qty < $9
         order by o.gone")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(key.product)
        .bind::<BigInt, _>(arrival.seq)
        .bind::<SqlUuid, _>(key.location)
        .bind::<SqlUuid, _>(key.batch)
        .bind::<Text, _>(key.status.name())
        .bind::<Nullable<SqlUuid>, _>(arrival.origin)
        .bind::<Numeric, _>(from)
        .bind::<Numeric, _>(to)
        .load(tx.conn())
        .await
        .map_err(Error::from)
}

/// A posted landed cost without its lines.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LandedCostHead)]
pub(crate) struct Head {
    /// Its id: the source of its movements.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// The sender's document.
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
    /// `value`, `quantity` or `weight`.
    #[diesel(sql_type = Text)]
    pub basis: String,
    /// The amount.
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    /// What of it is stock.
    #[diesel(sql_type = Numeric)]
    pub stock_value: Money,
    /// The business day it counts for.
    #[diesel(sql_type = Date)]
    pub posting_date: NaiveDate,
    /// When it was posted.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
}

/// A line of a posted landed cost.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LandedCostLine)]
pub(crate) struct Line {
    /// Line number, from 1.
    #[diesel(sql_type = Integer)]
    pub line: i32,
    /// Receipt.
    #[diesel(sql_type = SqlUuid)]
    pub receipt_id: Uuid,
    /// Line of it.
    #[diesel(sql_type = Integer)]
    pub receipt_line: i32,
    /// Product.
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    /// Where it was received.
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    /// Batch; nil for none.
    #[diesel(sql_type = SqlUuid)]
    pub batch_id: BatchId,
    /// What was received.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// Its weight, where the amount is spread by it.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub weight: Option<Quantity>,
    /// Its part of the amount.
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    /// What of it is still on hand.
    #[diesel(sql_type = Numeric)]
    pub on_hand: Quantity,
    /// Part that became stock.
    #[diesel(sql_type = Numeric)]
    pub stock_value: Money,
    /// Part for goods that are gone: cost of goods sold.
    #[diesel(sql_type = Numeric)]
    pub sold_value: Money,
    /// Part for goods on hand at standard cost.
    #[diesel(sql_type = Numeric)]
    pub variance: Money,
}

/// Goods that a line raised.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub line: i32,
    pub part: i32,
    pub seq: i64,
    pub key: Key,
    pub behind: Quantity,
    pub qty: Quantity,
    pub value: Money,
}

/// Writes the document.
pub(super) async fn insert(tx: &mut Tx, head: &Head, lines: &[Line], parts: &[Part]) -> Result<()> {
    sql("insert into landed_cost (tenant_id, id, reference, basis, amount, stock_value, posting_date, recorded_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(head.id)
    .bind::<Nullable<Text>, _>(&head.reference)
    .bind::<Text, _>(&head.basis)
    .bind::<Numeric, _>(head.amount)
    .bind::<Numeric, _>(head.stock_value)
    .bind::<Date, _>(head.posting_date)
    .bind::<Timestamptz, _>(head.recorded_at)
    .execute(tx.conn())
    .await?;
    fn each<'a, R, T>(rows: &'a [R], f: impl Fn(&'a R) -> T) -> Vec<T> {
        rows.iter().map(f).collect()
    }
    sql("insert into landed_cost_line (tenant_id, landed_cost_id, line, receipt_id, receipt_line, product_id, location_id,
           batch_id, qty, weight, amount, on_hand, stock_value, sold_value, variance)
         select $1, $2, u.* from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as u")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(head.id)
        .bind::<Array<Integer>, _>(each(lines, |l| l.line))
        .bind::<Array<SqlUuid>, _>(each(lines, |l| l.receipt_id))
        .bind::<Array<Integer>, _>(each(lines, |l| l.receipt_line))
        .bind::<Array<SqlUuid>, _>(each(lines, |l| l.product_id))
        .bind::<Array<SqlUuid>, _>(each(lines, |l| l.location_id))
        .bind::<Array<SqlUuid>, _>(each(lines, |l| l.batch_id))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.qty))
        .bind::<Array<Nullable<Numeric>>, _>(each(lines, |l| l.weight))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.amount))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.on_hand))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.stock_value))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.sold_value))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.variance))
        .execute(tx.conn())
        .await?;
    sql("insert into landed_cost_part (tenant_id, landed_cost_id, line, part, ledger_seq, location_id, product_id,
           batch_id, status, behind, qty, value)
         select $1, $2, u.* from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as u")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(head.id)
        .bind::<Array<Integer>, _>(each(parts, |p| p.line))
        .bind::<Array<Integer>, _>(each(parts, |p| p.part))
        .bind::<Array<BigInt>, _>(each(parts, |p| p.seq))
        .bind::<Array<SqlUuid>, _>(each(parts, |p| p.key.location))
        .bind::<Array<SqlUuid>, _>(each(parts, |p| p.key.product))
        .bind::<Array<SqlUuid>, _>(each(parts, |p| p.key.batch))
        .bind::<Array<Text>, _>(each(parts, |p| p.key.status.name()))
        .bind::<Array<Numeric>, _>(each(parts, |p| p.behind))
        .bind::<Array<Numeric>, _>(each(parts, |p| p.qty))
        .bind::<Array<Numeric>, _>(each(parts, |p| p.value))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A landed cost.
pub(super) async fn get(tx: &mut Tx, id: Uuid) -> Result<(Head, Vec<Line>)> {
    let head = sql(
        "select id, reference, basis, amount, stock_value, posting_date, recorded_at
         from landed_cost where tenant_id = $1 and id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?
    .ok_or(Error::NotFound)?;
    let lines = sql("select line, receipt_id, receipt_line, product_id, location_id, batch_id, qty, weight, amount, on_hand,
           stock_value, sold_value, variance
         from landed_cost_line where tenant_id = $1 and landed_cost_id = $2 order by line")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load(tx.conn())
        .await?;
    Ok((head, lines))
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of landed costs in the order they were posted, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    receipt: Option<Uuid>,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<Head>, i64)> {
    let count: Count = sql("select count(*) as total from landed_cost c where tenant_id = $1 and ($2 is null or exists
           (select from landed_cost_line l where l.tenant_id = $1 and l.landed_cost_id = c.id and l.receipt_id = $2))")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(receipt)
    .get_result(tx.conn())
    .await?;
    let rows = sql("select id, reference, basis, amount, stock_value, posting_date, recorded_at from landed_cost c
         where tenant_id = $1 and ($2 is null or exists
           (select from landed_cost_line l where l.tenant_id = $1 and l.landed_cost_id = c.id and l.receipt_id = $2))
         and ($3 is null or id > $3) order by id limit $4 offset $5")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(receipt)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}
