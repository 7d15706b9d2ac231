//! The SQL of tills.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{BranchId, LocationId, Page, PageQuery, TillId};
use chrono::{DateTime, Utc};
use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::model::Till;
use crate::{Error, schema::till};

/// A till.
pub async fn get(tx: &mut Tx, id: TillId) -> Result<Till> {
    Ok(till::table
        .find((tx.tenant(), id))
        .select(Till::as_select())
        .first(tx.conn())
        .await?)
}

/// Tills by id.
pub async fn by_ids(tx: &mut Tx, ids: &[TillId]) -> Result<Vec<Till>> {
    let rows = till::table
        .filter(till::tenant_id.eq(tx.tenant()))
        .filter(till::id.eq_any(ids));
    Ok(rows.select(Till::as_select()).load(tx.conn()).await?)
}

/// A till, locked.
pub async fn lock(tx: &mut Tx, id: TillId) -> Result<Till> {
    let row = till::table
        .find((tx.tenant(), id))
        .select(Till::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// Whether a branch has active tills.
pub async fn any_active_in(tx: &mut Tx, branch: BranchId) -> Result<bool> {
    let active = till::table
        .filter(till::tenant_id.eq(tx.tenant()))
        .filter(till::branch_id.eq(branch))
        .filter(till::active);
    Ok(diesel::select(exists(active)).get_result(tx.conn()).await?)
}

/// Whether active tills sell from a location.
pub async fn any_active_from(tx: &mut Tx, location: LocationId) -> Result<bool> {
    let active = till::table
        .filter(till::tenant_id.eq(tx.tenant()))
        .filter(till::location_id.eq(location))
        .filter(till::active);
    Ok(diesel::select(exists(active)).get_result(tx.conn()).await?)
}

/// Adds a till.
pub async fn insert(tx: &mut Tx, row: &Till) -> Result<()> {
    diesel::insert_into(till::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change.
pub async fn save(tx: &mut Tx, row: &Till) -> Result<()> {
    diesel::update(till::table.find((tx.tenant(), row.id)))
        .set((
            till::code.eq(&row.code),
            till::name.eq(&row.name),
            till::location_id.eq(row.location_id),
            till::round_to_rupee.eq(row.round_to_rupee),
            till::active.eq(row.active),
            till::version.eq(row.version),
            till::updated_at.eq(row.updated_at),
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
    /// Location.
    pub location: Option<LocationId>,
    /// Active or retired ones.
    pub active: Option<bool>,
}

/// Fields a list may be sorted by.
pub const SORTS: [&str; 3] = ["code", "name", "created_at"];

/// A page of tills.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    filter: Filter,
) -> std::result::Result<Page<Till>, Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = till::table.filter(till::tenant_id.eq(tenant)).into_boxed();
        if let Some(branch) = filter.branch {
            rows = rows.filter(till::branch_id.eq(branch));
        }
        if let Some(location) = filter.location {
            rows = rows.filter(till::location_id.eq(location));
        }
        if let Some(active) = filter.active {
            rows = rows.filter(till::active.eq(active));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Till::as_select());
    let rows = match walk.sort.field {
        "name" => walk!(rows, walk, till::name, String, till::id),
        "created_at" => walk!(rows, walk, till::created_at, DateTime<Utc>, till::id),
        _ => walk!(rows, walk, till::code, String, till::id),
    };
    let rows: Vec<Till> = rows.load(tx.conn()).await?;
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
