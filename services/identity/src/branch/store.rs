//! The SQL of branches.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{BranchId, Page, PageQuery, RegistrationId};
use chrono::{DateTime, Utc};
use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::model::Branch;
use crate::{Error, schema::branch};

/// A branch.
pub async fn get(tx: &mut Tx, id: BranchId) -> Result<Branch> {
    Ok(branch::table
        .find((tx.tenant(), id))
        .select(Branch::as_select())
        .first(tx.conn())
        .await?)
}

/// Branches by id.
pub async fn by_ids(tx: &mut Tx, ids: &[BranchId]) -> Result<Vec<Branch>> {
    let rows = branch::table
        .filter(branch::tenant_id.eq(tx.tenant()))
        .filter(branch::id.eq_any(ids));
    Ok(rows.select(Branch::as_select()).load(tx.conn()).await?)
}

/// A branch, locked.
pub async fn lock(tx: &mut Tx, id: BranchId) -> Result<Branch> {
    let row = branch::table
        .find((tx.tenant(), id))
        .select(Branch::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// A branch, held against being closed; nothing when there is none.
pub async fn share(tx: &mut Tx, id: BranchId) -> Result<Option<Branch>> {
    let row = branch::table
        .find((tx.tenant(), id))
        .select(Branch::as_select())
        .for_share();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Whether a registration has active branches.
pub async fn any_active(tx: &mut Tx, registration: RegistrationId) -> Result<bool> {
    let active = branch::table
        .filter(branch::tenant_id.eq(tx.tenant()))
        .filter(branch::registration_id.eq(registration))
        .filter(branch::active);
    Ok(diesel::select(exists(active)).get_result(tx.conn()).await?)
}

/// Adds a branch.
pub async fn insert(tx: &mut Tx, row: &Branch) -> Result<()> {
    diesel::insert_into(branch::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change.
pub async fn save(tx: &mut Tx, row: &Branch) -> Result<()> {
    diesel::update(branch::table.find((tx.tenant(), row.id)))
        .set((
            branch::code.eq(&row.code),
            branch::name.eq(&row.name),
            branch::address.eq(&row.address),
            branch::phone.eq(&row.phone),
            branch::upi_vpa.eq(&row.upi_vpa),
            branch::active.eq(row.active),
            branch::version.eq(row.version),
            branch::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What a list may be narrowed to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Registration.
    pub registration: Option<RegistrationId>,
    /// Open or closed ones.
    pub active: Option<bool>,
}

/// Fields a list may be sorted by.
pub const SORTS: [&str; 3] = ["code", "name", "created_at"];

/// A page of branches.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    filter: Filter,
) -> std::result::Result<Page<Branch>, Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = branch::table
            .filter(branch::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(registration) = filter.registration {
            rows = rows.filter(branch::registration_id.eq(registration));
        }
        if let Some(active) = filter.active {
            rows = rows.filter(branch::active.eq(active));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Branch::as_select());
    let rows = match walk.sort.field {
        "name" => walk!(rows, walk, branch::name, String, branch::id),
        "created_at" => walk!(rows, walk, branch::created_at, DateTime<Utc>, branch::id),
        _ => walk!(rows, walk, branch::code, String, branch::id),
    };
    let rows: Vec<Branch> = rows.load(tx.conn()).await?;
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
