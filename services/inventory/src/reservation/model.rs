//! Holds and what may be granted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bahi_proto::reservation_id;
use bahi_types::{BatchId, CustomerId, InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::Short,
    kit::{self, Kits},
    ledger::{Books, Key, Place, Source, Taken, deal, named},
    serial::{Named, on_shelf},
};

/// Whose hold it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A sale at a till: only sales knows what becomes of it.
    Sales,
    /// A confirmed order.
    Order,
    /// A client of the API: lapses by the clock.
    Api,
}

impl Owner {
    /// From the database.
    pub fn named(name: &str) -> Self {
        match name {
            "sales" => Self::Sales,
            "order" => Self::Order,
            _ => Self::Api,
        }
    }

    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Order => "order",
            Self::Api => "api",
        }
    }
}

/// State of a hold; all but pending are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Stock is held.
    Pending,
    /// It was issued.
    Committed,
    /// It was given back.
    Released,
    /// It lapsed.
    Expired,
}

impl HoldState {
    /// From the database.
    pub fn named(name: &str) -> Self {
        match name {
            "committed" => Self::Committed,
            "released" => Self::Released,
            "expired" => Self::Expired,
            _ => Self::Pending,
        }
    }

    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// What sales answered about a hold whose sale was issued: all that is needed to issue the goods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its number.
    pub number: String,
    /// Where the goods come from.
    pub location_id: LocationId,
    /// Hash of the demand.
    pub demand_hash: String,
    /// Stocked lines.
    pub lines: Vec<Ask>,
    /// When it was sold.
    pub occurred_at: DateTime<Utc>,
    /// Serial numbers of the pieces, by line.
    #[serde(default)]
    pub serials: BTreeMap<i32, Vec<String>>,
}

/// One line of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Line.
    pub line: i32,
    /// Product.
    pub product: ProductId,
    /// How much.
    pub qty: Quantity,
}

/// Part of a line's demand, from one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Allocation {
    /// Line.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch; absent for stock without batches.
    pub batch_id: Option<BatchId>,
    /// How much.
    pub qty: Quantity,
}

/// Part of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLine {
    /// Line.
    pub line: i32,
    /// Number within the line.
    pub allocation_no: i32,
    /// Product.
    pub product: ProductId,
    /// Batch.
    pub batch: BatchId,
    /// How much.
    pub qty: Quantity,
}

/// A hold on stock.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Id.
    pub id: ReservationId,
    /// Whose.
    pub owner: Owner,
    /// State.
    pub state: HoldState,
    /// Where; nil for one that was never granted.
    pub location: LocationId,
    /// The invoice, for a sale's.
    pub invoice: Option<InvoiceId>,
    /// The attempt, for a sale's.
    pub attempt: Option<u32>,
    /// Hash of the demand, for a sale's.
    pub demand_hash: Option<String>,
    /// The order, for an order's.
    pub order: Option<Uuid>,
    /// The holder's words.
    pub reference: Option<String>,
    /// When it lapses, or sales is asked.
    pub deadline: Option<DateTime<Utc>>,
    /// What sales answered.
    pub answer: Option<Answer>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Version.
    pub version: i64,
    /// Lines.
    pub lines: Vec<HoldLine>,
}

impl Hold {
    /// Stock is held.
    pub fn is_pending(&self) -> bool {
        self.state == HoldState::Pending
    }

    /// The balance a line holds.
    pub fn key(&self, line: &HoldLine) -> Key {
        Key::sellable((self.location, line.product), line.batch)
    }

    /// The places it holds stock at.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.lines.iter().map(|l| (self.location, l.product))
    }

    /// The document of goods that leave for it, or go to quarantine when it ends.
    pub fn source(&self, line: i32, purpose: &'static str) -> Source {
        Source {
            kind: "reservation",
            id: self.id.uuid(),
            line,
            purpose,
        }
    }

    /// Gives all of it back.
    pub fn free(&self, books: &mut Books, now: DateTime<Utc>) {
        for line in &self.lines {
            books.unhold(
                (self.key(line), line.qty),
                self.source(line.line, "quarantine"),
                now,
            );
        }
    }

    /// What it holds, by product, in the order it was taken.
    pub fn pools(&self) -> BTreeMap<ProductId, VecDeque<Taken>> {
        let mut pools: BTreeMap<ProductId, VecDeque<Taken>> = BTreeMap::new();
        for line in self.lines.iter().filter(|l| l.qty.is_positive()) {
            pools
                .entry(line.product)
                .or_default()
                .push_back((self.key(line), line.qty));
        }
        pools
    }
}

