//! Every statement on sessions.

use bahi_db::{Result, Tx, sql};
use bahi_types::{BranchId, LocationId, Money, PosSessionId, RegistrationId, TillId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Count, Method, Session, Takings};

macro_rules! columns {
    () => {
        "session_id, till_id, branch_id, location_id, state, opened_by, opened_at, closed_by, closed_at, opening_float,
         received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher, change_given,
         refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher, cash_in, cash_out,
         expected_cash, sales, sold, sold_tax, returns, returned, returned_tax, retained, deposited, version"
    };
}

/// What a sale or refund at a till needs to know of its session.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Seat {
    #[diesel(sql_type = SqlUuid)]
    pub till_id: TillId,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Bool)]
    pub open: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub registration_id: Option<RegistrationId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub state_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub series: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub round_to_rupee: Option<bool>,
}

/// The session with its till, branch and registration. Branch and location are those at opening.
pub(crate) async fn seat(tx: &Tx, session: PosSessionId) -> Result<Option<Seat>> {
    Ok(sql("
        select s.till_id, s.branch_id, s.location_id, s.state = 'open' as open, b.registration_id, r.gstin, r.state_code,
               t.series, t.round_to_rupee
          from pos_session s
          left join till t on t.tenant_id = s.tenant_id and t.till_id = s.till_id
          left join branch b on b.tenant_id = s.tenant_id and b.branch_id = s.branch_id
          left join registration r on r.tenant_id = s.tenant_id and r.registration_id = b.registration_id
         where s.tenant_id = $1 and s.session_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// Adds a sale to the totals; 0 when the session is not open.
pub(crate) async fn add_sale(
    tx: &Tx,
    session: PosSessionId,
    takings: &Takings,
    change: Money,
    total: Money,
    tax: Money,
) -> Result<usize> {
    Ok(sql("
        update pos_session set received_cash = received_cash + $3, received_upi = received_upi + $4,
               received_card = received_card + $5, received_wallet = received_wallet + $6,
               received_credit = received_credit + $7, received_voucher = received_voucher + $8,
               change_given = change_given + $9, sales = sales + 1, sold = sold + $10, sold_tax = sold_tax + $11
         where tenant_id = $1 and session_id = $2 and state = 'open'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Numeric, _>(takings.get(Method::Cash))
    .bind::<Numeric, _>(takings.get(Method::Upi))
    .bind::<Numeric, _>(takings.get(Method::Card))
    .bind::<Numeric, _>(takings.get(Method::Wallet))
    .bind::<Numeric, _>(takings.get(Method::Credit))
    .bind::<Numeric, _>(takings.get(Method::Voucher))
    .bind::<Numeric, _>(change)
    .bind::<Numeric, _>(total)
    .bind::<Numeric, _>(tax)
    .execute(&mut tx.shared())
    .await?)
}

/// Adds a return to the totals; 0 when the session is not open.
pub(crate) async fn add_return(
    tx: &Tx,
    session: PosSessionId,
    refunds: &Takings,
    total: Money,
    tax: Money,
) -> Result<usize> {
    Ok(sql("
        update pos_session set refunded_cash = refunded_cash + $3, refunded_upi = refunded_upi + $4,
               refunded_card = refunded_card + $5, refunded_wallet = refunded_wallet + $6,
               refunded_credit = refunded_credit + $7, refunded_voucher = refunded_voucher + $8,
               returns = returns + 1, returned = returned + $9, returned_tax = returned_tax + $10
         where tenant_id = $1 and session_id = $2 and state = 'open'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Numeric, _>(refunds.get(Method::Cash))
    .bind::<Numeric, _>(refunds.get(Method::Upi))
    .bind::<Numeric, _>(refunds.get(Method::Card))
    .bind::<Numeric, _>(refunds.get(Method::Wallet))
    .bind::<Numeric, _>(refunds.get(Method::Credit))
    .bind::<Numeric, _>(refunds.get(Method::Voucher))
    .bind::<Numeric, _>(total)
    .bind::<Numeric, _>(tax)
    .execute(&mut tx.shared())
    .await?)
}

/// The open session of a till.
pub(super) async fn open_of(tx: &mut Tx, till: TillId) -> Result<Option<PosSessionId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        session_id: PosSessionId,
    }
    let row: Option<Row> =
        sql("select session_id from pos_session where tenant_id = $1 and till_id = $2 and state = 'open'")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(till)
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|r| r.session_id))
}

/// Opens a session; 0 when the till has one.
pub(super) async fn insert(
    tx: &mut Tx,
    session: PosSessionId,
    till: TillId,
    branch: BranchId,
    location: LocationId,
    by: UserId,
    float: Money,
) -> Result<usize> {
    Ok(sql("insert into pos_session (tenant_id, session_id, till_id, branch_id, location_id, opened_by, opened_at, opening_float)
            values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<SqlUuid, _>(till)
    .bind::<SqlUuid, _>(branch)
    .bind::<SqlUuid, _>(location)
    .bind::<SqlUuid, _>(by)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Numeric, _>(float)
    .execute(tx.conn())
    .await?)
}

/// A session.
pub(super) async fn find(tx: &mut Tx, session: PosSessionId) -> Result<Option<Session>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from pos_session where tenant_id = $1 and session_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// A session, locked.
pub(super) async fn lock(tx: &mut Tx, session: PosSessionId) -> Result<Option<Session>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from pos_session where tenant_id = $1 and session_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// What was counted.
pub(super) async fn counts(tx: &mut Tx, session: PosSessionId) -> Result<Vec<Count>> {
    Ok(sql("select method, expected, counted, variance from session_count
             where tenant_id = $1 and session_id = $2
             order by array_position(array['cash', 'upi', 'card', 'wallet', 'credit', 'voucher'], method)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .load(tx.conn())
    .await?)
}

/// Closes a locked session.
pub(super) async fn close(
    tx: &mut Tx,
    session: &Session,
    by: UserId,
    counts: &[Count],
    retained: Money,
    deposited: Money,
) -> Result<()> {
    sql("update pos_session set state = 'closed', closed_by = $3, closed_at = $4, retained = $5, deposited = $6,
                version = version + 1
          where tenant_id = $1 and session_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session.session_id)
    .bind::<SqlUuid, _>(by)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Numeric, _>(retained)
    .bind::<Numeric, _>(deposited)
    .execute(tx.conn())
    .await?;
    sql(
        "insert into session_count (tenant_id, session_id, method, expected, counted)
         select $1, $2, n.* from unnest($3, $4, $5) as n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session.session_id)
    .bind::<Array<Text>, _>(counts.iter().map(|c| c.method.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(counts.iter().map(|c| c.expected).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(counts.iter().map(|c| c.counted).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Adds a movement of cash to an open session; 0 when it is not open.
pub(super) async fn move_cash(
    tx: &mut Tx,
    movement: Uuid,
    session: PosSessionId,
    direction: &str,
    amount: Money,
    reason: &str,
    by: UserId,
) -> Result<usize> {
    let changed = sql("
        update pos_session set cash_in = cash_in + case $3 when 'in' then $4 else 0 end,
                               cash_out = cash_out + case $3 when 'out' then $4 else 0 end
         where tenant_id = $1 and session_id = $2 and state = 'open'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Text, _>(direction)
    .bind::<Numeric, _>(amount)
    .execute(tx.conn())
    .await?;
    if changed == 0 {
        return Ok(0);
    }
    Ok(sql("insert into cash_movement (tenant_id, movement_id, session_id, direction, amount, reason, moved_by, moved_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(movement)
    .bind::<SqlUuid, _>(session)
    .bind::<Text, _>(direction)
    .bind::<Numeric, _>(amount)
    .bind::<Text, _>(reason)
    .bind::<SqlUuid, _>(by)
    .bind::<Timestamptz, _>(tx.now())
    .execute(tx.conn())
    .await?)
}

/// Which sessions a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub till_id: Option<Uuid>,
    pub state: Option<String>,
    pub after: Option<(DateTime<Utc>, Uuid)>,
    pub limit: i64,
    pub offset: i64,
    pub descending: bool,
}

macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ", columns!(), " from pos_session
              where tenant_id = $1 and ($2 is null or till_id = $2) and ($3 is null or state = $3)
                and ($4 is null or (opened_at, session_id) ", $than, " ($4, $5))
              order by opened_at ", $direction, ", session_id ", $direction, " limit $6 offset $7"
        )
    };
}

/// A page of sessions, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Session>, i64)> {
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
        .bind::<Nullable<SqlUuid>, _>(filter.till_id)
        .bind::<Nullable<Text>, _>(filter.state.as_deref())
        .bind::<Nullable<Timestamptz>, _>(filter.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.limit)
        .bind::<BigInt, _>(filter.offset)
        .load(&mut reader);
    let total = sql("select count(*) as total from pos_session
                      where tenant_id = $1 and ($2 is null or till_id = $2) and ($3 is null or state = $3)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.till_id)
    .bind::<Nullable<Text>, _>(filter.state.as_deref())
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// A movement of cash.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct CashMovement {
    #[diesel(sql_type = SqlUuid)]
    pub movement_id: Uuid,
    #[diesel(sql_type = Text)]
    pub direction: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = SqlUuid)]
    pub moved_by: UserId,
    #[diesel(sql_type = Timestamptz)]
    pub moved_at: DateTime<Utc>,
}

/// The movements of cash of a session, oldest first.
pub(super) async fn movements(
    tx: &mut Tx,
    session: PosSessionId,
    most: i32,
) -> Result<Vec<CashMovement>> {
    Ok(sql(
        "select movement_id, direction, amount, reason, moved_by, moved_at from cash_movement
             where tenant_id = $1 and session_id = $2 order by moved_at, movement_id limit $3",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Integer, _>(most)
    .load(tx.conn())
    .await?)
}
