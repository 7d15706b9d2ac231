//! What becomes of pieces when goods move, as plain values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_types::{InvoiceId, ProductId, Quantity, ReservationId};
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    ledger::{Cost, Draft, Key, Kind, Lot, Movement, NO_BATCH, Origin, Status},
};

/// A number, within its product.
pub(crate) type Name = (ProductId, String);

/// What has become of a piece.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SerialState {
    /// It left, and neither with a customer nor as scrap: lost, or back to its supplier.
    Gone,
    /// With us.
    InStock,
    /// Thrown away.
    Scrapped,
    /// With a customer.
    Sold,
}

impl SerialState {
    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::InStock => "in_stock",
            Self::Scrapped => "scrapped",
            Self::Sold => "sold",
        }
    }

    /// From the database.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Gone, Self::InStock, Self::Scrapped, Self::Sold]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// The document line a piece was sold with; of an invoice's settled shortage, the invoice's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sold {
    /// Kind of document.
    pub kind: String,
    /// The document.
    pub id: Uuid,
    /// Its line.
    pub line: i32,
}

/// A piece.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Id.
    pub id: Uuid,
    /// Product and number.
    pub name: Name,
    /// What has become of it.
    pub state: SerialState,
    /// Where it lies, or left from.
    pub key: Key,
    /// The line of a transfer it is on its way with.
    pub origin: Origin,
    /// What it was sold with.
    pub sold: Option<Sold>,
    /// The pending hold that promises it.
    pub held: Option<(ReservationId, i32)>,
    /// Not in the database yet.
    pub fresh: bool,
    /// Differs from the database.
    pub dirty: bool,
}

impl Piece {
    /// It lies in this lot.
    pub fn lies(&self, (key, origin): Lot) -> bool {
        self.state == SerialState::InStock && self.key == key && self.origin == origin
    }

    /// It comes to lie in a lot.
    pub fn arrive(&mut self, (key, origin): Lot) {
        self.state = SerialState::InStock;
        (self.key, self.origin) = (key, origin);
        (self.sold, self.held) = (None, None);
        self.dirty = true;
    }

    /// It leaves with a movement of this kind.
    pub fn leave(&mut self, kind: Kind, sold: Sold) {
        self.state = match kind {
            Kind::Issue => SerialState::Sold,
            Kind::Scrap => SerialState::Scrapped,
            _ => SerialState::Gone,
        };
        self.sold = (kind == Kind::Issue).then_some(sold);
        self.held = None;
        self.dirty = true;
    }
}

/// Why a piece that moved could not be named.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody said its number.
    NotNamed,
    /// The books have the number elsewhere, or in another state.
    NotHere,
    /// A return names a number that was not sold with its invoice.
    NotSold,
    /// It was there before its product was followed by number.
    Opening,
    /// The books do not know the number.
    Unknown,
}

impl Reason {
    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotNamed => "not_named",
            Self::NotHere => "not_here",
            Self::NotSold => "not_sold",
            Self::Opening => "opening",
            Self::Unknown => "unknown",
        }
    }

    /// From the database.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::NotNamed,
            Self::NotHere,
            Self::NotSold,
            Self::Opening,
            Self::Unknown,
        ]
        .into_iter()
        .find(|r| r.name() == name)
    }
}

/// Pieces that a movement moved and the books cannot name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Index of the movement.
    pub movement: usize,
    /// How many.
    pub qty: Quantity,
    /// The number that was said.
    pub said: Option<String>,
    /// Why it was not taken.
    pub reason: Reason,
}

/// The pieces of one transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    pieces: BTreeMap<Name, Piece>,
    /// Pieces that a movement moved: index of the movement, and the piece.
    pub links: Vec<(usize, Uuid)>,
    /// What could not be named.
    pub gaps: Vec<Gap>,
    /// Numbers that wait for goods, by the settlement that brings them.
    due: HashMap<Uuid, Vec<String>>,
    taken: HashMap<Uuid, Vec<String>>,
}

impl Pieces {
    /// Enters a piece as the database has it.
    pub fn set(&mut self, piece: Piece) {
        self.pieces.insert(piece.name.clone(), piece);
    }

    /// A piece.
    pub fn get(&self, product: ProductId, no: &str) -> Option<&Piece> {
        self.pieces.get(&(product, no.to_owned()))
    }

