//! Every SQL statement about posted documents.

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{LocationId, PageQuery};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Date, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::Filter;

/// What a document is: the source of its movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goods in.
    Receipt,
    /// Stock corrected by hand.
    Adjustment,
    /// The same goods in another state.
    StatusChange,
    /// Goods that went back to their supplier.
    SupplierReturn,
}

impl Kind {
    /// As the database writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Adjustment => "adjustment",
            Self::StatusChange => "status_change",
            Self::SupplierReturn => "supplier_return",
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Jsonb)]
    body: Value,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// Writes a document that counts for a business day.
pub(crate) async fn insert(
    tx: &mut Tx,
    kind: Kind,
    id: Uuid,
    (location, day): (LocationId, NaiveDate),
    body: &impl Serialize,
) -> Result<()> {
    sql(
        "insert into stock_document (tenant_id, id, kind, location_id, posting_date, body)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(kind.name())
    .bind::<SqlUuid, _>(location)
    .bind::<Date, _>(day)
    .bind::<Jsonb, _>(serde_json::to_value(body)?)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A document, if it was posted.
pub(crate) async fn find<T: DeserializeOwned>(
    tx: &mut Tx,
    kind: Kind,
    id: Uuid,
) -> Result<Option<T>> {
    let row: Option<Row> =
        sql("select body from stock_document where tenant_id = $1 and id = $2 and kind = $3")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .bind::<Text, _>(kind.name())
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|r| serde_json::from_value(r.body)).transpose()?)
}

/// Documents by id.
pub(super) async fn by_ids<T: DeserializeOwned>(
    tx: &mut Tx,
    kind: Kind,
    ids: &[Uuid],
) -> Result<Vec<T>> {
    let rows: Vec<Row> =
        sql("select body from stock_document where tenant_id = $1 and id = any ($2) and kind = $3")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Text, _>(kind.name())
            .load(tx.conn())
            .await?;
    let rows = rows
        .into_iter()
        .map(|r| serde_json::from_value(r.body).map_err(Error::from));
    rows.collect()
}

/// One page of documents without their lines, in the order they were posted, and how many there are.
pub(super) async fn list<T: DeserializeOwned>(
    tx: &mut Tx,
    kind: Kind,
    filter: &Filter,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<T>, i64)> {
    let count: Count = sql(
        "select count(*) as total from stock_document d where tenant_id = $1 and kind = $2
         and ($3 is null or location_id = $3) and ($4 is null or posting_date >= $4) and ($5 is null or posting_date <= $5)
         and ($6 is null or exists (select from movement m where m.tenant_id = $1 and m.source_type = $2
                                    and m.source_id = d.id and m.product_id = $6))",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(kind.name())
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<Date>, _>(filter.from)
    .bind::<Nullable<Date>, _>(filter.to)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .get_result(tx.conn())
    .await?;
    let rows: Vec<Row> = sql(
        "select body - 'lines' as body from stock_document d where tenant_id = $1 and kind = $2
         and ($3 is null or location_id = $3) and ($4 is null or posting_date >= $4) and ($5 is null or posting_date <= $5)
         and ($6 is null or exists (select from movement m where m.tenant_id = $1 and m.source_type = $2
                                    and m.source_id = d.id and m.product_id = $6))
         and ($7 is null or id > $7) order by id limit $8 offset $9",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(kind.name())
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<Date>, _>(filter.from)
    .bind::<Nullable<Date>, _>(filter.to)
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    let rows = rows
        .into_iter()
        .map(|r| serde_json::from_value(r.body).map_err(Error::from));
    Ok((rows.collect::<Result<_>>()?, count.total))
}
