//! Proving the books: I1 to I5, I9 and I11 worked out anew from the ledger, for some products at a time.
//!
//! A page reads one snapshot of the database and locks nothing, so nobody waits for it. The ledger is replayed movement
//! by movement through the same rules that posted it; what they make of it now must be what is written there.

use std::collections::{BTreeMap, HashMap};

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity, business_date};
use chrono::DateTime;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Integer, Nullable, Numeric, SmallInt, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::{
    costing::{Change, Costing},
    model::{Cost, Draft, Key, Kind, Layers, Lot, Part, Source, Status},
};

/// Movements read at a time.
const CHUNK: i64 = 5_000;
/// A page ends with the product in which it has replayed so many.
const ENOUGH: u64 = 100_000;
/// Differences reported by a page; one is enough to look closer.
const MOST: i64 = 1_000;

/// Two numbers that must be equal and are not.
#[derive(Clone, Debug, QueryableByName, Serialize, utoipa::ToSchema)]
pub(crate) struct Difference {
    /// The rule that is broken.
    #[diesel(sql_type = Text)]
    pub rule: String,
    /// Location, where there is one.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub location_id: Option<LocationId>,
    /// Product.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub product_id: Option<ProductId>,
    /// Batch.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub batch_id: Option<BatchId>,
    /// What the books say.
    #[diesel(sql_type = Numeric)]
    #[schema(value_type = String)]
    pub expected: Decimal,
    /// What is there.
    #[diesel(sql_type = Numeric)]
    #[schema(value_type = String)]
    pub found: Decimal,
}

const INTEGRITY: &str = "
with item as (
  select location_id, product_id, batch_id, status, on_hand, reserved, expiry, blocked from stock_item
  where tenant_id = $1 and product_id > $3 and product_id <= $4
), moved as (
  select location_id, product_id, batch_id, status, sum(qty) as qty, sum(value) as value
  from movement where tenant_id = $1 and product_id > $3 and product_id <= $4 group by 1, 2, 3, 4
), layered as (
  select location_id, product_id, batch_id, status, sum(qty_left) as qty, sum(value_left) as value
  from cost_layer where tenant_id = $1 and product_id > $3 and product_id <= $4 group by 1, 2, 3, 4
), held as (
  select r.location_id, l.product_id, l.batch_id, 'sellable'::text as status, sum(l.qty) as qty
  from reservation r join reservation_line l on l.tenant_id = r.tenant_id and l.reservation_id = r.id
  where r.tenant_id = $1 and r.state = 'pending' and l.product_id > $3 and l.product_id <= $4 group by 1, 2, 3
), place as (
  select location_id, product_id,
         sum(on_hand - reserved) filter (where status = 'sellable' and not blocked and (expiry is null or expiry >= $2)) as available
  from item group by 1, 2
), sent as (
  select l.origin, t.to_location, l.product_id, p.batch_id, p.shipped - p.received - p.short as qty,
         p.shipped_value - p.received_value - p.short_value as value
  from transfer_part p
  join transfer_line l on l.tenant_id = p.tenant_id and l.transfer_id = p.transfer_id and l.line = p.line
  join transfer t on t.tenant_id = p.tenant_id and t.id = p.transfer_id
  where p.tenant_id = $1 and l.product_id > $3 and l.product_id <= $4
), taken as (
  select dekad, dekad_end(dekad) as last, fence from stock_snapshot where tenant_id = $1 order by dekad desc limit 1
), then_said as (
  select l.location_id, l.product_id, l.batch_id, l.status, l.qty, l.value from stock_snapshot_line l join taken t using (dekad)
  where l.tenant_id = $1 and l.product_id > $3 and l.product_id <= $4
), then_was as (
  select m.location_id, m.product_id, m.batch_id, m.status, sum(m.qty) as qty, sum(m.value) as value from movement m, taken t
  where m.tenant_id = $1 and m.product_id > $3 and m.product_id <= $4 and m.posting_date <= t.last and m.seq < t.fence
  group by 1, 2, 3, 4
), numbered as (
  select product_id from product where tenant_id = $1 and serial_tracked and product_id > $3 and product_id <= $4
), pieces as (
  select location_id, product_id, batch_id, status, sum(qty) as qty from (
    select location_id, product_id, batch_id, status, 1 as qty from serial
    where tenant_id = $1 and state = 'in_stock' and product_id in (select product_id from numbered)
    union all
    select location_id, product_id, batch_id, status, direction * open from serial_gap
    where tenant_id = $1 and open > 0 and product_id in (select product_id from numbered)
  ) p group by 1, 2, 3, 4
), under_way as (
  select origin, product_id, batch_id, sum(qty_left) as qty, sum(value_left) as value
  from cost_layer where tenant_id = $1 and status = 'in_transit' and product_id > $3 and product_id <= $4 group by 1, 2, 3
)
select 'I1 on hand = sum of movements' as rule, location_id, product_id, batch_id,
       coalesce(m.qty, 0) as expected, coalesce(i.on_hand, 0) as found
