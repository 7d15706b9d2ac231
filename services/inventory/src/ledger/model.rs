//! Balances, picks and costs as plain values: everything the ledger decides, without a database.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bahi_events::Premises;
use bahi_types::{BatchId, LocationId, Money, MovementId, Price, ProductId, Quantity, r2};
use chrono::{DateTime, Duration, NaiveDate, Utc};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::Text,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::costing::{Costing, standard_in, standard_out};
use crate::serial::Reason;

/// The batch of stock without batches.
pub const NO_BATCH: BatchId = BatchId::from_uuid(Uuid::nil());

/// `None` for [`NO_BATCH`], as events and answers write it.
pub fn named(batch: BatchId) -> Option<BatchId> {
    (batch != NO_BATCH).then_some(batch)
}

/// What the stock may be used for. Ordered as the database orders the names.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    async_graphql::Enum,
    FromSqlRow,
)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "StockStatus")]
pub enum Status {
    /// Broken: on hand, and never promised.
    Damaged,
    /// On its way to this location: neither here nor there yet, and never promised.
    InTransit,
    /// Set apart: on hand, and never promised.
    Quarantine,
    /// On its way out: goods that came back broken pass through it.
    Scrap,
    /// On the shelf.
    Sellable,
}

impl Status {
    /// As the database and events write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::InTransit => "in_transit",
            Self::Quarantine => "quarantine",
            Self::Scrap => "scrap",
            Self::Sellable => "sellable",
        }
    }

    /// From the database.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Damaged,
            Self::InTransit,
            Self::Quarantine,
            Self::Scrap,
            Self::Sellable,
        ]
        .into_iter()
        .find(|s| s.name() == name)
    }

    /// Goods may rest in it at a location, so a person may name it.
    pub const fn at_rest(self) -> bool {
        matches!(self, Self::Damaged | Self::Quarantine | Self::Sellable)
    }
}

impl FromSql<Text, Pg> for Status {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let name = <String as FromSql<Text, Pg>>::from_sql(value)?;
        Self::named(&name).ok_or_else(|| name.into())
    }
}

/// A product at a location: the unit of locking and of availability.
pub type Place = (LocationId, ProductId);

/// The key of a balance. Ordered as the primary key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Where.
    pub location: LocationId,
    /// What.
    pub product: ProductId,
    /// Of which batch; [`NO_BATCH`] for none.
    pub batch: BatchId,
    /// In which state.
    pub status: Status,
}

impl Key {
    /// The sellable stock of a batch at a place.
    pub fn sellable((location, product): Place, batch: BatchId) -> Self {
        Self {
            location,
            product,
            batch,
            status: Status::Sellable,
        }
    }

    /// The place it belongs to.
    pub fn place(self) -> Place {
        (self.location, self.product)
    }

    /// The same goods in another state.
    pub fn in_status(self, status: Status) -> Self {
        Self { status, ..self }
    }
}

/// A balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What is there.
    pub on_hand: Quantity,
    /// What of it is promised.
    pub reserved: Quantity,
    /// Last day of the batch.
    pub expiry: Option<NaiveDate>,
    /// The batch is blocked.
    pub blocked: bool,
    /// Version of the row; 0 for a row that is not in the database yet.
    pub version: i64,
    /// Differs from the database.
    pub dirty: bool,
}

impl Item {
    /// On hand and not promised.
    pub fn free(&self) -> Quantity {
        self.on_hand - self.reserved
    }

    /// The batch may be promised on `today` and keeps at least `min_days` more days.
    pub fn fit(&self, today: NaiveDate, min_days: u32) -> bool {
        !self.blocked
            && self
                .expiry
                .is_none_or(|last| last >= today + Duration::days(i64::from(min_days)))
    }
}

/// Flags of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// Last day.
    pub expiry: Option<NaiveDate>,
    /// Blocked.
    pub blocked: bool,
}

/// Kind of movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goods received.
    Receipt,
    /// Goods left for a sale.
    Issue,
    /// More was found.
    AdjustIn,
    /// Some is gone.
    AdjustOut,
    /// Goods came back.
    ReturnIn,
    /// Goods went back to their supplier.
    ReturnOut,
    /// Goods thrown away.
    Scrap,
    /// The same goods in another state.
    StatusChange,
    /// Arrived at a place, or set out towards it.
    TransferIn,
    /// Left a place, or ceased to be on its way.
    TransferOut,
    /// The same goods at another value.
    Revalue,
}

impl Kind {
    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Issue => "issue",
            Self::AdjustIn => "adjust_in",
            Self::AdjustOut => "adjust_out",
            Self::ReturnIn => "return_in",
            Self::ReturnOut => "return_out",
            Self::Scrap => "scrap",
            Self::StatusChange => "status_change",
            Self::TransferIn => "transfer_in",
            Self::TransferOut => "transfer_out",
            Self::Revalue => "revalue",
        }
    }
}

/// The line of a document that a movement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Kind of document.
    pub kind: &'static str,
    /// The document.
    pub id: Uuid,
    /// Its line, 0 for none.
    pub line: i32,
    /// What the document moves it for.
    pub purpose: &'static str,
}

/// Keeps the layers of goods apart that lie in one balance and must not mix: those of one line of a transfer. The
/// nil id for all others.
pub type Origin = Uuid;
/// Layers that are used up first in, first out among themselves.
pub type Lot = (Key, Origin);

