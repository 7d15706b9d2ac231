//! Every SQL statement about counts.

use std::collections::BTreeMap;

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, PageQuery, Price, ProductId, Quantity, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Count, CountLine, CountState, Expected};
use crate::{
    ledger::{Place, Status, named},
    sales::Seen,
};

const ONE: &str = "select id, state, location_id, reference, created_by, submitted_by, approved_by, created_at, submitted_at,
       approved_at, posted_at, version from count_session where tenant_id = $1 and id = $2";
const LOCKED: &str = "select id, state, location_id, reference, created_by, submitted_by, approved_by, created_at, submitted_at,
       approved_at, posted_at, version from count_session where tenant_id = $1 and id = $2 for update";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Nullable<Text>)]
    submitted_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    approved_by: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    submitted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    approved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    posted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = SqlUuid)]
    count_id: Uuid,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    owes: bool,
    #[diesel(sql_type = Nullable<Numeric>)]
    counted: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    unit_cost: Option<Price>,
    #[diesel(sql_type = Nullable<Text>)]
    counted_by: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    looked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Numeric>)]
    expected: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    qty_delta: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    value_delta: Option<Money>,
}

async fn whole(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Count>> {
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let found: Vec<LineRow> = sql("select count_id, line, product_id, batch_id, status, owes, counted, unit_cost, counted_by, looked_at,
           expected, qty_delta, value_delta
         from count_line where tenant_id = $1 and count_id = any ($2) order by count_id, line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(&ids)
    .load(tx.conn())
    .await?;
    let mut lines: BTreeMap<Uuid, Vec<CountLine>> = BTreeMap::new();
    for row in found {
        lines.entry(row.count_id).or_default().push(CountLine {
            line: row.line,
            product_id: row.product_id,
            batch_id: named(row.batch_id),
            status: Status::named(&row.status).ok_or(Error::NotFound)?,
            counted: row.counted,
            counted_by: row.counted_by,
            looked_at: row.looked_at,
            variance: row.counted.zip(row.expected).map(|(c, e)| c - e),
            expected: row.expected,
            qty_delta: row.qty_delta,
            value_delta: row.value_delta,
            serials_missing: Vec::new(),
            serials_extra: Vec::new(),
            unit_cost: row.unit_cost,
            owes: row.owes,
        });
    }
    for row in differences(tx, &ids).await? {
        let mut of_count = lines.get_mut(&row.count_id).into_iter().flatten();
        if let Some(line) = of_count.find(|l| l.line == row.line) {
            let list = if row.found {
                &mut line.serials_extra
            } else {
                &mut line.serials_missing
            };
            list.push(row.no);
        }
    }
    rows.into_iter()
        .map(|row| {
            let lines = lines.remove(&row.id).unwrap_or_default();
            let posted = row
                .posted_at
                .map(|_| lines.iter().filter_map(|l| l.value_delta).sum());
            Ok(Count {
                id: row.id,
                state: CountState::named(&row.state).ok_or(Error::NotFound)?,
                location_id: row.location_id,
                reference: row.reference,
                created_by: row.created_by,
                submitted_by: row.submitted_by,
                approved_by: row.approved_by,
                created_at: row.created_at,
                submitted_at: row.submitted_at,
                approved_at: row.approved_at,
                posted_at: row.posted_at,
                value_delta: posted,
                lines,
                version: row.version,
            })
        })
        .collect()
}

#[derive(QueryableByName)]
struct DifferenceRow {
    #[diesel(sql_type = SqlUuid)]
    count_id: Uuid,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = Text)]
    no: String,
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Serial numbers that were found and not booked, or booked and not found.
async fn differences(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<DifferenceRow>> {
    sql("select count_id, line, no, found from count_serial
         where tenant_id = $1 and count_id = any ($2) and booked <> found order by count_id, line, no")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

async fn one(tx: &mut Tx, text: &'static str, id: Uuid) -> Result<Count> {
    let rows: Vec<Row> = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load(tx.conn())
        .await?;
    whole(tx, rows).await?.pop().ok_or(Error::NotFound)
}

/// A count.
pub(super) async fn get(tx: &mut Tx, id: Uuid) -> Result<Count> {
    one(tx, ONE, id).await
}

/// Locks a count.
pub(super) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Count> {
    one(tx, LOCKED, id).await
}

/// Writes a new count, without its lines.
pub(super) async fn insert(tx: &mut Tx, count: &Count) -> Result<()> {
    sql("insert into count_session (tenant_id, id, state, location_id, reference, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(count.id)
    .bind::<Text, _>(count.state.name())
    .bind::<SqlUuid, _>(count.location_id)
    .bind::<Nullable<Text>, _>(&count.reference)
    .bind::<Text, _>(&count.created_by)
    .bind::<Timestamptz, _>(count.created_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes lines that are new.
pub(super) async fn insert_lines(tx: &mut Tx, count: &Count, lines: &[CountLine]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    sql("insert into count_line (tenant_id, count_id, line, location_id, product_id, batch_id, status, owes)
         select $1, $2, u.n, $3, u.p, u.b, u.s, u.o from unnest($4, $5, $6, $7, $8) as u(n, p, b, s, o)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(count.id)
    .bind::<SqlUuid, _>(count.location_id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.key().batch).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.status.name()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.owes).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes the header of a locked count. `up_to`: the change of value that its approval covers.
pub(super) async fn save(tx: &mut Tx, count: &Count) -> Result<()> {
    sql("update count_session set state = $3, submitted_by = $4, submitted_at = $5, approved_by = $6, approved_at = $7,
           posted_at = $8, version = $9 where tenant_id = $1 and id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(count.id)
    .bind::<Text, _>(count.state.name())
    .bind::<Nullable<Text>, _>(&count.submitted_by)
    .bind::<Nullable<Timestamptz>, _>(count.submitted_at)
    .bind::<Nullable<Text>, _>(&count.approved_by)
    .bind::<Nullable<Timestamptz>, _>(count.approved_at)
    .bind::<Nullable<Timestamptz>, _>(count.posted_at)
    .bind::<BigInt, _>(count.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What an approval covers.
pub(super) async fn cover(tx: &mut Tx, id: Uuid, up_to: Option<Money>) -> Result<()> {
    sql("update count_session set approved_up_to = $3 where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .bind::<Nullable<Numeric>, _>(up_to)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What the approval of a count covers; `None` is any change of value.
pub(super) async fn covered(tx: &mut Tx, id: Uuid) -> Result<Option<Money>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Numeric>)]
        approved_up_to: Option<Money>,
    }
    let row: Row = sql("select approved_up_to from count_session where tenant_id = $1 and id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .get_result(tx.conn())
        .await?;
    Ok(row.approved_up_to)
}

/// What the books say of a line at a look, on this side.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Book {
    /// The line.
    pub line: i32,
    /// On hand less what is owed.
    pub book: Quantity,
    /// Last movement of the product.
    pub after_seq: i64,
    /// A snapshot of this database.
    pub snapshot: String,
    /// Serial numbers of what lies there, of a product followed by number.
    pub serials: Vec<String>,
}

#[derive(QueryableByName)]
struct BookRow {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = BigInt)]
    after_seq: i64,
    #[diesel(sql_type = Numeric)]
    owed: Quantity,
    #[diesel(sql_type = Text)]
    snapshot: String,
}

/// What the books say of `lines` now; their gates are locked. `on_hand` is of each line, in its order.
pub(super) async fn books(
    tx: &mut Tx,
    location: LocationId,
    lines: &[CountLine],
    on_hand: &[Quantity],
) -> Result<Vec<Book>> {
    let rows: Vec<BookRow> = sql("select u.p as product_id, pg_current_snapshot()::text as snapshot,
           coalesce((select m.seq from movement m where m.tenant_id = $1 and m.product_id = u.p order by m.seq desc limit 1), 0) as after_seq,
           coalesce((select sum(s.open) from shortage s
                      where s.tenant_id = $1 and s.location_id = $2 and s.product_id = u.p and s.open > 0), 0) as owed
         from unnest($3) as u(p)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(location)
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    let of: BTreeMap<ProductId, &BookRow> = rows.iter().map(|r| (r.product_id, r)).collect();
    let books = lines.iter().zip(on_hand).filter_map(|(line, on_hand)| {
        let row = of.get(&line.product_id)?;
        let owed = if line.owes { row.owed } else { Quantity::ZERO };
        Some(Book {
            line: line.line,
            book: *on_hand - owed,
            after_seq: row.after_seq,
            snapshot: row.snapshot.clone(),
            serials: Vec::new(),
        })
    });
    Ok(books.collect())
}

/// A look: what was counted, and the fence.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub book: Book,
    pub counted: Quantity,
    pub unit_cost: Option<Price>,
    /// Serial numbers of what was found.
    pub serials: Vec<String>,
}

/// Enters looks.
pub(super) async fn record(tx: &mut Tx, id: Uuid, looks: &[Look], seen: &Seen) -> Result<()> {
    let (now, who) = (tx.now(), tx.ctx().principal());
    sql("update count_line c set counted = u.c, unit_cost = u.u, counted_by = $3, looked_at = $4, book = u.b, after_seq = u.a,
           own_snapshot = u.s::pg_snapshot, sales_snapshot = $5::text::pg_snapshot, sales_epoch = $6
         from unnest($7, $8, $9, $10, $11, $12) as u(n, c, u, b, a, s)
         where c.tenant_id = $1 and c.count_id = $2 and c.line = u.n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(who)
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(&seen.snapshot)
    .bind::<BigInt, _>(seen.epoch)
    .bind::<Array<Integer>, _>(looks.iter().map(|l| l.book.line).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(looks.iter().map(|l| l.counted).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(looks.iter().map(|l| l.unit_cost).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(looks.iter().map(|l| l.book.book).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(looks.iter().map(|l| l.book.after_seq).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(looks.iter().map(|l| l.book.snapshot.as_str()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    let lines: Vec<i32> = looks.iter().map(|l| l.book.line).collect();
    clear_serials(tx, id, Some(&lines)).await?;
    let mut rows: BTreeMap<(i32, &str), (bool, bool)> = BTreeMap::new();
    for look in looks {
        for no in &look.book.serials {
            rows.entry((look.book.line, no)).or_default().0 = true;
        }
        for no in &look.serials {
            rows.entry((look.book.line, no)).or_default().1 = true;
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    sql(
        "insert into count_serial (tenant_id, count_id, line, no, booked, found)
         select $1, $2, u.l, u.n, u.b, u.f from unnest($3, $4, $5, $6) as u(l, n, b, f)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Array<Integer>, _>(rows.keys().map(|k| k.0).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.keys().map(|k| k.1).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(rows.values().map(|v| v.0).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(rows.values().map(|v| v.1).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn clear_serials(tx: &mut Tx, id: Uuid, lines: Option<&[i32]>) -> Result<()> {
    sql("delete from count_serial where tenant_id = $1 and count_id = $2 and ($3 is null or line = any ($3))")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .bind::<Nullable<Array<Integer>>, _>(lines)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Forgets the looks of lines; of all lines when none is named.
pub(super) async fn clear(tx: &mut Tx, id: Uuid, lines: Option<&[i32]>) -> Result<()> {
    clear_serials(tx, id, lines).await?;
    sql("update count_line set counted = null, unit_cost = null, counted_by = null, looked_at = null, book = null, after_seq = null,
           own_snapshot = null, sales_snapshot = null, sales_epoch = null
         where tenant_id = $1 and count_id = $2 and ($3 is null or line = any ($3))")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Nullable<Array<Integer>>, _>(lines)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The last look of a count, as sales was then.
pub(super) async fn last_look(tx: &mut Tx, id: Uuid) -> Result<Option<Seen>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        snapshot: String,
        #[diesel(sql_type = BigInt)]
        epoch: i64,
    }
    // Of two snapshots of one database the later one sees all that the earlier one sees.
    let row: Option<Row> = sql(
        "select sales_snapshot::text as snapshot, sales_epoch as epoch from count_line
         where tenant_id = $1 and count_id = $2 and counted is not null
         order by sales_epoch, pg_snapshot_xmax(sales_snapshot) desc,
                  (select count(*) from pg_snapshot_xip(sales_snapshot)) limit 1",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| Seen {
        snapshot: r.snapshot,
        epoch: r.epoch,
    }))
}

const EXPECTED: &str = "
with c as (
  select line, count_id, location_id, product_id, batch_id, status, owes, book, after_seq, own_snapshot, sales_snapshot, sales_epoch, looked_at
  from count_line where tenant_id = $1 and count_id = $2 and counted is not null
), posted as (
  select c.line, o.count_id as other, o.line as other_line,
         (o.after_seq, o.looked_at, o.count_id) > (c.after_seq, c.looked_at, c.count_id) as newer
    from c join count_line o on o.tenant_id = $1 and o.location_id = c.location_id and o.product_id = c.product_id
                            and o.batch_id = c.batch_id and o.status = c.status and o.count_id <> c.count_id and o.counted is not null
    join count_session s on s.tenant_id = $1 and s.id = o.count_id and s.state = 'posted'
)
select c.line, exists (select from posted p where p.line = c.line and p.newer) as outdated, c.book
  + coalesce((select sum(m.qty) from posted p
      join movement m on m.tenant_id = $1 and m.source_type = 'count' and m.source_id = p.other and m.source_line = p.other_line
                     and m.purpose = 'count'
      where p.line = c.line and not p.newer and m.product_id = c.product_id and m.location_id = c.location_id
        and m.batch_id = c.batch_id and m.status = c.status and m.seq > c.after_seq), 0)
  + coalesce((select sum(m.qty) from movement m
      join movement_header h on h.tenant_id = m.tenant_id and h.source_id = m.source_id
                            and h.source_type = case m.source_type when 'return' then 'return' else 'invoice' end
                            and h.purpose = case m.source_type when 'return' then 'return' else 'issue' end
      where m.tenant_id = $1 and m.product_id = c.product_id and m.seq > c.after_seq and m.location_id = c.location_id
        and m.batch_id = c.batch_id and m.status = c.status and m.source_type in ('invoice', 'return', 'count_correction')
        and (h.late_at < c.looked_at or h.epoch = c.sales_epoch and pg_visible_in_snapshot(h.txid, c.sales_snapshot))), 0)
  - coalesce((select sum(s.qty) from shortage s
      join movement_header h on h.tenant_id = s.tenant_id and h.source_type = 'invoice' and h.source_id = s.invoice_id
                            and h.purpose = 'issue'
      where c.owes and s.tenant_id = $1 and s.location_id = c.location_id and s.product_id = c.product_id
        and not pg_visible_in_snapshot(h.handled, c.own_snapshot)
        and (h.late_at < c.looked_at or h.epoch = c.sales_epoch and pg_visible_in_snapshot(h.txid, c.sales_snapshot))), 0)
  + coalesce((select sum(r.shortage_closed) from shortage s
      join return_line r on r.tenant_id = s.tenant_id and r.invoice_id = s.invoice_id and r.original_line = s.line
                        and r.product_id = s.product_id
      join movement_header h on h.tenant_id = s.tenant_id and h.source_type = 'return' and h.source_id = r.credit_note_id
                            and h.purpose = 'return'
      where c.owes and s.tenant_id = $1 and s.location_id = c.location_id and s.product_id = c.product_id
        and not pg_visible_in_snapshot(h.handled, c.own_snapshot)
        and (h.late_at < c.looked_at or h.epoch = c.sales_epoch and pg_visible_in_snapshot(h.txid, c.sales_snapshot))), 0)
  as expected
from c order by c.line";

/// What the books say of each look, with what has been heard since of what had happened before, and what other counts
/// that looked before it have put right since.
pub(super) async fn expected(tx: &mut Tx, id: Uuid) -> Result<Vec<Expected>> {
    Ok(sql(EXPECTED)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .load(tx.conn())
        .await?)
}

/// Whether this service has heard everything before `ends`: topic, partition, next offset. What is in quarantine was
/// not heard, if it is this tenant's, or does not say whose it is.
pub(super) async fn heard(tx: &mut Tx, ends: &[(String, i32, i64)]) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        heard: bool,
    }
    let tenant = tx.tenant().to_string();
    let row: Row = sql("select not exists (select from unnest($1, $2, $3) as e(topic, part, next)
             left join inbox.position p on p.consumer = 'inventory' and p.topic = e.topic and p.part = e.part
             where e.next > coalesce(p.next_offset, 0))
           and not exists (select from inbox.quarantine q where q.consumer = 'inventory' and q.topic = any ($1)
             and (q.value is null or position(convert_to($4, 'UTF8') in q.value) > 0
                  or position('\\x2274656e616e745f696422'::bytea in q.value) = 0)) as heard")
    .bind::<Array<Text>, _>(ends.iter().map(|e| e.0.as_str()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(ends.iter().map(|e| e.1).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(ends.iter().map(|e| e.2).collect::<Vec<_>>())
    .bind::<Text, _>(tenant)
    .get_result(tx.conn())
    .await?;
    Ok(row.heard)
}

/// Writes what was posted.
pub(super) async fn save_lines(tx: &mut Tx, count: &Count) -> Result<()> {
    let lines = &count.lines;
    sql("update count_line c set expected = u.e, qty_delta = u.q, value_delta = u.v from unnest($3, $4, $5, $6) as u(n, e, q, v)
         where c.tenant_id = $1 and c.count_id = $2 and c.line = u.n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(count.id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(lines.iter().map(|l| l.expected).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(lines.iter().map(|l| l.qty_delta).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(lines.iter().map(|l| l.value_delta).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct ApprovedRow {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: TenantId,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Counts of every tenant that wait to be posted, longest first.
pub(super) async fn approved(tx: &mut Tx, most: i32) -> Result<Vec<(TenantId, Uuid)>> {
    let rows: Vec<ApprovedRow> = sql("select tenant_id, id from approved_counts($1)")
        .bind::<Integer, _>(most)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| (r.tenant_id, r.id)).collect())
}

/// A sale that happened before it was told by far.
#[derive(Clone, Debug)]
pub(crate) struct Late {
    pub place: Place,
    pub at: DateTime<Utc>,
    pub txid: Option<i64>,
    pub epoch: Option<i64>,
}

/// For each late sale of a place, the batch into which a posted count's taking of its goods is given back; none where
/// no count has looked since. The gates are locked.
pub(crate) async fn corrections(tx: &mut Tx, late: &[Late]) -> Result<Vec<Option<BatchId>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
        #[diesel(sql_type = SqlUuid)]
        batch_id: BatchId,
    }
    let rows: Vec<Row> = sql("select distinct on (u.n) u.n, c.batch_id
         from unnest($2, $3, $4, $5, $6) with ordinality as u(l, p, at, t, e, n)
         join count_line c on c.tenant_id = $1 and c.location_id = u.l and c.product_id = u.p and c.status = 'sellable'
              and c.counted is not null and c.looked_at > u.at
              and (u.t is null or u.e is distinct from c.sales_epoch or not pg_visible_in_snapshot(u.t::text::xid8, c.sales_snapshot))
         join count_session s on s.tenant_id = c.tenant_id and s.id = c.count_id and s.state = 'posted'
         order by u.n, c.qty_delta, c.batch_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(late.iter().map(|l| l.place.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(late.iter().map(|l| l.place.1).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(late.iter().map(|l| l.at).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(late.iter().map(|l| l.txid).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(late.iter().map(|l| l.epoch).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    let of: BTreeMap<i64, BatchId> = rows.into_iter().map(|r| (r.n, r.batch_id)).collect();
    Ok((1..).zip(late).map(|(n, _)| of.get(&n).copied()).collect())
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub state: Option<CountState>,
    pub location: Option<LocationId>,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// One page of counts, oldest first, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<Count>, i64)> {
    let state = filter.state.map(CountState::name);
    let total: Total = sql("select count(*) as total from count_session
         where tenant_id = $1 and ($2 is null or state = $2) and ($3 is null or location_id = $3)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .get_result(tx.conn())
    .await?;
    let rows: Vec<Row> = sql("select id, state, location_id, reference, created_by, submitted_by, approved_by, created_at, submitted_at,
           approved_at, posted_at, version from count_session
         where tenant_id = $1 and ($2 is null or state = $2) and ($3 is null or location_id = $3)
           and ($4 is null or id > $4) order by id limit $5 offset $6")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(state)
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((whole(tx, rows).await?, total.total))
}