/// What a sale or an order asks for.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Whose hold it will be: a sale's or an order's.
    pub owner: Owner,
    /// The invoice-to-be; the order, for an order's.
    pub invoice: InvoiceId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Where.
    pub location: LocationId,
    /// Lines.
    pub lines: Vec<Ask>,
    /// Hash.
    pub demand_hash: String,
    /// When sales is asked; an order's hold has no end of its own.
    pub deadline: Option<DateTime<Utc>>,
    /// In words, for an order's.
    pub reference: Option<String>,
    /// Take what there is.
    pub allow_short: bool,
    /// Which batches.
    pub terms: Terms,
}

/// Which batches a demand may be served from.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Days every batch must still keep.
    pub min_days: u32,
    /// Who buys: rules may ask for more.
    pub customer: Option<CustomerId>,
    /// The group of who buys.
    pub group: Option<String>,
    /// What the rules ask for, by product.
    pub ruled: BTreeMap<ProductId, u32>,
    /// Batches that were chosen, by line.
    pub chosen: BTreeMap<i32, BatchId>,
    /// Serial numbers of the pieces, by line.
    pub serials: BTreeMap<i32, Vec<String>>,
    /// Why a batch was chosen against the rules.
    pub reason: Option<String>,
    /// Who allowed it, where that is not the caller.
    pub by: Option<String>,
}

impl Terms {
    /// Days that batches of a product must still keep.
    pub fn min_for(&self, product: ProductId) -> u32 {
        let ruled = self.ruled.get(&product).copied().unwrap_or_default();
        self.min_days.max(ruled)
    }
}

impl Demand {
    /// Its hold.
    pub fn id(&self) -> ReservationId {
        reservation_id(self.invoice, self.attempt)
    }

    /// The holds of every lower attempt.
    pub fn lower(&self) -> Vec<ReservationId> {
        (1..self.attempt)
            .map(|attempt| reservation_id(self.invoice, attempt))
            .collect()
    }

    /// What it asks for.
    pub fn products(&self) -> Vec<ProductId> {
        let products: BTreeSet<ProductId> = self.lines.iter().map(|l| l.product).collect();
        products.into_iter().collect()
    }
}

/// What came of a request for a hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Held.
    Granted(Vec<Allocation>),
    /// Not enough.
    Refused(Vec<Short>),
    /// The attempt ended before.
    Terminal(HoldState),
}

/// Deals pools of goods to the lines that ask for them.
pub fn dealt(mut pools: BTreeMap<ProductId, VecDeque<Taken>>, lines: &[Ask]) -> Vec<Allocation> {
    let mut allocations = Vec::with_capacity(lines.len());
    for ask in lines {
        let Some(pool) = pools.get_mut(&ask.product) else {
            continue;
        };
        for (got, _) in deal(pool, &[ask.qty]) {
            allocations.extend(got.into_iter().map(|(key, qty)| Allocation {
                line: ask.line,
                product_id: ask.product,
                batch_id: named(key.batch),
                qty,
            }));
        }
    }
    allocations
}

/// Checks the demand of all lines of a product together, takes it first expired first out, and holds it.
///
/// # Errors
/// The products of which there is not enough; nothing is held then.
pub fn grant(
    books: &mut Books,
    location: LocationId,
    lines: &[Ask],
    allow_short: bool,
    terms: &Terms,
) -> Result<Vec<Allocation>, Vec<Short>> {
    let mut sums: BTreeMap<ProductId, Quantity> = BTreeMap::new();
    for ask in lines {
        *sums.entry(ask.product).or_default() += ask.qty;
    }
    let (mut pools, mut short) = (BTreeMap::new(), Vec::new());
    for (product, asked) in sums {
        let (place, min_days) = ((location, product), terms.min_for(product));
        let (taken, missing) = books.pick(place, asked, min_days);
        if missing.is_positive() && !allow_short {
            let excluded = books.excluded(place, min_days);
            short.push(Short {
                product_id: product,
                lines: lines_of(product, lines),
                asked,
                available: asked - missing,
                excluded,
                serials: Vec::new(),
            });
        }
        pools.insert(product, VecDeque::from(taken));
    }
    if !short.is_empty() {
        return Err(short);
    }
    for taken in pools.values().flatten() {
        books.hold(*taken);
    }
    Ok(dealt(pools, lines))
}

