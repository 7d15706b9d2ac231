//! Every SQL statement about kits.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_types::{ProductId, Quantity, ReservationId};
use diesel::{
    QueryableByName,
    sql_types::{Array, Integer, Jsonb, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Kits, Part, Recipe};
use crate::copy;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    kit_id: ProductId,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
}

/// Those of `products` that are kits.
pub(crate) async fn kits(tx: &Tx, products: &[ProductId]) -> Result<Kits> {
    Ok(Kits::new(copy::store::components(tx, products).await?))
}

#[derive(QueryableByName)]
struct HoldRow {
    #[diesel(sql_type = SqlUuid)]
    reservation_id: ReservationId,
    #[diesel(embed)]
    part: Row,
}

impl From<Row> for Part {
    fn from(row: Row) -> Self {
        Self {
            line: row.line,
            kit: row.kit_id,
            qty: row.qty,
        }
    }
}

/// The lines of a hold that stand for kits.
pub(crate) async fn parts(tx: &mut Tx, id: ReservationId) -> Result<Vec<Part>> {
    Ok(parts_of(tx, &[id]).await?.remove(&id).unwrap_or_default())
}

/// The lines of holds that stand for kits.
pub(crate) async fn parts_of(
    tx: &mut Tx,
    ids: &[ReservationId],
) -> Result<HashMap<ReservationId, Vec<Part>>> {
    let mut parts: HashMap<ReservationId, Vec<Part>> = HashMap::new();
    if ids.is_empty() {
        return Ok(parts);
    }
    let rows: Vec<HoldRow> = sql(
        "select reservation_id, line, kit_id, qty from reservation_kit
         where tenant_id = $1 and reservation_id = any ($2) order by reservation_id, line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    for row in rows {
        parts
            .entry(row.reservation_id)
            .or_default()
            .push(row.part.into());
    }
    Ok(parts)
}

#[derive(QueryableByName)]
struct RecipeRow {
    #[diesel(sql_type = SqlUuid)]
    reservation_id: ReservationId,
    #[diesel(sql_type = SqlUuid)]
    kit_id: ProductId,
    #[diesel(sql_type = Jsonb)]
    components: serde_json::Value,
}

/// Of what the kits consist that lines of holds stand for. A demand may be cut into other lines when it is made again, so
/// the lines do not matter.
pub(crate) async fn promised(
    tx: &mut Tx,
    ids: &[ReservationId],
) -> Result<HashMap<ReservationId, Kits>> {
    let mut kits: HashMap<ReservationId, Kits> = HashMap::new();
    if ids.is_empty() {
        return Ok(kits);
    }
    let rows: Vec<RecipeRow> = sql(
        "select distinct reservation_id, kit_id, components from reservation_kit
         where tenant_id = $1 and reservation_id = any ($2) and components <> '{}'",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    for row in rows {
        let of: Recipe = serde_json::from_value(row.components)?;
        kits.entry(row.reservation_id)
            .or_default()
            .add(row.kit_id, of);
    }
    Ok(kits)
}

/// Keeps which lines of a hold stand for kits, and of what these consist.
pub(crate) async fn keep(
    tx: &mut Tx,
    id: ReservationId,
    parts: &[Part],
    kits: &Kits,
) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let recipes: Vec<serde_json::Value> = parts
        .iter()
        .map(|p| serde_json::to_value(kits.components(p.kit)))
        .collect::<std::result::Result<_, _>>()?;
    sql(
        "insert into reservation_kit (tenant_id, reservation_id, line, kit_id, qty, components)
         select $1, $2, u.* from unnest($3, $4, $5, $6) as u",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(parts.iter().map(|p| p.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(parts.iter().map(|p| p.kit).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(parts.iter().map(|p| p.qty).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(recipes)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes how many kits lines of a hold still stand for; a line that stands for none any more is dropped.
pub(crate) async fn leave(tx: &mut Tx, id: ReservationId, left: &[Part]) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    sql("with left_over as (
           select * from unnest($3, $4) as u(line, qty)
         ), gone as (
           delete from reservation_kit k using left_over u
           where k.tenant_id = $1 and k.reservation_id = $2 and k.line = u.line and u.qty = 0
         )
         update reservation_kit k set qty = u.qty from left_over u
         where k.tenant_id = $1 and k.reservation_id = $2 and k.line = u.line and u.qty > 0")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(left.iter().map(|p| p.line).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(left.iter().map(|p| p.qty).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}
