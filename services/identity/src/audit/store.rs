//! The SQL of the trail: there is an insert and a list, and nothing else.

use bahi_db::{Result, Tx};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::model::Record;
use crate::{Error, schema::audit};

/// Adds records; one that is there already stays as it is.
pub async fn insert(tx: &mut Tx, records: &[Record]) -> Result<()> {
    diesel::insert_into(audit::table)
        .values(records)
        .on_conflict_do_nothing()
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What the trail may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
    /// Who.
    pub actor: Option<String>,
    /// Which operation.
    pub action: Option<String>,
    /// Kind of the object.
    pub object_type: Option<String>,
    /// The object.
    pub object_id: Option<String>,
}

/// Fields the trail may be sorted by.
pub const SORTS: [&str; 1] = ["at"];

/// A page of the trail.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    filter: &Filter,
) -> std::result::Result<Page<Record>, Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = audit::table
            .filter(audit::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(from) = filter.from {
            rows = rows.filter(audit::at.ge(from));
        }
        if let Some(to) = filter.to {
            rows = rows.filter(audit::at.lt(to));
        }
        if let Some(actor) = filter.actor.clone() {
            rows = rows.filter(audit::actor_id.eq(actor));
        }
        if let Some(action) = filter.action.clone() {
            rows = rows.filter(audit::action.eq(action));
        }
        if let Some(kind) = filter.object_type.clone() {
            rows = rows.filter(audit::object_type.eq(kind));
        }
        if let Some(id) = filter.object_id.clone() {
            rows = rows.filter(audit::object_id.eq(id));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = walk!(
        matching().select(Record::as_select()),
        walk,
        audit::at,
        DateTime<Utc>,
        audit::id
    );
    let rows: Vec<Record> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (row.at.to_rfc3339(), row.id)
    }))
}
