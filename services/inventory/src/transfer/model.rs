//! What a transfer may become, and what of it can arrive.

use std::collections::{BTreeMap, BTreeSet};

use bahi_types::{BatchId, LocationId, Money, ProductId, Quantity, RegistrationId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error, Short,
    ledger::{Books, Key, Lot, NO_BATCH, Status, Taken, named},
    serial::{self, Pieces, SerialState, place_of},
};

/// Numbers of pieces, by line and batch.
pub(super) type Names = BTreeMap<(i32, BatchId), Vec<String>>;

/// State of a transfer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, async_graphql::Enum,
)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "StockTransferState")]
pub enum TransferState {
    /// Written down.
    Draft,
    /// May be shipped.
    Approved,
    /// On its way.
    Shipped,
    /// Some of it has arrived.
    PartiallyReceived,
    /// All of it has arrived.
    Received,
    /// What has not arrived is lost.
    ClosedShort,
    /// It never left.
    Cancelled,
}

impl TransferState {
    const ALL: [Self; 7] = [
        Self::Draft,
        Self::Approved,
        Self::Shipped,
        Self::PartiallyReceived,
        Self::Received,
        Self::ClosedShort,
        Self::Cancelled,
    ];

    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Shipped => "shipped",
            Self::PartiallyReceived => "partially_received",
            Self::Received => "received",
            Self::ClosedShort => "closed_short",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the database.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Nothing more will happen to it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Received | Self::ClosedShort | Self::Cancelled)
    }
}

/// What may be done with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Allow it.
    Approve,
    /// Send it.
    Ship,
    /// Goods arrive.
    Receive,
    /// What is missing is lost.
    CloseShort,
    /// Call it off.
    Cancel,
}

/// A transfer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, async_graphql::SimpleObject)]
#[graphql(name = "StockTransfer", complex)]
pub struct Transfer {
    /// Id.
    #[graphql(skip)]
    pub id: Uuid,
    /// State.
    pub state: TransferState,
    /// Where the goods come from.
    pub from_location_id: LocationId,
    /// Where they go.
    pub to_location_id: LocationId,
    /// The sender's words.
    pub reference: Option<String>,
    /// Registration of the sender.
    pub registration_from: RegistrationId,
    /// Registration of the receiver.
    pub registration_to: RegistrationId,
    /// GSTIN of the sender.
    pub gstin_from: Option<String>,
    /// GSTIN of the receiver.
    pub gstin_to: Option<String>,
    /// Between two registrations: a supply that needs a tax invoice.
    pub taxable: bool,
    /// Number of the e-way bill.
    pub eway_bill_no: Option<String>,
    /// Why it was cancelled or closed short.
    pub reason: Option<String>,
    /// Who wrote it.
    pub created_by: String,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// When it was shipped.
    pub shipped_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What the goods that are still on their way cost; for those who may see values.
    pub value_in_transit: Option<Money>,
    /// Lines.
    pub lines: Vec<TransferLine>,
    /// Version.
    pub version: i64,
}

/// A line of a transfer.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, async_graphql::SimpleObject)]
#[graphql(name = "StockTransferLine", complex)]
pub struct TransferLine {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// The batch asked for; absent when batches are picked.
    pub batch_id: Option<BatchId>,
    /// State in which the goods are sent and arrive.
    pub status: Status,
    /// What is to be sent.
    pub qty: Quantity,
    /// Whose cost layers they are on their way.
    #[serde(skip)]
    #[graphql(skip)]
    pub origin: Uuid,
    /// What was sent, by batch; empty before it was shipped.
    pub parts: Vec<TransferPart>,
}

/// What was sent of a batch and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema, async_graphql::SimpleObject)]
#[graphql(name = "StockTransferPart", complex)]
pub struct TransferPart {
    /// Batch; absent for stock without batches.
    pub batch_id: Option<BatchId>,
    /// Sent.
    pub shipped: Quantity,
    /// What that cost; for those who may see values.
    pub shipped_value: Option<Money>,
    /// Arrived.
    pub received: Quantity,
    /// What that cost; for those who may see values.
    pub received_value: Option<Money>,
    /// Lost.
    pub short: Quantity,
    /// What that cost; for those who may see values.
    pub short_value: Option<Money>,
    /// On its way.
    pub in_transit: Quantity,
    /// What that costs; for those who may see values.
    pub in_transit_value: Option<Money>,
}

/// Of a transfer that is worked on every value is there; only an answer leaves them out.
fn add(value: &mut Option<Money>, by: Money) {
    if let Some(value) = value {
        *value += by;
    }
}

impl TransferPart {
    fn batch(&self) -> BatchId {
        self.batch_id.unwrap_or(NO_BATCH)
    }
}

