//! Every SQL statement about kits.

use bahi_db::{Result, Tx, sql};
use bahi_types::{ProductId, Quantity, ReservationId};
use diesel::{
    QueryableByName,
    sql_types::{Array, Integer, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Kits, Part};
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
pub(crate) async fn kits(tx: &mut Tx, products: &[ProductId]) -> Result<Kits> {
    Ok(Kits::new(copy::store::components(tx, products).await?))
}

/// The lines of a hold that stand for kits.
pub(crate) async fn parts(tx: &mut Tx, id: ReservationId) -> Result<Vec<Part>> {
    let rows: Vec<Row> = sql("select line, kit_id, qty from reservation_kit
         where tenant_id = $1 and reservation_id = $2 order by line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load(tx.conn())
    .await?;
    let part = |row: Row| Part {
        line: row.line,
        kit: row.kit_id,
        qty: row.qty,
    };
    Ok(rows.into_iter().map(part).collect())
}

/// Keeps which lines of a hold stand for kits.
pub(crate) async fn keep(tx: &mut Tx, id: ReservationId, parts: &[Part]) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    sql(
        "insert into reservation_kit (tenant_id, reservation_id, line, kit_id, qty)
         select $1, $2, u.* from unnest($3, $4, $5) as u",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(parts.iter().map(|p| p.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(parts.iter().map(|p| p.kit).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(parts.iter().map(|p| p.qty).collect::<Vec<_>>())
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
