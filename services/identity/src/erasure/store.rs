//! The SQL of erasures.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Erasure, Part};
use crate::{
    Error,
    schema::{erasure, erasure_part, tenant_export},
};

/// Fields that a list may be sorted by.
pub const SORTS: [&str; 1] = ["asked_at"];

/// Adds an erasure; false when the person was erased before.
pub async fn insert(tx: &mut Tx, row: &Erasure) -> Result<bool> {
    let added = diesel::insert_into(erasure::table)
        .values(row)
        .on_conflict((erasure::tenant_id, erasure::subject, erasure::subject_id))
        .do_nothing()
        .execute(tx.conn())
        .await?;
    Ok(added == 1)
}

/// The erasure of a person.
pub async fn of(tx: &mut Tx, subject: &str, subject_id: Uuid) -> Result<Erasure> {
    let row = erasure::table
        .filter(erasure::tenant_id.eq(tx.tenant()))
        .filter(erasure::subject.eq(subject))
        .filter(erasure::subject_id.eq(subject_id));
    let row = row.select(Erasure::as_select());
    Ok(row.first(tx.conn()).await?)
}

/// Whether the erasure of a person was asked for.
pub async fn exists(tx: &mut Tx, subject: &str, subject_id: Uuid) -> Result<bool> {
    let row = erasure::table
        .filter(erasure::tenant_id.eq(tx.tenant()))
        .filter(erasure::subject.eq(subject))
        .filter(erasure::subject_id.eq(subject_id));
    Ok(diesel::select(diesel::dsl::exists(row))
        .get_result(tx.conn())
        .await?)
}

/// Adds those who are asked.
pub async fn ask(tx: &mut Tx, parts: &[Part]) -> Result<()> {
    diesel::insert_into(erasure_part::table)
        .values(parts)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// An erasure.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<Erasure> {
    Ok(erasure::table
        .find((tx.tenant(), id))
        .select(Erasure::as_select())
        .first(tx.conn())
        .await?)
}

/// An erasure, locked; none where it was never asked for here.
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Erasure>> {
    let row = erasure::table
        .find((tx.tenant(), id))
        .select(Erasure::as_select());
    Ok(row.for_no_key_update().first(tx.conn()).await.optional()?)
}

/// What the services have answered, by name.
pub async fn parts(tx: &mut Tx, id: Uuid) -> Result<Vec<Part>> {
    let rows = erasure_part::table
        .filter(erasure_part::tenant_id.eq(tx.tenant()))
        .filter(erasure_part::erasure_id.eq(id))
        .order(erasure_part::service)
        .select(Part::as_select());
    Ok(rows.load(tx.conn()).await?)
}

/// Saves an answer; false when that service was not asked.
pub async fn save_part(tx: &mut Tx, part: &Part) -> Result<bool> {
    let row = erasure_part::table.find((tx.tenant(), part.erasure_id, &part.service));
    let saved = diesel::update(row)
        .set((
            erasure_part::answered_at.eq(part.answered_at),
            erasure_part::erased.eq(&part.erased),
            erasure_part::kept.eq(&part.kept),
        ))
        .execute(tx.conn())
        .await?;
    Ok(saved == 1)
}

/// Every service has answered.
pub async fn finish(tx: &mut Tx, id: Uuid) -> Result<()> {
    let now = tx.now();
    diesel::update(erasure::table.find((tx.tenant(), id)))
        .set((
            erasure::finished_at.eq(now),
            erasure::version.eq(erasure::version + 1),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Archives that lie in the store are at their end.
pub async fn expire_exports(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    let open = tenant_export::table
        .filter(tenant_export::tenant_id.eq(tx.tenant()))
        .filter(tenant_export::status.eq_any(["ready", "failed"]))
        .filter(tenant_export::expires_at.gt(now));
    diesel::update(open)
        .set(tenant_export::expires_at.eq(now))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A page of erasures.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
) -> std::result::Result<Page<Erasure>, Error> {
    let tenant = tx.tenant();
    let all = || {
        erasure::table
            .filter(erasure::tenant_id.eq(tenant))
            .into_boxed()
    };
    let total = all().count().get_result(tx.conn()).await?;
    let rows = walk!(
        all().select(Erasure::as_select()),
        walk,
        erasure::asked_at,
        DateTime<Utc>,
        erasure::id
    );
    let rows: Vec<Erasure> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (row.asked_at.to_rfc3339(), row.id)
    }))
}