    /// Every piece.
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values()
    }

    /// A piece will have come to lie in a lot before it is asked for.
    pub fn assume(&mut self, product: ProductId, no: &str, lot: Lot) {
        if let Some(piece) = self.pieces.get_mut(&(product, no.to_owned())) {
            piece.arrive(lot);
        }
    }

    /// Numbers that wait for goods, by the settlement that brings them.
    pub fn owe(&mut self, due: HashMap<Uuid, Vec<String>>) {
        self.due = due;
    }

    /// Those that wait no more.
    pub fn taken(&self) -> &HashMap<Uuid, Vec<String>> {
        &self.taken
    }

    /// Goes through movements in their order and moves the pieces with them. What a person posts must name every
    /// piece; of a fact, what cannot be named is a gap.
    ///
    /// # Errors
    /// [`Error::SerialsRequired`], [`Error::SerialNotHere`], [`Error::SerialKnown`].
    pub fn follow(
        &mut self,
        movements: &[Movement],
        tracked: &BTreeSet<ProductId>,
        invoices: &HashMap<Uuid, InvoiceId>,
    ) -> Result<(), Error> {
        let mut carried: Vec<String> = Vec::new();
        for (n, movement) in movements.iter().enumerate() {
            let draft = &movement.draft;
            if !tracked.contains(&draft.key.product) || draft.qty.is_zero() {
                continue;
            }
            if draft.qty.is_negative() {
                carried = self.leave(n, draft, invoices)?;
            } else if matches!(draft.cost, Cost::Carried) {
                let names = std::mem::take(&mut carried);
                self.come(n, draft, &names, true)?;
            } else {
                self.come(n, draft, &draft.serials, false)?;
            }
        }
        Ok(())
    }

    fn leave(
        &mut self,
        n: usize,
        draft: &Draft,
        invoices: &HashMap<Uuid, InvoiceId>,
    ) -> Result<Vec<String>, Error> {
        let (lot, source) = ((draft.key, draft.origin), draft.source);
        let product = draft.key.product;
        let mut left = -draft.qty;
        let mut said = draft.said.clone();
        let mut names: Vec<String> = draft.serials.clone();
        if is_automatic(draft) {
            // Which of them goes is nobody's choice: those that nobody was promised first.
            let mut lying: Vec<&Piece> = self
                .pieces
                .values()
                .filter(|p| p.name.0 == product && p.lies(lot) && !names.contains(&p.name.1))
                .collect();
            lying.sort_by_key(|p| (p.held.is_some(), p.name.1.clone()));
            names.extend(lying.into_iter().map(|p| p.name.1.clone()));
        }
        // Numbers that wait for these goods, of pieces that are among them.
        let waits = self.due.remove(&source.id).unwrap_or_default();
        let (there, away): (Vec<String>, Vec<String>) = waits
            .into_iter()
            .partition(|no| self.get(product, no).is_some_and(|p| p.lies(lot)));
        names.extend(there.iter().cloned());
        let mut gone = Vec::new();
        for no in names {
            if left < Quantity::from(1) {
                break;
            }
            match self.pieces.get_mut(&(product, no.clone())) {
                Some(piece) if piece.lies(lot) => {
                    let sold = match invoices.get(&source.id) {
                        Some(invoice) => ("invoice", invoice.uuid()),
                        None => (source.kind, source.id),
                    };
                    let sold = Sold {
                        kind: sold.0.to_owned(),
                        id: sold.1,
                        line: source.line,
                    };
                    piece.leave(draft.kind, sold);
                    self.links.push((n, piece.id));
                    gone.push(no);
                    left -= Quantity::from(1);
                }
                found => {
                    if is_strict(source.kind) {
                        let found = place_of(found.as_deref());
                        return Err(Error::SerialNotHere(index(source.line), no, found));
                    }
                    let reason = found.map_or(Reason::Unknown, |_| Reason::NotHere);
                    said.push((no, reason));
                }
            }
        }
        if !there.is_empty() || !away.is_empty() {
            said.extend(self.wait_on(draft, (there, away), &gone, left));
        }
        self.open(n, draft, left, said)?;
        Ok(gone)
    }

    /// What becomes of numbers that waited for goods, now that `gone` left with them and `left` left without a number.
    /// Gives those that are said of these: their pieces are not at the place.
    fn wait_on(
        &mut self,
        draft: &Draft,
        (there, away): (Vec<String>, Vec<String>),
        gone: &[String],
        left: Quantity,
    ) -> Vec<(String, Reason)> {
        let product = draft.key.product;
        let (mut taken, mut later): (Vec<String>, Vec<String>) =
            there.into_iter().partition(|no| gone.contains(no));
        let room = left.decimal().ceil().to_usize().unwrap_or_default();
        let mut said = Vec::new();
        for no in away {
            let piece = self.get(product, &no);
            let reason = piece.map_or(Reason::Unknown, |_| Reason::NotHere);
            // One that lies in another balance of the place may leave with the settlement's next movement.
            let near = piece.is_some_and(|p| {
                p.state == SerialState::InStock && p.key.place() == draft.key.place()
            });
            if near || said.len() >= room {
                later.push(no);
            } else {
                taken.push(no.clone());
                said.push((no, reason));
            }
        }
        self.due.insert(draft.source.id, later);
        let all = self.taken.entry(draft.source.id).or_default();
        all.extend(taken);
        said
    }

    fn come(
        &mut self,
        n: usize,
        draft: &Draft,
        names: &[String],
        carried: bool,
    ) -> Result<(), Error> {
        let (lot, source) = ((draft.key, draft.origin), draft.source);
        let product = draft.key.product;
        let mut left = draft.qty;
        let mut said = draft.said.clone();
        for no in names {
            if left < Quantity::from(1) {
                break;
            }
            let name = (product, no.clone());
            match self.pieces.get_mut(&name) {
                None => {
                    let piece = Piece {
                        id: Uuid::now_v7(),
                        name: name.clone(),
                        state: SerialState::InStock,
                        key: lot.0,
                        origin: lot.1,
                        sold: None,
                        held: None,
                        fresh: true,
                        dirty: true,
                    };
                    self.links.push((n, piece.id));
                    self.pieces.insert(name, piece);
                }
                Some(piece) if carried || admits(draft.kind, source.kind, piece.state) => {
                    piece.arrive(lot);
                    self.links.push((n, piece.id));
                }
                Some(piece) => {
                    if is_strict(source.kind) {
                        let found = place_of(Some(piece));
                        return Err(Error::SerialKnown(index(source.line), no.clone(), found));
                    }
                    said.push((no.clone(), Reason::NotHere));
                    continue;
                }
            }
            left -= Quantity::from(1);
        }
        self.open(n, draft, left, said)
    }

    /// What is left of a movement has no names.
    fn open(
        &mut self,
        n: usize,
        draft: &Draft,
        mut left: Quantity,
        said: Vec<(String, Reason)>,
    ) -> Result<(), Error> {
        if left.is_positive() && is_strict(draft.source.kind) {
            return Err(Error::SerialsRequired(index(draft.source.line)));
        }
        for (no, reason) in said {
            let qty = left.min(Quantity::from(1));
            if qty.is_positive() {
                self.gaps.push(Gap {
                    movement: n,
                    qty,
                    said: Some(no),
                    reason,
                });
                left -= qty;
            }
        }
        if left.is_positive() {
            self.gaps.push(Gap {
                movement: n,
                qty: left,
                said: None,
                reason: Reason::NotNamed,
            });
        }
        Ok(())
    }
}

