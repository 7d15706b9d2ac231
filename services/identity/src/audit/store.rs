//! The SQL of the trail: it is added to and read, and nothing else.

use bahi_db::{Result, Tx, sql};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bytea, Nullable, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Kept, Record, Verdict};
use crate::{Error, schema::audit};

/// Adds records, which the database chains; one that is there already stays as it is.
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
) -> std::result::Result<Page<Kept>, Error> {
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
        matching().select(Kept::as_select()),
        walk,
        audit::at,
        DateTime<Utc>,
        audit::id
    );
    let rows: Vec<Kept> = rows.load(tx.conn()).await?;
    Ok(paged(rows, query, total, |row| {
        (row.record.at.to_rfc3339(), row.record.id)
    }))
}

/// Sums the whole trail up again. `noted` is a record's number and hash as somebody kept them elsewhere: who can write
/// to the database can chain a trail anew, but not so that it leads to what was noted.
pub async fn verify(tx: &mut Tx, noted: Option<(i64, Vec<u8>)>) -> Result<Verdict> {
    let (number, hash) = noted.unzip();
    Ok(sql("
        with chain as (
          select a.number, lag(a.number, 1, 0::bigint) over w + 1 as place,
                 a.hash <> audit_hash(lag(a.hash, 1, decode(repeat('00', 32), 'hex')) over w, a)
                   or a.number = $2 and a.hash <> $3 as altered
            from audit a where a.tenant_id = $1
          window w as (order by a.number)
        ), last as (
          select coalesce(max(a.number), 0) as number from audit a where a.tenant_id = $1
        )
        select coalesce(e.number, 0) as number, coalesce(e.hash, decode(repeat('00', 32), 'hex')) as hash,
               coalesce((select least(c.number, c.place) from chain c where c.altered or c.number <> c.place
                          order by c.number limit 1),
                        case when l.number <> coalesce(e.number, 0)
                               or e.hash <> (select a.hash from audit a where a.tenant_id = $1 and a.number = l.number)
                               or l.number < $2
                             then l.number + 1 end) as broken_at
          from last l left join audit_end e on e.tenant_id = $1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<BigInt>, _>(number)
    .bind::<Nullable<Bytea>, _>(hash)
    .get_result(tx.conn())
    .await?)
}
