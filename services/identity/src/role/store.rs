//! The SQL of roles.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery, RoleId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::model::{Role, grant_set};
use crate::{Error, schema::role};

/// A role.
pub async fn get(tx: &mut Tx, id: RoleId) -> Result<Role> {
    Ok(role::table
        .find((tx.tenant(), id))
        .select(Role::as_select())
        .first(tx.conn())
        .await?)
}

/// A role, locked. Who gives it to somebody waits.
pub async fn lock(tx: &mut Tx, id: RoleId) -> Result<Role> {
    let row = role::table
        .find((tx.tenant(), id))
        .select(Role::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// Holds roles against a change while they are given to somebody. Before any user is locked, as who changes a role locks
/// its holders after it. The owner role never changes, and [`lock_owner`] would wait for others who share it.
pub async fn share(tx: &mut Tx, ids: &[RoleId]) -> Result<()> {
    let rows = role::table
        .filter(role::tenant_id.eq(tx.tenant()))
        .filter(role::id.eq_any(ids))
        .filter(role::is_owner.eq(false))
        .order(role::id)
        .select(role::id)
        .for_share();
    rows.load::<RoleId>(tx.conn()).await?;
    Ok(())
}

/// Locks the owner role: whoever takes an owner away does so alone.
pub async fn lock_owner(tx: &mut Tx) -> Result<RoleId> {
    let row = role::table
        .filter(role::tenant_id.eq(tx.tenant()))
        .filter(role::is_owner)
        .select(role::id);
    Ok(row.for_no_key_update().first(tx.conn()).await?)
}

/// What roles grant together; each must exist. Who gives them holds them first, by [`share`].
///
/// # Errors
/// [`Error::UnknownReference`] when one does not.
pub async fn permissions(tx: &mut Tx, ids: &[RoleId]) -> std::result::Result<Vec<String>, Error> {
    let rows = role::table
        .filter(role::tenant_id.eq(tx.tenant()))
        .filter(role::id.eq_any(ids))
        .select(role::permissions);
    let rows: Vec<Vec<String>> = rows.load(tx.conn()).await?;
    if rows.len() != ids.len() {
        return Err(Error::UnknownReference("role_ids"));
    }
    Ok(grant_set(rows.concat()))
}

/// Adds roles.
pub async fn insert(tx: &mut Tx, roles: &[Role]) -> Result<()> {
    diesel::insert_into(role::table)
        .values(roles)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves name and permissions under the next version.
pub async fn save(tx: &mut Tx, row: &Role) -> Result<()> {
    diesel::update(role::table.find((tx.tenant(), row.id)))
        .set((
            role::name.eq(&row.name),
            role::permissions.eq(&row.permissions),
            role::version.eq(row.version),
            role::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a role that nobody has.
pub async fn delete(tx: &mut Tx, id: RoleId) -> Result<()> {
    diesel::delete(role::table.find((tx.tenant(), id)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Fields a list of roles may be sorted by.
pub const SORTS: [&str; 2] = ["name", "created_at"];

/// A page of roles.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
) -> std::result::Result<Page<Role>, Error> {
    let tenant = tx.tenant();
    let all = || role::table.filter(role::tenant_id.eq(tenant)).into_boxed();
    let total = all().count().get_result(tx.conn()).await?;
    let rows = all().select(Role::as_select());
    let by_time = walk.sort.field == "created_at";
    let rows = if by_time {
        walk!(rows, walk, role::created_at, DateTime<Utc>, role::id)
    } else {
        walk!(rows, walk, role::name, String, role::id)
    };
    let rows: Vec<Role> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (
            if by_time {
                row.created_at.to_rfc3339()
            } else {
                row.name.clone()
            },
            row.id.uuid(),
        )
    }))
}