/// Goods of a line and batch that a phase of a transfer moves, or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Line.
    pub line: i32,
    /// Batch.
    pub batch: BatchId,
    /// How much.
    pub qty: Quantity,
    /// At which cost; zero until it is known.
    pub value: Money,
}

/// What is said to have arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Line.
    pub line: i32,
    /// Of this batch; of any when absent.
    pub batch: Option<BatchId>,
    /// How much.
    pub qty: Quantity,
    /// Which pieces, of a product followed by number.
    pub serials: Vec<String>,
}

impl Transfer {
    /// Refuses what its state does not allow.
    ///
    /// # Errors
    /// [`Error::TransferState`].
    pub fn allow(&self, verb: Verb) -> Result<(), Error> {
        use TransferState as S;
        let allowed = match verb {
            Verb::Approve => self.state == S::Draft,
            Verb::Ship => self.state == S::Approved,
            Verb::Receive | Verb::CloseShort => {
                matches!(self.state, S::Shipped | S::PartiallyReceived)
            }
            Verb::Cancel => matches!(self.state, S::Draft | S::Approved),
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::TransferState(self.state.name()))
        }
    }

    /// The next state.
    pub fn enter(&mut self, state: TransferState, now: DateTime<Utc>) {
        self.state = state;
        self.version += 1;
        self.ended_at = state.is_final().then_some(now);
    }

    /// The lot of a line's goods while they are on their way.
    pub fn way(&self, line: &TransferLine, batch: BatchId) -> Lot {
        let key = Key::sellable((self.to_location_id, line.product_id), batch);
        (key.in_status(Status::InTransit), line.origin)
    }

    /// All that is on its way.
    pub fn under_way(&self) -> Vec<Moved> {
        let moved = |line: &TransferLine, part: &TransferPart| Moved {
            line: line.line,
            batch: part.batch(),
            qty: part.in_transit,
            value: Money::ZERO,
        };
        self.lines
            .iter()
            .flat_map(|line| line.parts.iter().map(move |part| moved(line, part)))
            .filter(|m| m.qty.is_positive())
            .collect()
    }

    /// Deals what arrived to the batches that are on their way, in their order.
    ///
    /// # Errors
    /// [`Error::OverReceipt`] when more arrived than is on its way.
    pub fn arriving(&self, arrived: &[Arrived]) -> Result<Vec<Moved>, Error> {
        let mut open: BTreeMap<(i32, BatchId), Quantity> = self
            .under_way()
            .iter()
            .map(|m| ((m.line, m.batch), m.qty))
            .collect();
        let mut moved: BTreeMap<(i32, BatchId), Quantity> = BTreeMap::new();
        for ask in arrived {
            let mut left = ask.qty;
            let mut there = Quantity::ZERO;
            let of_line = open.iter_mut().filter(|((line, batch), _)| {
                *line == ask.line && ask.batch.is_none_or(|named| named == *batch)
            });
            for (key, qty) in of_line {
                there += *qty;
                let part = (*qty).min(left);
                if part.is_positive() {
                    *moved.entry(*key).or_default() += part;
                    *qty -= part;
                    left -= part;
                }
            }
            if left.is_positive() {
                return Err(Error::OverReceipt {
                    line: ask.line,
                    in_transit: there,
                    asked: ask.qty,
                });
            }
        }
        let moved = moved.into_iter().map(|((line, batch), qty)| Moved {
            line,
            batch,
            qty,
            value: Money::ZERO,
        });
        Ok(moved.collect())
    }

    /// Enters into the parts what arrived, or was lost.
    pub fn settle(&mut self, moved: &[Moved], lost: bool) {
        for m in moved {
            let line = self.lines.iter_mut().find(|l| l.line == m.line);
            let part = line.and_then(|l| l.parts.iter_mut().find(|p| p.batch() == m.batch));
            let Some(part) = part else { continue };
            let (qty, value) = if lost {
                (&mut part.short, &mut part.short_value)
            } else {
                (&mut part.received, &mut part.received_value)
            };
            *qty += m.qty;
            add(value, m.value);
            part.in_transit -= m.qty;
            add(&mut part.in_transit_value, -m.value);
            add(&mut self.value_in_transit, -m.value);
        }
    }

    /// Enters what was shipped.
    pub fn send(&mut self, moved: &[Moved]) {
        for m in moved {
            let Some(line) = self.lines.iter_mut().find(|l| l.line == m.line) else {
                continue;
            };
            line.parts.push(TransferPart {
                batch_id: named(m.batch),
                shipped: m.qty,
                shipped_value: Some(m.value),
                received: Quantity::ZERO,
                received_value: Some(Money::ZERO),
                short: Quantity::ZERO,
                short_value: Some(Money::ZERO),
                in_transit: m.qty,
                in_transit_value: Some(m.value),
            });
            add(&mut self.value_in_transit, m.value);
        }
    }

    /// Where the pieces lie that a line sends.
    fn sent_pieces(
        &self,
        (n, line): (usize, &TransferLine),
        pieces: &Pieces,
        names: &[String],
    ) -> Result<BTreeMap<Key, Vec<String>>, Error> {
        let place = (self.from_location_id, line.product_id);
        let mut by_key: BTreeMap<Key, Vec<String>> = BTreeMap::new();
        for no in names {
            let piece = pieces.get(line.product_id, no);
            let there = piece.filter(|p| {
                p.state == SerialState::InStock
                    && p.key.place() == place
                    && p.key.status == line.status
                    && line.batch_id.is_none_or(|batch| batch == p.key.batch)
            });
            match there {
                Some(piece) if piece.held.is_none() => {
                    by_key.entry(piece.key).or_default().push(no.clone());
                }
                Some(_) => {
                    let found = serial::PROMISED.to_owned();
                    return Err(Error::SerialNotHere(n, no.clone(), found));
                }
                None => return Err(Error::SerialNotHere(n, no.clone(), place_of(piece))),
            }
        }
        Ok(by_key)
    }

    /// Puts pieces that arrived to the batches they are on their way in: by line and batch, their numbers.
    ///
    /// # Errors
    /// [`Error::SerialNotHere`] for one that is not on its way with its line; [`Error::SerialsRequired`] for part of a line of
    /// which some pieces are not named.
    pub(super) fn arrived_pieces(
        &self,
        arrived: &[Arrived],
        tracked: &BTreeSet<ProductId>,
        pieces: &Pieces,
    ) -> Result<(Vec<Arrived>, Names), Error> {
        let (mut dealt, mut names) = (Vec::new(), Names::new());
        let mut seen = BTreeSet::new();
        for (n, ask) in arrived.iter().enumerate() {
            let line = self.lines.iter().find(|l| l.line == ask.line);
            let Some(line) = line.filter(|l| tracked.contains(&l.product_id)) else {
                if !ask.serials.is_empty() {
                    return Err(Error::NotSerialTracked(n));
                }
                dealt.push(ask.clone());
                continue;
            };
            if ask.serials.is_empty() {
                let sum = |qty: &mut dyn Iterator<Item = Quantity>| qty.sum::<Quantity>();
                let said = sum(&mut arrived
                    .iter()
                    .filter(|a| a.line == line.line)
                    .map(|a| a.qty));
                let way = sum(&mut line.parts.iter().map(|p| p.in_transit));
                if said < way
                    || arrived
                        .iter()
                        .any(|a| a.line == line.line && !a.serials.is_empty())
                {
                    return Err(Error::SerialsRequired(n));
                }
                dealt.push(ask.clone());
                continue;
            }
            serial::check(n, true, line.product_id, ask.qty, &ask.serials, &mut seen)?;
            for no in &ask.serials {
                let piece = pieces.get(line.product_id, no);
                let there = piece.filter(|p| {
                    let batch = p.key.batch;
                    p.lies(self.way(line, batch)) && ask.batch.is_none_or(|asked| asked == batch)
                });
                let Some(piece) = there else {
                    return Err(Error::SerialNotHere(n, no.clone(), place_of(piece)));
                };
                let of_batch = names.entry((line.line, piece.key.batch)).or_default();
                of_batch.push(no.clone());
                dealt.push(Arrived {
                    line: line.line,
                    batch: Some(piece.key.batch),
                    qty: Quantity::from(1),
                    serials: Vec::new(),
                });
            }
        }
        Ok((dealt, names))
    }

    /// Which goods are to be sent, and takes them out of `books` by `take`, line by line.
    ///
    /// # Errors
    /// [`Error::BatchUnfit`]; [`Error::SerialNotHere`]; [`Error::InsufficientStock`] with every product of which there is not
    /// enough.
    pub(super) fn pick(
        &self,
        books: &mut Books,
        pieces: &Pieces,
        serials: &BTreeMap<i32, Vec<String>>,
        mut take: impl FnMut(&mut Books, &TransferLine, Taken),
    ) -> Result<(), Error> {
        let mut missing: BTreeMap<ProductId, Quantity> = BTreeMap::new();
        for (n, line) in self.lines.iter().enumerate() {
            let place = (self.from_location_id, line.product_id);
            if let Some(names) = serials.get(&line.line) {
                for (key, names) in self.sent_pieces((n, line), pieces, names)? {
                    let item = books.item(key);
                    if line.status == Status::Sellable && !item.fit(books.today, 0) {
                        return Err(Error::BatchUnfit(n));
                    }
                    let qty = Quantity::from(names.len() as i64);
                    if item.free() < qty {
                        *missing.entry(line.product_id).or_default() += qty - item.free();
                        continue;
                    }
                    take(books, line, (key, qty));
                    books.name(names);
                }
                continue;
            }
            let (taken, lacking) = match line.batch_id {
                Some(batch) => {
                    let key = Key::sellable(place, batch).in_status(line.status);
                    let item = books.item(key);
                    if line.status == Status::Sellable && !item.fit(books.today, 0) {
                        return Err(Error::BatchUnfit(n));
                    }
                    let part = item.free().min(line.qty);
                    let taken = part.is_positive().then_some((key, part));
                    (taken.into_iter().collect(), line.qty - part)
                }
                None if line.status == Status::Sellable => books.pick(place, line.qty, 0),
                None => books.pick_apart(place, line.status, line.qty),
            };
            if lacking.is_positive() {
                *missing.entry(line.product_id).or_default() += lacking;
            }
            for part in taken {
                take(books, line, part);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let short = missing.into_iter().map(|(product_id, missing)| {
            let of_product = self.lines.iter().filter(|l| l.product_id == product_id);
            let asked: Quantity = of_product.map(|l| l.qty).sum();
            Short {
                product_id,
                lines: Vec::new(),
                asked,
                available: asked - missing,
                excluded: books.excluded((self.from_location_id, product_id), 0),
                serials: Vec::new(),
            }
        });
        Err(Error::InsufficientStock(short.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(n: i64) -> Quantity {
        Quantity::from(n)
    }

    fn batch(n: u128) -> BatchId {
        BatchId::from_uuid(Uuid::from_u128(n))
    }

    fn transfer(state: TransferState, parts: &[(u128, i64)]) -> Transfer {
        let mut transfer = Transfer {
            id: Uuid::now_v7(),
            state,
            from_location_id: LocationId::new(),
            to_location_id: LocationId::new(),
            reference: None,
            registration_from: RegistrationId::new(),
            registration_to: RegistrationId::new(),
            gstin_from: None,
            gstin_to: None,
            taxable: true,
            eway_bill_no: None,
            reason: None,
            created_by: String::new(),
            approved_by: None,
            created_at: DateTime::UNIX_EPOCH,
            approved_at: None,
            shipped_at: None,
            ended_at: None,
            value_in_transit: Some(Money::ZERO),
            lines: vec![TransferLine {
                line: 1,
                product_id: ProductId::new(),
                batch_id: None,
                status: Status::Sellable,
                qty: q(10),
                origin: Uuid::now_v7(),
                parts: Vec::new(),
            }],
            version: 1,
        };
        let moved: Vec<_> = parts
            .iter()
            .map(|(n, qty)| Moved {
                line: 1,
                batch: batch(*n),
                qty: q(*qty),
                value: Money::from(*qty),
            })
            .collect();
        transfer.send(&moved);
        transfer
    }

    #[test]
    fn each_state_allows_what_the_rules_say_and_nothing_else() {
        use TransferState as S;
        use Verb as V;
        let verbs = [V::Approve, V::Ship, V::Receive, V::CloseShort, V::Cancel];
        for (state, allowed) in [
            (S::Draft, vec![V::Approve, V::Cancel]),
            (S::Approved, vec![V::Ship, V::Cancel]),
            (S::Shipped, vec![V::Receive, V::CloseShort]),
            (S::PartiallyReceived, vec![V::Receive, V::CloseShort]),
            (S::Received, vec![]),
            (S::ClosedShort, vec![]),
            (S::Cancelled, vec![]),
        ] {
            let transfer = transfer(state, &[]);
            let found: Vec<_> = verbs
                .into_iter()
                .filter(|v| transfer.allow(*v).is_ok())
                .collect();
            assert_eq!(found, allowed, "{state:?}");
        }
    }

    #[test]
    fn no_more_arrives_than_is_on_its_way_over_all_lines_of_a_request() {
        let mut transfer = transfer(TransferState::Shipped, &[(1, 4), (2, 6)]);
        let arrived = |batch: Option<u128>, n| Arrived {
            line: 1,
            batch: batch.map(self::batch),
            qty: q(n),
            serials: Vec::new(),
        };
        let moved = transfer
            .arriving(&[arrived(Some(2), 1), arrived(None, 6)])
            .unwrap();
        assert_eq!(
            moved.iter().map(|m| (m.batch, m.qty)).collect::<Vec<_>>(),
            [(batch(1), q(4)), (batch(2), q(3))]
        );
        transfer.settle(&moved, false);
        assert_eq!(transfer.under_way()[0].qty, q(3));
        for wrong in [
            vec![arrived(None, 4)],
            vec![arrived(None, 2), arrived(None, 2)],
            vec![arrived(Some(1), 1)],
            vec![Arrived {
                line: 2,
                batch: None,
                qty: q(1),
                serials: Vec::new(),
            }],
        ] {
            assert!(matches!(
                transfer.arriving(&wrong),
                Err(Error::OverReceipt { .. })
            ));
        }
    }
}