/// What a movement is worth.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    /// In: this value, at this cost of one unit.
    Known(Money, Price),
    /// In: the layers of the movement out just before it, whose goods it takes over.
    Carried,
    /// Out: as the product's method says; first in, first out unless it says otherwise.
    Fifo,
    /// Out: the goods behind which so many lie that came later, at what those cost; as the method says where goods of
    /// a balance all cost the same.
    Behind(Quantity),
}

/// A movement whose cost is not worked out yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Kind.
    pub kind: Kind,
    /// Document and line.
    pub source: Source,
    /// Balance.
    pub key: Key,
    /// Whose layers.
    pub origin: Origin,
    /// Signed.
    pub qty: Quantity,
    /// Cost.
    pub cost: Cost,
    /// Why.
    pub reason: Option<String>,
    /// Business time.
    pub occurred_at: DateTime<Utc>,
    /// Numbers of the pieces, of a product that is followed by number.
    pub serials: Vec<String>,
    /// Numbers that were said, and cannot be those of the pieces.
    pub said: Vec<(String, Reason)>,
}

/// A movement as it is written.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Id.
    pub id: MovementId,
    /// The draft.
    pub draft: Draft,
    /// Number among the movements of its line and purpose.
    pub allocation_no: i32,
    /// Signed value.
    pub value: Money,
    /// Goods that came in at standard cost: what was paid less the value; zero for all others.
    pub variance: Money,
    /// The product is followed by number.
    pub numbered: bool,
    /// What events say of its product and location, once it is written.
    pub known: Known,
}

/// What is known of the product and the location of a movement.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Unit quantity code of the product.
    pub uom: Option<String>,
    /// Branch and registration of the location.
    pub premises: Premises,
}

/// Part of a demand, from one balance.
pub type Taken = (Key, Quantity);

/// What a batch could not give, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Excluded {
    /// The batch.
    pub batch_id: Option<BatchId>,
    /// Free quantity that was left out.
    pub qty: Quantity,
    /// `expired`, `blocked` or `short_shelf_life`.
    pub reason: String,
}

/// A working set of locked balances and the movements of one transaction.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Business date: what is expired today.
    pub today: NaiveDate,
    items: BTreeMap<Key, Item>,
    flags: HashMap<BatchId, Flags>,
    /// Movements so far, in order.
    pub drafts: Vec<Draft>,
    /// Places where more became available: open shortages there are settled before the end.
    pub risen: BTreeSet<Place>,
}

impl Books {
    /// An empty set for a business date.
    pub fn new(today: NaiveDate) -> Self {
        Self {
            today,
            ..Self::default()
        }
    }

    /// Enters a balance as the database has it.
    pub fn set(&mut self, key: Key, item: Item) {
        self.items.insert(key, item);
    }

    /// Enters the flags of a batch, for balances that are not there yet.
    pub fn set_flags(&mut self, batch: BatchId, flags: Flags) {
        self.flags.insert(batch, flags);
    }

    /// A balance; zero where there is none.
    pub fn item(&self, key: Key) -> Item {
        self.items.get(&key).copied().unwrap_or_default()
    }

    /// Balances that differ from the database.
    pub fn dirty(&self) -> impl Iterator<Item = (&Key, &Item)> {
        self.items.iter().filter(|(_, item)| item.dirty)
    }

    /// Every balance.
    pub fn items(&self) -> impl Iterator<Item = (&Key, &Item)> {
        self.items.iter()
    }

    fn entry(&mut self, key: Key) -> &mut Item {
        let flags = self.flags.get(&key.batch).copied().or_else(|| {
            let sibling = self.items.get(&key.in_status(Status::Sellable))?;
            Some(Flags {
                expiry: sibling.expiry,
                blocked: sibling.blocked,
            })
        });
        let item = self.items.entry(key).or_insert_with(|| {
            let Flags { expiry, blocked } = flags.unwrap_or_default();
            Item {
                expiry,
                blocked,
                ..Item::default()
            }
        });
        item.dirty = true;
        item
    }

    /// Counts the version of a place's gate up, for events about the place.
    pub fn touch(&mut self, place: Place) {
        self.entry(Key::sellable(place, NO_BATCH));
    }

    /// The version of a place's gate after this transaction, if it is touched.
    pub fn version(&self, place: Place) -> i64 {
        self.item(Key::sellable(place, NO_BATCH)).version + 1
    }

    fn shelf(&self, place: Place) -> impl Iterator<Item = (Key, Item)> {
        self.lying(place, Status::Sellable)
    }

    /// The balances of a place in one state.
    pub fn lying(&self, place: Place, status: Status) -> impl Iterator<Item = (Key, Item)> {
        let first = Key {
            location: place.0,
            product: place.1,
            batch: NO_BATCH,
            status: Status::Damaged,
        };
        self.items
            .range(first..)
            .take_while(move |(key, _)| key.place() == place)
            .filter(move |(key, _)| key.status == status)
            .map(|(key, item)| (*key, *item))
    }

    /// What may be promised at a place.
    pub fn available(&self, place: Place) -> Quantity {
        self.shelf(place)
            .filter(|(_, item)| item.fit(self.today, 0))
            .map(|(_, item)| item.free())
            .sum()
    }

