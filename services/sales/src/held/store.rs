//! Every statement on held bills.

use bahi_db::{Ctx, Db, Result, Tx, sql};
use bahi_types::{BranchId, PosSessionId, TenantId, TillId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{HeldBill, HeldBillId};

macro_rules! columns {
    () => {
        "held_bill_id, branch_id, till_id, session_id, label, basket, state, held_by, held_at, expires_at, ended_by, ended_till,
         ended_at, version"
    };
}

/// Puts a basket aside.
pub(super) async fn insert(tx: &mut Tx, bill: &HeldBill) -> Result<()> {
    sql("insert into held_bill (tenant_id, held_bill_id, branch_id, till_id, session_id, label, basket, held_by, held_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(bill.held_bill_id)
    .bind::<SqlUuid, _>(bill.branch_id)
    .bind::<SqlUuid, _>(bill.till_id)
    .bind::<SqlUuid, _>(bill.session_id)
    .bind::<Nullable<Text>, _>(bill.label.as_deref())
    .bind::<Jsonb, _>(&bill.basket)
    .bind::<SqlUuid, _>(bill.held_by)
    .bind::<Timestamptz, _>(bill.held_at)
    .bind::<Timestamptz, _>(bill.expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A held bill, locked.
pub(super) async fn lock(tx: &mut Tx, id: HeldBillId) -> Result<Option<HeldBill>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from held_bill where tenant_id = $1 and held_bill_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// Ends a locked held bill.
pub(super) async fn end(
    tx: &mut Tx,
    id: HeldBillId,
    state: &str,
    by: UserId,
    till: Option<TillId>,
) -> Result<HeldBill> {
    Ok(sql(concat!(
        "update held_bill set state = $3, ended_by = $4, ended_till = $5, ended_at = $6, version = version + 1
          where tenant_id = $1 and held_bill_id = $2 returning ",
        columns!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(state)
    .bind::<SqlUuid, _>(by)
    .bind::<Nullable<SqlUuid>, _>(till)
    .bind::<Timestamptz, _>(tx.now())
    .get_result(tx.conn())
    .await?)
}

/// Which held bills a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub branch_id: Option<BranchId>,
    pub till_id: Option<TillId>,
    pub session_id: Option<PosSessionId>,
    /// With `held`, those past their time are left out; with `expired`, they are in.
    pub state: String,
    pub after: Option<(DateTime<Utc>, Uuid)>,
    pub limit: i64,
    pub offset: i64,
    pub descending: bool,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or branch_id = $2) and ($3 is null or till_id = $3)
            and ($4 is null or session_id = $4)
            and case when state = 'held' and expires_at <= $6 then 'expired' else state end = $5"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from held_bill",
            filters!(),
            " and ($7 is null or (held_at, held_bill_id) ",
            $than,
            " ($7, $8))
              order by held_at ",
            $direction,
            ", held_bill_id ",
            $direction,
            " limit $9 offset $10"
        )
    };
}

/// A page of held bills, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<HeldBill>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let text = if filter.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
        .bind::<Nullable<SqlUuid>, _>(filter.till_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Text, _>(filter.state.as_str())
        .bind::<Timestamptz, _>(tx.now())
        .bind::<Nullable<Timestamptz>, _>(filter.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.limit)
        .bind::<BigInt, _>(filter.offset)
        .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from held_bill",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
    .bind::<Nullable<SqlUuid>, _>(filter.till_id)
    .bind::<Nullable<SqlUuid>, _>(filter.session_id)
    .bind::<Text, _>(filter.state.as_str())
    .bind::<Timestamptz, _>(tx.now())
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// Ends every held bill of every tenant whose time is over.
///
/// # Errors
/// When the database cannot be reached.
pub(crate) async fn expire(db: &Db) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        expired: i64,
    }
    let ctx = Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()));
    let done = db
        .write(&ctx, async |tx: &mut Tx| {
            let now = tx.now();
            let row: Row = sql("select expire_held_bills($1) as expired")
                .bind::<Timestamptz, _>(now)
                .get_result(tx.conn())
                .await?;
            Ok::<_, bahi_db::Error>(row.expired)
        })
        .await?;
    Ok(done.value)
}
