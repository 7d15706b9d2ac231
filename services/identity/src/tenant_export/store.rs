//! The SQL of exports.

use bahi_db::{Result, Tx, sql};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Part, TenantExport};
use crate::{
    Error,
    schema::{tenant, tenant_export, tenant_export_part},
};

/// Fields that a list may be sorted by.
pub const SORTS: [&str; 1] = ["asked_at"];

/// Locks the tenant, so that two who ask at once ask for one export, and finds the one that runs.
pub async fn running(tx: &mut Tx) -> Result<Option<TenantExport>> {
    let row = tenant::table.find(tx.tenant()).select(tenant::tenant_id);
    row.for_no_key_update()
        .first::<bahi_types::TenantId>(tx.conn())
        .await?;
    let row = tenant_export::table
        .filter(tenant_export::tenant_id.eq(tx.tenant()))
        .filter(tenant_export::status.eq("running"))
        .select(TenantExport::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Adds an export and those who are asked.
pub async fn insert(tx: &mut Tx, export: &TenantExport, parts: &[Part]) -> Result<()> {
    diesel::insert_into(tenant_export::table)
        .values(export)
        .execute(tx.conn())
        .await?;
    diesel::insert_into(tenant_export_part::table)
        .values(parts)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// An export.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<TenantExport> {
    Ok(tenant_export::table
        .find((tx.tenant(), id))
        .select(TenantExport::as_select())
        .first(tx.conn())
        .await?)
}

/// An export, locked; none where it was never asked for here.
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<TenantExport>> {
    let row = tenant_export::table
        .find((tx.tenant(), id))
        .select(TenantExport::as_select());
    Ok(row.for_no_key_update().first(tx.conn()).await.optional()?)
}

/// What the services make of it, by name.
pub async fn parts(tx: &mut Tx, id: Uuid) -> Result<Vec<Part>> {
    let rows = tenant_export_part::table
        .filter(tenant_export_part::tenant_id.eq(tx.tenant()))
        .filter(tenant_export_part::export_id.eq(id))
        .order(tenant_export_part::service)
        .select(Part::as_select());
    Ok(rows.load(tx.conn()).await?)
}

/// Saves an export.
pub async fn save(tx: &mut Tx, export: &TenantExport) -> Result<()> {
    diesel::update(tenant_export::table.find((tx.tenant(), export.id)))
        .set(export)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves a part.
pub async fn save_part(tx: &mut Tx, part: &Part) -> Result<()> {
    let row = tenant_export_part::table.find((tx.tenant(), part.export_id, &part.service));
    diesel::update(row).set(part).execute(tx.conn()).await?;
    Ok(())
}

/// A page of exports.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
) -> std::result::Result<Page<TenantExport>, Error> {
    let tenant = tx.tenant();
    let all = || {
        tenant_export::table
            .filter(tenant_export::tenant_id.eq(tenant))
            .into_boxed()
    };
    let total = all().count().get_result(tx.conn()).await?;
    let rows = walk!(
        all().select(TenantExport::as_select()),
        walk,
        tenant_export::asked_at,
        DateTime<Utc>,
        tenant_export::id
    );
    let rows: Vec<TenantExport> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (row.asked_at.to_rfc3339(), row.id)
    }))
}

/// An export of some tenant.
#[derive(Clone, Debug, QueryableByName)]
pub struct Due {
    /// Whose.
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: Uuid,
    /// Which.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// Exports of every tenant whose time is over.
pub async fn due(tx: &mut Tx) -> Result<Vec<Due>> {
    let now = tx.now();
    Ok(sql("select tenant_id, id from directory.exports_due($1)")
        .bind::<Timestamptz, _>(now)
        .load(tx.conn())
        .await?)
}