    /// First expired, first out: what to take for `qty` from batches that keep at least `min_days`, and what is
    /// missing. Stock that never expires comes last.
    pub fn pick(&self, place: Place, qty: Quantity, min_days: u32) -> (Vec<Taken>, Quantity) {
        let mut shelf: Vec<_> = self
            .shelf(place)
            .filter(|(_, item)| item.fit(self.today, min_days) && item.free().is_positive())
            .collect();
        shelf.sort_by_key(|(key, item)| (item.expiry.is_none(), item.expiry, key.batch));
        let (mut taken, mut left) = (Vec::new(), qty);
        for (key, item) in shelf {
            if left.is_zero() {
                break;
            }
            let part = item.free().min(left);
            taken.push((key, part));
            left -= part;
        }
        (taken, left)
    }

    /// First expired, first out: what to take for `qty` of what is set apart at a place in a state other than
    /// sellable, whatever has become of its batches, and what is missing.
    pub fn pick_apart(
        &self,
        place: Place,
        status: Status,
        qty: Quantity,
    ) -> (Vec<Taken>, Quantity) {
        let mut lying: Vec<_> = self.lying(place, status).collect();
        lying.sort_by_key(|(key, item)| (item.expiry.is_none(), item.expiry, key.batch));
        let (mut taken, mut left) = (Vec::new(), qty);
        for (key, item) in lying
            .into_iter()
            .filter(|(_, item)| item.free().is_positive())
        {
            let part = item.free().min(left);
            if part.is_positive() {
                taken.push((key, part));
            }
            left -= part;
        }
        (taken, left)
    }

    /// Free stock of a place that [`Books::pick`] leaves out.
    pub fn excluded(&self, place: Place, min_days: u32) -> Vec<Excluded> {
        self.shelf(place)
            .filter(|(_, item)| item.free().is_positive() && !item.fit(self.today, min_days))
            .map(|(key, item)| {
                let reason = if item.blocked {
                    "blocked"
                } else if item.fit(self.today, 0) {
                    "short_shelf_life"
                } else {
                    "expired"
                };
                Excluded {
                    batch_id: named(key.batch),
                    qty: item.free(),
                    reason: reason.to_owned(),
                }
            })
            .collect()
    }

    /// Promises stock.
    pub fn hold(&mut self, (key, qty): Taken) {
        self.entry(key).reserved += qty;
    }

    /// Gives a promise back. Goods of a batch that may no longer be sold go to quarantine instead of the shelf.
    pub fn unhold(&mut self, (key, qty): Taken, source: Source, at: DateTime<Utc>) {
        if qty.is_zero() {
            return;
        }
        let today = self.today;
        let item = self.entry(key);
        item.reserved -= qty;
        if item.fit(today, 0) {
            self.risen.insert(key.place());
        } else {
            self.shift(key, key.in_status(Status::Quarantine), qty, source, at);
        }
    }

    fn shift(&mut self, from: Key, to: Key, qty: Quantity, source: Source, at: DateTime<Utc>) {
        let kinds = (Kind::StatusChange, Kind::StatusChange);
        self.carry(
            kinds,
            (from, Uuid::nil()),
            (to, Uuid::nil()),
            qty,
            source,
            None,
            at,
        );
    }

    /// Moves free goods with their cost layers.
    #[allow(clippy::too_many_arguments)] // The columns of two movements.
    pub fn carry(
        &mut self,
        kinds: (Kind, Kind),
        from: Lot,
        to: Lot,
        qty: Quantity,
        source: Source,
        reason: Option<&str>,
        at: DateTime<Utc>,
    ) {
        let reason = reason.map(str::to_owned);
        self.take_of(kinds.0, from, qty, source, reason.clone(), at);
        self.put(kinds.1, to.0, qty, Cost::Carried, source, reason, at);
        if let Some(draft) = self.drafts.last_mut() {
            draft.origin = to.1;
        }
    }

    /// Takes free goods out of the layers of one origin.
    pub fn take_of(
        &mut self,
        kind: Kind,
        (key, origin): Lot,
        qty: Quantity,
        source: Source,
        reason: Option<String>,
        at: DateTime<Utc>,
    ) {
        self.take(kind, key, qty, source, reason, at);
        if let Some(draft) = self.drafts.last_mut() {
            draft.origin = origin;
        }
    }

    /// Takes free goods out.
    pub fn take(
        &mut self,
        kind: Kind,
        key: Key,
        qty: Quantity,
        source: Source,
        reason: Option<String>,
        occurred_at: DateTime<Utc>,
    ) {
        self.entry(key).on_hand -= qty;
        self.drafts.push(Draft {
            kind,
            source,
            key,
            origin: Uuid::nil(),
            qty: -qty,
            cost: Cost::Fifo,
            reason,
            occurred_at,
            serials: Vec::new(),
            said: Vec::new(),
        });
    }

    /// Takes free goods out of the midst of a balance: those behind which `behind` lie that came later.
    #[allow(clippy::too_many_arguments)] // The columns of a movement.
    pub fn take_behind(
        &mut self,
        kind: Kind,
        key: Key,
        behind: Quantity,
        qty: Quantity,
        source: Source,
        reason: Option<String>,
        occurred_at: DateTime<Utc>,
    ) {
        self.take(kind, key, qty, source, reason, occurred_at);
        if let Some(draft) = self.drafts.last_mut() {
            draft.cost = Cost::Behind(behind);
        }
    }

    /// Takes promised goods out, whatever has become of their batch: they are gone.
    pub fn take_held(
        &mut self,
        kind: Kind,
        (key, qty): Taken,
        source: Source,
        occurred_at: DateTime<Utc>,
    ) {
        self.entry(key).reserved -= qty;
        self.take(kind, key, qty, source, None, occurred_at);
    }