fn index(line: i32) -> usize {
    usize::try_from(line - 1).unwrap_or_default()
}

/// Where a piece is, in words.
pub(crate) fn place_of(piece: Option<&Piece>) -> String {
    let Some(piece) = piece else {
        return "unknown".to_owned();
    };
    match piece.state {
        SerialState::InStock => format!(
            "in stock at location {} as {}{}",
            piece.key.location,
            piece.key.status.name(),
            if piece.key.batch == NO_BATCH {
                String::new()
            } else {
                format!(", batch {}", piece.key.batch)
            }
        ),
        state => state.name().to_owned(),
    }
}

/// People post these documents: they name every piece.
pub(crate) fn is_strict(kind: &str) -> bool {
    matches!(
        kind,
        "adjustment" | "receipt" | "status_change" | "supplier_return" | "transfer"
    )
}

/// What a document takes without naming it: whichever lie there. Which goods of a hold go to quarantine, or of a batch
/// to the bin, makes no difference; and of what is on its way all that is not named goes together.
pub(crate) fn is_automatic(draft: &Draft) -> bool {
    let apart = draft.kind == Kind::StatusChange && draft.source.kind != "status_change";
    apart
        || matches!(
            draft.source.kind,
            "disposal" | "transfer_receipt" | "transfer_short"
        )
}

