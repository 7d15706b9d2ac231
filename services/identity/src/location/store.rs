//! The SQL of locations.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{BranchId, LocationId, Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::model::Location;
use crate::{Error, schema::location};

/// A location.
pub async fn get(tx: &mut Tx, id: LocationId) -> Result<Location> {
    Ok(location::table
        .find((tx.tenant(), id))
        .select(Location::as_select())
        .first(tx.conn())
        .await?)
}

/// Locations by id.
pub async fn by_ids(tx: &mut Tx, ids: &[LocationId]) -> Result<Vec<Location>> {
    let rows = location::table
        .filter(location::tenant_id.eq(tx.tenant()))
        .filter(location::id.eq_any(ids));
    Ok(rows.select(Location::as_select()).load(tx.conn()).await?)
}

/// A location, locked.
pub async fn lock(tx: &mut Tx, id: LocationId) -> Result<Location> {
    let row = location::table
        .find((tx.tenant(), id))
        .select(Location::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// A location, held against being closed; nothing when there is none.
pub async fn share(tx: &mut Tx, id: LocationId) -> Result<Option<Location>> {
    let row = location::table
        .find((tx.tenant(), id))
        .select(Location::as_select())
        .for_share();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Whether a branch has active locations.
pub async fn any_active(tx: &mut Tx, branch: BranchId) -> Result<bool> {
    let active = location::table
        .filter(location::tenant_id.eq(tx.tenant()))
        .filter(location::branch_id.eq(branch))
        .filter(location::active);
    Ok(diesel::select(exists(active)).get_result(tx.conn()).await?)
}

/// Adds a location.
pub async fn insert(tx: &mut Tx, row: &Location) -> Result<()> {
    diesel::insert_into(location::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change.
pub async fn save(tx: &mut Tx, row: &Location) -> Result<()> {
    diesel::update(location::table.find((tx.tenant(), row.id)))
        .set((
            location::code.eq(&row.code),
            location::name.eq(&row.name),
            location::active.eq(row.active),
            location::version.eq(row.version),
            location::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What a list may be narrowed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Branch.
    pub branch: Option<BranchId>,
    /// Open or closed ones.
    pub active: Option<bool>,
}

/// Fields a list may be sorted by.
pub const SORTS: [&str; 3] = ["code", "name", "created_at"];

/// A page of locations.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    filter: Filter,
) -> std::result::Result<Page<Location>, Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = location::table
            .filter(location::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(branch) = filter.branch {
            rows = rows.filter(location::branch_id.eq(branch));
        }
        if let Some(active) = filter.active {
            rows = rows.filter(location::active.eq(active));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Location::as_select());
    let rows = match walk.sort.field {
        "name" => walk!(rows, walk, location::name, String, location::id),
        "created_at" => walk!(
            rows,
            walk,
            location::created_at,
            DateTime<Utc>,
            location::id
        ),
        _ => walk!(rows, walk, location::code, String, location::id),
    };
    let rows: Vec<Location> = rows.load(tx.conn()).await?;
    let field = walk.sort.field;
    Ok(paged(rows, query, total, |row| {
        let key = match field {
            "name" => row.name.clone(),
            "created_at" => row.created_at.to_rfc3339(),
            _ => row.code.clone(),
        };
        (key, row.id.uuid())
    }))
}