    /// Lowers a promise that goods no longer back; the goods are taken out by the caller.
    pub fn shrink(&mut self, (key, qty): Taken) {
        self.entry(key).reserved -= qty;
    }

    /// Puts goods in.
    #[allow(clippy::too_many_arguments)] // The columns of a movement.
    pub fn put(
        &mut self,
        kind: Kind,
        key: Key,
        qty: Quantity,
        cost: Cost,
        source: Source,
        reason: Option<String>,
        occurred_at: DateTime<Utc>,
    ) {
        let today = self.today;
        let item = self.entry(key);
        item.on_hand += qty;
        if key.status == Status::Sellable && item.fit(today, 0) {
            self.risen.insert(key.place());
        }
        self.drafts.push(Draft {
            kind,
            source,
            key,
            origin: Uuid::nil(),
            qty,
            cost,
            reason,
            occurred_at,
            serials: Vec::new(),
            said: Vec::new(),
        });
    }

    /// Names the pieces of the movement that was entered last; of goods that were carried, both their movements.
    pub fn name(&mut self, serials: Vec<String>) {
        let carried = |draft: &Draft| matches!(draft.cost, Cost::Carried);
        let last = self.drafts.len().saturating_sub(1);
        // What comes takes over the pieces that left.
        let at = if self.drafts.last().is_some_and(carried) {
            last.saturating_sub(1)
        } else {
            last
        };
        if let Some(draft) = self.drafts.get_mut(at) {
            draft.serials = serials;
        }
    }

    /// Notes numbers that were said of the pieces of the movement that was entered last, and cannot be theirs.
    pub fn note(&mut self, said: Vec<(String, Reason)>) {
        if let Some(draft) = self.drafts.last_mut() {
            draft.said = said;
        }
    }

    /// The state in which returned goods of `key` may go to the shelf: quarantine for an unfit batch.
    pub fn shelf_or_quarantine(&mut self, key: Key) -> Key {
        let today = self.today;
        // The flags count even where the batch has no balance here yet.
        let dirty = self.items.get(&key).is_some_and(|item| item.dirty);
        let item = self.entry(key);
        let fit = item.fit(today, 0);
        item.dirty = dirty;
        if fit {
            key
        } else {
            key.in_status(Status::Quarantine)
        }
    }

    /// How much the drafts take out of each lot, zero for a lot they only put into: what the cost layers must be
    /// loaded for.
    pub fn outgoing(&self) -> BTreeMap<Lot, Quantity> {
        let mut sums: BTreeMap<Lot, Quantity> = BTreeMap::new();
        for draft in &self.drafts {
            let out = sums.entry((draft.key, draft.origin)).or_default();
            if draft.qty.is_negative() {
                *out += -draft.qty;
            }
            if let Cost::Behind(_) = draft.cost {
                // Counted from the last that came: all layers are needed.
                *out += self.item(draft.key).on_hand;
            }
        }
        sums
    }
}

/// Goods that came in together and what is left of them.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Id.
    pub id: Uuid,
    /// Whose it is.
    pub origin: Origin,
    /// What is left.
    pub qty: Quantity,
    /// What that is worth.
    pub value: Money,
    /// Cost of one unit when it came in.
    pub unit_cost: Price,
    /// Not in the database yet.
    pub fresh: bool,
    /// Differs from the database.
    pub dirty: bool,
}

/// The ledger says there are goods, and no cost layer backs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cost layer backs {qty} of product {} at {}", .key.product, .key.location)]
pub struct Unbacked {
    /// The balance.
    pub key: Key,
    /// What is missing.
    pub qty: Quantity,
}

/// Part of a layer: quantity, value, and the cost of one unit when it came in.
pub(super) type Part = (Quantity, Money, Price);

/// Cost layers by lot, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub(super) open: BTreeMap<Lot, VecDeque<Layer>>,
    /// How products are valued; those that are not here, first in, first out.
    pub(super) costing: HashMap<ProductId, Costing>,
    /// Layers of the database that are used up.
    pub spent: Vec<Uuid>,
    /// Products that are followed by number.
    pub numbered: BTreeSet<ProductId>,
}

impl Layers {
    /// Enters a layer of the database; call in FIFO order.
    pub fn push(&mut self, key: Key, layer: Layer) {
        self.open
            .entry((key, layer.origin))
            .or_default()
            .push_back(layer);
    }

    /// The layers that are left.
    pub fn open(&self) -> impl Iterator<Item = (&Key, &Layer)> {
        self.open
            .iter()
            .flat_map(|((key, _), layers)| layers.iter().map(move |layer| (key, layer)))
    }

    /// Puts goods in and gives what they are worth by the product's method.
    fn bring(&mut self, lot: Lot, (qty, value, unit): Part) -> Money {
        let standard = self.costing_of(lot).standard();
        let value = standard
            .and_then(|unit| standard_in(self.held(lot), qty, unit))
            .unwrap_or(value);
        self.put(lot, (qty, value, standard.unwrap_or(unit)));
        value
    }

