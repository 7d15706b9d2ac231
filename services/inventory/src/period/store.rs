//! Every SQL statement about the calendar.

use bahi_db::{Error, Result, Tx, sql};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Date, Nullable, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

/// Up to which day the books are closed.
#[derive(Clone, Copy, Debug, Default, QueryableByName)]
pub(crate) struct Calendar {
    #[diesel(sql_type = Nullable<Date>)]
    pub closed_through: Option<NaiveDate>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// The calendar as it stands.
pub(super) async fn find(tx: &mut Tx) -> Result<Calendar> {
    let row = sql("select closed_through, version from calendar where tenant_id = $1")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(tx.conn())
        .await
        .optional()?;
    Ok(row.unwrap_or_default())
}

async fn ensure(tx: &mut Tx) -> Result<()> {
    sql("insert into calendar (tenant_id) values ($1) on conflict do nothing")
        .bind::<SqlUuid, _>(tx.tenant())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keeps the calendar as it is until the end of the transaction, and reads it.
pub(crate) async fn share(tx: &mut Tx) -> Result<Calendar> {
    ensure(tx).await?;
    sql("select closed_through, version from calendar where tenant_id = $1 for share")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(tx.conn())
        .await
        .map_err(Error::from)
}

/// Has the calendar alone until the end of the transaction: nobody posts to an earlier dekad meanwhile.
pub(crate) async fn lock(tx: &mut Tx) -> Result<Calendar> {
    ensure(tx).await?;
    sql("select closed_through, version from calendar where tenant_id = $1 for update")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(tx.conn())
        .await
        .map_err(Error::from)
}

/// Moves the line, and gives the new version.
pub(super) async fn save(tx: &mut Tx, closed_through: Option<NaiveDate>) -> Result<Calendar> {
    sql(
        "update calendar set closed_through = $2, version = version + 1 where tenant_id = $1
         returning closed_through, version",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Date>, _>(closed_through)
    .get_result(tx.conn())
    .await
    .map_err(Error::from)
}

/// The day of the first movement.
pub(crate) async fn first_day(tx: &mut Tx) -> Result<Option<NaiveDate>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Date>)]
        day: Option<NaiveDate>,
    }
    let row: Row = sql("select min(posting_date) as day from movement where tenant_id = $1")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(tx.conn())
        .await?;
    Ok(row.day)
}
