//! The SQL of identity providers.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::Provider;
use crate::schema::identity_provider;

/// A provider.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<Provider> {
    Ok(identity_provider::table
        .find((tx.tenant(), id))
        .select(Provider::as_select())
        .first(tx.conn())
        .await?)
}

/// A provider that lets people in, and its sealed client secret.
pub async fn open(tx: &mut Tx, id: Uuid) -> Result<Option<(Provider, Option<Vec<u8>>)>> {
    let row = identity_provider::table
        .find((tx.tenant(), id))
        .filter(identity_provider::active)
        .select((Provider::as_select(), identity_provider::sealed));
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Those that let people in, by name.
pub async fn all_open(tx: &mut Tx) -> Result<Vec<Provider>> {
    let rows = identity_provider::table
        .filter(identity_provider::tenant_id.eq(tx.tenant()))
        .filter(identity_provider::active)
        .order((identity_provider::name, identity_provider::id))
        .limit(50)
        .select(Provider::as_select());
    Ok(rows.load(tx.conn()).await?)
}

/// A provider, locked.
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<Provider> {
    let row = identity_provider::table
        .find((tx.tenant(), id))
        .select(Provider::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await?)
}

/// As [`open`], locked against changes but not against others who sign in.
pub async fn share_open(tx: &mut Tx, id: Uuid) -> Result<Option<Provider>> {
    let row = identity_provider::table
        .find((tx.tenant(), id))
        .filter(identity_provider::active)
        .select(Provider::as_select())
        .for_share();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Adds a provider.
pub async fn insert(tx: &mut Tx, row: &Provider, sealed: Option<&[u8]>) -> Result<()> {
    diesel::insert_into(identity_provider::table)
        .values((row, identity_provider::sealed.eq(sealed)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change, under the next version.
pub async fn save(tx: &mut Tx, row: &Provider) -> Result<()> {
    diesel::update(identity_provider::table.find((tx.tenant(), row.id)))
        .set((
            identity_provider::name.eq(&row.name),
            identity_provider::client_id.eq(&row.client_id),
            identity_provider::redirect_uris.eq(&row.redirect_uris),
            identity_provider::domains.eq(&row.domains),
            identity_provider::link_by_email.eq(row.link_by_email),
            identity_provider::role_id.eq(row.role_id),
            identity_provider::branch_ids.eq(&row.branch_ids),
            identity_provider::trusts_mfa.eq(row.trusts_mfa),
            identity_provider::active.eq(row.active),
            identity_provider::version.eq(row.version),
            identity_provider::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keeps another client secret, or none.
pub async fn set_sealed(tx: &mut Tx, id: Uuid, sealed: Option<&[u8]>) -> Result<()> {
    diesel::update(identity_provider::table.find((tx.tenant(), id)))
        .set(identity_provider::sealed.eq(sealed))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a provider that nothing refers to any more.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<()> {
    diesel::delete(identity_provider::table.find((tx.tenant(), id)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Fields a list of providers may be sorted by.
pub const SORTS: [&str; 2] = ["name", "created_at"];

/// A page of providers.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
) -> std::result::Result<Page<Provider>, crate::Error> {
    let tenant = tx.tenant();
    let all = || {
        identity_provider::table
            .filter(identity_provider::tenant_id.eq(tenant))
            .into_boxed()
    };
    let total = all().count().get_result(tx.conn()).await?;
    let rows = all().select(Provider::as_select());
    let by_time = walk.sort.field == "created_at";
    let rows = if by_time {
        walk!(
            rows,
            walk,
            identity_provider::created_at,
            DateTime<Utc>,
            identity_provider::id
        )
    } else {
        walk!(
            rows,
            walk,
            identity_provider::name,
            String,
            identity_provider::id
        )
    };
    let rows: Vec<Provider> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        let key = if by_time {
            row.created_at.to_rfc3339()
        } else {
            row.name.clone()
        };
        (key, row.id)
    }))
}
