//! The SQL of tenants.

use bahi_db::{Result, Tx, sql};
use bahi_types::TenantId;
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Bool, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::Tenant;
use crate::{Error, schema::tenant};

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

/// Refuses what a suspended tenant may not do.
///
/// # Errors
/// [`Error::TenantSuspended`].
pub async fn ensure_active(tx: &mut Tx) -> std::result::Result<(), Error> {
    if get(tx).await?.suspended_at.is_some() {
        return Err(Error::TenantSuspended);
    }
    Ok(())
}

/// The tenant of the transaction, locked.
pub async fn lock(tx: &mut Tx) -> Result<Tenant> {
    let row = tenant::table
        .find(tx.tenant())
        .select(Tenant::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// Saves whether it is suspended, under the next version.
pub async fn save(tx: &mut Tx, row: &Tenant) -> Result<()> {
    diesel::update(tenant::table.find(row.tenant_id))
        .set((
            tenant::suspended_at.eq(row.suspended_at),
            tenant::suspended_for.eq(&row.suspended_for),
            tenant::version.eq(row.version),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Every tenant and its short name, by that.
pub async fn all(tx: &mut Tx) -> Result<Vec<(TenantId, String)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: Uuid,
        #[diesel(sql_type = Text)]
        slug: String,
    }
    let rows = sql("select tenant_id, slug from directory.tenants()");
    let rows: Vec<Row> = rows.load(tx.conn()).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant_id.into(), row.slug))
        .collect())
}

/// The tenants that are suspended.
pub async fn suspended(tx: &mut Tx) -> Result<Vec<Uuid>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: Uuid,
    }
    let rows: Vec<Row> = sql("select tenant_id from directory.suspended()")
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|row| row.tenant_id).collect())
}

/// Adds the tenant.
pub async fn insert(tx: &mut Tx, row: &Tenant) -> Result<()> {
    diesel::insert_into(tenant::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}
