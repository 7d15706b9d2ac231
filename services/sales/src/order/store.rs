//! Every statement on orders and their deliveries.

use std::collections::BTreeMap;

use bahi_db::{Ctx, Db, Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{CustomerId, LocationId, ProductId, Quantity, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Bytea, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Fulfilment, FulfilmentLine, Head, Order, OrderId, OrderLine, Unbilled};
use crate::number::{Counter, Taken};

macro_rules! columns {
    () => {
        "order_id, registration_id, number, date, status, branch_id, location_id, customer_id, quotation_id,
         allow_back_order, expected_date, offer, total, note, exposure, attempt, hold, hold_version, step, next_try, reason,
         created_by, created_at, confirmed_at, ended_at, version"
    };
}
macro_rules! delivery_columns {
    () => {
        "fulfilment_id, order_id, request_id, request_hash, state, registration_id, number, delivered_at, note, created_by,
         created_at"
    };
}

/// Writes a new order and its lines.
pub(super) async fn insert(
    tx: &mut Tx,
    order: &Order,
    counter: &Counter,
    taken: &Taken,
) -> Result<()> {
    let o = &order.head;
    sql("insert into sales_order (tenant_id, order_id, registration_id, fiscal_year, series, running, number, date, status,
                                  branch_id, location_id, customer_id, quotation_id, allow_back_order, expected_date, offer,
                                  total, note, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(o.order_id)
    .bind::<SqlUuid, _>(o.registration_id)
    .bind::<Integer, _>(counter.year.start_year())
    .bind::<Text, _>(counter.prefix.as_str())
    .bind::<BigInt, _>(taken.running)
    .bind::<Text, _>(taken.number.as_str())
    .bind::<Date, _>(o.date)
    .bind::<Text, _>(o.status.as_str())
    .bind::<SqlUuid, _>(o.branch_id)
    .bind::<SqlUuid, _>(o.location_id)
    .bind::<Nullable<SqlUuid>, _>(o.customer_id)
    .bind::<Nullable<SqlUuid>, _>(o.quotation_id)
    .bind::<Bool, _>(o.allow_back_order)
    .bind::<Nullable<Date>, _>(o.expected_date)
    .bind::<Jsonb, _>(&o.offer)
    .bind::<Numeric, _>(o.total)
    .bind::<Nullable<Text>, _>(o.note.as_deref())
    .bind::<Nullable<SqlUuid>, _>(o.created_by)
    .bind::<Timestamptz, _>(o.created_at)
    .execute(tx.conn())
    .await?;
    insert_lines(tx, o.order_id, &order.lines).await
}

async fn insert_lines(tx: &mut Tx, id: OrderId, lines: &[OrderLine]) -> Result<()> {
    sql(
        "insert into sales_order_line (tenant_id, order_id, line, product_id, stocked, qty, priced)
         select $1, $2, n.* from unnest($3, $4, $5, $6, $7) as n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.stocked).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.priced).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Puts other lines in the place of a draft's.
pub(super) async fn replace_lines(tx: &mut Tx, id: OrderId, lines: &[OrderLine]) -> Result<()> {
    sql("delete from sales_order_line where tenant_id = $1 and order_id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    insert_lines(tx, id, lines).await
}

/// Writes what may change of a locked order.
pub(super) async fn save(tx: &mut Tx, order: &Order) -> Result<()> {
    let o = &order.head;
    let now = tx.now();
    sql("update sales_order set status = $3, branch_id = $4, location_id = $5, customer_id = $6, allow_back_order = $7,
                expected_date = $8, offer = $9, total = $10, note = $11, exposure = $12, attempt = $13, hold = $14,
                hold_version = $15,
                step_at = case when $16::jsonb is null then null when step is null then $17 else step_at end, step = $16,
                next_try = $18, reason = $19, confirmed_at = $20, ended_at = $21, version = $22
          where tenant_id = $1 and order_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(o.order_id)
    .bind::<Text, _>(o.status.as_str())
    .bind::<SqlUuid, _>(o.branch_id)
    .bind::<SqlUuid, _>(o.location_id)
    .bind::<Nullable<SqlUuid>, _>(o.customer_id)
    .bind::<Bool, _>(o.allow_back_order)
    .bind::<Nullable<Date>, _>(o.expected_date)
    .bind::<Jsonb, _>(&o.offer)
    .bind::<Numeric, _>(o.total)
    .bind::<Nullable<Text>, _>(o.note.as_deref())
    .bind::<Numeric, _>(o.exposure)
    .bind::<Integer, _>(o.attempt)
    .bind::<Nullable<Integer>, _>(o.hold)
    .bind::<BigInt, _>(o.hold_version)
    .bind::<Nullable<Jsonb>, _>(o.step.as_ref())
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Timestamptz>, _>(o.next_try)
    .bind::<Nullable<Text>, _>(o.reason.as_deref())
    .bind::<Nullable<Timestamptz>, _>(o.confirmed_at)
    .bind::<Nullable<Timestamptz>, _>(o.ended_at)
    .bind::<BigInt, _>(o.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes how far a locked order's lines are.
pub(super) async fn save_lines(tx: &mut Tx, id: OrderId, lines: &[OrderLine]) -> Result<()> {
    sql("update sales_order_line l set held = n.held, delivered = n.delivered, invoiced = n.invoiced,
                invoiced_discount = n.discount, invoiced_bill_discount = n.bill_discount
           from unnest($3, $4, $5, $6, $7, $8) as n(line, held, delivered, invoiced, discount, bill_discount)
          where l.tenant_id = $1 and l.order_id = $2 and l.line = n.line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.held).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.delivered).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.invoiced).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.invoiced_discount).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.invoiced_bill_discount).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

const LINES: &str = "select line, product_id, stocked, qty, held, delivered, invoiced, invoiced_discount,
       invoiced_bill_discount, priced from sales_order_line where tenant_id = $1 and order_id = $2 order by line";

/// An order.
pub(crate) async fn get(tx: &Tx, id: OrderId) -> Result<Option<Order>> {
    let (mut a, mut b) = (tx.shared(), tx.shared());
    let head = sql(concat!(
        "select ",
        columns!(),
        " from sales_order where tenant_id = $1 and order_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load::<Head>(&mut a);
    let lines = sql(LINES)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load::<OrderLine>(&mut b);
    let (head, lines) = futures::try_join!(head, lines)?;
    let head = head.into_iter().next();
    Ok(head.map(|head| Order { head, lines }))
}

/// Orders by id.
pub(super) async fn by_ids(tx: &Tx, ids: &[OrderId]) -> Result<Vec<Order>> {
    #[derive(QueryableByName)]
    struct LineRow {
        #[diesel(sql_type = SqlUuid)]
        order_id: OrderId,
        #[diesel(embed)]
        line: OrderLine,
    }
    let (mut a, mut b) = (tx.shared(), tx.shared());
    let heads = sql(concat!(
        "select ",
        columns!(),
        " from sales_order where tenant_id = $1 and order_id = any ($2)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<Head>(&mut a);
    let lines = sql("select order_id, line, product_id, stocked, qty, held, delivered, invoiced, invoiced_discount,
                            invoiced_bill_discount, priced
                       from sales_order_line where tenant_id = $1 and order_id = any ($2) order by order_id, line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<LineRow>(&mut b);
    let (heads, lines) = futures::try_join!(heads, lines)?;
    let mut parts: BTreeMap<OrderId, Vec<OrderLine>> = BTreeMap::new();
    for row in lines {
        parts.entry(row.order_id).or_default().push(row.line);
    }
    let whole = |head: Head| Order {
        lines: parts.remove(&head.order_id).unwrap_or_default(),
        head,
    };
    Ok(heads.into_iter().map(whole).collect())
}

/// Whose an order is.
pub(super) async fn customer_of(tx: &mut Tx, id: OrderId) -> Result<Option<Option<CustomerId>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<SqlUuid>)]
        customer_id: Option<CustomerId>,
    }
    let row: Option<Row> =
        sql("select customer_id from sales_order where tenant_id = $1 and order_id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|row| row.customer_id))
}

/// An order, locked.
pub(super) async fn lock(tx: &mut Tx, id: OrderId) -> Result<Option<Order>> {
    let head: Option<Head> = sql(concat!(
        "select ",
        columns!(),
        " from sales_order where tenant_id = $1 and order_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?;
    let Some(head) = head else { return Ok(None) };
    let lines = sql(LINES)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load(tx.conn())
        .await?;
    Ok(Some(Order { head, lines }))
}

/// Locks those of the orders that there are, in the order of their ids.
pub(super) async fn lock_all(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<OrderId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        order_id: OrderId,
    }
    let rows: Vec<Row> = sql(
        "select order_id from sales_order where tenant_id = $1 and order_id = any ($2) order by order_id for update",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.order_id).collect())
}

/// Orders that wait for any of these goods look for them at once.
pub(super) async fn wake(tx: &mut Tx, goods: &[(LocationId, ProductId)]) -> Result<usize> {
    let now = tx.now();
    Ok(sql("
        update sales_order o set next_try = $4
          from (select order_id from sales_order o
                 where o.tenant_id = $1 and o.next_try > $4 and exists (
                   select from sales_order_line l join unnest($2, $3) as n(location_id, product_id)
                     on n.location_id = o.location_id and n.product_id = l.product_id
                    where l.tenant_id = o.tenant_id and l.order_id = o.order_id and l.stocked and l.held + l.delivered < l.qty)
                 order by order_id for update) w
         where o.tenant_id = $1 and o.order_id = w.order_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(goods.iter().map(|g| g.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(goods.iter().map(|g| g.1).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?)
}

/// Lets an order that came to no end wait behind the others.
pub(super) async fn put_off(tx: &mut Tx, id: OrderId, until: DateTime<Utc>) -> Result<()> {
    let now = tx.now();
    sql(
        "update sales_order set step_at = case when step is not null then $3 end,
                next_try = case when next_try is not null then $4 end
          where tenant_id = $1 and order_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(until)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Orders of every tenant whose step is stuck, or that look for stock now.
///
/// # Errors
/// When the database cannot be reached.
pub(super) async fn due(
    db: &Db,
    stuck: DateTime<Utc>,
    at: DateTime<Utc>,
    most: i32,
) -> Result<Vec<(TenantId, OrderId)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: TenantId,
        #[diesel(sql_type = SqlUuid)]
        order_id: OrderId,
    }
    let ctx = Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()));
    db.read(&ctx, async move |tx: &mut Tx| -> Result<_> {
        let rows: Vec<Row> = sql("select tenant_id, order_id from due_orders($1, $2, $3)")
            .bind::<Timestamptz, _>(stuck)
            .bind::<Timestamptz, _>(at)
            .bind::<Integer, _>(most)
            .load(tx.conn())
            .await?;
        let rows = rows.into_iter();
        Ok(rows.map(|r| (r.tenant_id, r.order_id)).collect())
    })
    .await
}

/// Writes a delivery that is to be issued.
pub(super) async fn insert_delivery(
    tx: &mut Tx,
    f: &Fulfilment,
    lines: &[FulfilmentLine],
) -> Result<()> {
    sql("insert into fulfilment (tenant_id, fulfilment_id, order_id, request_id, request_hash, registration_id, note,
                                 created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(f.fulfilment_id)
    .bind::<SqlUuid, _>(f.order_id)
    .bind::<Nullable<SqlUuid>, _>(f.request_id)
    .bind::<Bytea, _>(&f.request_hash)
    .bind::<SqlUuid, _>(f.registration_id)
    .bind::<Nullable<Text>, _>(f.note.as_deref())
    .bind::<Nullable<SqlUuid>, _>(f.created_by)
    .bind::<Timestamptz, _>(f.created_at)
    .execute(tx.conn())
    .await?;
    sql("insert into fulfilment_line (tenant_id, fulfilment_id, line, product_id, stocked, qty, parts, serials)
         select $1, $2, n.* from unnest($3, $4, $5, $6, $7, $8) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(f.fulfilment_id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.stocked).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.parts).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.serials).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The goods of a pending delivery have left: its number, and what left.
pub(super) async fn post_delivery(
    tx: &mut Tx,
    id: Uuid,
    (counter, taken): (&Counter, &Taken),
    lines: &[FulfilmentLine],
) -> Result<()> {
    let now = tx.now();
    sql("update fulfilment set state = 'delivered', fiscal_year = $3, series = $4, running = $5, number = $6,
                delivered_at = $7
          where tenant_id = $1 and fulfilment_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(counter.year.start_year())
    .bind::<Text, _>(counter.prefix.as_str())
    .bind::<BigInt, _>(taken.running)
    .bind::<Text, _>(taken.number.as_str())
    .bind::<Timestamptz, _>(now)
    .execute(tx.conn())
    .await?;
    sql(
        "update fulfilment_line l set batches = n.batches, invoiced = n.invoiced
           from unnest($3, $4, $5) as n(line, batches, invoiced)
          where l.tenant_id = $1 and l.fulfilment_id = $2 and l.line = n.line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.batches).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.invoiced).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets a delivery with which nothing left.
pub(super) async fn drop_delivery(tx: &mut Tx, id: Uuid) -> Result<()> {
    sql("delete from fulfilment where tenant_id = $1 and fulfilment_id = $2 and state = 'pending'")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A delivery with its lines.
pub(super) async fn delivery(
    tx: &Tx,
    id: Uuid,
) -> Result<Option<(Fulfilment, Vec<FulfilmentLine>)>> {
    let (mut a, mut b) = (tx.shared(), tx.shared());
    let head = sql(concat!(
        "select ",
        delivery_columns!(),
        " from fulfilment where tenant_id = $1 and fulfilment_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load::<Fulfilment>(&mut a);
    let lines = sql(
        "select line, product_id, stocked, qty, invoiced, parts, batches, serials from fulfilment_line
          where tenant_id = $1 and fulfilment_id = $2 order by line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load::<FulfilmentLine>(&mut b);
    let (head, lines) = futures::try_join!(head, lines)?;
    Ok(head.into_iter().next().map(|head| (head, lines)))
}

/// The delivery of a request.
pub(super) async fn requested(tx: &mut Tx, request: Uuid) -> Result<Option<Fulfilment>> {
    Ok(sql(concat!(
        "select ",
        delivery_columns!(),
        " from fulfilment where tenant_id = $1 and request_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(request)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// A page of the deliveries of an order, oldest first, and how many there are.
pub(super) async fn deliveries(
    tx: &Tx,
    order: OrderId,
    walk: Timed,
) -> Result<(Vec<Fulfilment>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        "select ",
        delivery_columns!(),
        " from fulfilment where tenant_id = $1 and order_id = $2 and state = 'delivered'
            and ($3 is null or (delivered_at, fulfilment_id) > ($3, $4))
          order by delivered_at, fulfilment_id limit $5 offset $6"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(order)
    .bind::<Nullable<Timestamptz>, _>(walk.after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(walk.after.map(|a| a.1))
    .bind::<BigInt, _>(walk.limit)
    .bind::<BigInt, _>(walk.offset)
    .load(&mut reader);
    let total = sql("select count(*) as total from fulfilment where tenant_id = $1 and order_id = $2 and state = 'delivered'")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(order)
        .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// What is not billed of the deliveries of a locked order, or of one of them; oldest first.
pub(super) async fn unbilled(
    tx: &mut Tx,
    order: OrderId,
    only: Option<Uuid>,
) -> Result<Vec<Unbilled>> {
    Ok(sql(
        "select f.fulfilment_id, l.line, l.qty - l.invoiced as left, 0::numeric as taken
           from fulfilment f join fulfilment_line l on l.tenant_id = f.tenant_id and l.fulfilment_id = f.fulfilment_id
          where f.tenant_id = $1 and f.order_id = $2 and f.state = 'delivered' and l.invoiced < l.qty
            and ($3 is null or f.fulfilment_id = $3)
          order by f.delivered_at, f.fulfilment_id, l.line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(order)
    .bind::<Nullable<SqlUuid>, _>(only)
    .load(tx.conn())
    .await?)
}

/// What is billed of the deliveries of a locked order, by line.
pub(super) async fn billed(tx: &mut Tx, order: OrderId) -> Result<BTreeMap<i32, Quantity>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        line: i32,
        #[diesel(sql_type = Numeric)]
        invoiced: Quantity,
    }
    let rows: Vec<Row> = sql(
        "select l.line, sum(l.invoiced) as invoiced
           from fulfilment f join fulfilment_line l on l.tenant_id = f.tenant_id and l.fulfilment_id = f.fulfilment_id
          where f.tenant_id = $1 and f.order_id = $2 and f.state = 'delivered' group by l.line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(order)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| (r.line, r.invoiced)).collect())
}

/// Adds what a bill takes to lines of deliveries.
pub(super) async fn bill_deliveries(tx: &mut Tx, taken: &[Unbilled]) -> Result<()> {
    let taken: Vec<&Unbilled> = taken.iter().filter(|t| t.taken.is_positive()).collect();
    if taken.is_empty() {
        return Ok(());
    }
    sql("update fulfilment_line l set invoiced = l.invoiced + n.qty
           from unnest($2, $3, $4) as n(fulfilment_id, line, qty)
          where l.tenant_id = $1 and l.fulfilment_id = n.fulfilment_id and l.line = n.line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(taken.iter().map(|t| t.fulfilment_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(taken.iter().map(|t| t.line).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(taken.iter().map(|t| t.taken).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes what a cancelled bill took off lines of deliveries. What was billed before its delivery is taken off the newest
/// ones, where more counts as billed than the order's line has.
pub(super) async fn unbill_deliveries(
    tx: &mut Tx,
    order: OrderId,
    billed: &[(Uuid, i32, Quantity)],
) -> Result<()> {
    sql("update fulfilment_line l set invoiced = l.invoiced - n.qty
           from (select f, line, sum(qty) as qty from unnest($2, $3, $4) as u(f, line, qty) group by f, line) n
          where l.tenant_id = $1 and l.fulfilment_id = n.f and l.line = n.line")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(billed.iter().map(|b| b.0).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(billed.iter().map(|b| b.1).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(billed.iter().map(|b| b.2).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    sql("with delivered as (
           select l.fulfilment_id, l.line, l.invoiced,
                  sum(l.invoiced) over (partition by l.line) - o.invoiced as excess,
                  coalesce(sum(l.invoiced) over (partition by l.line order by f.delivered_at desc, f.fulfilment_id desc
                    rows between unbounded preceding and 1 preceding), 0) as newer
             from fulfilment f
             join fulfilment_line l on l.tenant_id = f.tenant_id and l.fulfilment_id = f.fulfilment_id
             join sales_order_line o on o.tenant_id = f.tenant_id and o.order_id = f.order_id and o.line = l.line
            where f.tenant_id = $1 and f.order_id = $2 and f.state = 'delivered')
         update fulfilment_line l set invoiced = l.invoiced - least(d.excess - d.newer, d.invoiced)
           from delivered d
          where l.tenant_id = $1 and l.fulfilment_id = d.fulfilment_id and l.line = d.line and d.excess > d.newer")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(order)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Which orders a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub number: Option<String>,
    pub status: Option<String>,
    pub customer_id: Option<CustomerId>,
    pub location_id: Option<LocationId>,
    /// Those that wait for stock.
    pub back_ordered: bool,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or number = $2) and ($3 is null or status = $3)
            and ($4 is null or customer_id = $4) and ($5 is null or location_id = $5)
            and (not $6 or status in ('confirmed', 'partially_fulfilled') and exists (
              select from sales_order_line l where l.tenant_id = sales_order.tenant_id
                 and l.order_id = sales_order.order_id and l.stocked and l.held + l.delivered < l.qty))"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from sales_order",
            filters!(),
            " and ($7 is null or (created_at, order_id) ",
            $than,
            " ($7, $8)) order by created_at ",
            $direction,
            ", order_id ",
            $direction,
            " limit $9 offset $10"
        )
    };
}

/// A page of orders without their lines, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Head>, i64)> {
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
        .bind::<Nullable<SqlUuid>, _>(filter.location_id)
        .bind::<Bool, _>(filter.back_ordered)
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from sales_order",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.number.as_deref())
    .bind::<Nullable<Text>, _>(filter.status.as_deref())
    .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
    .bind::<Nullable<SqlUuid>, _>(filter.location_id)
    .bind::<Bool, _>(filter.back_ordered)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
