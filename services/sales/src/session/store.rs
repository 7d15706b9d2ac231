//! Every statement on sessions.

use bahi_db::{Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{
    BranchId, LocationId, Money, PosSessionId, RegistrationId, TillId, UserId, business_date,
};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Count, Late, Method, Session, Supplement, Takings};

macro_rules! columns {
    () => {
        "session_id, till_id, branch_id, location_id, state, opened_by, opened_at, closed_by, closed_at, opening_float,
         received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher, change_given,
         refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher, cash_in, cash_out,
         expected_cash, sales, sold, sold_tax, returns, returned, returned_tax, receipts, collected, repaid, cancels,
         cancelled, cancelled_tax, exchanged, retained, deposited, version"
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
    #[diesel(sql_type = Timestamptz)]
    pub opened_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub closed_at: Option<DateTime<Utc>>,
}

/// The session with its till, branch and registration. Branch and location are those at opening.
pub(crate) async fn seat(tx: &Tx, session: PosSessionId) -> Result<Option<Seat>> {
    Ok(sql("
        select s.till_id, s.branch_id, s.location_id, s.state = 'open' as open, b.registration_id, r.gstin, r.state_code,
               t.series, t.round_to_rupee, s.opened_at, s.closed_at
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
               change_given = change_given + $9, sales = sales + 1, sold = sold + $10, sold_tax = sold_tax + $11,
               exchanged = exchanged + $12
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
    .bind::<Numeric, _>(takings.get(Method::Exchange))
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

/// Adds a receipt to the totals; 0 when the session is not open.
pub(crate) async fn add_receipt(
    tx: &Tx,
    session: PosSessionId,
    takings: &Takings,
) -> Result<usize> {
    Ok(sql("
        update pos_session set received_cash = received_cash + $3, received_upi = received_upi + $4,
               received_card = received_card + $5, received_wallet = received_wallet + $6,
               received_voucher = received_voucher + $7, receipts = receipts + 1, collected = collected + $8
         where tenant_id = $1 and session_id = $2 and state = 'open'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Numeric, _>(takings.get(Method::Cash))
    .bind::<Numeric, _>(takings.get(Method::Upi))
    .bind::<Numeric, _>(takings.get(Method::Card))
    .bind::<Numeric, _>(takings.get(Method::Wallet))
    .bind::<Numeric, _>(takings.get(Method::Voucher))
    .bind::<Numeric, _>(takings.total())
    .execute(&mut tx.shared())
    .await?)
}

/// Adds what is paid out of the drawer for something other than goods that come back: `cancelled` holds total and tax of
/// a cancelled sale; an advance, a receipt or a note is given back without. 0 when the session is not open.
pub(crate) async fn pay_out(
    tx: &Tx,
    session: PosSessionId,
    refunds: &Takings,
    cancelled: Option<(Money, Money)>,
) -> Result<usize> {
    let credit = refunds.get(Method::Credit);
    let repaid = match cancelled {
        Some(_) => Money::ZERO,
        None => refunds.total() - credit,
    };
    let (total, tax) = cancelled.unwrap_or_default();
    Ok(sql("
        update pos_session set refunded_cash = refunded_cash + $3, refunded_upi = refunded_upi + $4,
               refunded_card = refunded_card + $5, refunded_wallet = refunded_wallet + $6,
               refunded_credit = refunded_credit + $7, refunded_voucher = refunded_voucher + $8,
               repaid = repaid + $9, cancels = cancels + $10, cancelled = cancelled + $11,
               cancelled_tax = cancelled_tax + $12
         where tenant_id = $1 and session_id = $2 and state = 'open'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Numeric, _>(refunds.get(Method::Cash))
    .bind::<Numeric, _>(refunds.get(Method::Upi))
    .bind::<Numeric, _>(refunds.get(Method::Card))
    .bind::<Numeric, _>(refunds.get(Method::Wallet))
    .bind::<Numeric, _>(credit)
    .bind::<Numeric, _>(refunds.get(Method::Voucher))
    .bind::<Numeric, _>(repaid)
    .bind::<BigInt, _>(i64::from(cancelled.is_some()))
    .bind::<Numeric, _>(total)
    .bind::<Numeric, _>(tax)
    .execute(&mut tx.shared())
    .await?)
}

/// Adds a document that was made while the till was away: to the totals of the session while it is open, else to the
/// supplement of today.
pub(crate) async fn add_late(tx: &Tx, session: PosSessionId, late: &Late) -> Result<()> {
    sql("
        with open as (
          update pos_session set
                 received_cash = received_cash + $3,
                 received_upi = received_upi + $4,
                 received_card = received_card + $5,
                 received_wallet = received_wallet + $6,
                 received_credit = received_credit + $7,
                 received_voucher = received_voucher + $8,
                 change_given = change_given + $9,
                 refunded_cash = refunded_cash + $10,
                 refunded_upi = refunded_upi + $11,
                 refunded_card = refunded_card + $12,
                 refunded_wallet = refunded_wallet + $13,
                 refunded_credit = refunded_credit + $14,
                 refunded_voucher = refunded_voucher + $15,
                 sales = sales + $16,
                 sold = sold + $17,
                 sold_tax = sold_tax + $18,
                 returns = returns + $19,
                 returned = returned + $20,
                 returned_tax = returned_tax + $21,
                 cancels = cancels + $23,
                 cancelled = cancelled + $24,
                 cancelled_tax = cancelled_tax + $25
           where tenant_id = $1 and session_id = $2 and state = 'open' returning 1)
        insert into session_supplement as s (tenant_id, session_id, date, received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher, change_given,
               refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher, sales, sold, sold_tax, returns, returned, returned_tax,
               cancels, cancelled, cancelled_tax)
        select $1, $2, $22, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $23, $24, $25
         where not exists (select from open)
        on conflict (tenant_id, session_id, date) do update set
            received_cash = s.received_cash + excluded.received_cash,
            received_upi = s.received_upi + excluded.received_upi,
            received_card = s.received_card + excluded.received_card,
            received_wallet = s.received_wallet + excluded.received_wallet,
            received_credit = s.received_credit + excluded.received_credit,
            received_voucher = s.received_voucher + excluded.received_voucher,
            change_given = s.change_given + excluded.change_given,
            refunded_cash = s.refunded_cash + excluded.refunded_cash,
            refunded_upi = s.refunded_upi + excluded.refunded_upi,
            refunded_card = s.refunded_card + excluded.refunded_card,
            refunded_wallet = s.refunded_wallet + excluded.refunded_wallet,
            refunded_credit = s.refunded_credit + excluded.refunded_credit,
            refunded_voucher = s.refunded_voucher + excluded.refunded_voucher,
            sales = s.sales + excluded.sales,
            sold = s.sold + excluded.sold,
            sold_tax = s.sold_tax + excluded.sold_tax,
            returns = s.returns + excluded.returns,
            returned = s.returned + excluded.returned,
            returned_tax = s.returned_tax + excluded.returned_tax,
            cancels = s.cancels + excluded.cancels,
            cancelled = s.cancelled + excluded.cancelled,
            cancelled_tax = s.cancelled_tax + excluded.cancelled_tax")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .bind::<Numeric, _>(late.received.get(Method::Cash))
    .bind::<Numeric, _>(late.received.get(Method::Upi))
    .bind::<Numeric, _>(late.received.get(Method::Card))
    .bind::<Numeric, _>(late.received.get(Method::Wallet))
    .bind::<Numeric, _>(late.received.get(Method::Credit))
    .bind::<Numeric, _>(late.received.get(Method::Voucher))
    .bind::<Numeric, _>(late.change)
    .bind::<Numeric, _>(late.refunded.get(Method::Cash))
    .bind::<Numeric, _>(late.refunded.get(Method::Upi))
    .bind::<Numeric, _>(late.refunded.get(Method::Card))
    .bind::<Numeric, _>(late.refunded.get(Method::Wallet))
    .bind::<Numeric, _>(late.refunded.get(Method::Credit))
    .bind::<Numeric, _>(late.refunded.get(Method::Voucher))
    .bind::<BigInt, _>(late.sales)
    .bind::<Numeric, _>(late.sold)
    .bind::<Numeric, _>(late.sold_tax)
    .bind::<BigInt, _>(late.returns)
    .bind::<Numeric, _>(late.returned)
    .bind::<Numeric, _>(late.returned_tax)
    .bind::<Date, _>(business_date(tx.now()))
    .bind::<BigInt, _>(late.cancels)
    .bind::<Numeric, _>(late.cancelled)
    .bind::<Numeric, _>(late.cancelled_tax)
    .execute(&mut tx.shared())
    .await?;
    Ok(())
}

/// What came after the close, by day.
pub(super) async fn supplements(tx: &mut Tx, session: PosSessionId) -> Result<Vec<Supplement>> {
    Ok(sql("
        select date, received_cash, received_upi, received_card, received_wallet, received_credit, received_voucher, change_given,
               refunded_cash, refunded_upi, refunded_card, refunded_wallet, refunded_credit, refunded_voucher, sales, sold, sold_tax, returns, returned, returned_tax,
               cancels, cancelled, cancelled_tax, cash
          from session_supplement where tenant_id = $1 and session_id = $2 order by date")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session)
    .load(tx.conn())
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
    Ok(sql("select method, expected, counted, variance, denominations from session_count
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
        "insert into session_count (tenant_id, session_id, method, expected, counted, denominations)
         select $1, $2, n.* from unnest($3, $4, $5, $6) as n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(session.session_id)
    .bind::<Array<Text>, _>(counts.iter().map(|c| c.method.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(counts.iter().map(|c| c.expected).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(counts.iter().map(|c| c.counted).collect::<Vec<_>>())
    .bind::<Array<Nullable<Jsonb>>, _>(
        counts
            .iter()
            .map(|c| c.denominations.as_ref())
            .collect::<Vec<_>>(),
    )
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
    pub walk: Timed,
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
    let text = if filter.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.till_id)
        .bind::<Nullable<Text>, _>(filter.state.as_deref())
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
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
