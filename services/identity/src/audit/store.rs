//! The SQL of the trail: it is added to and read, and nothing else.

use bahi_db::{Result, Tx, sql};
use bahi_http::{Walk, paged, walk};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{BigInt, Bytea, Nullable, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Kept, Record, ZERO};
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

/// A part of the trail, summed up again from the hash before it.
#[derive(Debug, QueryableByName)]
pub struct Walked {
    /// Number of its last record; none where it has none.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub number: Option<i64>,
    /// The hash of that one.
    #[diesel(sql_type = Nullable<Bytea>)]
    pub hash: Option<Vec<u8>>,
    /// The first place where a record is missing, changed or put in later.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub broken_at: Option<i64>,
}

/// Sums up the records after one number and up to another. All before them are right, and `hash` is that of the last.
pub async fn walk(
    tx: &mut Tx,
    (after, upto): (i64, i64),
    hash: &[u8],
    noted: Option<(i64, Vec<u8>)>,
) -> Result<Walked> {
    let (noted, noted_hash) = noted.unzip();
    Ok(sql("
        with chain as (
          select a.number, a.hash, lag(a.number, 1, greatest($2, 0)) over w + 1 as place,
                 a.hash <> audit_hash(lag(a.hash, 1, $4) over w, a) or a.number = $5 and a.hash <> $6 as altered
            from audit a where a.tenant_id = $1 and a.number > $2 and a.number <= $3
          window w as (order by a.number)
        )
        select (select max(c.number) from chain c) as number,
               (select c.hash from chain c order by c.number desc limit 1) as hash,
               (select least(c.number, c.place) from chain c where c.altered or c.number <> c.place
                 order by c.number limit 1) as broken_at")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(upto)
    .bind::<Bytea, _>(hash)
    .bind::<Nullable<BigInt>, _>(noted)
    .bind::<Nullable<Bytea>, _>(noted_hash)
    .get_result(tx.conn())
    .await?)
}

/// Where the trail ends.
#[derive(Debug, QueryableByName)]
pub struct End {
    /// As it was noted when the last record was added: the number.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    /// The hash; 32 zero bytes where there is no record.
    #[diesel(sql_type = Bytea)]
    pub hash: Vec<u8>,
    /// The highest number that there is.
    #[diesel(sql_type = BigInt)]
    pub last: i64,
}

/// Looks where the trail ends.
pub async fn end(tx: &mut Tx) -> Result<End> {
    Ok(sql("
        select coalesce(e.number, 0) as number, coalesce(e.hash, $2) as hash, l.last
          from (select coalesce(max(a.number), 0) as last from audit a where a.tenant_id = $1) l
          left join audit_end e on e.tenant_id = $1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Bytea, _>(ZERO.as_slice())
    .get_result(tx.conn())
    .await?)
}
