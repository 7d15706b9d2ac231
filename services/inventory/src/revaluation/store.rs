//! Every SQL statement about revaluations and how products are valued.

use std::collections::{BTreeSet, HashMap};

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, Price, ProductId, Quantity};
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

use super::model::NewLine;
use crate::ledger::{Costing, Status};

#[derive(QueryableByName)]
struct CostingRow {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Text)]
    method: String,
    #[diesel(sql_type = Nullable<Numeric>)]
    standard_cost: Option<Price>,
}

/// How products are valued; first in, first out where they are not in the answer.
pub(crate) async fn costings(
    tx: &mut Tx,
    products: &BTreeSet<ProductId>,
) -> Result<HashMap<ProductId, Costing>> {
    let rows: Vec<CostingRow> = sql(
        "select product_id, method, standard_cost from costing where tenant_id = $1 and product_id = any ($2)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    let costing = |r: &CostingRow| Costing::from_row(Some(&r.method), r.standard_cost);
    Ok(rows.iter().map(|r| (r.product_id, costing(r))).collect())
}

/// Writes how a product is valued from now on.
pub(super) async fn set_costing(tx: &mut Tx, product: ProductId, costing: Costing) -> Result<()> {
    sql("insert into costing (tenant_id, product_id, method, standard_cost, changed_at) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, product_id) do update
         set method = excluded.method, standard_cost = excluded.standard_cost, changed_at = excluded.changed_at")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(product)
        .bind::<Text, _>(costing.method().name())
        .bind::<Nullable<Numeric>, _>(costing.standard())
        .bind::<Timestamptz, _>(tx.now())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A posted revaluation without its lines.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RevaluationHead)]
pub(crate) struct Head {
    /// Its id: the source of its movements.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// Why.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// The business day it counts for.
    #[diesel(sql_type = Date)]
    pub posting_date: NaiveDate,
    /// When it was posted.
    #[diesel(sql_type = Timestamptz)]
    pub recorded_at: DateTime<Utc>,
    /// Change of the stock's value.
    #[diesel(sql_type = Numeric)]
    pub value_delta: Money,
}

/// A line of a posted revaluation.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RevaluationLine)]
pub(crate) struct Line {
    /// Line number, from 1.
    #[diesel(sql_type = Integer)]
    pub line: i32,
    /// Product.
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    /// Only there.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub location_id: Option<LocationId>,
    /// Only of it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    /// Only in this state.
    #[diesel(sql_type = Nullable<Text>)]
    pub status: Option<String>,
    /// Cost of one unit from now on.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub unit_cost: Option<Price>,
    /// `fifo`, `average` or `standard`, from now on.
    #[diesel(sql_type = Nullable<Text>)]
    pub method: Option<String>,
    /// Standard cost from now on.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub standard_cost: Option<Price>,
    /// Method until then.
    #[diesel(sql_type = Text)]
    pub method_before: String,
    /// On hand of what it is about.
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
    /// Its value until then.
    #[diesel(sql_type = Numeric)]
    pub value_before: Money,
    /// Its value from then on.
    #[diesel(sql_type = Numeric)]
    pub value_after: Money,
}

/// Writes the document.
pub(super) async fn insert(tx: &mut Tx, head: &Head, lines: &[(Line, i64)]) -> Result<()> {
    sql(
        "insert into revaluation (tenant_id, id, reason, posting_date, recorded_at, value_delta)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(head.id)
    .bind::<Text, _>(&head.reason)
    .bind::<Date, _>(head.posting_date)
    .bind::<Timestamptz, _>(head.recorded_at)
    .bind::<Numeric, _>(head.value_delta)
    .execute(tx.conn())
    .await?;
    fn each<'a, T>(lines: &'a [(Line, i64)], f: impl Fn(&'a Line) -> T) -> Vec<T> {
        lines.iter().map(|(line, _)| f(line)).collect()
    }
    sql("insert into revaluation_line (tenant_id, revaluation_id, line, ledger_seq, product_id, location_id, batch_id,
           status, unit_cost, method, standard_cost, method_before, qty, value_before, value_after)
         select $1, $2, u.* from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as u")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(head.id)
        .bind::<Array<Integer>, _>(each(lines, |l| l.line))
        .bind::<Array<BigInt>, _>(lines.iter().map(|(_, seq)| *seq).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(each(lines, |l| l.product_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(each(lines, |l| l.location_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(each(lines, |l| l.batch_id))
        .bind::<Array<Nullable<Text>>, _>(each(lines, |l| l.status.as_deref()))
        .bind::<Array<Nullable<Numeric>>, _>(each(lines, |l| l.unit_cost))
        .bind::<Array<Nullable<Text>>, _>(each(lines, |l| l.method.as_deref()))
        .bind::<Array<Nullable<Numeric>>, _>(each(lines, |l| l.standard_cost))
        .bind::<Array<Text>, _>(each(lines, |l| l.method_before.as_str()))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.qty))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.value_before))
        .bind::<Array<Numeric>, _>(each(lines, |l| l.value_after))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What a line says, as it is kept.
pub(super) fn row(line: i32, new: &NewLine, before: Costing, after: Option<Costing>) -> Line {
    Line {
        line,
        product_id: new.product,
        location_id: new.location,
        batch_id: new.batch,
        status: new.status.map(Status::name).map(str::to_owned),
        unit_cost: new.unit_cost,
        method: after.map(|c| c.method().name().to_owned()),
        standard_cost: after.and_then(Costing::standard),
        method_before: before.method().name().to_owned(),
        qty: Quantity::ZERO,
        value_before: Money::ZERO,
        value_after: Money::ZERO,
    }
}

/// A revaluation.
pub(super) async fn get(tx: &mut Tx, id: Uuid) -> Result<(Head, Vec<Line>)> {
    let head = sql(
        "select id, reason, posting_date, recorded_at, value_delta from revaluation where tenant_id = $1 and id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?
    .ok_or(Error::NotFound)?;
    let lines = sql(
        "select line, product_id, location_id, batch_id, status, unit_cost, method, standard_cost,
           method_before, qty, value_before, value_after
         from revaluation_line where tenant_id = $1 and revaluation_id = $2 order by line",
    )
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

/// One page of revaluations in the order they were posted, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    product: Option<ProductId>,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<Head>, i64)> {
    let count: Count = sql("select count(*) as total from revaluation r where tenant_id = $1 and ($2 is null or exists
           (select from revaluation_line l where l.tenant_id = $1 and l.revaluation_id = r.id and l.product_id = $2))")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(product)
    .get_result(tx.conn())
    .await?;
    let rows = sql("select id, reason, posting_date, recorded_at, value_delta from revaluation r
         where tenant_id = $1 and ($2 is null or exists
           (select from revaluation_line l where l.tenant_id = $1 and l.revaluation_id = r.id and l.product_id = $2))
         and ($3 is null or id > $3) order by id limit $4 offset $5")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(product)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}