    fn put(&mut self, (key, origin): Lot, (qty, value, unit_cost): Part) {
        if self.costing_of((key, origin)).merged()
            && let Some(layer) = self
                .open
                .get_mut(&(key, origin))
                .and_then(VecDeque::back_mut)
        {
            layer.grow(qty, value);
            return;
        }
        let layer = Layer {
            id: Uuid::now_v7(),
            origin,
            qty,
            value,
            unit_cost,
            fresh: true,
            dirty: true,
        };
        self.push(key, layer);
    }

    /// Takes `qty` from the oldest layers. The last unit of a layer carries what rounding left over, so a layer
    /// is worth nothing exactly when it is empty.
    fn take(&mut self, lot: Lot, qty: Quantity) -> Result<Vec<Part>, Unbacked> {
        let standard = self.costing_of(lot).standard();
        let layers = self.open.entry(lot).or_default();
        let (mut parts, mut left) = (Vec::new(), qty);
        while left.is_positive() {
            let Some(layer) = layers.front_mut() else {
                let key = lot.0;
                return Err(Unbacked { key, qty: left });
            };
            if layer.qty <= left {
                left -= layer.qty;
                parts.push((layer.qty, layer.value, layer.unit_cost));
                if !layer.fresh {
                    self.spent.push(layer.id);
                }
                layers.pop_front();
            } else {
                let part = standard
                    .and_then(|unit| standard_out(layer.value, layer.qty - left, unit))
                    .unwrap_or_else(|| share(layer.value, left, layer.qty));
                layer.qty -= left;
                layer.value -= part;
                layer.dirty = true;
                parts.push((left, part, layer.unit_cost));
                left = Quantity::ZERO;
            }
        }
        Ok(parts)
    }

    /// Takes `qty` from the goods behind which `behind` lie that came later; gives the oldest first.
    fn pluck(&mut self, lot: Lot, behind: Quantity, qty: Quantity) -> Result<Vec<Part>, Unbacked> {
        let standard = self.costing_of(lot).standard();
        let layers = self.open.entry(lot).or_default();
        let (mut parts, mut at, end) = (Vec::new(), Quantity::ZERO, behind + qty);
        for layer in layers.iter_mut().rev() {
            let from = if at < behind { behind } else { at };
            at += layer.qty;
            let wanted = at.min(end) - from;
            if !wanted.is_positive() {
                continue;
            }
            let part = if wanted == layer.qty {
                layer.value
            } else {
                standard
                    .and_then(|unit| standard_out(layer.value, layer.qty - wanted, unit))
                    .unwrap_or_else(|| share(layer.value, wanted, layer.qty))
            };
            layer.qty -= wanted;
            layer.value -= part;
            layer.dirty = true;
            parts.push((wanted, part, layer.unit_cost));
        }
        if at < end {
            return Err(Unbacked {
                key: lot.0,
                qty: end - at,
            });
        }
        let spent = layers.iter().filter(|l| l.qty.is_zero() && !l.fresh);
        self.spent.extend(spent.map(|l| l.id));
        layers.retain(|l| !l.qty.is_zero());
        parts.reverse();
        Ok(parts)
    }

    /// Enters one movement and gives its value. `carried` takes the layers of a movement out to the next.
    ///
    /// # Errors
    /// [`Unbacked`] when the layers do not cover what goes out.
    pub(super) fn enter(
        &mut self,
        draft: &Draft,
        carried: &mut Vec<Part>,
    ) -> Result<Money, Unbacked> {
        let lot = (draft.key, draft.origin);
        Ok(match draft.cost {
            Cost::Fifo => {
                *carried = self.take(lot, -draft.qty)?;
                -carried.iter().map(|part| part.1).sum::<Money>()
            }
            Cost::Behind(behind) => {
                *carried = self.pluck(lot, behind, -draft.qty)?;
                -carried.iter().map(|part| part.1).sum::<Money>()
            }
            Cost::Known(value, unit) => self.bring(lot, (draft.qty, value, unit)),
            // Layer by layer: merged into one, they would go out at another cost than they came in with.
            Cost::Carried => std::mem::take(carried)
                .into_iter()
                .map(|part| {
                    self.put(lot, part);
                    part.1
                })
                .sum(),
        })
    }
}

/// `part / whole` of `value` in paise, for `0 <= part <= whole`.
pub fn share(value: Money, part: Quantity, whole: Quantity) -> Money {
    if whole.is_zero() {
        return Money::ZERO;
    }
    let (value, part, whole) = (value.decimal(), part.decimal(), whole.decimal());
    let exact = value.checked_mul(part).and_then(|p| p.checked_div(whole));
    // Only values that no shop has overflow the product; the quotient first loses nothing that shows in paise.
    Money::rounded(exact.unwrap_or_else(|| part / whole * value)).min(Money::rounded(value))
}

/// `qty` at `unit_cost`, in paise; `None` when no shop has that much money.
pub fn worth(qty: Quantity, unit_cost: Price) -> Option<Money> {
    let value = qty.decimal().checked_mul(unit_cost.decimal())?;
    Money::try_new(r2(value)).ok()
}

/// The cost of one unit of goods worth `value`.
pub fn unit_cost(value: Money, qty: Quantity) -> Price {
    if qty.is_zero() {
        Price::ZERO
    } else {
        Price::rounded(value.decimal() / qty.decimal())
    }
}

