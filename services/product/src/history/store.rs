//! Every statement about the history.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::Walk;
use bahi_types::ProductId;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::{
    Error,
    history::model::{Action, Entry},
    schema::product_change::{self, dsl},
};

/// An entry as it was written.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = product_change)]
pub struct Written {
    /// Version of the product after it.
    pub version: i64,
    /// What was done.
    pub action: Action,
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub actor: Value,
    /// In which request, or flow of events.
    pub correlation_id: uuid::Uuid,
    /// `{field: {old, new}}`.
    pub fields: Value,
}

/// Writes entries, by whoever acts in this transaction.
pub async fn insert(tx: &mut Tx, entries: &[Entry]) -> Result<(), Error> {
    let products: Vec<ProductId> = entries.iter().map(|entry| entry.product).collect();
    let versions: Vec<i64> = entries.iter().map(|entry| entry.version).collect();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.word()).collect();
    let fields: Vec<&Value> = entries.iter().map(|entry| &entry.fields).collect();
    let actor = serde_json::to_value(&tx.ctx().actor).map_err(Db::from)?;
    sql("insert into product_change (tenant_id, product_id, version, action, at, actor, correlation_id, fields)
         select $1, n.id, n.version, n.action, $2, $3, $4, n.fields
           from unnest($5, $6, $7, $8) as n(id, version, action, fields)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Jsonb, _>(actor)
    .bind::<SqlUuid, _>(tx.ctx().correlation_id)
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Array<BigInt>, _>(versions)
    .bind::<Array<Text>, _>(actions)
    .bind::<Array<Jsonb>, _>(fields)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A page of what happened to a product, and how much did.
pub async fn list(
    tx: &mut Tx,
    product: ProductId,
    at: &Walk,
) -> Result<(Vec<Written>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        product_change::table
            .filter(dsl::tenant_id.eq(tenant))
            .filter(dsl::product_id.eq(product))
            .into_boxed()
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let mut rows = matching().select(Written::as_select()).limit(at.limit);
    rows = match at.after::<i64>()? {
        None => rows.offset(at.offset),
        Some((version, _)) if at.sort.descending => rows.filter(dsl::version.lt(version)),
        Some((version, _)) => rows.filter(dsl::version.gt(version)),
    };
    rows = if at.sort.descending {
        rows.order(dsl::version.desc())
    } else {
        rows.order(dsl::version.asc())
    };
    Ok((rows.load(tx.conn()).await?, total))
}
