//! Every statement about categories.

use std::collections::HashMap;

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::CategoryId;
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    category::model::{Category, LEVELS},
    schema::category::{self, dsl},
    search::{model::dictionary, store::learn},
    text::fold,
};

/// What a list of categories may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This name, ignoring case.
    pub name: Option<String>,
    /// The children of this category.
    pub parent: Option<CategoryId>,
    /// Those at the top.
    pub top: bool,
}

/// A category by its folded name.
#[derive(Clone, Debug, Queryable)]
pub struct Named {
    /// Folded name.
    pub key: String,
    /// The one above.
    pub parent_id: Option<CategoryId>,
    /// Id.
    pub id: CategoryId,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: CategoryId,
}

#[derive(QueryableByName)]
struct Height {
    #[diesel(sql_type = Integer)]
    height: i32,
}

/// One category.
pub async fn find(tx: &mut Tx, id: CategoryId) -> Result<Option<Category>, Error> {
    let row = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Category::as_select())
        .first(tx.conn())
        .await
        .optional()?)
}

/// Categories by id.
pub async fn by_ids(tx: &mut Tx, ids: &[CategoryId]) -> Result<Vec<Category>, Error> {
    let rows = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(Category::as_select()).load(tx.conn()).await?)
}

/// One category, which must be there.
pub async fn get(tx: &mut Tx, id: CategoryId) -> Result<Category, Error> {
    Ok(find(tx, id).await?.ok_or(Db::NotFound)?)
}

/// One category, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: CategoryId, seen: i64) -> Result<Category, Error> {
    let row = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let category: Category = row
        .select(Category::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    if category.version == seen {
        Ok(category)
    } else {
        Err(Db::Stale {
            current: category.version,
        }
        .into())
    }
}

/// Waits until no one else moves categories of this tenant: two moves that are each right can make a cycle together.
pub async fn lock_tree(tx: &mut Tx) -> Result<(), Error> {
    sql("select pg_advisory_xact_lock(hashtextextended('product.category.' || $1::text, 0))")
        .bind::<SqlUuid, _>(tx.tenant())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A category and all above it, the nearest first.
pub async fn line(tx: &mut Tx, id: CategoryId) -> Result<Vec<CategoryId>, Error> {
    let rows: Vec<Row> = sql("with recursive up (id, parent_id, level) as (
           select id, parent_id, 1 from category where tenant_id = $1 and id = $2
           union all
           select c.id, c.parent_id, up.level + 1 from category c join up on c.id = up.parent_id
            where c.tenant_id = $1 and up.level < 100)
         select id from up order by level")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = SqlUuid)]
    of: CategoryId,
    #[diesel(sql_type = SqlUuid)]
    id: CategoryId,
}

/// For each of these categories: itself and all above it.
pub async fn lines(
    tx: &mut Tx,
    ids: &[CategoryId],
) -> Result<HashMap<CategoryId, Vec<CategoryId>>, Error> {
    let mut lines: HashMap<CategoryId, Vec<CategoryId>> = HashMap::new();
    if ids.is_empty() {
        return Ok(lines);
    }
    let rows: Vec<Step> = sql("with recursive up (of, id, parent_id, level) as (
           select id, id, parent_id, 1 from category where tenant_id = $1 and id = any($2)
           union all
           select up.of, c.id, c.parent_id, up.level + 1 from category c join up on c.id = up.parent_id
            where c.tenant_id = $1 and up.level < 100)
         select of, id from up order by of, level")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    for Step { of, id } in rows {
        lines.entry(of).or_default().push(id);
    }
    Ok(lines)
}

