//! Every SQL statement of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity, business_date};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::period;

use super::costing::Costing;
use super::model::{
    Books, Cost, Flags, Item, Key, Layer, Layers, Lot, Movement, NO_BATCH, Origin, Place, Status,
};

const GATES: &str = "
select s.location_id, s.product_id, s.batch_id, s.status, s.on_hand, s.reserved, s.expiry, s.blocked, s.version
from unnest($2, $3) as p(l, p)
join stock_item s on s.tenant_id = $1 and s.location_id = p.l and s.product_id = p.p
                 and s.batch_id = '00000000-0000-0000-0000-000000000000' and s.status = 'sellable'
order by s.location_id, s.product_id
for update of s";

const BEHIND: &str = "
select s.location_id, s.product_id, s.batch_id, s.status, s.on_hand, s.reserved, s.expiry, s.blocked, s.version
from unnest($2, $3) as p(l, p)
join stock_item s on s.tenant_id = $1 and s.location_id = p.l and s.product_id = p.p
where not (s.batch_id = '00000000-0000-0000-0000-000000000000' and s.status = 'sellable')
  and (s.on_hand > 0 or s.batch_id = any ($4))
order by s.location_id, s.product_id, s.batch_id, s.status
for update of s";

#[derive(QueryableByName)]
pub(crate) struct ItemRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Numeric)]
    on_hand: Quantity,
    #[diesel(sql_type = Numeric)]
    reserved: Quantity,
    #[diesel(sql_type = Nullable<Date>)]
    expiry: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    blocked: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// Two parallel arrays out of places, in primary-key order and without repetition.
fn columns(places: &BTreeSet<Place>) -> (Vec<LocationId>, Vec<ProductId>) {
    places.iter().copied().unzip()
}

/// Locks the gates of `places` that exist, then reads what lies behind them. Statements go out together; the
/// second takes its snapshot when the locks are held, so it sees the truth.
pub(crate) async fn lock_shared(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    places: &BTreeSet<Place>,
    batches: &BTreeSet<BatchId>,
) -> std::result::Result<(Vec<ItemRow>, Vec<ItemRow>), diesel::result::Error> {
    let (locations, products) = columns(places);
    let mut second = conn;
    let gates = sql(GATES)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(locations.clone())
        .bind::<Array<SqlUuid>, _>(products.clone())
        .load::<ItemRow>(&mut conn);
    let behind = sql(BEHIND)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(locations)
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Array<SqlUuid>, _>(batches.iter().copied().collect::<Vec<_>>())
        .load::<ItemRow>(&mut second);
    futures::try_join!(gates, behind)
}

/// The books of `places`, locked; places without stock stay empty and unlocked: nothing may be put there.
pub(crate) fn books(tx: &Tx, rows: (Vec<ItemRow>, Vec<ItemRow>)) -> Books {
    let mut books = Books::new(business_date(tx.now()));
    for row in rows.0.into_iter().chain(rows.1) {
        let Some(status) = Status::named(&row.status) else {
            continue;
        };
        let key = Key {
            location: row.location_id,
            product: row.product_id,
            batch: row.batch_id,
            status,
        };
        let item = Item {
            on_hand: row.on_hand,
            reserved: row.reserved,
            expiry: row.expiry,
            blocked: row.blocked,
            version: row.version,
            dirty: false,
        };
        books.set(key, item);
    }
    books
}

