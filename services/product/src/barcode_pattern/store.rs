//! Every statement about patterns.

use bahi_db::{Error as Db, Tx};
use bahi_http::{Walk, walk};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    barcode_pattern::model::{MOST, Pattern, PatternId},
    schema::barcode_pattern::{self, dsl},
};

/// One pattern, which must be there.
pub async fn get(tx: &mut Tx, id: PatternId) -> Result<Pattern, Error> {
    let row = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let found: Option<Pattern> = row
        .select(Pattern::as_select())
        .first(tx.conn())
        .await
        .optional()?;
    Ok(found.ok_or(Db::NotFound)?)
}

/// One pattern, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: PatternId, seen: i64) -> Result<Pattern, Error> {
    let row = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let pattern: Pattern = row
        .select(Pattern::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    if pattern.version == seen {
        Ok(pattern)
    } else {
        Err(Db::Stale {
            current: pattern.version,
        }
        .into())
    }
}

/// How many there are.
pub async fn count(tx: &mut Tx) -> Result<i64, Error> {
    let rows = barcode_pattern::table.filter(dsl::tenant_id.eq(tx.tenant()));
    Ok(rows.count().get_result(tx.conn()).await?)
}

/// All of them, in the order in which they are tried.
pub async fn all(tx: &mut Tx) -> Result<Vec<Pattern>, Error> {
    let rows = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .order((dsl::position, dsl::id));
    Ok(rows
        .limit(MOST * 2)
        .select(Pattern::as_select())
        .load(tx.conn())
        .await?)
}

/// A page of patterns, and how many there are.
pub async fn list(tx: &mut Tx, at: &Walk) -> Result<(Vec<Pattern>, i64), Error> {
    let total = count(tx).await?;
    let rows = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .select(Pattern::as_select())
        .into_boxed();
    let page = match at.sort.field {
        "name" => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
        _ => {
            walk!(rows, at, dsl::position, i32, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((page, total))
}

/// Adds a pattern.
pub async fn insert(tx: &mut Tx, pattern: &Pattern) -> Result<(), Error> {
    diesel::insert_into(barcode_pattern::table)
        .values((dsl::tenant_id.eq(tx.tenant()), pattern))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a pattern that is locked.
pub async fn save(tx: &mut Tx, pattern: &Pattern) -> Result<(), Error> {
    let row = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(pattern.id));
    diesel::update(row).set(pattern).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes a pattern that is locked.
pub async fn delete(tx: &mut Tx, id: PatternId) -> Result<(), Error> {
    let row = barcode_pattern::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
