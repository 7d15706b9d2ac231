//! The SQL of revocations.

use bahi_db::{Result, Tx, sql};
use bahi_types::SessionId;
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::schema::revocation;

/// Says that sessions have ended.
pub async fn sessions(tx: &mut Tx, ids: &[SessionId]) -> Result<()> {
    let rows: Vec<_> = ids
        .iter()
        .map(|session| {
            (
                revocation::tenant_id.eq(tx.tenant()),
                revocation::id.eq(Uuid::now_v7()),
                revocation::session_id.eq(Some(*session)),
                revocation::at.eq(tx.now()),
            )
        })
        .collect();
    diesel::insert_into(revocation::table)
        .values(rows)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Says that what was issued to users, or believed of API keys, before a second is void.
pub async fn principals(tx: &mut Tx, ids: &[Uuid], not_before: i64) -> Result<()> {
    let rows: Vec<_> = ids
        .iter()
        .map(|principal| {
            (
                revocation::tenant_id.eq(tx.tenant()),
                revocation::id.eq(Uuid::now_v7()),
                revocation::user_id.eq(Some(*principal)),
                revocation::not_before.eq(Some(not_before)),
                revocation::at.eq(tx.now()),
            )
        })
        .collect();
    diesel::insert_into(revocation::table)
        .values(rows)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// One revocation: of a session, or of a user's tokens from before a second.
#[derive(Debug, QueryableByName)]
pub struct Revoked {
    /// The session.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<Uuid>,
    /// The user, or the API key.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub user_id: Option<Uuid>,
    /// The Unix second.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub not_before: Option<i64>,
}

/// The revocations of every tenant since a time.
pub async fn since(tx: &mut Tx, at: DateTime<Utc>) -> Result<Vec<Revoked>> {
    let rows = sql("select session_id, user_id, not_before from directory.revocations($1)");
    Ok(rows.bind::<Timestamptz, _>(at).load(tx.conn()).await?)
}