from item i full join moved m using (location_id, product_id, batch_id, status)
where coalesce(i.on_hand, 0) <> coalesce(m.qty, 0)
union all
select 'I11 serials in stock and unnamed pieces = on hand', location_id, product_id, batch_id,
       coalesce(i.on_hand, 0), coalesce(p.qty, 0)
from (select * from item where product_id in (select product_id from numbered)) i
full join pieces p using (location_id, product_id, batch_id, status)
where coalesce(i.on_hand, 0) <> coalesce(p.qty, 0)
union all
select 'I11 a serial is where its last movement left it', s.location_id, s.product_id, s.batch_id, 0, 1
from serial s join lateral (
  select m.location_id, m.batch_id, m.status, m.qty from movement_serial l
  join movement m on m.tenant_id = l.tenant_id and m.source_type = l.source_type and m.source_id = l.source_id
                 and m.source_line = l.source_line and m.purpose = l.purpose and m.allocation_no = l.allocation_no
  where l.tenant_id = $1 and l.serial_id = s.id order by l.seq desc limit 1) m on true
where s.tenant_id = $1 and s.product_id > $3 and s.product_id <= $4
  and ((s.state = 'in_stock') <> (m.qty > 0) or s.state = 'in_stock'
       and (s.location_id, s.batch_id, s.status) <> (m.location_id, m.batch_id, m.status))
union all
select 'I2 reserved = sum of pending holds', location_id, product_id, batch_id, coalesce(h.qty, 0), coalesce(i.reserved, 0)
from item i full join held h using (location_id, product_id, batch_id, status)
where coalesce(i.reserved, 0) <> coalesce(h.qty, 0)
union all
select 'I2 0 <= reserved <= on hand', location_id, product_id, batch_id, on_hand, reserved
from item where reserved < 0 or reserved > on_hand
union all
select 'I4 quantity of layers = on hand', location_id, product_id, batch_id, coalesce(i.on_hand, 0), coalesce(l.qty, 0)
from item i full join layered l using (location_id, product_id, batch_id, status)
where coalesce(i.on_hand, 0) <> coalesce(l.qty, 0)
union all
select 'I4 value of layers = value of movements', location_id, product_id, batch_id, coalesce(m.value, 0), coalesce(l.value, 0)
from moved m full join layered l using (location_id, product_id, batch_id, status)
where coalesce(m.value, 0) <> coalesce(l.value, 0)
union all
select 'flags of a balance = flags of its batch', i.location_id, i.product_id, i.batch_id,
       b.blocked::int::numeric, i.blocked::int::numeric
from item i join batch b on b.tenant_id = $1 and b.id = i.batch_id
where i.blocked <> b.blocked or i.expiry is distinct from b.expiry
union all
select 'nothing is owed while something is available', s.location_id, s.product_id, null, 0, sum(s.open)
from shortage s join place p on p.location_id = s.location_id and p.product_id = s.product_id and p.available > 0
where s.tenant_id = $1 and s.open > 0 and s.product_id > $3 and s.product_id <= $4 group by s.location_id, s.product_id
union all
select 'settled = sum of settlements', s.location_id, s.product_id, null, coalesce(t.qty, 0), s.settled
from shortage s left join lateral (select sum(t.qty) as qty from shortage_settlement t where t.tenant_id = $1
                                   and t.invoice_id = s.invoice_id and t.line = s.line
                                   and coalesce(t.product_id, s.product_id) = s.product_id) t on true
where s.tenant_id = $1 and s.product_id > $3 and s.product_id <= $4 and s.settled <> coalesce(t.qty, 0)
union all
select 'I5 shipped = received + lost + in transit, in quantity', t.to_location, product_id, batch_id,
       coalesce(t.qty, 0), coalesce(w.qty, 0)
from sent t full join under_way w using (origin, product_id, batch_id)
where coalesce(t.qty, 0) <> coalesce(w.qty, 0)
union all
select 'I5 shipped = received + lost + in transit, in value', t.to_location, product_id, batch_id,
       coalesce(t.value, 0), coalesce(w.value, 0)
