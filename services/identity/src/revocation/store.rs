//! The SQL of revocations.

use bahi_db::{Result, Tx, sql};
use bahi_types::SessionId;
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Says that sessions have ended, however many.
pub async fn sessions(tx: &mut Tx, ids: &[SessionId]) -> Result<()> {
    let now = tx.now();
    sql("insert into revocation (tenant_id, id, session_id, at)
         select $1, gen_random_uuid(), ended, $3 from unnest($2) as ended")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Says that what was issued to users, or believed of API keys, before a second is void.
pub async fn principals(tx: &mut Tx, ids: &[Uuid], not_before: i64) -> Result<()> {
    let now = tx.now();
    sql(
        "insert into revocation (tenant_id, id, user_id, not_before, at)
         select $1, gen_random_uuid(), principal, $3, $4 from unnest($2) as principal",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<BigInt, _>(not_before)
    .bind::<Timestamptz, _>(now)
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