/// Works out what each draft is worth, in order, and what it leaves of the layers.
///
/// # Errors
/// [`Unbacked`] when the layers do not cover what goes out.
pub fn value(drafts: Vec<Draft>, layers: &mut Layers) -> Result<Vec<Movement>, Unbacked> {
    let mut numbers: HashMap<Source, i32> = HashMap::new();
    let mut carried: Vec<Part> = Vec::new();
    let mut movements = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let number = numbers.entry(draft.source).or_default();
        let allocation_no = *number;
        *number += 1;
        let value = layers.enter(&draft, &mut carried)?;
        let variance = match draft.cost {
            Cost::Known(paid, _) => paid - value,
            Cost::Carried | Cost::Fifo | Cost::Behind(_) => Money::ZERO,
        };
        movements.push(Movement {
            id: MovementId::new(),
            numbered: layers.numbered.contains(&draft.key.product),
            draft,
            allocation_no,
            value,
            variance,
            known: Known::default(),
        });
    }
    Ok(movements)
}

/// Deals `pool`, in its order, to `asks` of one product, in theirs. Gives for each ask what it got and what it
/// lacks; what nobody asked for stays in the pool.
pub fn deal(pool: &mut VecDeque<Taken>, asks: &[Quantity]) -> Vec<(Vec<Taken>, Quantity)> {
    asks.iter()
        .map(|ask| {
            let (mut got, mut left) = (Vec::new(), *ask);
            while left.is_positive() {
                let Some((key, there)) = pool.front_mut() else {
                    break;
                };
                let part = (*there).min(left);
                if part.is_positive() {
                    got.push((*key, part));
                }
                *there -= part;
                left -= part;
                if there.is_zero() {
                    pool.pop_front();
                }
            }
            (got, left)
        })
        .collect()
}

