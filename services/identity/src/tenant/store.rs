//! The SQL of tenants.

use bahi_db::{Result, Tx, sql};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Bool, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::Tenant;
use crate::schema::tenant;

/// The tenant of the transaction.
pub async fn get(tx: &mut Tx) -> Result<Tenant> {
    Ok(tenant::table
        .find(tx.tenant())
        .select(Tenant::as_select())
        .first(tx.conn())
        .await?)
}

/// Its short name.
pub async fn slug(tx: &mut Tx) -> Result<String> {
    Ok(tenant::table
        .find(tx.tenant())
        .select(tenant::slug)
        .first(tx.conn())
        .await?)
}

/// Takes a short name for the tenant of the transaction; false when it is taken.
pub async fn claim_slug(tx: &mut Tx, slug: &str) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Claimed {
        #[diesel(sql_type = Bool)]
        claimed: bool,
    }
    let row: Claimed = sql("select directory.claim_slug($1, $2) as claimed")
        .bind::<Text, _>(slug)
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(tx.conn())
        .await?;
    Ok(row.claimed)
}

/// Adds the tenant.
pub async fn insert(tx: &mut Tx, row: &Tenant) -> Result<()> {
    diesel::insert_into(tenant::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}