/// The demand of an order without what is short of one product: the last lines lose it first, lines of kits in whole kits.
pub(crate) fn fewer(lines: &[Ask], kits: &Kits, short: &Short) -> Vec<Ask> {
    let mut lines = lines.to_vec();
    let mut over = short.asked - short.available;
    for line in lines.iter_mut().rev() {
        if !over.is_positive() {
            break;
        }
        let cut = match kits.components(line.product) {
            None if line.product == short.product_id => over.min(line.qty),
            None => continue,
            Some(of) => {
                let one = of.get(&short.product_id).filter(|one| one.is_positive());
                let Some(one) = one else { continue };
                let whole = over.decimal().checked_div(one.decimal());
                let whole = whole.map_or(line.qty, |n| Quantity::rounded(n.ceil()));
                let cut = whole.min(line.qty);
                over -= Quantity::rounded(one.decimal() * cut.decimal());
                line.qty -= cut;
                continue;
            }
        };
        over -= cut;
        line.qty -= cut;
    }
    lines.retain(|line| line.qty.is_positive());
    lines
}

/// What a hold holds of each line, in the line's own product.
pub(crate) fn by_line(lines: &[HoldLine], kits: &[kit::Part]) -> BTreeMap<i32, Quantity> {
    let of_kits: BTreeMap<i32, Quantity> = kits.iter().map(|part| (part.line, part.qty)).collect();
    let mut sums = of_kits.clone();
    for line in lines {
        if !of_kits.contains_key(&line.line) {
            *sums.entry(line.line).or_default() += line.qty;
        }
    }
    sums.retain(|_, qty| qty.is_positive());
    sums
}

/// What lines that name their batches or pieces get.
pub(crate) struct Choice {
    /// What they get.
    pub allocations: Vec<Allocation>,
    /// Lines whose batch is not the one that first expired, first out, would take, or keeps less than the minimum. A piece
    /// that somebody has in hand breaks no order: of lines that name pieces, only those that keep less than the minimum.
    pub against: Vec<i32>,
    /// Pieces that are promised, and their lines.
    pub pieces: Vec<(Uuid, i32)>,
}

/// The same where lines name their batches or pieces. A batch that is expired or blocked gives nothing, whoever asks, and
/// neither does a piece that is elsewhere, set apart or promised to somebody else.
///
/// # Errors
/// The products of which there is not enough; nothing is held then.
pub(crate) fn choose(
    books: &mut Books,
    location: LocationId,
    lines: &[Ask],
    allow_short: bool,
    terms: &Terms,
    wanted: &Named,
) -> Result<Choice, Vec<Short>> {
    let mut trial = books.clone();
    let mut pieces = Vec::new();
    let mut strange: BTreeMap<ProductId, Vec<String>> = BTreeMap::new();
    let mut sums: BTreeMap<ProductId, (Quantity, Quantity)> = BTreeMap::new();
    let (mut allocations, mut against) = (Vec::with_capacity(lines.len()), Vec::new());
    // Chosen batches first: what others are served from is the rest.
    let is_chosen =
        |ask: &&Ask| terms.chosen.contains_key(&ask.line) || wanted.lines.contains_key(&ask.line);
    let others = lines.iter().filter(|ask| !is_chosen(ask));
    for ask in lines.iter().filter(is_chosen).chain(others) {
        let (place, min_days) = ((location, ask.product), terms.min_for(ask.product));
        let (picked, mut missing) = trial.pick(place, ask.qty, min_days);
        let mut taken = picked.clone();
        if let Some(names) = wanted.lines.get(&ask.line) {
            let found = pick_pieces(&trial, wanted, place, names);
            let whole: Quantity = found.taken.iter().map(|t| t.1).sum();
            let (unfit, lost) = (found.short_lived(&trial, min_days), found.strange.len());
            if unfit {
                against.push(ask.line);
            }
            pieces.extend(found.pieces.iter().map(|id| (*id, ask.line)));
            strange
                .entry(ask.product)
                .or_default()
                .extend(found.strange);
            for part in &found.taken {
                trial.hold(*part);
            }
            // What is not named comes from the quantity; a piece that cannot be had does not, unless the sale is a fact.
            let asked = if allow_short {
                Quantity::ZERO
            } else {
                Quantity::from(lost as i64)
            };
            let (rest, lacking) = trial.pick(place, ask.qty - whole - asked, min_days);
            for part in &found.taken {
                trial.shrink(*part);
            }
            (taken, missing) = (found.taken, lacking + asked);
            taken.extend(rest);
        } else if let Some(batch) = terms.chosen.get(&ask.line) {
            let key = Key::sellable(place, *batch);
            let item = trial.item(key);
            let part = if item.fit(trial.today, 0) {
                item.free().min(ask.qty)
            } else {
                Quantity::ZERO
            };
            (taken, missing) = (vec![(key, part)], ask.qty - part);
            taken.retain(|t| t.1.is_positive());
            if part.is_positive() && taken != picked {
                against.push(ask.line);
            }
        }
        let sum = sums.entry(ask.product).or_default();
        *sum = (sum.0 + ask.qty, sum.1 + (ask.qty - missing));
        for (key, qty) in taken {
            trial.hold((key, qty));
            allocations.push(Allocation {
                line: ask.line,
                product_id: ask.product,
                batch_id: named(key.batch),
                qty,
            });
        }
    }
    let short: Vec<Short> = sums
        .into_iter()
        .filter(|(_, (asked, got))| got < asked && !allow_short)
        .map(|(product_id, (asked, available))| Short {
            product_id,
            lines: lines_of(product_id, lines),
            asked,
            available,
            excluded: books.excluded((location, product_id), terms.min_for(product_id)),
            serials: strange.remove(&product_id).unwrap_or_default(),
        })
        .collect();
    if !short.is_empty() {
        return Err(short);
    }
    *books = trial;
    allocations.sort_by_key(|a| a.line);
    Ok(Choice {
        allocations,
        against,
        pieces,
    })
}

