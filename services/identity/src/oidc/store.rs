//! The SQL of sign-ins with a provider, and of links.

use bahi_db::{Result, Tx, sql};
use bahi_types::{TenantId, UserId};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Link, Login};
use crate::schema::{app_user, linked_identity, oidc_login};

/// The tenant with a short name.
pub async fn tenant_of(tx: &mut Tx, slug: &str) -> Result<Option<TenantId>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Nullable<SqlUuid>)]
        tenant_id: Option<Uuid>,
    }
    let row: Found = sql("select directory.tenant_of($1) as tenant_id")
        .bind::<Text, _>(slug)
        .get_result(tx.conn())
        .await?;
    Ok(row.tenant_id.map(TenantId::from_uuid))
}

/// Adds a sign-in.
pub async fn insert(tx: &mut Tx, row: &Login, hash: &[u8]) -> Result<()> {
    diesel::insert_into(oidc_login::table)
        .values((row, oidc_login::hash.eq(hash)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The sign-in of a state, locked: of two who end it, the second waits for the first.
pub async fn lock_login(tx: &mut Tx, hash: &[u8]) -> Result<Option<Login>> {
    let row = oidc_login::table
        .filter(oidc_login::tenant_id.eq(tx.tenant()))
        .filter(oidc_login::hash.eq(hash))
        .select(Login::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Uses a sign-in up.
pub async fn set_used(tx: &mut Tx, id: Uuid) -> Result<()> {
    diesel::update(oidc_login::table.find((tx.tenant(), id)))
        .set(oidc_login::used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Who somebody is.
pub async fn link(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<Link>> {
    let row = linked_identity::table
        .filter(linked_identity::tenant_id.eq(tx.tenant()))
        .filter(linked_identity::issuer.eq(issuer))
        .filter(linked_identity::subject.eq(subject))
        .select(Link::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// The links of a user, the oldest first.
pub async fn links(tx: &mut Tx, user: UserId) -> Result<Vec<Link>> {
    let rows = linked_identity::table
        .filter(linked_identity::tenant_id.eq(tx.tenant()))
        .filter(linked_identity::user_id.eq(user))
        .order(linked_identity::id)
        .limit(200)
        .select(Link::as_select());
    Ok(rows.load(tx.conn()).await?)
}

/// Whether a user can come in by a provider.
pub async fn has_link(tx: &mut Tx, user: UserId) -> Result<bool> {
    let links = linked_identity::table
        .filter(linked_identity::tenant_id.eq(tx.tenant()))
        .filter(linked_identity::user_id.eq(user));
    Ok(diesel::select(diesel::dsl::exists(links))
        .get_result(tx.conn())
        .await?)
}

/// Adds a link.
pub async fn insert_link(tx: &mut Tx, row: &Link) -> Result<()> {
    diesel::insert_into(linked_identity::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes a use.
pub async fn touch(tx: &mut Tx, id: Uuid) -> Result<()> {
    diesel::update(linked_identity::table.find((tx.tenant(), id)))
        .set(linked_identity::last_used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a link of a user; what it was.
pub async fn delete_link(tx: &mut Tx, user: UserId, id: Uuid) -> Result<Option<Link>> {
    let own = linked_identity::table
        .find((tx.tenant(), id))
        .filter(linked_identity::user_id.eq(user));
    let gone = diesel::delete(own).returning(Link::as_returning());
    Ok(gone.get_result(tx.conn()).await.optional()?)
}

/// Deletes the links and sign-ins of a provider.
pub async fn forget(tx: &mut Tx, provider: Uuid) -> Result<()> {
    let links = linked_identity::table
        .filter(linked_identity::tenant_id.eq(tx.tenant()))
        .filter(linked_identity::provider_id.eq(provider));
    diesel::delete(links).execute(tx.conn()).await?;
    let logins = oidc_login::table
        .filter(oidc_login::tenant_id.eq(tx.tenant()))
        .filter(oidc_login::provider_id.eq(provider));
    diesel::delete(logins).execute(tx.conn()).await?;
    Ok(())
}

/// The user with an address.
pub async fn user_with(tx: &mut Tx, email: &str) -> Result<Option<UserId>> {
    let row = app_user::table
        .filter(app_user::tenant_id.eq(tx.tenant()))
        .filter(app_user::email.eq(email))
        .select(app_user::id);
    Ok(row.first(tx.conn()).await.optional()?)
}