/// The books of `places` as they stand, for reading only: nothing is locked.
pub(crate) async fn peek(tx: &mut Tx, places: &BTreeSet<Place>) -> Result<Books> {
    let (locations, products) = columns(places);
    let rows: Vec<ItemRow> =
        sql("select s.location_id, s.product_id, s.batch_id, s.status, s.on_hand, s.reserved, s.expiry, s.blocked, s.version
             from unnest($2, $3) as p(l, p)
             join stock_item s on s.tenant_id = $1 and s.location_id = p.l and s.product_id = p.p")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(locations)
            .bind::<Array<SqlUuid>, _>(products)
            .load(tx.conn())
            .await?;
    Ok(books(tx, (rows, Vec::new())))
}

/// Makes the missing gates of `places`, locks them all and reads what lies behind. `batches` are read even where
/// nothing of them is on hand, together with their flags; lock their rows first.
pub(crate) async fn lock(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
    batches: &BTreeSet<BatchId>,
) -> Result<Books> {
    if places.is_empty() {
        return Ok(Books::new(business_date(tx.now())));
    }
    let tenant = tx.tenant().uuid();
    let (locations, products) = columns(places);
    let rows = {
        let mut conn = tx.shared();
        let gates = sql(
            "insert into stock_item (tenant_id, location_id, product_id, batch_id, status)
             select $1, p.l, p.p, '00000000-0000-0000-0000-000000000000', 'sellable'
             from unnest($2, $3) as p(l, p) order by p.l, p.p on conflict do nothing",
        )
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(locations)
        .bind::<Array<SqlUuid>, _>(products)
        .execute(&mut conn);
        let (_, rows) =
            futures::try_join!(gates, lock_shared(tx.shared(), tenant, places, batches))?;
        rows
    };
    let mut books = books(tx, rows);
    if !batches.is_empty() {
        for (id, flags) in flags(tx, batches).await? {
            books.set_flags(id, flags);
        }
    }
    Ok(books)
}

#[derive(QueryableByName)]
struct FlagRow {
    #[diesel(sql_type = SqlUuid)]
    id: BatchId,
    #[diesel(sql_type = Nullable<Date>)]
    expiry: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    blocked: bool,
}

async fn flags(tx: &mut Tx, batches: &BTreeSet<BatchId>) -> Result<Vec<(BatchId, Flags)>> {
    let rows: Vec<FlagRow> =
        sql("select id, expiry, blocked from batch where tenant_id = $1 and id = any ($2)")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(batches.iter().copied().collect::<Vec<_>>())
            .load(tx.conn())
            .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            (
                r.id,
                Flags {
                    expiry: r.expiry,
                    blocked: r.blocked,
                },
            )
        })
        .collect())
}

#[derive(Default)]
struct KeyColumns {
    locations: Vec<LocationId>,
    products: Vec<ProductId>,
    batches: Vec<BatchId>,
    statuses: Vec<&'static str>,
}

impl KeyColumns {
    fn push(&mut self, key: Key) {
        self.locations.push(key.location);
        self.products.push(key.product);
        self.batches.push(key.batch);
        self.statuses.push(key.status.name());
    }
}