from sent t full join under_way w using (origin, product_id, batch_id)
where coalesce(t.value, 0) <> coalesce(w.value, 0)
union all
select 'a snapshot = its movements, in quantity', location_id, product_id, batch_id, coalesce(w.qty, 0), coalesce(s.qty, 0)
from then_was w full join then_said s using (location_id, product_id, batch_id, status)
where coalesce(w.qty, 0) <> coalesce(s.qty, 0)
union all
select 'a snapshot = its movements, in value', location_id, product_id, batch_id, coalesce(w.value, 0), coalesce(s.value, 0)
from then_was w full join then_said s using (location_id, product_id, batch_id, status)
where coalesce(w.value, 0) <> coalesce(s.value, 0)
limit $5";

/// What a page found, and the product after which the next goes on.
pub(super) struct Found {
    pub differences: Vec<Difference>,
    pub next: Option<ProductId>,
}

#[derive(QueryableByName)]
struct ProductRow {
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
}

/// Everything that does not agree about the next `limit` products after one; nothing, in a sound database. Run it in
/// a transaction that sees one snapshot.
pub(super) async fn integrity(tx: &mut Tx, after: Option<ProductId>, limit: i64) -> Result<Found> {
    // A long ledger takes longer to prove than a request may otherwise take.
    sql("select set_config('statement_timeout', '30s', true)")
        .execute(tx.conn())
        .await?;
    let low = after.unwrap_or(ProductId::from_uuid(Uuid::nil()));
    let products: Vec<ProductRow> = sql("select product_id from (
           (select product_id from product where tenant_id = $1 and product_id > $2 order by product_id limit $3)
           union
           (select distinct product_id from stock_item where tenant_id = $1 and product_id > $2 order by product_id limit $3)
         ) p order by product_id limit $3")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(low)
    .bind::<BigInt, _>(limit)
    .load(tx.conn())
    .await?;
    let (mut differences, mut replayed, mut high) = (Vec::new(), 0, low);
    let mut more = products.len() as i64 == limit;
    for ProductRow { product_id } in products {
        if replayed > ENOUGH {
            more = true;
            break;
        }
        let mut replay = Replay::new(product_id);
        replayed += replay.run(tx).await?;
        replay.finish(tx).await?;
        differences.append(&mut replay.differences);
        differences.truncate(MOST as usize);
        high = product_id;
    }
    // The last page goes to the very end: what is of no product and no balance any more is looked at too.
    let end = if more {
        high
    } else {
        ProductId::from_uuid(Uuid::max())
    };
    let today = business_date(tx.now());
    let rows: Vec<Difference> = sql(INTEGRITY)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Date, _>(today)
        .bind::<SqlUuid, _>(low)
        .bind::<SqlUuid, _>(end)
        .bind::<BigInt, _>(MOST)
        .load(tx.conn())
        .await?;
    differences.extend(rows);
    Ok(Found {
        differences,
        next: more.then_some(high),
    })
}

/// Something that changed quantity or value, as it is written.
#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    /// 0 movement, 1 line of a revaluation, 2 part of a landed cost.
    #[diesel(sql_type = SmallInt)]
    what: i16,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = SqlUuid)]
    source_id: Uuid,
    #[diesel(sql_type = Integer)]
    source_line: i32,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    location_id: Option<LocationId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    batch_id: Option<BatchId>,
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    origin: Option<Uuid>,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
    #[diesel(sql_type = Numeric)]
    value: Money,
    #[diesel(sql_type = Nullable<Numeric>)]
    behind: Option<Quantity>,
    #[diesel(sql_type = Nullable<Numeric>)]
    unit_cost: Option<Price>,
    #[diesel(sql_type = Nullable<Text>)]
    method: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    standard_cost: Option<Price>,
}

impl Step {
    fn status(&self) -> Option<Status> {
        self.status.as_deref().and_then(Status::named)
    }
}

#[derive(QueryableByName)]
struct LayerRow {
    #[diesel(sql_type = SqlUuid)]
    location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = SqlUuid)]
    origin: Uuid,
    #[diesel(sql_type = Numeric)]
    qty_left: Quantity,
    #[diesel(sql_type = Numeric)]
    value_left: Money,
}

#[derive(QueryableByName)]
struct CostingRow {
    #[diesel(sql_type = Nullable<Text>)]
    method: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    standard_cost: Option<Price>,
}

