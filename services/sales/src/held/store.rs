//! Every statement on held bills.

use bahi_db::{Ctx, Db, Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{BranchId, InvoiceId, PosSessionId, TenantId, TillId, UserId};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{HeldBill, HeldBillId};

macro_rules! columns {
    () => {
        "held_bill_id, branch_id, till_id, session_id, label, basket, state, held_by, held_at, expires_at, ended_by, ended_till,
         ended_at, invoice_id, held_total, version"
    };
}

/// Puts a basket aside.
pub(super) async fn insert(tx: &mut Tx, bill: &HeldBill) -> Result<()> {
    sql("insert into held_bill (tenant_id, held_bill_id, branch_id, till_id, session_id, label, basket, held_by, held_at, expires_at,
                                held_total)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
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
    .bind::<Nullable<Numeric>, _>(bill.held_total)
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
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or branch_id = $2) and ($3 is null or till_id = $3)
            and ($4 is null or session_id = $4)
            and case when state = 'held' and expires_at <= $6
                       or state = 'resumed' and greatest(expires_at, ended_at + interval '15 minutes') <= $6
                     then 'expired' else state end = $5"
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
    let text = if filter.walk.descending {
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
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
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

/// Puts a locked bill back among those that are held.
pub(super) async fn give_back(tx: &mut Tx, id: HeldBillId) -> Result<HeldBill> {
    Ok(sql(concat!(
        "update held_bill set state = 'held', ended_by = null, ended_till = null, ended_at = null, version = version + 1
          where tenant_id = $1 and held_bill_id = $2 returning ",
        columns!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await?)
}

/// Ends a locked bill by its sale.
pub(super) async fn sold(tx: &mut Tx, id: HeldBillId, invoice: InvoiceId) -> Result<()> {
    sql(
        "update held_bill set state = 'sold', invoice_id = $3, version = version + 1
          where tenant_id = $1 and held_bill_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<SqlUuid, _>(invoice)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tenants that have bills whose time is over.
///
/// # Errors
/// When the database cannot be reached.
pub(super) async fn due(db: &Db) -> Result<Vec<TenantId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: TenantId,
    }
    let ctx = Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()));
    db.read(&ctx, async |tx: &mut Tx| {
        let now = tx.now();
        let rows: Vec<Row> = sql("select t as tenant_id from held_bills_due($1) as t")
            .bind::<Timestamptz, _>(now)
            .load(tx.conn())
            .await?;
        Ok::<_, bahi_db::Error>(rows.into_iter().map(|row| row.tenant_id).collect())
    })
    .await
}

/// Ends at most 500 bills whose time is over; answers with them.
pub(super) async fn expire(tx: &mut Tx) -> Result<Vec<HeldBill>> {
    let now = tx.now();
    Ok(sql(concat!(
        "update held_bill b set state = 'expired', ended_at = $2, version = version + 1
           from (select held_bill_id as due_id from held_bill
                  where tenant_id = $1 and (state = 'held' and expires_at <= $2
                     or state = 'resumed' and greatest(expires_at, ended_at + interval '15 minutes') <= $2)
                  order by held_bill_id limit 500 for update skip locked) due
          where b.tenant_id = $1 and b.held_bill_id = due.due_id returning ",
        columns!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Timestamptz, _>(now)
    .load(tx.conn())
    .await?)
}