/// Writes the balances that changed. Their gates are locked, so a balance that is not there yet cannot appear
/// from elsewhere.
pub(crate) async fn save_items(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    books: &Books,
) -> std::result::Result<(), diesel::result::Error> {
    let (mut keys, mut on_hand, mut reserved) = (KeyColumns::default(), Vec::new(), Vec::new());
    let (mut new_keys, mut new_on_hand, mut new_reserved) =
        (KeyColumns::default(), Vec::new(), Vec::new());
    let (mut new_expiry, mut new_blocked) = (Vec::new(), Vec::new());
    for (key, item) in books.dirty() {
        if item.version == 0 {
            new_keys.push(*key);
            new_on_hand.push(item.on_hand);
            new_reserved.push(item.reserved);
            new_expiry.push(item.expiry);
            new_blocked.push(item.blocked);
        } else {
            keys.push(*key);
            on_hand.push(item.on_hand);
            reserved.push(item.reserved);
        }
    }
    if !on_hand.is_empty() {
        sql("update stock_item s set on_hand = u.h, reserved = u.r, version = s.version + 1
             from unnest($2, $3, $4, $5, $6, $7) as u(l, p, b, st, h, r)
             where s.tenant_id = $1 and s.location_id = u.l and s.product_id = u.p and s.batch_id = u.b and s.status = u.st")
            .bind::<SqlUuid, _>(tenant)
            .bind::<Array<SqlUuid>, _>(keys.locations)
            .bind::<Array<SqlUuid>, _>(keys.products)
            .bind::<Array<SqlUuid>, _>(keys.batches)
            .bind::<Array<Text>, _>(keys.statuses)
            .bind::<Array<Numeric>, _>(on_hand)
            .bind::<Array<Numeric>, _>(reserved)
            .execute(&mut conn)
            .await?;
    }
    if !new_on_hand.is_empty() {
        sql("insert into stock_item (tenant_id, location_id, product_id, batch_id, status, on_hand, reserved, expiry, blocked)
             select $1, u.l, u.p, u.b, u.st, u.h, u.r, u.e, u.bl
             from unnest($2, $3, $4, $5, $6, $7, $8, $9) as u(l, p, b, st, h, r, e, bl)
             on conflict (tenant_id, location_id, product_id, batch_id, status) do update
             set on_hand = excluded.on_hand, reserved = excluded.reserved, version = stock_item.version + 1")
            .bind::<SqlUuid, _>(tenant)
            .bind::<Array<SqlUuid>, _>(new_keys.locations)
            .bind::<Array<SqlUuid>, _>(new_keys.products)
            .bind::<Array<SqlUuid>, _>(new_keys.batches)
            .bind::<Array<Text>, _>(new_keys.statuses)
            .bind::<Array<Numeric>, _>(new_on_hand)
            .bind::<Array<Numeric>, _>(new_reserved)
            .bind::<Array<Nullable<Date>>, _>(new_expiry)
            .bind::<Array<Bool>, _>(new_blocked)
            .execute(&mut conn)
            .await?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct LayerRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = SqlUuid)]
    origin: Origin,
    #[diesel(sql_type = Nullable<Text>)]
    method: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    standard_cost: Option<Price>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Numeric>)]
    qty_left: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    value_left: Option<Money>,
    #[diesel(sql_type = Nullable<Numeric>)]
    unit_cost: Option<Price>,
    #[diesel(sql_type = Bool)]
    numbered: bool,
}