/// A category and all below it.
pub async fn subtree(tx: &mut Tx, id: CategoryId) -> Result<Vec<CategoryId>, Error> {
    let rows: Vec<Row> = sql("with recursive down (id, level) as (
           select id, 1 from category where tenant_id = $1 and id = $2
           union all
           select c.id, down.level + 1 from category c join down on c.parent_id = down.id
            where c.tenant_id = $1 and down.level < 100)
         select id from down")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Levels from a category down to its deepest descendant, itself included.
pub async fn height(tx: &mut Tx, id: CategoryId) -> Result<usize, Error> {
    let row: Height = sql("with recursive down (id, level) as (
           select id, 1 from category where tenant_id = $1 and id = $2
           union all
           select c.id, down.level + 1 from category c join down on c.parent_id = down.id
            where c.tenant_id = $1 and down.level < 100)
         select coalesce(max(level), 0) as height from down")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await?;
    Ok(usize::try_from(row.height).unwrap_or(LEVELS))
}

/// A category and all below it, or the whole tree, parents before their children and siblings by name; at most `most`.
pub async fn tree(
    tx: &mut Tx,
    root: Option<CategoryId>,
    most: i64,
) -> Result<Vec<Category>, Error> {
    Ok(sql("with recursive down as (
           select c.*, 1 as level from category c
            where c.tenant_id = $1 and case when $2 is null then c.parent_id is null else c.id = $2 end
           union all
           select c.*, down.level + 1 from category c join down on c.parent_id = down.id
            where c.tenant_id = $1 and down.level < 100)
         select id, version, parent_id, name, created_at, updated_at from down order by level, name_key, id limit $3")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(root)
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await?)
}

/// Every category with one of these folded names, anywhere in the tree.
pub async fn named(tx: &mut Tx, keys: &[String]) -> Result<Vec<Named>, Error> {
    let rows = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::name_key.eq_any(keys));
    Ok(rows
        .select((dsl::name_key, dsl::parent_id, dsl::id))
        .load(tx.conn())
        .await?)
}

/// A page of categories, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Category>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = category::table
            .filter(dsl::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(name) = &filter.name {
            rows = rows.filter(dsl::name_key.eq(fold(name)));
        }
        if let Some(parent) = filter.parent {
            rows = rows.filter(dsl::parent_id.eq(parent));
        }
        if filter.top {
            rows = rows.filter(dsl::parent_id.is_null());
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Category::as_select());
    let page = match at.sort.field {
        "created_at" => {
            walk!(
                rows,
                at,
                dsl::created_at,
                chrono::DateTime<chrono::Utc>,
                dsl::id
            )
            .load(tx.conn())
            .await?
        }
        _ => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((page, total))
}

/// Adds categories; a parent may be one of them.
pub async fn insert(tx: &mut Tx, categories: &[Category]) -> Result<(), Error> {
    let mut rows: Vec<&Category> = categories.iter().collect();
    // Two imports that make the same categories wait for each other in one order.
    rows.sort_by_cached_key(|category| (category.parent_id, fold(&category.name)));
    let ids: Vec<CategoryId> = rows.iter().map(|category| category.id).collect();
    let parents: Vec<Option<CategoryId>> = rows.iter().map(|category| category.parent_id).collect();
    let names: Vec<&str> = rows.iter().map(|category| category.name.as_str()).collect();
    let keys: Vec<String> = rows.iter().map(|category| fold(&category.name)).collect();
    let now = tx.now();
    sql("insert into category (tenant_id, id, version, parent_id, name, name_key, created_at, updated_at)
         select $1, n.id, 1, n.parent_id, n.name, n.key, $6, $6
           from unnest($2, $3, $4, $5) as n(id, parent_id, name, key)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Nullable<SqlUuid>>, _>(parents)
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Text>, _>(keys)
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    let words = categories
        .iter()
        .flat_map(|category| dictionary(&category.name));
    learn(tx, words.collect()).await
}

/// Stores a category that is locked.
pub async fn save(tx: &mut Tx, category: &Category) -> Result<(), Error> {
    let row = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(category.id));
    diesel::update(row)
        .set((category, dsl::name_key.eq(fold(&category.name))))
        .execute(tx.conn())
        .await?;
    learn(tx, dictionary(&category.name).collect()).await
}

/// Deletes a category that is locked.
pub async fn delete(tx: &mut Tx, id: CategoryId) -> Result<(), Error> {
    let row = category::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
