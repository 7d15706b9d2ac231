//! Every SQL statement about serial numbers.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::{
    BatchId, CustomerId, InvoiceId, LocationId, PageQuery, ProductId, Quantity, ReservationId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::model::{Gap, Name, Piece, Pieces, SerialState, Sold};
use crate::ledger::{Key, Lot, Movement, Status};

#[derive(QueryableByName)]
struct PieceRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Text)]
    no: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = SqlUuid)]
    origin: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    sold_type: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    sold_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Integer>)]
    sold_line: Option<i32>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    held_by: Option<ReservationId>,
    #[diesel(sql_type = Nullable<Integer>)]
    held_line: Option<i32>,
    #[diesel(sql_type = Bool)]
    pending: bool,
}

impl PieceRow {
    fn piece(self) -> Result<Piece> {
        let sold = self.sold_type.zip(self.sold_id);
        Ok(Piece {
            id: self.id,
            name: (self.product_id, self.no),
            state: SerialState::named(&self.state).ok_or(Error::NotFound)?,
            key: Key {
                location: self.location_id,
                product: self.product_id,
                batch: self.batch_id,
                status: Status::named(&self.status).ok_or(Error::NotFound)?,
            },
            origin: self.origin,
            sold: sold.map(|(kind, id)| Sold {
                kind,
                id,
                line: self.sold_line.unwrap_or_default(),
            }),
            held: self
                .held_by
                .filter(|_| self.pending)
                .map(|id| (id, self.held_line.unwrap_or_default())),
            fresh: false,
            dirty: false,
        })
    }
}

macro_rules! named_pieces {
    ($rest:literal) => {
        concat!(
            "select s.id, s.product_id, s.no, s.state, s.location_id, s.batch_id, s.status, s.origin, s.sold_type, s.sold_id,
                s.sold_line, s.held_by, s.held_line,
                exists (select from reservation r where r.tenant_id = $1 and r.id = s.held_by and r.state = 'pending') as pending
         from serial s
         where s.tenant_id = $1 and s.id = any (array(
           select n.id from unnest($2, $3) as u(p, no)
             join serial n on n.tenant_id = $1 and n.product_id = u.p and n.no = u.no
           union
           select l.id from unnest($4, $5, $6, $7, $8, $9) as u(l, p, b, st, o, q)
             cross join lateral (
               select i.id from serial i
               where i.tenant_id = $1 and i.product_id = u.p and i.location_id = u.l and i.batch_id = u.b and i.status = u.st
                 and i.origin = u.o and i.state = 'in_stock'
               order by i.held_by is not null, i.no limit ceil(u.q)) l))
         order by s.id ", $rest
        )
    };
}

/// Locks the pieces with these numbers and, as many as asked for, those that lie in lots; in the order of their ids.
pub(crate) async fn lock(
    tx: &mut Tx,
    names: &BTreeSet<Name>,
    lots: &BTreeMap<Lot, Quantity>,
) -> Result<Pieces> {
    load(tx, named_pieces!("for update of s"), names, lots).await
}

/// The pieces with these numbers as they are, for reading only.
pub(crate) async fn peek(tx: &mut Tx, names: &BTreeSet<Name>) -> Result<Pieces> {
    load(tx, named_pieces!(""), names, &BTreeMap::new()).await
}