/// The oldest layers of each lot, as many as cover what goes out of it, or its one layer where the product's method
/// keeps but one; and the methods.
pub(crate) async fn layers(tx: &mut Tx, outgoing: &BTreeMap<Lot, Quantity>) -> Result<Layers> {
    let mut layers = Layers::default();
    if outgoing.is_empty() {
        return Ok(layers);
    }
    let (mut keys, mut needs, mut origins) = (KeyColumns::default(), Vec::new(), Vec::new());
    for ((key, origin), qty) in outgoing {
        keys.push(*key);
        needs.push(*qty);
        origins.push(*origin);
    }
    let rows: Vec<LayerRow> = sql("select u.l as location_id, u.p as product_id, u.b as batch_id, u.st as status, u.o as origin,
           k.method, k.standard_cost, c.id, c.qty_left, c.value_left, c.unit_cost, coalesce(n.serial_tracked, false) as numbered
         from unnest($2, $3, $4, $5, $6, $7) as u(l, p, b, st, need, o)
         left join costing k on k.tenant_id = $1 and k.product_id = u.p
         left join product n on n.tenant_id = $1 and n.product_id = u.p
         left join lateral (
           select c.id, c.seq, c.qty_left, c.value_left, c.unit_cost, sum(c.qty_left) over (order by c.seq) - c.qty_left as before
           from cost_layer c where c.tenant_id = $1 and c.location_id = u.l and c.product_id = u.p
                               and c.batch_id = u.b and c.status = u.st and c.origin = u.o
         ) c on c.before < u.need or k.method <> 'fifo'
         order by c.seq")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(keys.locations)
        .bind::<Array<SqlUuid>, _>(keys.products)
        .bind::<Array<SqlUuid>, _>(keys.batches)
        .bind::<Array<Text>, _>(keys.statuses)
        .bind::<Array<Numeric>, _>(needs)
        .bind::<Array<SqlUuid>, _>(origins)
        .load(tx.conn())
        .await?;
    for row in rows {
        let Some(status) = Status::named(&row.status) else {
            continue;
        };
        let key = Key {
            location: row.location_id,
            product: row.product_id,
            batch: row.batch_id,
            status,
        };
        let costing = Costing::from_row(row.method.as_deref(), row.standard_cost);
        layers.set_costing(key.product, costing);
        if row.numbered {
            layers.numbered.insert(key.product);
        }
        let (Some(id), Some(qty), Some(value), Some(unit_cost)) =
            (row.id, row.qty_left, row.value_left, row.unit_cost)
        else {
            continue;
        };
        let layer = Layer {
            id,
            origin: row.origin,
            qty,
            value,
            unit_cost,
            fresh: false,
            dirty: false,
        };
        layers.push(key, layer);
    }
    Ok(layers)
}

/// Writes the layers that changed, came or went.
pub(crate) async fn save_layers(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    now: DateTime<Utc>,
    layers: &Layers,
) -> std::result::Result<(), diesel::result::Error> {
    let (mut ids, mut qtys, mut values, mut units) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut new_ids, mut new_keys) = (Vec::new(), KeyColumns::default());
    let (mut new_qtys, mut new_values, mut new_units) = (Vec::new(), Vec::new(), Vec::new());
    let mut new_origins = Vec::new();
    for (key, layer) in layers.open().filter(|(_, layer)| layer.dirty) {
        if layer.fresh {
            new_ids.push(layer.id);
            new_keys.push(*key);
            new_qtys.push(layer.qty);
            new_values.push(layer.value);
            new_units.push(layer.unit_cost);
            new_origins.push(layer.origin);
        } else {
            ids.push(layer.id);
            qtys.push(layer.qty);
            values.push(layer.value);
            units.push(layer.unit_cost);
        }
    }
    if !layers.spent.is_empty() {
        sql("delete from cost_layer where tenant_id = $1 and id = any ($2)")
            .bind::<SqlUuid, _>(tenant)
            .bind::<Array<SqlUuid>, _>(&layers.spent)
            .execute(&mut conn)
            .await?;
    }
    if !ids.is_empty() {
        sql(
            "update cost_layer c set qty_left = u.q, value_left = u.v, unit_cost = u.c
             from unnest($2, $3, $4, $5) as u(id, q, v, c) where c.tenant_id = $1 and c.id = u.id",
        )
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Numeric>, _>(qtys)
        .bind::<Array<Numeric>, _>(values)
        .bind::<Array<Numeric>, _>(units)
        .execute(&mut conn)
        .await?;
    }
    if !new_ids.is_empty() {
        sql("insert into cost_layer (tenant_id, id, location_id, product_id, batch_id, status, qty_left, value_left,
                                     unit_cost, received_at, origin)
             select $1, u.id, u.l, u.p, u.b, u.st, u.q, u.v, u.c, $10, u.o
             from unnest($2, $3, $4, $5, $6, $7, $8, $9, $11)
               with ordinality as u(id, l, p, b, st, q, v, c, o, n) order by u.n")
            .bind::<SqlUuid, _>(tenant)
            .bind::<Array<SqlUuid>, _>(new_ids)
            .bind::<Array<SqlUuid>, _>(new_keys.locations)
            .bind::<Array<SqlUuid>, _>(new_keys.products)
            .bind::<Array<SqlUuid>, _>(new_keys.batches)
            .bind::<Array<Text>, _>(new_keys.statuses)
            .bind::<Array<Numeric>, _>(new_qtys)
            .bind::<Array<Numeric>, _>(new_values)
            .bind::<Array<Numeric>, _>(new_units)
            .bind::<Timestamptz, _>(now)
            .bind::<Array<SqlUuid>, _>(new_origins)
            .execute(&mut conn)
            .await?;
    }
    Ok(())
}

