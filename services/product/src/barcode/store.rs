//! Every statement about barcodes.

use bahi_db::{Tx, sql};
use bahi_types::{ProductId, UnitId};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    schema::barcode::{self, dsl},
};

#[derive(QueryableByName)]
struct Next {
    #[diesel(sql_type = BigInt)]
    next: i64,
}

/// Takes `count` numbers of the tenant's range and returns the first; the check of the table ends the range.
pub async fn take_numbers(tx: &mut Tx, count: i64) -> Result<i64, Error> {
    let row: Next = sql(
        "insert into barcode_range as r (tenant_id, next) values ($1, 1 + $2)
         on conflict (tenant_id) do update set next = r.next + $2 returning next",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(count)
    .get_result(tx.conn())
    .await?;
    Ok(row.next - count)
}

/// Takes `count` item references of a company prefix and returns the first; the check of the table ends them.
pub async fn take_references(tx: &mut Tx, prefix: &str, count: i64) -> Result<i64, Error> {
    let row: Next = sql(
        "insert into barcode_prefix as p (tenant_id, prefix, next) values ($1, $2, $3)
         on conflict (tenant_id, prefix) do update set next = p.next + $3 returning next",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(prefix)
    .bind::<BigInt, _>(count)
    .get_result(tx.conn())
    .await?;
    Ok(row.next - count)
}

/// Which product has each of these codes (GTIN-14).
pub async fn owners(tx: &mut Tx, codes: &[String]) -> Result<Vec<(String, ProductId)>, Error> {
    let rows = barcode::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::gtin.eq_any(codes));
    Ok(rows
        .select((dsl::gtin, dsl::product_id))
        .load(tx.conn())
        .await?)
}

/// Takes back every claim of these products.
pub async fn release(tx: &mut Tx, products: &[ProductId]) -> Result<(), Error> {
    let rows = barcode::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::product_id.eq_any(products));
    diesel::delete(rows).execute(tx.conn()).await?;
    Ok(())
}

/// Claims codes (GTIN-14) for products, or for one of their units.
pub async fn claim(
    tx: &mut Tx,
    mut claims: Vec<(String, ProductId, Option<UnitId>)>,
) -> Result<(), Error> {
    if claims.is_empty() {
        return Ok(());
    }
    // Two writers that claim the same codes meet at the first of them, not crosswise.
    claims.sort_unstable();
    let codes: Vec<&str> = claims.iter().map(|(code, ..)| code.as_str()).collect();
    let products: Vec<ProductId> = claims.iter().map(|(_, product, _)| *product).collect();
    let units: Vec<Option<UnitId>> = claims.iter().map(|(.., unit)| *unit).collect();
    sql(
        "insert into barcode (tenant_id, gtin, product_id, unit_id) select $1, c.gtin, c.product_id, c.unit_id
           from unnest($2, $3, $4) with ordinality as c(gtin, product_id, unit_id, n) order by c.n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(codes)
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Array<Nullable<SqlUuid>>, _>(units)
    .execute(tx.conn())
    .await?;
    Ok(())
}