async fn load(
    tx: &mut Tx,
    text: &'static str,
    names: &BTreeSet<Name>,
    lots: &BTreeMap<Lot, Quantity>,
) -> Result<Pieces> {
    let mut pieces = Pieces::default();
    if names.is_empty() && lots.is_empty() {
        return Ok(pieces);
    }
    let (products, numbers): (Vec<ProductId>, Vec<&str>) =
        names.iter().map(|(p, no)| (*p, no.as_str())).unzip();
    let keys: Vec<&Key> = lots.keys().map(|lot| &lot.0).collect();
    let rows: Vec<PieceRow> = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Array<Text>, _>(numbers)
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.location).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.product).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.batch).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(keys.iter().map(|k| k.status.name()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(lots.keys().map(|lot| lot.1).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(lots.values().copied().collect::<Vec<_>>())
        .load(tx.conn())
        .await?;
    for row in rows {
        pieces.set(row.piece()?);
    }
    Ok(pieces)
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Writes what became of pieces, which movement moved which, and what could not be named.
///
/// # Errors
/// [`Error::Contention`] when somebody else has entered one of the new numbers meanwhile: look again.
pub(crate) async fn save(tx: &mut Tx, pieces: &Pieces, movements: &[Movement]) -> Result<()> {
    let now = tx.now();
    for fresh in [true, false] {
        // In the order of their names, so that two that enter the same numbers wait one way round.
        let rows: Vec<&Piece> = pieces
            .iter()
            .filter(|p| p.dirty && p.fresh == fresh)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let text = if fresh {
            "insert into serial (tenant_id, id, product_id, no, state, location_id, batch_id, status, origin, sold_type, sold_id,
                                 sold_line, created_at)
             select $1, u.id, u.p, u.no, u.s, u.l, u.b, u.st, u.o, u.stp, u.sid, u.sln, $14
             from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
               with ordinality as u(id, p, no, s, l, b, st, o, stp, sid, sln, hb, n) order by u.n
             on conflict (tenant_id, product_id, no) do nothing returning id"
        } else {
            "update serial s set state = u.s, location_id = u.l, batch_id = u.b, status = u.st, origin = u.o, sold_type = u.stp,
                    sold_id = u.sid, sold_line = u.sln, held_by = u.hb, held_line = case when u.hb is null then null else s.held_line end,
                    version = s.version + 1
             from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
               as u(id, p, no, s, l, b, st, o, stp, sid, sln, hb)
             where s.tenant_id = $1 and s.id = u.id and $14 is not null returning s.id"
        };
        let sold = |f: fn(&Sold) -> i32| -> Vec<Option<i32>> {
            rows.iter().map(|p| p.sold.as_ref().map(f)).collect()
        };
        let written: Vec<Written> = sql(text)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|p| p.id).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|p| p.name.0).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(rows.iter().map(|p| p.name.1.as_str()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(rows.iter().map(|p| p.state.name()).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|p| p.key.location).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|p| p.key.batch).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(rows.iter().map(|p| p.key.status.name()).collect::<Vec<_>>())
            .bind::<Array<SqlUuid>, _>(rows.iter().map(|p| p.origin).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(
                rows.iter()
                    .map(|p| p.sold.as_ref().map(|s| s.kind.as_str()))
                    .collect::<Vec<_>>(),
            )
            .bind::<Array<Nullable<SqlUuid>>, _>(
                rows.iter()
                    .map(|p| p.sold.as_ref().map(|s| s.id))
                    .collect::<Vec<_>>(),
            )
            .bind::<Array<Nullable<Integer>>, _>(sold(|s| s.line))
            .bind::<Array<Nullable<SqlUuid>>, _>(
                rows.iter().map(|p| p.held.map(|h| h.0)).collect::<Vec<_>>(),
            )
            .bind::<Timestamptz, _>(now)
            .load(tx.conn())
            .await?;
        let written: BTreeSet<Uuid> = written.into_iter().map(|w| w.id).collect();
        if rows.iter().any(|p| !written.contains(&p.id)) {
            return Err(Error::Contention);
        }
    }
    let links: Vec<(&Movement, Uuid)> = pieces
        .links
        .iter()
        .filter_map(|(n, id)| Some((movements.get(*n)?, *id)))
        .collect();
    link(tx, &links).await?;
    let gaps: Vec<(&Movement, &Gap)> = pieces
        .gaps
        .iter()
        .filter_map(|gap| Some((movements.get(gap.movement)?, gap)))
        .collect();
    open(tx, &gaps).await
}

async fn link(tx: &mut Tx, links: &[(&Movement, Uuid)]) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sql("insert into movement_serial (tenant_id, source_type, source_id, source_line, purpose, allocation_no, serial_id, recorded_at)
         select $1, u.k, u.i, u.l, u.p, u.a, u.s, $8
         from unnest($2, $3, $4, $5, $6, $7) with ordinality as u(k, i, l, p, a, s, n) order by u.n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<Text>, _>(links.iter().map(|(m, _)| m.draft.source.kind).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(links.iter().map(|(m, _)| m.draft.source.id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(links.iter().map(|(m, _)| m.draft.source.line).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(links.iter().map(|(m, _)| m.draft.source.purpose).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(links.iter().map(|(m, _)| m.allocation_no).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(links.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn open(tx: &mut Tx, gaps: &[(&Movement, &Gap)]) -> Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let direction = |m: &Movement| if m.draft.qty.is_negative() { -1 } else { 1 };
    let key = |m: &Movement| m.draft.key;
    sql("insert into serial_gap (tenant_id, id, product_id, location_id, batch_id, status, origin, direction, qty, open, said,
                                 reason, source_type, source_id, source_line, purpose, allocation_no, opened_at)
         select $1, u.id, u.p, u.l, u.b, u.st, u.o, u.d, u.q, u.q, u.said, u.r, u.k, u.i, u.sl, u.pu, u.a, $17
         from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
           as u(id, p, l, b, st, o, d, q, said, r, k, i, sl, pu, a)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|(m, _)| key(m).product).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|(m, _)| key(m).location).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|(m, _)| key(m).batch).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(gaps.iter().map(|(m, _)| key(m).status.name()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|(m, _)| m.draft.origin).collect::<Vec<_>>())
        .bind::<Array<SmallInt>, _>(gaps.iter().map(|(m, _)| direction(m)).collect::<Vec<i16>>())
        .bind::<Array<Numeric>, _>(gaps.iter().map(|(_, g)| g.qty).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(gaps.iter().map(|(_, g)| g.said.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(gaps.iter().map(|(_, g)| g.reason.name()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(gaps.iter().map(|(m, _)| m.draft.source.kind).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(gaps.iter().map(|(m, _)| m.draft.source.id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(gaps.iter().map(|(m, _)| m.draft.source.line).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(gaps.iter().map(|(m, _)| m.draft.source.purpose).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(gaps.iter().map(|(m, _)| m.allocation_no).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Promises pieces to lines of a hold.
pub(crate) async fn hold(tx: &mut Tx, hold: ReservationId, pieces: &[(Uuid, i32)]) -> Result<()> {
    if pieces.is_empty() {
        return Ok(());
    }
    sql(
        "update serial s set held_by = $2, held_line = u.n, version = s.version + 1
         from unnest($3, $4) as u(id, n) where s.tenant_id = $1 and s.id = u.id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(hold)
    .bind::<Array<SqlUuid>, _>(pieces.iter().map(|p| p.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(pieces.iter().map(|p| p.1).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct ProductRow {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Those of `products` that are followed by number.
pub(crate) async fn tracked(
    tx: &mut Tx,
    products: &BTreeSet<ProductId>,
) -> Result<BTreeSet<ProductId>> {
    if products.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<ProductRow> = sql("select product_id from product
         where tenant_id = $1 and product_id = any ($2) and serial_tracked")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| r.product_id).collect())
}

/// Those of `products` that are known and not followed by number.
pub(super) async fn untracked(tx: &mut Tx, products: &[ProductId]) -> Result<BTreeSet<ProductId>> {
    let rows: Vec<ProductRow> = sql("select product_id from product
         where tenant_id = $1 and product_id = any ($2) and not serial_tracked")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| r.product_id).collect())
}

/// Opens a gap for whatever lies there of products and has no number; their gates are locked.
pub(super) async fn open_for_stock(tx: &mut Tx, products: &BTreeSet<ProductId>) -> Result<()> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        product_id: ProductId,
        #[diesel(sql_type = SqlUuid)]
        location_id: LocationId,
        #[diesel(sql_type = SqlUuid)]
        batch_id: BatchId,
        #[diesel(sql_type = Text)]
        status: String,
        #[diesel(sql_type = Numeric)]
        qty: Quantity,
    }
    let rows: Vec<Row> = sql("select * from (
           select i.product_id, i.location_id, i.batch_id, i.status, i.on_hand
             - (select count(*) from serial s where s.tenant_id = $1 and s.product_id = i.product_id
                  and s.location_id = i.location_id and s.batch_id = i.batch_id and s.status = i.status and s.state = 'in_stock')
             - (select coalesce(sum(g.direction * g.open), 0) from serial_gap g where g.tenant_id = $1
                  and g.product_id = i.product_id and g.location_id = i.location_id and g.batch_id = i.batch_id
                  and g.status = i.status and g.open > 0) as qty
           from stock_item i where i.tenant_id = $1 and i.product_id = any ($2)
         ) x where qty <> 0 order by product_id, location_id, batch_id, status")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sql("insert into serial_gap (tenant_id, id, product_id, location_id, batch_id, status, direction, qty, open, reason, opened_at)
         select $1, u.id, u.p, u.l, u.b, u.st, sign(u.q), abs(u.q), abs(u.q), 'opening', $8
         from unnest($2, $3, $4, $5, $6, $7) as u(id, p, l, b, st, q)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|r| r.product_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|r| r.location_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|r| r.batch_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|r| r.status.as_str()).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(rows.iter().map(|r| r.qty).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A line of an invoice, and a number that waits for it.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Waiting {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = Text)]
    pub no: String,
}

/// Keeps numbers for goods that are owed.
pub(crate) async fn wait(tx: &mut Tx, names: &[Waiting]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    sql(
        "insert into shortage_serial (tenant_id, invoice_id, line, no)
         select $1, u.i, u.l, u.n from unnest($2, $3, $4) as u(i, l, n) on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(names.iter().map(|w| w.invoice_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(names.iter().map(|w| w.line).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(names.iter().map(|w| w.no.as_str()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Numbers that wait for lines of invoices.
pub(crate) async fn waiting(tx: &mut Tx, lines: &[(InvoiceId, i32)]) -> Result<Vec<Waiting>> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    sql(
        "select w.invoice_id, w.line, w.no from unnest($2, $3) as u(i, l)
         join shortage_serial w on w.tenant_id = $1 and w.invoice_id = u.i and w.line = u.l
         order by w.invoice_id, w.line, w.no",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.1).collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// Numbers that wait no more.
pub(crate) async fn stop_waiting(tx: &mut Tx, names: &[Waiting]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    sql(
        "delete from shortage_serial w using unnest($2, $3, $4) as u(i, l, n)
         where w.tenant_id = $1 and w.invoice_id = u.i and w.line = u.l and w.no = u.n",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(names.iter().map(|w| w.invoice_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(names.iter().map(|w| w.line).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(names.iter().map(|w| w.no.as_str()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Locks the pieces that invoices sold and that are still with the customer.
pub(crate) async fn sold_with(tx: &mut Tx, invoices: &[InvoiceId]) -> Result<BTreeSet<Name>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        product_id: ProductId,
        #[diesel(sql_type = Text)]
        no: String,
    }
    if invoices.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<Row> = sql("select product_id, no from serial
         where tenant_id = $1 and sold_id = any ($2) and state = 'sold'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| (r.product_id, r.no)).collect())
}

/// Numbers of the pieces that lie in balances at rest; their gates are locked.
pub(crate) async fn lying(tx: &mut Tx, keys: &[Key]) -> Result<BTreeMap<Key, Vec<String>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
        #[diesel(sql_type = Text)]
        no: String,
    }
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<Row> = sql("select u.n, s.no from unnest($2, $3, $4, $5) with ordinality as u(l, p, b, st, n)
         join serial s on s.tenant_id = $1 and s.product_id = u.p and s.location_id = u.l and s.batch_id = u.b
                      and s.status = u.st and s.state = 'in_stock'
         order by u.n, s.no")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.location).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.product).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|k| k.batch).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(keys.iter().map(|k| k.status.name()).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    let mut found: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for row in rows {
        let at = usize::try_from(row.n - 1).ok().and_then(|at| keys.get(at));
        if let Some(key) = at {
            found.entry(*key).or_default().push(row.no);
        }
    }
    Ok(found)
}

/// A piece as it is listed.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = Serial)]
pub(super) struct SerialRow {
    /// Id of the piece.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    /// Its number.
    #[diesel(sql_type = Text)]
    pub serial: String,
    /// `in_stock`, `sold`, `gone` (lost, or back to its supplier) or `scrapped`.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// Where it lies, or left from.
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    /// `sellable`, `quarantine`, `damaged` or `in_transit`; of a piece that has left, what it was then.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The pending hold that promises it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub reservation_id: Option<ReservationId>,
    /// Kind of the document it was sold with: `invoice`, `reservation` or `fulfilment`.
    #[diesel(sql_type = Nullable<Text>)]
    pub sold_with: Option<String>,
    /// That document.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub sold_with_id: Option<Uuid>,
    /// Its line.
    #[diesel(sql_type = Nullable<Integer>)]
    pub sold_with_line: Option<i32>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub product: Option<ProductId>,
    pub location: Option<LocationId>,
    pub batch: Option<BatchId>,
    pub status: Option<&'static str>,
    pub state: Option<&'static str>,
    pub no: Option<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

macro_rules! selected {
    ($columns:expr, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            " from serial s
             left join reservation r on r.tenant_id = s.tenant_id and r.id = s.held_by and r.state = 'pending'
             where s.tenant_id = $1 ",
            $rest
        )
    };
}
macro_rules! columns {
    () => {
        "s.id, s.product_id, s.no as serial, s.state, s.location_id,
         nullif(s.batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, s.status, r.id as reservation_id,
         s.sold_type as sold_with, s.sold_id as sold_with_id, s.sold_line as sold_with_line, s.version"
    };
}
// Where a piece lies is asked of pieces in stock alone.
macro_rules! filtered {
    ($columns:expr, $rest:literal) => {
        concat!(
            selected!(
                $columns,
                "and ($2 is null or s.product_id = $2) and ($3 is null or s.location_id = $3 and s.state = 'in_stock')
                 and ($4 is null or s.batch_id = $4) and ($5 is null or s.status = $5 and s.state = 'in_stock')
                 and ($6 is null or s.state = $6) and ($7 is null or s.no = $7) "
            ),
            $rest
        )
    };
}

/// The pieces with a number, of any product or of one; at most `most`.
pub(super) async fn by_number(
    tx: &mut Tx,
    no: &str,
    product: Option<ProductId>,
    most: i64,
) -> Result<Vec<SerialRow>> {
    sql(selected!(
        columns!(),
        "and s.no = $2 and ($3 is null or s.product_id = $3) order by s.id limit $4"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(no)
    .bind::<Nullable<SqlUuid>, _>(product)
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await
    .map_err(Error::from)
}

/// One page of pieces, in the order they came first, and how many there are.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<Uuid>,
    page: &PageQuery,
) -> Result<(Vec<SerialRow>, i64)> {
    let count: Count = sql(filtered!("count(*) as total", ""))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(filter.product)
        .bind::<Nullable<SqlUuid>, _>(filter.location)
        .bind::<Nullable<SqlUuid>, _>(filter.batch)
        .bind::<Nullable<Text>, _>(filter.status)
        .bind::<Nullable<Text>, _>(filter.state)
        .bind::<Nullable<Text>, _>(filter.no.as_deref())
        .get_result(tx.conn())
        .await?;
    let rows = sql(filtered!(
        columns!(),
        "and ($8 is null or s.id > $8) order by s.id limit $9 offset $10"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(filter.product)
    .bind::<Nullable<SqlUuid>, _>(filter.location)
    .bind::<Nullable<SqlUuid>, _>(filter.batch)
    .bind::<Nullable<Text>, _>(filter.status)
    .bind::<Nullable<Text>, _>(filter.state)
    .bind::<Nullable<Text>, _>(filter.no.as_deref())
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(page.limit())
    .bind::<BigInt, _>(if after.is_some() { 0 } else { page.offset() })
    .load(tx.conn())
    .await?;
    Ok((rows, count.total))
}

/// A movement of a piece.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
#[schema(as = SerialStep)]
pub(super) struct Step {
    /// The piece.
    #[diesel(sql_type = SqlUuid)]
    pub serial_id: Uuid,
    /// Place in the ledger.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// `receipt`, `issue`, `return_in`, `transfer_out`, ...
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Kind of the document: `receipt`, `invoice`, `return`, `transfer`, ...
    #[diesel(sql_type = Text)]
    pub document: String,
    /// The document; of a settled shortage, its invoice.
    #[diesel(sql_type = SqlUuid)]
    pub document_id: Uuid,
    /// Its line.
    #[diesel(sql_type = Integer)]
    pub document_line: i32,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    #[diesel(sql_type = Text)]
    pub status: String,
    /// 1: it came; -1: it left.
    #[diesel(sql_type = Integer)]
    pub direction: i32,
    /// Business time.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// When its number was entered.
    #[diesel(sql_type = Timestamptz)]
    pub named_at: DateTime<Utc>,
    /// Number of the invoice.
    #[diesel(sql_type = Nullable<Text>)]
    pub number: Option<String>,
    /// Date of the invoice.
    #[diesel(sql_type = Nullable<Date>)]
    pub date: Option<NaiveDate>,
    /// Who bought, where the invoice says so.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    /// The buyer's GSTIN.
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin: Option<String>,
}

/// Every movement of pieces, at most `most` of them, in the ledger's order.
pub(super) async fn trace(
    tx: &mut Tx,
    pieces: &[Uuid],
    after: Option<i64>,
    most: i64,
) -> Result<Vec<Step>> {
    sql("select l.serial_id, m.seq, m.kind, case when h.invoice_id is null then m.source_type else 'invoice' end as document,
                coalesce(h.invoice_id, m.source_id) as document_id, m.source_line as document_line, m.location_id,
                nullif(m.batch_id, '00000000-0000-0000-0000-000000000000') as batch_id, m.status, sign(m.qty)::int as direction,
                m.occurred_at as at, l.recorded_at as named_at, b.number, b.date, b.customer_id, b.gstin
         from movement_serial l
         join movement m on m.tenant_id = l.tenant_id and m.source_type = l.source_type and m.source_id = l.source_id
                        and m.source_line = l.source_line and m.purpose = l.purpose and m.allocation_no = l.allocation_no
         left join shortage_settlement h on m.source_type = 'shortage_settlement' and h.tenant_id = m.tenant_id and h.id = m.source_id
         left join batch_buyer b on m.source_type in ('invoice', 'shortage_settlement') and b.tenant_id = m.tenant_id
                                and b.invoice_id = coalesce(h.invoice_id, m.source_id)
         where l.tenant_id = $1 and l.serial_id = any ($2) and ($3 is null or m.seq > $3)
         order by m.seq limit $4")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(pieces)
        .bind::<Nullable<BigInt>, _>(after)
        .bind::<BigInt, _>(most)
        .load(tx.conn())
        .await
        .map_err(Error::from)
}