/// Pieces of one line that can be had.
struct Found {
    taken: Vec<Taken>,
    pieces: Vec<Uuid>,
    /// Numbers of which no piece can be had here.
    strange: Vec<String>,
}

impl Found {
    /// A batch of them keeps less than the minimum.
    fn short_lived(&self, books: &Books, min_days: u32) -> bool {
        let unfit = |taken: &Taken| !books.item(taken.0).fit(books.today, min_days);
        self.taken.iter().any(unfit)
    }
}

/// Which of the named pieces can be had at a place: they lie there to be sold, nobody else is promised them, and the
/// quantity of their balance is free.
fn pick_pieces(books: &Books, named: &Named, place: Place, names: &[String]) -> Found {
    let (there, mut strange) = on_shelf(&named.pieces, place, names);
    let (mut taken, mut pieces) = (Vec::new(), Vec::new());
    for (key, names) in there {
        let item = books.item(key);
        let mut qty = Quantity::ZERO;
        for no in names {
            let piece = named.pieces.get(place.1, &no).filter(|p| p.held.is_none());
            let free = item.fit(books.today, 0) && item.free() >= qty + Quantity::from(1);
            match piece.filter(|p| free && !pieces.contains(&p.id)) {
                Some(piece) => {
                    pieces.push(piece.id);
                    qty += Quantity::from(1);
                }
                None => strange.push(no),
            }
        }
        if qty.is_positive() {
            taken.push((key, qty));
        }
    }
    Found {
        taken,
        pieces,
        strange,
    }
}

fn lines_of(product: ProductId, lines: &[Ask]) -> Vec<i32> {
    let of_product = lines.iter().filter(|ask| ask.product == product);
    of_product.map(|ask| ask.line).collect()
}