/// The ledger of one product, done again.
struct Replay {
    product: ProductId,
    layers: Layers,
    /// Taken out by a document and not brought in by it yet. Documents that share no gate stand among each other in the
    /// ledger.
    carried: HashMap<Uuid, Vec<Part>>,
    /// By document, line and balance: what it changed, less the movements that say so.
    unsaid: HashMap<(Uuid, i32, Key), Money>,
    differences: Vec<Difference>,
}

impl Replay {
    fn new(product: ProductId) -> Self {
        Self {
            product,
            layers: Layers::default(),
            carried: HashMap::new(),
            unsaid: HashMap::new(),
            differences: Vec::new(),
        }
    }

    fn differ(&mut self, rule: &str, key: Option<Key>, expected: Decimal, found: Decimal) {
        if (self.differences.len() as i64) < MOST {
            self.differences.push(Difference {
                rule: rule.to_owned(),
                location_id: key.map(|k| k.location),
                product_id: Some(self.product),
                batch_id: key.map(|k| k.batch),
                expected,
                found,
            });
        }
    }

    async fn run(&mut self, tx: &mut Tx) -> Result<u64> {
        let (mut seq, mut count) = (0, 0);
        loop {
            let steps: Vec<Step> = sql("select * from (
                   (select seq, 0::smallint as what, kind, source_id, source_line, location_id, batch_id, status, origin, qty,
                           value, behind, null::numeric as unit_cost, null::text as method,
                           null::numeric as standard_cost
                    from movement where tenant_id = $1 and product_id = $2 and seq > $3 order by seq limit $4)
                   union all
                   (select ledger_seq, 1::smallint, 'revaluation', revaluation_id, line, location_id, batch_id, status, null,
                           0, 0, null, unit_cost, method, standard_cost
                    from revaluation_line where tenant_id = $1 and product_id = $2 and ledger_seq > $3
                    order by ledger_seq limit $4)
                   union all
                   (select ledger_seq, 2::smallint, 'landed_cost', landed_cost_id, line, location_id, batch_id, status, null,
                           qty, value, behind, null, null, null
                    from landed_cost_part where tenant_id = $1 and product_id = $2 and ledger_seq > $3
                    order by ledger_seq limit $4)) s
                 order by seq limit $4")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(self.product)
            .bind::<BigInt, _>(seq)
            .bind::<BigInt, _>(CHUNK)
            .load(tx.conn())
            .await?;
            let Some(last) = steps.last() else { break };
            seq = last.seq;
            let full = steps.len() as i64 == CHUNK;
            count += steps.len() as u64;
            for step in &steps {
                match step.what {
                    0 => self.movement(step),
                    1 => self.revaluation(step),
                    _ => self.raise(step),
                }
            }
            if !full {
                break;
            }
        }
        Ok(count)
    }

    fn key(&self, step: &Step) -> Option<Key> {
        Some(Key {
            location: step.location_id?,
            product: self.product,
            batch: step.batch_id?,
            status: step.status()?,
        })
    }

    fn movement(&mut self, step: &Step) {
        let Some(key) = self.key(step) else { return };
        if step.kind == Kind::Revalue.name() {
            *self
                .unsaid
                .entry((step.source_id, step.source_line, key))
                .or_default() -= step.value;
            return;
        }
        let takes_over = [Kind::StatusChange, Kind::TransferIn]
            .map(Kind::name)
            .contains(&step.kind.as_str());
        let cost = if step.qty.is_negative() {
            step.behind.map_or(Cost::Fifo, Cost::Behind)
        } else if takes_over && self.carried.contains_key(&step.source_id) {
            Cost::Carried
        } else {
            Cost::Known(step.value, super::unit_cost(step.value, step.qty))
        };
        let draft = Draft {
            kind: Kind::Receipt,
            source: Source {
                kind: "replay",
                id: step.source_id,
                line: step.source_line,
                purpose: "replay",
            },
            key,
            origin: step.origin.unwrap_or_default(),
            qty: step.qty,
            cost,
            reason: None,
            occurred_at: DateTime::UNIX_EPOCH,
            serials: Vec::new(),
            said: Vec::new(),
        };
        let mut carried = self.carried.remove(&step.source_id).unwrap_or_default();
        let entered = self.layers.enter(&draft, &mut carried);
        let left = [Kind::StatusChange, Kind::TransferOut].map(Kind::name);
        if left.contains(&step.kind.as_str()) && !carried.is_empty() {
            self.carried.insert(step.source_id, carried);
        }
        match entered {
            Ok(value) if value == step.value => {}
            Ok(value) => {
                let rule = "I9 value of a movement = its value in replay";
                self.differ(rule, Some(key), value.decimal(), step.value.decimal());
            }
            Err(unbacked) => {
                let rule = "I9 layers in replay cover what goes out";
                self.differ(rule, Some(key), unbacked.qty.decimal(), Decimal::ZERO);
            }
        }
    }

