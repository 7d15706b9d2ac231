//! The SQL of sessions and refresh tokens.

use bahi_db::{Result, Tx, sql};
use bahi_types::{SessionId, TenantId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Refresh, Session, Why};
use crate::schema::{refresh_token, session};

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
}

/// Who may be meant by an e-mail, across tenants.
pub async fn candidates(
    tx: &mut Tx,
    email: &str,
    slug: Option<&str>,
) -> Result<Vec<(TenantId, UserId)>> {
    let rows: Vec<Found> = sql("select tenant_id, user_id from directory.sign_in($1, $2)")
        .bind::<Text, _>(email)
        .bind::<Nullable<Text>, _>(slug)
        .load(tx.conn())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant_id.into(), row.user_id.into()))
        .collect())
}

/// Adds a session.
pub async fn insert(tx: &mut Tx, row: &Session) -> Result<()> {
    diesel::insert_into(session::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Locks a session.
pub async fn lock(tx: &mut Tx, id: SessionId) -> Result<Option<Session>> {
    let row = session::table
        .find((tx.tenant(), id))
        .select(Session::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// The open sessions of a user, the newest first.
pub async fn open(tx: &mut Tx, user: UserId) -> Result<Vec<Session>> {
    let rows = session::table
        .filter(session::tenant_id.eq(tx.tenant()))
        .filter(session::user_id.eq(user))
        .filter(session::revoked_at.is_null())
        .filter(session::expires_at.gt(tx.now()))
        .order(session::created_at.desc())
        .limit(200)
        .select(Session::as_select());
    Ok(rows.load(tx.conn()).await?)
}

/// The open sessions of a user but the newest so many.
pub async fn beyond(tx: &mut Tx, user: UserId, many: i64) -> Result<Vec<SessionId>> {
    let ids = session::table
        .filter(session::tenant_id.eq(tx.tenant()))
        .filter(session::user_id.eq(user))
        .filter(session::revoked_at.is_null())
        .filter(session::expires_at.gt(tx.now()))
        .order((session::created_at.desc(), session::id.desc()))
        .offset(many)
        .select(session::id);
    Ok(ids.load(tx.conn()).await?)
}

/// Locks the open sessions of a user and answers their ids.
pub async fn lock_open(tx: &mut Tx, user: UserId) -> Result<Vec<SessionId>> {
    let ids = session::table
        .filter(session::tenant_id.eq(tx.tenant()))
        .filter(session::user_id.eq(user))
        .filter(session::revoked_at.is_null())
        .filter(session::expires_at.gt(tx.now()))
        .order(session::id)
        .select(session::id)
        .for_update();
    Ok(ids.load(tx.conn()).await?)
}

/// Marks sessions as ended.
pub async fn end(tx: &mut Tx, ids: &[SessionId], why: Why) -> Result<()> {
    let open = session::table
        .filter(session::tenant_id.eq(tx.tenant()))
        .filter(session::id.eq_any(ids))
        .filter(session::revoked_at.is_null());
    diesel::update(open)
        .set((
            session::revoked_at.eq(tx.now()),
            session::revoked_for.eq(why.name()),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes how the user of a session has shown who he is.
pub async fn set_amr(tx: &mut Tx, id: SessionId, amr: &[&str]) -> Result<()> {
    diesel::update(session::table.find((tx.tenant(), id)))
        .set(session::amr.eq(amr))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes that a session was used.
pub async fn touch(tx: &mut Tx, id: SessionId) -> Result<()> {
    diesel::update(session::table.find((tx.tenant(), id)))
        .set(session::last_used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The session and user that a refresh token belongs to.
pub async fn owner(tx: &mut Tx, hash: &[u8]) -> Result<Option<(SessionId, UserId)>> {
    let row = refresh_token::table
        .inner_join(
            session::table.on(session::tenant_id
                .eq(refresh_token::tenant_id)
                .and(session::id.eq(refresh_token::session_id))),
        )
        .filter(refresh_token::tenant_id.eq(tx.tenant()))
        .filter(refresh_token::hash.eq(hash))
        .select((session::id, session::user_id));
    Ok(row.first(tx.conn()).await.optional()?)
}

/// A refresh token.
pub async fn token(tx: &mut Tx, hash: &[u8]) -> Result<Option<Refresh>> {
    let row = refresh_token::table
        .find((tx.tenant(), hash))
        .select(Refresh::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Adds a refresh token.
pub async fn insert_token(tx: &mut Tx, hash: &[u8], session: SessionId) -> Result<()> {
    diesel::insert_into(refresh_token::table)
        .values((
            refresh_token::tenant_id.eq(tx.tenant()),
            refresh_token::hash.eq(hash),
            refresh_token::session_id.eq(session),
            refresh_token::issued_at.eq(tx.now()),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Marks a refresh token as replaced.
pub async fn rotate(tx: &mut Tx, hash: &[u8], at: DateTime<Utc>) -> Result<()> {
    diesel::update(refresh_token::table.find((tx.tenant(), hash)))
        .set(refresh_token::rotated_at.eq(at))
        .execute(tx.conn())
        .await?;
    Ok(())
}