/// Writes movements, each to its own day unless that is closed: then to the first that is open.
pub(crate) async fn save_movements(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    now: DateTime<Utc>,
    open: period::Open,
    movements: &[Movement],
) -> std::result::Result<(), diesel::result::Error> {
    if movements.is_empty() {
        return Ok(());
    }
    let mut keys = KeyColumns::default();
    let (mut ids, mut kinds, mut source_types, mut source_ids) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut lines, mut purposes, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut qtys, mut values, mut reasons, mut occurred) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut days, mut origins, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for Movement {
        id,
        draft,
        allocation_no,
        value,
        ..
    } in movements
    {
        ids.push(*id);
        kinds.push(draft.kind.name());
        source_types.push(draft.source.kind);
        source_ids.push(draft.source.id);
        lines.push(draft.source.line);
        purposes.push(draft.source.purpose);
        numbers.push(*allocation_no);
        keys.push(draft.key);
        qtys.push(draft.qty);
        values.push(*value);
        reasons.push(draft.reason.as_deref());
        occurred.push(draft.occurred_at);
        days.push(open.day(draft.occurred_at));
        origins.push((!draft.origin.is_nil()).then_some(draft.origin));
        behind.push(match draft.cost {
            Cost::Behind(behind) => Some(behind),
            Cost::Known(..) | Cost::Carried | Cost::Fifo => None,
        });
    }
    sql("insert into movement (tenant_id, id, kind, source_type, source_id, source_line, purpose, allocation_no,
                               location_id, product_id, batch_id, status, qty, value, reason, occurred_at, recorded_at,
                               posting_date, origin, behind)
         select $1, u.id, u.k, u.st, u.si, u.sl, u.pu, u.an, u.l, u.p, u.b, u.s, u.q, u.v, u.r, u.o, $17, u.d, u.og, u.be
         from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $18, $19, $20)
           with ordinality as u(id, k, st, si, sl, pu, an, l, p, b, s, q, v, r, o, d, og, be, n) order by u.n")
        .bind::<SqlUuid, _>(tenant)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Text>, _>(kinds)
        .bind::<Array<Text>, _>(source_types)
        .bind::<Array<SqlUuid>, _>(source_ids)
        .bind::<Array<Integer>, _>(lines)
        .bind::<Array<Text>, _>(purposes)
        .bind::<Array<Integer>, _>(numbers)
        .bind::<Array<SqlUuid>, _>(keys.locations)
        .bind::<Array<SqlUuid>, _>(keys.products)
        .bind::<Array<SqlUuid>, _>(keys.batches)
        .bind::<Array<Text>, _>(keys.statuses)
        .bind::<Array<Numeric>, _>(qtys)
        .bind::<Array<Numeric>, _>(values)
        .bind::<Array<Nullable<Text>>, _>(reasons)
        .bind::<Array<Timestamptz>, _>(occurred)
        .bind::<Timestamptz, _>(now)
        .bind::<Array<Date>, _>(days)
        .bind::<Array<Nullable<SqlUuid>>, _>(origins)
        .bind::<Array<Nullable<Numeric>>, _>(behind)
        .execute(&mut conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct SourceRow {
    #[diesel(sql_type = SqlUuid)]
    source_id: Uuid,
    #[diesel(sql_type = Bool)]
    fresh: bool,
}

/// Enters the guard rows of facts and gives those that had not been there: only they may move stock.
pub(crate) async fn guard(
    tx: &mut Tx,
    kind: &'static str,
    purpose: &'static str,
    ids: &[Uuid],
) -> Result<BTreeSet<Uuid>> {
    let told: Vec<_> = ids.iter().map(|id| (*id, Told::default())).collect();
    guard_told(tx, kind, purpose, &told).await
}

/// What is known of the event that told of a fact, for counts that have to tell before from after.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Transaction of the database that said it.
    pub txid: Option<i64>,
    /// Restore epoch of that database.
    pub epoch: Option<i64>,
    /// When it happened, where that was long before it was said (an offline sale).
    pub late_at: Option<DateTime<Utc>>,
}