    fn revalue(&mut self, step: &Step, lot: Lot, change: Change) {
        let delta = self.layers.revalue(lot, change).unwrap_or_default();
        *self
            .unsaid
            .entry((step.source_id, step.source_line, lot.0))
            .or_default() += delta;
    }

    fn revaluation(&mut self, step: &Step) {
        let change = match step.unit_cost {
            Some(unit) => Change::UnitCost(unit),
            None => {
                let costing = Costing::from_row(step.method.as_deref(), step.standard_cost);
                self.layers.set_costing(self.product, costing);
                Change::Costing(costing)
            }
        };
        let lots: Vec<Lot> = self
            .layers
            .open
            .iter()
            .filter(|((key, origin), layers)| {
                !layers.is_empty()
                    && origin.is_nil()
                    && key.status != Status::InTransit
                    && step.location_id.is_none_or(|l| l == key.location)
                    && step.batch_id.is_none_or(|b| b == key.batch)
                    && step.status().is_none_or(|s| s == key.status)
            })
            .map(|(lot, _)| *lot)
            .collect();
        for lot in lots {
            self.revalue(step, lot, change);
        }
    }

    fn raise(&mut self, step: &Step) {
        let (Some(key), Some(behind)) = (self.key(step), step.behind) else {
            return;
        };
        let change = Change::Raise {
            behind,
            qty: step.qty,
            value: step.value,
        };
        self.revalue(step, (key, Uuid::nil()), change);
    }

    async fn finish(&mut self, tx: &mut Tx) -> Result<()> {
        let unsaid: Vec<_> = self.unsaid.drain().filter(|(_, v)| !v.is_zero()).collect();
        for ((_, _, key), value) in unsaid {
            let rule = "I9 change of value = what its document makes of the layers";
            self.differ(rule, Some(key), value.decimal(), Decimal::ZERO);
        }
        let rows: Vec<LayerRow> = sql(
            "select location_id, batch_id, status, origin, qty_left, value_left from cost_layer
             where tenant_id = $1 and product_id = $2 order by seq",
        )
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(self.product)
        .load(tx.conn())
        .await?;
        let mut written: BTreeMap<Lot, Vec<(Quantity, Money)>> = BTreeMap::new();
        for row in rows {
            let Some(status) = Status::named(&row.status) else {
                continue;
            };
            let key = Key {
                location: row.location_id,
                product: self.product,
                batch: row.batch_id,
                status,
            };
            let layers = written.entry((key, row.origin)).or_default();
            layers.push((row.qty_left, row.value_left));
        }
        let mut lots: Vec<Lot> = self.layers.open.keys().copied().collect();
        lots.extend(
            written
                .keys()
                .filter(|lot| !self.layers.open.contains_key(lot)),
        );
        for lot in lots {
            let replayed: Vec<(Quantity, Money)> = self
                .layers
                .open
                .get(&lot)
                .into_iter()
                .flatten()
                .map(|layer| (layer.qty, layer.value))
                .collect();
            let found = written.remove(&lot).unwrap_or_default();
            if replayed == found {
                continue;
            }
            let sum = |layers: &[(Quantity, Money)]| layers.iter().map(|l| l.1).sum::<Money>();
            let rule = "I9 layers = layers in replay";
            self.differ(
                rule,
                Some(lot.0),
                sum(&replayed).decimal(),
                sum(&found).decimal(),
            );
        }
        let row: CostingRow = sql(
            "select k.method, k.standard_cost from (values ($1, $2)) as u(t, p)
             left join costing k on k.tenant_id = u.t and k.product_id = u.p",
        )
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(self.product)
        .get_result(tx.conn())
        .await?;
        let now = Costing::from_row(row.method.as_deref(), row.standard_cost);
        let replayed = self
            .layers
            .costing
            .get(&self.product)
            .copied()
            .unwrap_or_default();
        if now != replayed {
            let standard = |c: Costing| c.standard().unwrap_or_default().decimal();
            let rule = "I9 method and standard cost = those in replay";
            self.differ(rule, None, standard(replayed), standard(now));
        }
        Ok(())
    }
}
