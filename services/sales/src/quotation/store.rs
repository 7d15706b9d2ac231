//! Every statement on quotations.

use bahi_db::{Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::CustomerId;
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        BigInt, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;

use super::model::{Quotation, QuotationId};
use crate::number::{Counter, Taken};

macro_rules! columns {
    () => {
        "quotation_id, registration_id, number, date, valid_until, status, branch_id, location_id, customer_id, offer, total,
         note, order_id, reason, created_by, created_at, sent_at, ended_at, version"
    };
}

/// Writes a new quotation.
pub(super) async fn insert(
    tx: &mut Tx,
    q: &Quotation,
    counter: &Counter,
    taken: &Taken,
) -> Result<()> {
    sql("insert into quotation (tenant_id, quotation_id, registration_id, fiscal_year, series, running, number, date,
                                valid_until, status, branch_id, location_id, customer_id, offer, total, note, created_by,
                                created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(q.quotation_id)
    .bind::<SqlUuid, _>(q.registration_id)
    .bind::<Integer, _>(counter.year.start_year())
    .bind::<Text, _>(counter.prefix.as_str())
    .bind::<BigInt, _>(taken.running)
    .bind::<Text, _>(taken.number.as_str())
    .bind::<Date, _>(q.date)
    .bind::<Date, _>(q.valid_until)
    .bind::<Text, _>(q.status.as_str())
    .bind::<SqlUuid, _>(q.branch_id)
    .bind::<SqlUuid, _>(q.location_id)
    .bind::<Nullable<SqlUuid>, _>(q.customer_id)
    .bind::<Jsonb, _>(&q.offer)
    .bind::<Numeric, _>(q.total)
    .bind::<Nullable<Text>, _>(q.note.as_deref())
    .bind::<Nullable<SqlUuid>, _>(q.created_by)
    .bind::<Timestamptz, _>(q.created_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A quotation.
pub(super) async fn find(tx: &Tx, id: QuotationId) -> Result<Option<Quotation>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from quotation where tenant_id = $1 and quotation_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// A quotation, locked.
pub(super) async fn lock(tx: &mut Tx, id: QuotationId) -> Result<Option<Quotation>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from quotation where tenant_id = $1 and quotation_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// Writes what may change of a locked quotation. It keeps number, date and registration.
pub(super) async fn save(tx: &mut Tx, q: &Quotation) -> Result<()> {
    sql("update quotation set valid_until = $3, status = $4, branch_id = $5, location_id = $6, customer_id = $7, offer = $8,
                total = $9, note = $10, order_id = $11, reason = $12, sent_at = $13, ended_at = $14, version = $15
          where tenant_id = $1 and quotation_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(q.quotation_id)
    .bind::<Date, _>(q.valid_until)
    .bind::<Text, _>(q.status.as_str())
    .bind::<SqlUuid, _>(q.branch_id)
    .bind::<SqlUuid, _>(q.location_id)
    .bind::<Nullable<SqlUuid>, _>(q.customer_id)
    .bind::<Jsonb, _>(&q.offer)
    .bind::<Numeric, _>(q.total)
    .bind::<Nullable<Text>, _>(q.note.as_deref())
    .bind::<Nullable<SqlUuid>, _>(q.order_id)
    .bind::<Nullable<Text>, _>(q.reason.as_deref())
    .bind::<Nullable<Timestamptz>, _>(q.sent_at)
    .bind::<Nullable<Timestamptz>, _>(q.ended_at)
    .bind::<BigInt, _>(q.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which quotations a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub number: Option<String>,
    /// As it is `today`: `expired` too.
    pub status: Option<String>,
    pub customer_id: Option<CustomerId>,
    pub today: NaiveDate,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or number = $2) and ($4 is null or customer_id = $4)
            and ($3 is null or $3 = case when status in ('draft', 'sent') and valid_until < $5 then 'expired' else status end)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from quotation",
            filters!(),
            " and ($6 is null or (created_at, quotation_id) ",
            $than,
            " ($6, $7)) order by created_at ",
            $direction,
            ", quotation_id ",
            $direction,
            " limit $8 offset $9"
        )
    };
}

/// A page of quotations, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Quotation>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let text = if filter.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<Text>, _>(filter.status.as_deref())
        .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
        .bind::<Date, _>(filter.today)
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from quotation",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.number.as_deref())
    .bind::<Nullable<Text>, _>(filter.status.as_deref())
    .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
    .bind::<Date, _>(filter.today)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
