//! Which shortages can be settled with what has become available.

use bahi_types::{InvoiceId, Quantity};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ledger::{Books, Key, Kind, Place, Source};

/// What was sold and has not left yet.
#[derive(Clone, Debug)]
pub struct Shortage {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its line.
    pub line: i32,
    /// Where, and of what.
    pub place: Place,
    /// What is still owed.
    pub open: Quantity,
    /// When it was sold.
    pub occurred_at: DateTime<Utc>,
}

/// Part of a shortage, settled: a document of its own.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Its id.
    pub id: Uuid,
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its line.
    pub line: i32,
    /// Where, and of what.
    pub place: Place,
    /// How much.
    pub qty: Quantity,
}

/// Takes what is available for `owed`, in its order, and says what that settles.
pub fn settle(books: &mut Books, owed: &[Shortage], now: DateTime<Utc>) -> Vec<Settlement> {
    let mut settled = Vec::new();
    for debt in owed {
        let (taken, missing) = books.pick(debt.place, debt.open, 0);
        let qty = debt.open - missing;
        if qty.is_zero() {
            continue;
        }
        let settlement = Settlement {
            id: Uuid::now_v7(),
            invoice: debt.invoice,
            line: debt.line,
            place: debt.place,
            qty,
        };
        let source = Source {
            kind: SOURCE,
            id: settlement.id,
            line: debt.line,
            purpose: "issue",
        };
        for (key, part) in taken {
            debug_assert!(Key::place(key) == debt.place);
            books.take(Kind::Issue, key, part, source, None, now);
        }
        settled.push(settlement);
    }
    settled
}

/// Source type of a settlement's movements.
pub const SOURCE: &str = "shortage_settlement";

#[cfg(test)]
mod tests {
    use bahi_types::{LocationId, ProductId};

    use super::*;
    use crate::ledger::{Item, NO_BATCH};

    #[test]
    fn the_oldest_sale_is_served_first_and_the_next_gets_the_rest() {
        let place = (LocationId::new(), ProductId::new());
        let mut books = Books::default();
        let key = Key::sellable(place, NO_BATCH);
        books.set(
            key,
            Item {
                on_hand: Quantity::from(5),
                reserved: Quantity::from(1),
                version: 1,
                ..Item::default()
            },
        );
        let owed = |n: i64| Shortage {
            invoice: InvoiceId::new(),
            line: 1,
            place,
            open: Quantity::from(n),
            occurred_at: DateTime::UNIX_EPOCH,
        };
        let owed = [owed(3), owed(3), owed(3)];
        let settled = settle(&mut books, &owed, DateTime::UNIX_EPOCH);
        let got: Vec<_> = settled.iter().map(|s| (s.invoice, s.qty)).collect();
        assert_eq!(
            got,
            [
                (owed[0].invoice, Quantity::from(3)),
                (owed[1].invoice, Quantity::from(1))
            ]
        );
        assert_eq!(books.item(key).on_hand, Quantity::from(1));
    }
}