/// What is left of a return's share: the cumulative share of `cost` for all that came back, less what earlier
/// returns took, so that a line returned in parts gives back exactly what it cost.
pub fn return_cost(
    cost: Money,
    issued: Quantity,
    before: (Quantity, Money),
    now: Quantity,
) -> Money {
    let back = before.0 + now;
    let whole = if back > issued { back } else { issued };
    let due = share(cost, back, whole) - before.1;
    if due.is_negative() { Money::ZERO } else { due }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }
    fn m(text: &str) -> Money {
        text.parse().unwrap()
    }
    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }
    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/vectors.json")).unwrap()
    }
    fn place() -> Place {
        (
            LocationId::from_uuid(Uuid::from_u128(1)),
            ProductId::from_uuid(Uuid::from_u128(2)),
        )
    }
    fn batch(n: u128) -> BatchId {
        BatchId::from_uuid(Uuid::from_u128(n))
    }
    fn source(n: i32) -> Source {
        Source {
            kind: "invoice",
            id: Uuid::from_u128(9),
            line: n,
            purpose: "issue",
        }
    }
    fn draft(key: Key, qty: Quantity, cost: Cost, line: i32) -> Draft {
        Draft {
            kind: Kind::Issue,
            source: source(line),
            key,
            origin: Uuid::nil(),
            qty,
            cost,
            reason: None,
            occurred_at: DateTime::UNIX_EPOCH,
            serials: Vec::new(),
            said: Vec::new(),
        }
    }
    fn incoming(key: Key, qty: &str, unit: &str) -> Draft {
        let (qty, unit) = (q(qty), unit.parse::<Price>().unwrap());
        draft(key, qty, Cost::Known(worth(qty, unit).unwrap(), unit), 1)
    }
    fn outgoing(key: Key, qty: &str) -> Draft {
        draft(key, -q(qty), Cost::Fifo, 1)
    }
    fn left(layers: &Layers) -> (Quantity, Money) {
        (
            layers.open().map(|(_, l)| l.qty).sum(),
            layers.open().map(|(_, l)| l.value).sum(),
        )
    }

    /// B1..B4 of the vectors as batches 1..4.
    fn shelf(vector: &serde_json::Value) -> Books {
        let mut books = Books::new(day(vector["today"].as_str().unwrap()));
        for (n, b) in vector["batches"].as_array().unwrap().iter().enumerate() {
            let item = Item {
                on_hand: Quantity::from(b[2].as_i64().unwrap()),
                expiry: b[1].as_str().map(day),
                ..Item::default()
            };
            books.set(Key::sellable(place(), batch(n as u128 + 1)), item);
        }
        books
    }

    #[test]
    fn picks_what_expires_first_as_the_published_cases_say() {
        let vector = &vectors()["fefo"];
        let books = shelf(vector);
        let mut layers = Layers::default();
        for (n, b) in vector["batches"].as_array().unwrap().iter().enumerate() {
            let key = Key::sellable(place(), batch(n as u128 + 1));
            let qty = Quantity::from(b[2].as_i64().unwrap());
            value(
                vec![incoming(key, &qty.to_string(), b[3].as_str().unwrap())],
                &mut layers,
            )
            .unwrap();
        }
        for case in vector["cases"].as_array().unwrap() {
            let (taken, missing) = books.pick(
                place(),
                Quantity::from(case["qty"].as_i64().unwrap()),
                case["min_days"].as_u64().unwrap() as u32,
            );
            if let Some(available) = case["available"].as_i64() {
                let got: Quantity = taken.iter().map(|t| t.1).sum();
                assert_eq!(got, Quantity::from(available));
                assert!(missing.is_positive());
                continue;
            }
            let expected: Vec<_> = case["alloc"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, n)| {
                    let n = Quantity::from(n.as_i64().unwrap());
                    (Key::sellable(place(), batch(name[1..].parse().unwrap())), n)
                })
                .collect();
            assert_eq!(taken, expected);
            if let Some(cost) = case["cost"].as_str() {
                let drafts = taken
                    .iter()
                    .map(|(key, n)| outgoing(*key, &n.to_string()))
                    .collect();
                let total: Money = value(drafts, &mut layers.clone())
                    .unwrap()
                    .iter()
                    .map(|x| x.value)
                    .sum();
                assert_eq!(-total, m(cost));
            }
        }
        let excluded = books.excluded(place(), 30);
        assert_eq!(
            excluded
                .iter()
                .map(|e| (e.batch_id, e.qty, e.reason.as_str()))
                .collect::<Vec<_>>(),
            [
                (Some(batch(1)), q("5"), "expired"),
                (Some(batch(2)), q("4"), "short_shelf_life")
            ]
        );
    }

    #[test]
    fn a_batch_may_be_sold_on_its_last_day_and_not_after() {
        let item = Item {
            expiry: Some(day("2026-11-21")),
            ..Item::default()
        };
        assert!(item.fit(day("2026-11-21"), 0));
        assert!(!item.fit(day("2026-11-22"), 0));
        assert!(!item.fit(day("2026-11-21"), 1));
    }

    #[test]
    fn values_stock_first_in_first_out_as_published() {
        let vector = &vectors()["valuation_odoo"];
        let key = Key::sellable(place(), NO_BATCH);
        let mut layers = Layers::default();
        for (step, expected) in vector["steps"]
            .as_array()
            .unwrap()
            .iter()
            .zip(vector["fifo_value"].as_array().unwrap())
        {
            let qty = step[1].as_i64().unwrap().to_string();
            let draft = if step[0] == "in" {
                incoming(key, &qty, &step[2].to_string())
            } else {
                outgoing(key, &qty)
            };
            value(vec![draft], &mut layers).unwrap();
            assert_eq!(left(&layers).1, Money::from(expected.as_i64().unwrap()));
        }
    }

    #[test]
    fn the_last_unit_carries_what_rounding_left_over() {
        let key = Key::sellable(place(), NO_BATCH);
        let mut layers = Layers::default();
        let ten = draft(
            key,
            q("3"),
            Cost::Known(m("10.00"), "3.3333".parse().unwrap()),
            1,
        );
        let drafts = vec![
            ten,
            outgoing(key, "1"),
            outgoing(key, "1"),
            outgoing(key, "1"),
        ];
        let values: Vec<_> = value(drafts, &mut layers)
            .unwrap()
            .iter()
            .map(|x| x.value.to_string())
            .collect();
        assert_eq!(values, ["10.00", "-3.33", "-3.34", "-3.33"]);
        assert_eq!(left(&layers), (Quantity::ZERO, Money::ZERO));
        let unbacked = value(vec![outgoing(key, "0.001")], &mut layers).unwrap_err();
        assert_eq!(
            unbacked,
            Unbacked {
                key,
                qty: q("0.001")
            }
        );
    }

    #[test]
    fn goods_are_taken_from_the_midst_and_the_others_keep_their_cost_and_order() {
        let key = Key::sellable(place(), NO_BATCH);
        let mut layers = Layers::default();
        let stock = vec![
            incoming(key, "10", "1"),
            incoming(key, "10", "2"),
            incoming(key, "10", "4"),
        ];
        value(stock, &mut layers).unwrap();
        let midst = |behind: &str, qty: &str| Draft {
            cost: Cost::Behind(q(behind)),
            ..outgoing(key, qty)
        };
        // Four of the second, then two of the third and the rest of the second.
        let drafts = vec![midst("16", "4"), midst("8", "8"), outgoing(key, "11")];
        let values: Vec<_> = value(drafts, &mut layers)
            .unwrap()
            .iter()
            .map(|x| x.value.to_string())
            .collect();
        assert_eq!(values, ["-8.00", "-20.00", "-14.00"]);
        assert_eq!(left(&layers), (q("7"), m("28.00")));
        let beyond = value(vec![midst("6", "2")], &mut layers).unwrap_err();
        assert_eq!(beyond.qty, q("1"));
    }

    #[test]
    fn a_line_returned_in_parts_gives_back_exactly_its_cost() {
        let vector = &vectors()["return_proration"];
        let cost = m(vector["cogs"].as_str().unwrap());
        let issued = Quantity::from(vector["qty"].as_i64().unwrap());
        let mut before = (Quantity::ZERO, Money::ZERO);
        for (n, expected) in vector["returns"]
            .as_array()
            .unwrap()
            .iter()
            .zip(vector["cogs_out"].as_array().unwrap())
        {
            let now = Quantity::from(n.as_i64().unwrap());
            let back = return_cost(cost, issued, before, now);
            assert_eq!(back.to_string(), expected.as_str().unwrap());
            before = (before.0 + now, before.1 + back);
        }
    }

    #[test]
    fn promises_of_a_blocked_batch_come_back_to_quarantine() {
        let mut books = Books::new(day("2026-11-21"));
        let key = Key::sellable(place(), batch(1));
        books.set(
            key,
            Item {
                on_hand: q("5"),
                reserved: q("2"),
                blocked: true,
                version: 1,
                ..Item::default()
            },
        );
        books.unhold((key, q("2")), source(1), DateTime::UNIX_EPOCH);
        assert_eq!(books.item(key).on_hand, q("3"));
        assert_eq!(
            books.item(key.in_status(Status::Quarantine)).on_hand,
            q("2")
        );
        assert!(books.item(key.in_status(Status::Quarantine)).blocked);
        assert!(books.risen.is_empty());
        assert_eq!(books.drafts.len(), 2);
    }

    #[test]
    fn one_line_may_take_several_batches_under_numbers_of_their_own() {
        let (a, b) = (
            Key::sellable(place(), batch(1)),
            Key::sellable(place(), batch(2)),
        );
        let mut layers = Layers::default();
        value(
            vec![incoming(a, "1", "1"), incoming(b, "1", "1")],
            &mut layers,
        )
        .unwrap();
        let numbers: Vec<_> = value(vec![outgoing(a, "1"), outgoing(b, "1")], &mut layers)
            .unwrap()
            .iter()
            .map(|x| x.allocation_no)
            .collect();
        assert_eq!(numbers, [0, 1]);
    }

    #[test]
    fn goods_on_their_way_keep_their_layers_and_two_transfers_of_one_balance_do_not_mix() {
        let shop = Key::sellable(place(), NO_BATCH);
        let way = shop.in_status(Status::InTransit);
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let nil = Uuid::nil();
        let mut layers = Layers::default();
        let stock = vec![
            incoming(shop, "300", "100"),
            incoming(shop, "200", "110"),
            incoming(shop, "10", "500"),
        ];
        value(stock, &mut layers).unwrap();
        let moved = |books: &mut Books, from, to, qty| {
            let kinds = (Kind::TransferOut, Kind::TransferIn);
            books.carry(
                kinds,
                from,
                to,
                q(qty),
                source(1),
                None,
                DateTime::UNIX_EPOCH,
            );
        };
        let mut books = Books::default();
        moved(&mut books, (shop, nil), (way, first), "500");
        moved(&mut books, (shop, nil), (way, second), "10");
        // The second arrives first; taken first in, first out of the balance it would have cost 1,000.
        moved(&mut books, (way, second), (shop, nil), "10");
        moved(&mut books, (way, first), (shop, nil), "495");
        let out = Kind::AdjustOut;
        books.take_of(
            out,
            (way, first),
            q("5"),
            source(1),
            None,
            DateTime::UNIX_EPOCH,
        );
        let values: Vec<_> = value(books.drafts, &mut layers)
            .unwrap()
            .iter()
            .map(|m| m.value)
            .filter(|v| v.is_negative())
            .map(|v| (-v).to_string())
            .collect();
        assert_eq!(
            values,
            ["52000.00", "5000.00", "5000.00", "51450.00", "550.00"]
        );
        assert_eq!(left(&layers), (q("505"), m("56450.00")));
        // The wrong way: one layer at the average would have arrived with 51,480.00.
        assert_eq!(share(m("52000.00"), q("495"), q("500")), m("51480.00"));
    }

    #[test]
    fn huge_values_are_refused_and_never_overflow() {
        assert_eq!(
            worth(
                q("999999999999999.999"),
                "999999999999999.9999".parse().unwrap()
            ),
            None
        );
        let whole = q("999999999999999.999");
        assert_eq!(
            share(m("999999999999999.99"), whole, whole),
            m("999999999999999.99")
        );
    }

    proptest! {
        #[test]
        fn layers_and_movements_agree_whatever_happens(
            steps in prop::collection::vec((any::<bool>(), 1i64..5000, 0i64..100_000), 1..60)
        ) {
            let key = Key::sellable(place(), NO_BATCH);
            let mut layers = Layers::default();
            let (mut on_hand, mut worth_now) = (Quantity::ZERO, Money::ZERO);
            for (comes, thousandths, cost) in steps {
                let qty = Quantity::try_new(Decimal::new(thousandths, 3)).unwrap();
                let draft = if comes {
                    let unit = Price::try_new(Decimal::new(cost, 4)).unwrap();
                    draft(key, qty, Cost::Known(worth(qty, unit).unwrap(), unit), 1)
                } else {
                    draft(key, -qty.min(on_hand), Cost::Fifo, 1)
                };
                let moved = value(vec![draft], &mut layers).unwrap();
                on_hand += moved[0].draft.qty;
                worth_now += moved[0].value;
                prop_assert_eq!(left(&layers), (on_hand, worth_now));
                prop_assert!(!worth_now.is_negative());
                prop_assert!(!on_hand.is_zero() || worth_now.is_zero());
            }
        }

        #[test]
        fn dealing_neither_makes_nor_loses_goods(
            pool in prop::collection::vec(1i64..50, 0..6),
            asks in prop::collection::vec(1i64..50, 0..6),
        ) {
            let key = Key::sellable(place(), NO_BATCH);
            let total: i64 = pool.iter().sum();
            let mut pool: VecDeque<Taken> = pool.into_iter().map(|n| (key, Quantity::from(n))).collect();
            let asks: Vec<_> = asks.into_iter().map(Quantity::from).collect();
            let dealt = deal(&mut pool, &asks);
            let got: Quantity = dealt.iter().flat_map(|(got, _)| got).map(|t| t.1).sum();
            let rest: Quantity = pool.iter().map(|t| t.1).sum();
            prop_assert_eq!(got + rest, Quantity::from(total));
            for ((got, missing), ask) in dealt.iter().zip(&asks) {
                prop_assert_eq!(got.iter().map(|t| t.1).sum::<Quantity>() + *missing, *ask);
            }
        }
    }
}
