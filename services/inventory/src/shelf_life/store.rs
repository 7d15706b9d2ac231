//! Every SQL statement about minimum shelf life.

use std::collections::BTreeSet;

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{CustomerId, PageQuery, ProductId};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ledger::Place, reservation::Terms};

/// A rule.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ShelfLifeRule)]
pub(super) struct Rule {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// For this customer,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    /// or for this group.
    #[diesel(sql_type = Nullable<Text>)]
    pub customer_group: Option<String>,
    /// For this product; for all, when absent.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub product_id: Option<ProductId>,
    /// Days a batch must still keep.
    #[diesel(sql_type = Integer)]
    pub min_days: i32,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

#[derive(QueryableByName)]
struct Ruled {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Integer)]
    min_days: i32,
}

/// The terms with what the rules ask for. A buyer nobody knows costs no look.
pub(crate) async fn ruled(tx: &mut Tx, terms: &Terms, places: &BTreeSet<Place>) -> Result<Terms> {
    let mut terms = terms.clone();
    if terms.customer.is_none() && terms.group.is_none() {
        return Ok(terms);
    }
    let rows: Vec<Ruled> = sql("select u.p as product_id, max(r.min_days) as min_days
         from unnest($2) as u(p)
         join shelf_life_rule r on r.tenant_id = $1 and (r.product_id = u.p or r.product_id is null)
                               and (r.customer_id = $3 or r.customer_group = $4)
         group by u.p")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(places.iter().map(|p| p.1).collect::<Vec<_>>())
    .bind::<Nullable<SqlUuid>, _>(terms.customer)
    .bind::<Nullable<Text>, _>(&terms.group)
    .load(tx.conn())
    .await?;
    terms.ruled = rows
        .into_iter()
        .map(|r| (r.product_id, r.min_days.unsigned_abs()))
        .collect();
    Ok(terms)
}

/// Writes a rule.
pub(super) async fn insert(tx: &mut Tx, rule: &Rule) -> Result<()> {
    sql("insert into shelf_life_rule (tenant_id, id, customer_id, customer_group, product_id, min_days)
         values ($1, $2, $3, $4, $5, $6)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(rule.id)
    .bind::<Nullable<SqlUuid>, _>(rule.customer_id)
    .bind::<Nullable<Text>, _>(&rule.customer_group)
    .bind::<Nullable<SqlUuid>, _>(rule.product_id)
    .bind::<Integer, _>(rule.min_days)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Locks a rule that the caller has seen at a version.
pub(super) async fn lock(tx: &mut Tx, id: Uuid, seen: i64) -> Result<Rule> {
    let rule: Rule = sql(
        "select id, customer_id, customer_group, product_id, min_days, version from shelf_life_rule
         where tenant_id = $1 and id = $2 for update",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?
    .ok_or(Error::NotFound)?;
    if rule.version == seen {
        Ok(rule)
    } else {
        Err(Error::Stale {
            current: rule.version,
        })
    }
}

/// Writes the days of a rule.
pub(super) async fn save(tx: &mut Tx, rule: &Rule) -> Result<()> {
    sql("update shelf_life_rule set min_days = $3, version = $4 where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(rule.id)
        .bind::<Integer, _>(rule.min_days)
        .bind::<BigInt, _>(rule.version)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a rule.
pub(super) async fn delete(tx: &mut Tx, id: Uuid) -> Result<()> {
    sql("delete from shelf_life_rule where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of the rules, in the order they were made, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    customer: Option<CustomerId>,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<Rule>, i64)> {
    let count: Count = sql(
        "select count(*) as total from shelf_life_rule where tenant_id = $1 and ($2 is null or customer_id = $2)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(customer)
    .get_result(tx.conn())
    .await?;
    let rows = sql(
        "select id, customer_id, customer_group, product_id, min_days, version from shelf_life_rule
         where tenant_id = $1 and ($2 is null or customer_id = $2) and ($3 is null or id > $3)
         order by id limit $4 offset $5",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(customer)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}
