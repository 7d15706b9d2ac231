//! Every statement about attributes.

use std::collections::HashMap;

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use diesel::{
    prelude::*,
    sql_types::{Array, Integer, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    attribute::model::{Attribute, AttributeId, Head, Value, ValueId},
    schema::{
        attribute::{self, dsl},
        attribute_value,
    },
    text::fold,
};

/// What a list of attributes may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This name, ignoring case.
    pub name: Option<String>,
}

/// One attribute, which must be there.
pub async fn get(tx: &mut Tx, id: AttributeId) -> Result<Attribute, Error> {
    let row = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let head = row.select(Head::as_select()).first(tx.conn()).await?;
    one(tx, head).await
}

/// One attribute, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: AttributeId, seen: i64) -> Result<Attribute, Error> {
    let row = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let head: Head = row
        .select(Head::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    if head.version != seen {
        return Err(Db::Stale {
            current: head.version,
        }
        .into());
    }
    one(tx, head).await
}

/// Attributes by id, in no order; they stay as they are until the transaction ends.
pub async fn hold(tx: &mut Tx, ids: &[AttributeId]) -> Result<Vec<Attribute>, Error> {
    let rows = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids))
        .order(dsl::id);
    let heads = rows
        .select(Head::as_select())
        .for_share()
        .load(tx.conn())
        .await?;
    with_values(tx, heads).await
}

/// Attributes by id, to read.
pub async fn some(tx: &mut Tx, ids: &[AttributeId]) -> Result<Vec<Attribute>, Error> {
    let rows = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    let heads = rows.select(Head::as_select()).load(tx.conn()).await?;
    with_values(tx, heads).await
}

/// A page of attributes, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Attribute>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = attribute::table
            .filter(dsl::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(name) = &filter.name {
            rows = rows.filter(dsl::name_key.eq(fold(name)));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Head::as_select());
    let heads = walk!(rows, at, dsl::name, String, dsl::id)
        .load(tx.conn())
        .await?;
    Ok((with_values(tx, heads).await?, total))
}

async fn one(tx: &mut Tx, head: Head) -> Result<Attribute, Error> {
    with_values(tx, vec![head])
        .await?
        .pop()
        .ok_or(Db::NotFound.into())
}

async fn with_values(tx: &mut Tx, heads: Vec<Head>) -> Result<Vec<Attribute>, Error> {
    use attribute_value::dsl as v;
    let ids: Vec<AttributeId> = heads.iter().map(|head| head.id).collect();
    let rows: Vec<(AttributeId, ValueId, String, String)> = attribute_value::table
        .filter(v::tenant_id.eq(tx.tenant()))
        .filter(v::attribute_id.eq_any(ids))
        .order((v::attribute_id, v::position))
        .select((v::attribute_id, v::id, v::name, v::code))
        .load(tx.conn())
        .await?;
    let mut values: HashMap<AttributeId, Vec<Value>> = HashMap::new();
    for (attribute, id, name, code) in rows {
        values
            .entry(attribute)
            .or_default()
            .push(Value { id, name, code });
    }
    let with = |head: Head| Attribute {
        values: values.remove(&head.id).unwrap_or_default(),
        head,
    };
    Ok(heads.into_iter().map(with).collect())
}

/// Adds an attribute.
pub async fn insert(tx: &mut Tx, attribute: &Attribute) -> Result<(), Error> {
    diesel::insert_into(attribute::table)
        .values((
            dsl::tenant_id.eq(tx.tenant()),
            &attribute.head,
            dsl::name_key.eq(fold(&attribute.head.name)),
        ))
        .execute(tx.conn())
        .await?;
    save_values(tx, attribute).await
}

/// Stores an attribute that is locked; values that it has no longer are deleted.
pub async fn save(tx: &mut Tx, attribute: &Attribute) -> Result<(), Error> {
    let row = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(attribute.head.id));
    diesel::update(row)
        .set((
            &attribute.head,
            dsl::name_key.eq(fold(&attribute.head.name)),
        ))
        .execute(tx.conn())
        .await?;
    let kept: Vec<ValueId> = attribute.values.iter().map(|value| value.id).collect();
    sql(
        "delete from attribute_value where tenant_id = $1 and attribute_id = $2 and id <> all ($3)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(attribute.head.id)
    .bind::<Array<SqlUuid>, _>(kept)
    .execute(tx.conn())
    .await?;
    save_values(tx, attribute).await
}

async fn save_values(tx: &mut Tx, attribute: &Attribute) -> Result<(), Error> {
    let values = &attribute.values;
    let ids: Vec<ValueId> = values.iter().map(|value| value.id).collect();
    let positions: Vec<i32> = (0..).take(values.len()).collect();
    let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    let keys: Vec<String> = values.iter().map(|value| fold(&value.name)).collect();
    let codes: Vec<&str> = values.iter().map(|value| value.code.as_str()).collect();
    // In two statements and not by `on conflict`: unique constraints that wait for the end of the statement cannot
    // decide a conflict, and only those let two values change places.
    sql("update attribute_value v set position = n.position, name = n.name, name_key = n.key, code = n.code
           from unnest($3, $4, $5, $6, $7) as n(id, position, name, key, code)
          where v.tenant_id = $1 and v.attribute_id = $2 and v.id = n.id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(attribute.head.id)
        .bind::<Array<SqlUuid>, _>(&ids)
        .bind::<Array<Integer>, _>(&positions)
        .bind::<Array<Text>, _>(&names)
        .bind::<Array<Text>, _>(&keys)
        .bind::<Array<Text>, _>(&codes)
        .execute(tx.conn())
        .await?;
    sql(
        "insert into attribute_value (tenant_id, attribute_id, id, position, name, name_key, code)
         select $1, $2, n.* from unnest($3, $4, $5, $6, $7) as n(id, position, name, key, code)
          where not exists (select from attribute_value v where v.tenant_id = $1 and v.id = n.id)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(attribute.head.id)
    .bind::<Array<SqlUuid>, _>(&ids)
    .bind::<Array<Integer>, _>(&positions)
    .bind::<Array<Text>, _>(&names)
    .bind::<Array<Text>, _>(&keys)
    .bind::<Array<Text>, _>(&codes)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes an attribute that is locked, with its values.
pub async fn delete(tx: &mut Tx, id: AttributeId) -> Result<(), Error> {
    let row = attribute::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