/// A piece in this state may come in.
fn admits(kind: Kind, source: &str, state: SerialState) -> bool {
    match (kind, source) {
        // A count saw it.
        (Kind::AdjustIn, "count") => matches!(state, SerialState::Gone | SerialState::Scrapped),
        (Kind::AdjustIn | Kind::Receipt, _) => state == SerialState::Gone,
        (Kind::ReturnIn, _) => state == SerialState::Sold,
        _ => false,
    }
}

/// A whole number of pieces; `None` for anything else.
pub(crate) fn whole(qty: Quantity) -> Option<usize> {
    let qty = qty.decimal();
    qty.fract().is_zero().then(|| qty.abs().to_usize())?
}

/// What a line of a document says of its pieces is in order: as many as it moves, each once, and none for a product
/// that is not followed by number.
///
/// # Errors
/// [`Error::NotSerialTracked`], [`Error::WholeNumbers`], [`Error::SerialsRequired`], [`Error::SerialsCount`],
/// [`Error::SerialTwice`].
pub(crate) fn check(
    n: usize,
    tracked: bool,
    product: ProductId,
    qty: Quantity,
    serials: &[String],
    seen: &mut BTreeSet<Name>,
) -> Result<(), Error> {
    if !tracked {
        return if serials.is_empty() {
            Ok(())
        } else {
            Err(Error::NotSerialTracked(n))
        };
    }
    let pieces = whole(qty).ok_or(Error::WholeNumbers(n))?;
    if serials.is_empty() && pieces > 0 {
        return Err(Error::SerialsRequired(n));
    }
    if serials.len() != pieces {
        return Err(Error::SerialsCount(n));
    }
    for no in serials {
        if !seen.insert((product, no.clone())) {
            return Err(Error::SerialTwice(n, no.clone()));
        }
    }
    Ok(())
}

/// Numbers by the balance in which their pieces may be sold at a place, and those of which none can.
pub(crate) fn on_shelf<'a>(
    pieces: &Pieces,
    place: crate::ledger::Place,
    names: impl IntoIterator<Item = &'a String>,
) -> (BTreeMap<Key, Vec<String>>, Vec<String>) {
    let (mut there, mut others): (BTreeMap<Key, Vec<String>>, _) = (BTreeMap::new(), Vec::new());
    for no in names {
        match pieces.get(place.1, no) {
            Some(piece)
                if piece.state == SerialState::InStock
                    && piece.key.place() == place
                    && piece.key.status == Status::Sellable =>
            {
                there.entry(piece.key).or_default().push(no.clone());
            }
            _ => others.push(no.clone()),
        }
    }
    (there, others)
}

#[cfg(test)]
mod tests {
    use bahi_types::{LocationId, Money, MovementId, Price};
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::ledger::{Books, Known, Source};

    struct Desk {
        shelf: Key,
        pieces: Pieces,
    }

    impl Desk {
        fn with(names: &[&str]) -> Self {
            let shelf = Key::sellable((LocationId::new(), ProductId::new()), NO_BATCH);
            let mut desk = Self {
                shelf,
                pieces: Pieces::default(),
            };
            for no in names {
                desk.pieces.set(Piece {
                    id: Uuid::now_v7(),
                    name: (shelf.product, (*no).to_owned()),
                    state: SerialState::InStock,
                    key: shelf,
                    origin: Uuid::nil(),
                    sold: None,
                    held: None,
                    fresh: false,
                    dirty: false,
                });
            }
            desk
        }

        fn state(&self, no: &str) -> Option<(SerialState, Key)> {
            let piece = self.pieces.get(self.shelf.product, no)?;
            Some((piece.state, piece.key))
        }

