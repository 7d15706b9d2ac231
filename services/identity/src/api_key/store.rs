//! The SQL of API keys.

use bahi_db::{Result, Tx, sql};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery, TenantId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Bool, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::ApiKey;
use crate::schema::api_key;

/// Takes a prefix, unless another key has it.
pub async fn claim(tx: &mut Tx, prefix: &str, id: Uuid) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        claimed: bool,
    }
    let call = sql("select directory.claim_api_key($1, $2, $3) as claimed")
        .bind::<Text, _>(prefix)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id);
    Ok(call.get_result::<Row>(tx.conn()).await?.claimed)
}

/// The tenant and id of the key of a prefix, across tenants.
pub async fn find_prefix(tx: &mut Tx, prefix: &str) -> Result<Option<(TenantId, Uuid)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
    }
    let call = sql("select tenant_id, id from directory.find_api_key($1)").bind::<Text, _>(prefix);
    let row: Option<Row> = call.get_result(tx.conn()).await.optional()?;
    Ok(row.map(|row| (row.tenant_id.into(), row.id)))
}

/// A key.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<ApiKey> {
    let row = api_key::table
        .find((tx.tenant(), id))
        .select(ApiKey::as_select());
    Ok(row.first(tx.conn()).await?)
}

/// A key and the hash of its secret.
pub async fn with_hash(tx: &mut Tx, id: Uuid) -> Result<Option<(ApiKey, Vec<u8>)>> {
    let row = api_key::table
        .find((tx.tenant(), id))
        .select((ApiKey::as_select(), api_key::hash));
    Ok(row.first(tx.conn()).await.optional()?)
}

/// A key, locked.
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<ApiKey> {
    let row = api_key::table
        .find((tx.tenant(), id))
        .select(ApiKey::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await?)
}

/// The keys that can still be used and whose secret a user has seen, locked, in order of id.
pub async fn lock_made_by(tx: &mut Tx, user: UserId) -> Result<Vec<ApiKey>> {
    let rows = api_key::table
        .filter(api_key::tenant_id.eq(tx.tenant()))
        .filter(api_key::made_by.eq(user))
        .filter(api_key::revoked_at.is_null())
        .order(api_key::id)
        .select(ApiKey::as_select())
        .for_update();
    Ok(rows.load(tx.conn()).await?)
}

/// Makes void what was believed before a second of the keys that users have made; which they are.
pub async fn void_made_by(tx: &mut Tx, users: &[UserId], not_before: i64) -> Result<Vec<Uuid>> {
    let keys = api_key::table
        .filter(api_key::tenant_id.eq(tx.tenant()))
        .filter(api_key::made_by.eq_any(users))
        .filter(api_key::revoked_at.is_null())
        .filter(api_key::expires_at.gt(tx.now()));
    let voided = diesel::update(keys)
        .set(api_key::not_before.eq(not_before))
        .returning(api_key::id);
    Ok(voided.get_results(tx.conn()).await?)
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, row: &ApiKey, hash: &[u8]) -> Result<()> {
    diesel::insert_into(api_key::table)
        .values((row, api_key::hash.eq(hash)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves what may change, under the next version.
pub async fn save(tx: &mut Tx, row: &ApiKey) -> Result<()> {
    diesel::update(api_key::table.find((tx.tenant(), row.id)))
        .set((
            api_key::made_by.eq(row.made_by),
            api_key::not_before.eq(row.not_before),
            api_key::version.eq(row.version),
            api_key::updated_at.eq(row.updated_at),
            api_key::expires_at.eq(row.expires_at),
            api_key::revoked_at.eq(row.revoked_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keeps the hash of another secret.
pub async fn set_hash(tx: &mut Tx, id: Uuid, hash: &[u8]) -> Result<()> {
    diesel::update(api_key::table.find((tx.tenant(), id)))
        .set(api_key::hash.eq(hash))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes a use.
pub async fn touch(tx: &mut Tx, id: Uuid) -> Result<()> {
    diesel::update(api_key::table.find((tx.tenant(), id)))
        .set(api_key::last_used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Fields a list of keys may be sorted by.
pub const SORTS: [&str; 2] = ["name", "created_at"];

/// A page of keys.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
) -> std::result::Result<Page<ApiKey>, crate::Error> {
    let tenant = tx.tenant();
    let all = || {
        api_key::table
            .filter(api_key::tenant_id.eq(tenant))
            .into_boxed()
    };
    let total = all().count().get_result(tx.conn()).await?;
    let rows = all().select(ApiKey::as_select());
    let by_time = walk.sort.field == "created_at";
    let rows = if by_time {
        walk!(rows, walk, api_key::created_at, DateTime<Utc>, api_key::id)
    } else {
        walk!(rows, walk, api_key::name, String, api_key::id)
    };
    let rows: Vec<ApiKey> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        let key = if by_time {
            row.created_at.to_rfc3339()
        } else {
            row.name.clone()
        };
        (key, row.id)
    }))
}