/// As [`guard`], for facts that events tell of. One that is known already, but not from its event, learns it.
pub(crate) async fn guard_told(
    tx: &mut Tx,
    kind: &'static str,
    purpose: &'static str,
    facts: &[(Uuid, Told)],
) -> Result<BTreeSet<Uuid>> {
    let facts: BTreeMap<Uuid, Told> = facts.iter().rev().copied().collect();
    let rows: Vec<SourceRow> = sql(
        "insert into movement_header (tenant_id, source_type, source_id, purpose, recorded_at, txid, epoch, late_at)
         select $1, $2, u.id, $3, $5, u.t::text::xid8, u.e, u.l from unnest($4, $6, $7, $8) as u(id, t, e, l) order by u.id
         on conflict (tenant_id, source_type, source_id, purpose) do update
         set txid = excluded.txid, epoch = excluded.epoch, late_at = excluded.late_at
         where movement_header.txid is null and excluded.txid is not null
         returning source_id, xmax = 0 as fresh",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(kind)
    .bind::<Text, _>(purpose)
    .bind::<Array<SqlUuid>, _>(facts.keys().copied().collect::<Vec<_>>())
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Array<Nullable<BigInt>>, _>(facts.values().map(|t| t.txid).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(facts.values().map(|t| t.epoch).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(facts.values().map(|t| t.late_at).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter(|r| r.fresh)
        .map(|r| r.source_id)
        .collect())
}

#[derive(QueryableByName)]
struct CostRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Nullable<Numeric>)]
    unit: Option<rust_decimal::Decimal>,
}

/// What one unit costs now at each place: the standard cost, else the average of what lies there, else of the product
/// anywhere, else of its last movement. Nothing for a product that never moved.
pub(crate) async fn current_costs(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, Price>> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (locations, products) = columns(places);
    let rows: Vec<CostRow> = sql("select u.l as location_id, u.p as product_id, round(coalesce(
           (select k.standard_cost from costing k where k.tenant_id = $1 and k.product_id = u.p),
           (select sum(c.value_left) / sum(c.qty_left) from cost_layer c
             where c.tenant_id = $1 and c.location_id = u.l and c.product_id = u.p),
           (select sum(c.value_left) / sum(c.qty_left) from cost_layer c where c.tenant_id = $1 and c.product_id = u.p),
           (select m.value / m.qty from movement m where m.tenant_id = $1 and m.product_id = u.p and m.qty <> 0
             order by m.seq desc limit 1)), 4) as unit
         from unnest($2, $3) as u(l, p)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(locations)
        .bind::<Array<SqlUuid>, _>(products)
        .load(tx.conn())
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|r| Some(((r.location_id, r.product_id), Price::rounded(r.unit?))))
        .collect())
}

/// The places where a batch lies or lay.
pub(crate) async fn places_of(
    tx: &mut Tx,
    product: ProductId,
    batch: BatchId,
) -> Result<BTreeSet<Place>> {
    if batch == NO_BATCH {
        return Ok(BTreeSet::new());
    }
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        location_id: LocationId,
    }
    let rows: Vec<Row> = sql("select distinct location_id from stock_item
         where tenant_id = $1 and batch_id = $2 and batch_id <> '00000000-0000-0000-0000-000000000000'")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(batch)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|r| (r.location_id, product)).collect())
}

/// Copies the flag of a batch to its balances; their gates are locked.
pub(crate) async fn set_blocked(tx: &mut Tx, batch: BatchId, blocked: bool) -> Result<()> {
    sql("update stock_item set blocked = $3, version = version + 1
         where tenant_id = $1 and batch_id = $2 and batch_id <> '00000000-0000-0000-0000-000000000000'")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(batch)
        .bind::<Bool, _>(blocked)
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct ProductPlaceRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Every place where products lie or lay; lock the products first, so that no place is added.
pub(crate) async fn places_of_products(
    tx: &mut Tx,
    products: &BTreeSet<ProductId>,
) -> Result<BTreeSet<Place>> {
    let rows: Vec<ProductPlaceRow> = sql("select location_id, product_id from stock_item
         where tenant_id = $1 and product_id = any ($2)
           and batch_id = '00000000-0000-0000-0000-000000000000' and status = 'sellable'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.location_id, r.product_id))
        .collect())
}

#[derive(QueryableByName)]
struct SeqRow {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// The next `count` places in the ledger's order, for documents that change value. Drawn under the gates, each lies
/// between what came before it there and what comes after.
pub(crate) async fn draw(tx: &mut Tx, count: usize) -> Result<Vec<i64>> {
    let rows: Vec<SeqRow> =
        sql("select nextval(pg_get_serial_sequence('movement', 'seq')) as seq from generate_series(1, $1)")
            .bind::<BigInt, _>(count as i64)
            .load(tx.conn())
            .await?;
    Ok(rows.into_iter().map(|r| r.seq).collect())
}