        fn follow(&mut self, books: Books) -> Result<(), Error> {
            let movements: Vec<Movement> = books
                .drafts
                .into_iter()
                .map(|draft| Movement {
                    id: MovementId::new(),
                    draft,
                    allocation_no: 0,
                    value: Money::ZERO,
                    variance: Money::ZERO,
                    numbered: true,
                    known: Known::default(),
                })
                .collect();
            let tracked = BTreeSet::from([self.shelf.product]);
            self.pieces.follow(&movements, &tracked, &HashMap::new())
        }
    }

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn of(kind: &'static str) -> Source {
        Source {
            kind,
            id: Uuid::from_u128(7),
            line: 3,
            purpose: "test",
        }
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|no| (*no).to_owned()).collect()
    }

    fn take(shelf: Key, qty: i64, kind: &'static str, names: &[&str]) -> Books {
        let mut books = Books::default();
        books.take(Kind::Issue, shelf, Quantity::from(qty), of(kind), None, NOW);
        books.name(named(names));
        books
    }

    #[test]
    fn a_person_is_refused_what_a_fact_leaves_open() {
        for (names, reasons) in [
            (&["A", "X"][..], vec![(Some("X"), Reason::Unknown)]),
            (&["A"], vec![(None, Reason::NotNamed)]),
            (&["A", "A"], vec![(Some("A"), Reason::NotHere)]),
        ] {
            let mut desk = Desk::with(&["A", "B"]);
            desk.follow(take(desk.shelf, 2, "invoice", names)).unwrap();
            let found: Vec<_> = desk
                .pieces
                .gaps
                .iter()
                .map(|g| (g.said.as_deref(), g.reason))
                .collect();
            assert_eq!(found, reasons);
            assert_eq!(desk.state("A").unwrap().0, SerialState::Sold);
            assert_eq!(desk.state("B").unwrap().0, SerialState::InStock);
            let mut desk = Desk::with(&["A", "B"]);
            let refused = desk.follow(take(desk.shelf, 2, "adjustment", names));
            assert!(matches!(
                refused,
                Err(Error::SerialNotHere(2, ..) | Error::SerialsRequired(2))
            ));
        }
    }

    #[test]
    fn what_is_carried_takes_its_pieces_along_and_prefers_those_nobody_was_promised() {
        let mut desk = Desk::with(&["A", "B"]);
        let held = desk.pieces.get(desk.shelf.product, "A").cloned();
        let mut held = held.unwrap();
        held.held = Some((ReservationId::new(), 1));
        desk.pieces.set(held);
        let apart = desk.shelf.in_status(Status::Quarantine);
        let mut books = Books::default();
        let kinds = (Kind::StatusChange, Kind::StatusChange);
        let (from, to) = ((desk.shelf, Uuid::nil()), (apart, Uuid::nil()));
        books.carry(kinds, from, to, Quantity::from(1), of("recall"), None, NOW);
        desk.follow(books).unwrap();
        assert_eq!(desk.state("A"), Some((SerialState::InStock, desk.shelf)));
        assert_eq!(desk.state("B"), Some((SerialState::InStock, apart)));
        assert_eq!(desk.pieces.links.len(), 2);
        assert!(desk.pieces.gaps.is_empty());
    }

    #[test]
    fn a_number_comes_in_once() {
        let cost = Cost::Known(Money::ZERO, Price::ZERO);
        let mut desk = Desk::with(&["A"]);
        let mut books = Books::default();
        let two = Quantity::from(2);
        books.put(
            Kind::ReturnIn,
            desk.shelf,
            two,
            cost,
            of("return"),
            None,
            NOW,
        );
        books.name(named(&["A", "N"]));
        desk.follow(books).unwrap();
        assert_eq!(desk.pieces.gaps[0].said.as_deref(), Some("A"));
        assert_eq!(desk.state("N"), Some((SerialState::InStock, desk.shelf)));
        let mut books = Books::default();
        books.put(
            Kind::Receipt,
            desk.shelf,
            two,
            cost,
            of("receipt"),
            None,
            NOW,
        );
        books.name(named(&["M", "N"]));
        assert!(matches!(desk.follow(books), Err(Error::SerialKnown(2, ..))));
    }

    #[test]
    fn what_a_line_says_is_checked_before_anything_is_looked_up() {
        let product = ProductId::new();
        let q = |text: &str| text.parse().unwrap();
        let run = |tracked: bool, qty: Quantity, names: &[&str]| {
            check(
                4,
                tracked,
                product,
                qty,
                &named(names),
                &mut BTreeSet::new(),
            )
        };
        assert!(run(true, q("-2"), &["A", "B"]).is_ok());
        assert!(run(true, q("0"), &[]).is_ok());
        assert!(run(false, q("1.5"), &[]).is_ok());
        assert!(matches!(
            run(true, q("1.5"), &["A"]),
            Err(Error::WholeNumbers(4))
        ));
        assert!(matches!(
            run(true, q("2"), &[]),
            Err(Error::SerialsRequired(4))
        ));
        assert!(matches!(
            run(true, q("2"), &["A"]),
            Err(Error::SerialsCount(4))
        ));
        assert!(matches!(
            run(true, q("0"), &["A"]),
            Err(Error::SerialsCount(4))
        ));
        assert!(matches!(
            run(true, q("2"), &["A", "A"]),
            Err(Error::SerialTwice(4, _))
        ));
        assert!(matches!(
            run(false, q("1"), &["A"]),
            Err(Error::NotSerialTracked(4))
        ));
    }
}
