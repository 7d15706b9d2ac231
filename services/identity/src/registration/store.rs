//! The SQL of registrations.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery, RegistrationId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::model::Registration;
use crate::{Error, schema::registration};

/// A registration.
pub async fn get(tx: &mut Tx, id: RegistrationId) -> Result<Registration> {
    Ok(registration::table
        .find((tx.tenant(), id))
        .select(Registration::as_select())
        .first(tx.conn())
        .await?)
}

/// A registration, locked.
pub async fn lock(tx: &mut Tx, id: RegistrationId) -> Result<Registration> {
    let row = registration::table
        .find((tx.tenant(), id))
        .select(Registration::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// Whether a registration is active, held so; nothing when there is none.
pub async fn share_active(tx: &mut Tx, id: RegistrationId) -> Result<Option<bool>> {
    let row = registration::table
        .find((tx.tenant(), id))
        .select(registration::active)
        .for_share();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Adds a registration.
pub async fn insert(tx: &mut Tx, row: &Registration) -> Result<()> {
    diesel::insert_into(registration::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change.
pub async fn save(tx: &mut Tx, row: &Registration) -> Result<()> {
    diesel::update(registration::table.find((tx.tenant(), row.id)))
        .set((
            registration::gstin.eq(&row.gstin),
            registration::legal_name.eq(&row.legal_name),
            registration::active.eq(row.active),
            registration::version.eq(row.version),
            registration::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Fields a list may be sorted by.
pub const SORTS: [&str; 2] = ["created_at", "legal_name"];

/// A page of registrations.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    active: Option<bool>,
) -> std::result::Result<Page<Registration>, Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = registration::table
            .filter(registration::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(active) = active {
            rows = rows.filter(registration::active.eq(active));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Registration::as_select());
    let by_name = walk.sort.field == "legal_name";
    let rows = if by_name {
        walk!(
            rows,
            walk,
            registration::legal_name,
            String,
            registration::id
        )
    } else {
        walk!(
            rows,
            walk,
            registration::created_at,
            DateTime<Utc>,
            registration::id
        )
    };
    let rows: Vec<Registration> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (
            if by_name {
                row.legal_name.clone()
            } else {
                row.created_at.to_rfc3339()
            },
            row.id.uuid(),
        )
    }))
}