/// Allocations as the lines of a hold.
pub fn hold_lines(allocations: &[Allocation]) -> Vec<HoldLine> {
    let mut numbers: BTreeMap<i32, i32> = BTreeMap::new();
    allocations
        .iter()
        .map(|a| {
            let number = numbers.entry(a.line).or_default();
            *number += 1;
            HoldLine {
                line: a.line,
                allocation_no: *number - 1,
                product: a.product_id,
                batch: a.batch_id.unwrap_or(crate::ledger::NO_BATCH),
                qty: a.qty,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Item, NO_BATCH};

    fn books(on_hand: i64) -> (Books, LocationId, ProductId) {
        let (location, product) = (LocationId::new(), ProductId::new());
        let mut books = Books::default();
        let item = Item {
            on_hand: Quantity::from(on_hand),
            version: 1,
            ..Item::default()
        };
        books.set(Key::sellable((location, product), NO_BATCH), item);
        (books, location, product)
    }
    fn ask(line: i32, product: ProductId, qty: i64) -> Ask {
        Ask {
            line,
            product,
            qty: Quantity::from(qty),
        }
    }

    #[test]
    fn lines_of_one_product_are_checked_together() {
        let (mut books, location, product) = books(10);
        let lines = [ask(1, product, 6), ask(2, product, 6)];
        let short = grant(&mut books, location, &lines, false, &Terms::default()).unwrap_err();
        assert_eq!(
            (short[0].asked, short[0].available),
            (Quantity::from(12), Quantity::from(10))
        );
        assert_eq!(books.available((location, product)), Quantity::from(10));
        // The wrong way to check, which the assertion above would not let pass.
        let one_by_one = lines
            .iter()
            .all(|l| books.pick((location, product), l.qty, 0).1.is_zero());
        assert!(one_by_one, "each line alone would have been granted");
    }

    #[test]
    fn takes_what_there_is_when_told_so_and_deals_it_in_the_order_of_lines() {
        let (mut books, location, product) = books(10);
        let got = grant(
            &mut books,
            location,
            &[ask(1, product, 6), ask(2, product, 6)],
            true,
            &Terms::default(),
        )
        .unwrap();
        assert_eq!(
            got.iter().map(|a| (a.line, a.qty)).collect::<Vec<_>>(),
            [(1, Quantity::from(6)), (2, Quantity::from(4))]
        );
        assert!(books.available((location, product)).is_zero());
        let none = grant(
            &mut books,
            location,
            &[ask(1, product, 1)],
            true,
            &Terms::default(),
        )
        .unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn a_chosen_batch_is_against_the_rules_only_when_another_would_have_been_taken() {
        let (location, product) = (LocationId::new(), ProductId::new());
        let today = "2026-11-21".parse().unwrap();
        let ids: Vec<BatchId> = (1..=4)
            .map(|n| BatchId::from_uuid(Uuid::from_u128(n)))
            .collect();
        let mut books = Books::new(today);
        for (id, expiry, blocked) in [
            (ids[0], Some("2026-11-10"), false),
            (ids[1], Some("2026-12-05"), false),
            (ids[2], None, false),
            (ids[3], None, true),
        ] {
            let item = Item {
                on_hand: Quantity::from(5),
                expiry: expiry.map(|e| e.parse().unwrap()),
                blocked,
                version: 1,
                ..Item::default()
            };
            books.set(Key::sellable((location, product), id), item);
        }
        let terms = |line, batch, min_days| Terms {
            chosen: BTreeMap::from([(line, batch)]),
            min_days,
            ..Terms::default()
        };
        let run = |lines: &[Ask], terms: Terms| {
            let none = Named::default();
            let got = choose(&mut books.clone(), location, lines, false, &terms, &none);
            got.map(|got| {
                let batches = got.allocations.iter().map(|a| a.batch_id);
                (batches.collect::<Vec<_>>(), got.against)
            })
        };
        let one = [ask(1, product, 5)];
        assert_eq!(
            run(&one, terms(1, ids[1], 0)),
            Ok((vec![Some(ids[1])], vec![]))
        );
        assert_eq!(
            run(&one, terms(1, ids[2], 0)),
            Ok((vec![Some(ids[2])], vec![1]))
        );
        assert_eq!(
            run(&one, terms(1, ids[1], 30)),
            Ok((vec![Some(ids[1])], vec![1]))
        );
        // What the first line takes makes the later batch the next in turn.
        let two = [ask(1, product, 5), ask(2, product, 5)];
        let both = Terms {
            chosen: BTreeMap::from([(1, ids[1]), (2, ids[2])]),
            ..Terms::default()
        };
        assert_eq!(run(&two, both).unwrap().1, Vec::<i32>::new());
        for unfit in [ids[0], ids[3]] {
            let short = run(&one, terms(1, unfit, 0)).unwrap_err();
            assert_eq!(short[0].available, Quantity::ZERO);
            assert_eq!(short[0].excluded.len(), 2);
        }
        assert_eq!(
            run(&[ask(1, product, 6)], terms(1, ids[1], 0)).unwrap_err()[0].available,
            Quantity::from(5)
        );
    }

    #[test]
    fn the_last_lines_of_an_order_go_without_and_kits_stay_whole() {
        let (goods, kit) = (ProductId::new(), ProductId::new());
        let of = Kits::of(kit, BTreeMap::from([(goods, Quantity::from(2))]));
        let lines = [ask(1, goods, 5), ask(2, kit, 3), ask(3, goods, 1)];
        let left = |available: i64| {
            let short = Short {
                product_id: goods,
                lines: vec![1, 2, 3],
                asked: Quantity::from(12),
                available: Quantity::from(available),
                excluded: Vec::new(),
                serials: Vec::new(),
            };
            let left = fewer(&lines, &of, &short);
            let left = left.into_iter().map(|l| (l.line, l.qty.to_string()));
            left.collect::<Vec<_>>()
        };
        let expected = |lines: &[(i32, &str)]| -> Vec<(i32, String)> {
            lines.iter().map(|(n, q)| (*n, (*q).to_owned())).collect()
        };
        assert_eq!(left(11), expected(&[(1, "5"), (2, "3")]));
        assert_eq!(left(10), expected(&[(1, "5"), (2, "2")]));
        assert_eq!(left(9), expected(&[(1, "5"), (2, "2")]));
        assert_eq!(left(4), expected(&[(1, "4")]));
        assert_eq!(left(0), expected(&[]));
    }
}
