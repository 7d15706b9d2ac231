//! States of a count, and by how much the books were wrong.

use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Bool, Integer, Numeric},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    ledger::{self, NO_BATCH, Status, named},
};

/// State of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountState {
    /// Nobody has counted yet.
    Open,
    /// Some of it is counted.
    Counting,
    /// All of it is counted.
    Submitted,
    /// It is posted as soon as what happened before it has been heard.
    Approved,
    /// The books are right.
    Posted,
    /// Called off.
    Cancelled,
}

impl CountState {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Counting,
        Self::Submitted,
        Self::Approved,
        Self::Posted,
        Self::Cancelled,
    ];

    /// As the database writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Counting => "counting",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Posted => "posted",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the database.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whoever counts must not see what the books say.
    pub const fn is_blind(self) -> bool {
        matches!(self, Self::Open | Self::Counting)
    }
}

/// What may be done with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Look.
    Count,
    /// All is counted.
    Submit,
    /// The books may be changed.
    Approve,
    /// Look again.
    Recount,
    /// Call it off.
    Cancel,
}

/// What is counted: goods of a product at the count's location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Product.
    pub product: ProductId,
    /// Batch; [`NO_BATCH`] for none.
    pub batch: BatchId,
    /// State.
    pub status: Status,
}

/// A count.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Count {
    /// Id.
    pub id: Uuid,
    /// State.
    pub state: CountState,
    /// Where.
    pub location_id: LocationId,
    /// In the words of whoever ordered it.
    pub reference: Option<String>,
    /// Who ordered it.
    pub created_by: String,
    /// Who submitted it.
    pub submitted_by: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it was submitted.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub posted_at: Option<DateTime<Utc>>,
    /// Change of the stock's value, once posted; for those who may see values.
    pub value_delta: Option<Money>,
    /// What is counted.
    pub lines: Vec<CountLine>,
    /// Version.
    pub version: i64,
}

/// A line of a count.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CountLine {
    /// Line number, from 1.
    pub line: i32,
    /// Product.
    pub product_id: ProductId,
    /// Batch.
    pub batch_id: Option<BatchId>,
    /// State of the stock.
    pub status: Status,
    /// What lay there; absent until somebody has looked.
    pub counted: Option<Quantity>,
    /// Who looked.
    pub counted_by: Option<String>,
    /// When.
    pub looked_at: Option<DateTime<Utc>>,
    /// What the books say for that moment, as far as it has been heard; absent until the count is submitted.
    pub expected: Option<Quantity>,
    /// Counted less expected.
    pub variance: Option<Quantity>,
    /// What was posted.
    pub qty_delta: Option<Quantity>,
    /// Change of value; for those who may see values.
    pub value_delta: Option<Money>,
    /// Serial numbers the books have there and nobody has found; shown once the count is submitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials_missing: Vec<String>,
    /// Serial numbers somebody has found and the books do not have there; shown once the count is submitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serials_extra: Vec<String>,
    /// Cost of one unit of a gain, as stated.
    #[serde(skip)]
    pub unit_cost: Option<Price>,
    /// What the shop owes of the product counts against this line.
    #[serde(skip)]
    pub owes: bool,
}

/// What the books say of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub(super) struct Expected {
    /// Of this line.
    #[diesel(sql_type = Integer)]
    pub line: i32,
    /// A later look at the same balance is posted.
    #[diesel(sql_type = Bool)]
    pub outdated: bool,
    /// So much.
    #[diesel(sql_type = Numeric)]
    pub expected: Quantity,
}

impl CountLine {
    /// What it counts.
    pub fn key(&self) -> Key {
        Key {
            product: self.product_id,
            batch: self.batch_id.unwrap_or(NO_BATCH),
            status: self.status,
        }
    }

    /// Its balance.
    pub fn balance(&self, location: LocationId) -> ledger::Key {
        let shelf = ledger::Key::sellable((location, self.product_id), self.key().batch);
        shelf.in_status(self.status)
    }
}

impl Count {
    /// Refuses what its state does not allow.
    ///
    /// # Errors
    /// [`Error::CountState`].
    pub fn allow(&self, verb: Verb) -> Result<(), Error> {
        use CountState as S;
        let allowed = match verb {
            Verb::Count | Verb::Cancel => matches!(self.state, S::Open | S::Counting),
            Verb::Submit => self.state == S::Counting,
            Verb::Approve | Verb::Recount => self.state == S::Submitted,
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::CountState(self.state.name()))
        }
    }

    /// The next state.
    pub fn enter(&mut self, state: CountState) {
        self.state = state;
        self.version += 1;
    }

    /// Enters what the books say for each look. Where another count has looked later and is posted, the look finds nothing.
    pub(super) fn expect(&mut self, expected: &[Expected]) {
        for line in &mut self.lines {
            let of_line = expected.iter().find(|e| e.line == line.line);
            line.expected = of_line.map(|e| e.expected);
            if of_line.is_some_and(|e| e.outdated) {
                line.expected = line.counted;
                line.serials_missing.clear();
                line.serials_extra.clear();
            }
            line.variance = line.counted.zip(line.expected).map(|(c, e)| c - e);
        }
    }

    /// Without what whoever counts must not see.
    #[must_use]
    pub fn blind(mut self) -> Self {
        if self.state.is_blind() {
            for line in &mut self.lines {
                line.expected = None;
                line.variance = None;
                line.serials_missing.clear();
                line.serials_extra.clear();
            }
        }
        self
    }

    /// Somebody counted part of it, or handed it in.
    pub fn counted_by(&self, who: &str) -> bool {
        self.submitted_by.as_deref() == Some(who)
            || self
                .lines
                .iter()
                .any(|l| l.counted_by.as_deref() == Some(who))
    }
}

/// The keys as lines that follow `known`, for those that are not among them.
pub fn new_lines(known: &[CountLine], keys: &[Key]) -> Vec<CountLine> {
    let mut lines: Vec<CountLine> = Vec::new();
    for key in keys {
        let all = || known.iter().chain(&lines);
        if all().any(|l| l.key() == *key) {
            continue;
        }
        let sellable = key.status == Status::Sellable;
        let first = !all().any(|l| l.owes && l.product_id == key.product);
        let line = all().map(|l| l.line).max().unwrap_or(0) + 1;
        lines.push(CountLine {
            line,
            product_id: key.product,
            batch_id: named(key.batch),
            status: key.status,
            counted: None,
            counted_by: None,
            looked_at: None,
            expected: None,
            variance: None,
            qty_delta: None,
            value_delta: None,
            serials_missing: Vec::new(),
            serials_extra: Vec::new(),
            unit_cost: None,
            owes: sellable && first,
        });
    }
    lines
}

/// What a line that was counted by number takes out and puts in, so that together they are its variance. `missing` and
/// `extra` are what the books still have there and have not. Where they do not add up, something happened that named no
/// piece: what it explains stays in the books until somebody assigns its number.
pub fn exchange(variance: Quantity, missing: usize, extra: usize) -> (Quantity, Quantity) {
    let (missing, extra) = (Quantity::from(missing as i64), Quantity::from(extra as i64));
    let over = variance - (extra - missing);
    if over.is_positive() {
        let kept = over.min(missing);
        (missing - kept, extra + (over - kept))
    } else {
        let left = (-over).min(extra);
        (missing + (-over - left), extra - left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pieces_take_and_bring_is_always_the_variance() {
        let q = Quantity::from;
        for (variance, missing, extra, expected) in [
            // One lost, one found, one for the other.
            (-1, 1, 0, (1, 0)),
            (1, 0, 1, (0, 1)),
            (0, 1, 1, (1, 1)),
            // An unnamed sale has taken the missing piece; an unnamed return has brought the extra one.
            (0, 1, 0, (0, 0)),
            (0, 0, 1, (0, 0)),
            // More than the numbers tell.
            (2, 0, 1, (0, 2)),
            (-2, 1, 0, (2, 0)),
        ] {
            let (out, into) = exchange(q(variance), missing, extra);
            assert_eq!((out, into), (q(expected.0), q(expected.1)));
            assert_eq!(into - out, q(variance));
        }
    }

    #[test]
    fn each_state_allows_what_the_rules_say_and_nothing_else() {
        use CountState as S;
        use Verb as V;
        let verbs = [V::Count, V::Submit, V::Approve, V::Recount, V::Cancel];
        for (state, allowed) in [
            (S::Open, vec![V::Count, V::Cancel]),
            (S::Counting, vec![V::Count, V::Submit, V::Cancel]),
            (S::Submitted, vec![V::Approve, V::Recount]),
            (S::Approved, vec![]),
            (S::Posted, vec![]),
            (S::Cancelled, vec![]),
        ] {
            let count = Count {
                id: Uuid::nil(),
                state,
                location_id: LocationId::new(),
                reference: None,
                created_by: String::new(),
                submitted_by: None,
                approved_by: None,
                created_at: DateTime::UNIX_EPOCH,
                submitted_at: None,
                approved_at: None,
                posted_at: None,
                value_delta: None,
                lines: Vec::new(),
                version: 1,
            };
            let found: Vec<_> = verbs
                .into_iter()
                .filter(|v| count.allow(*v).is_ok())
                .collect();
            assert_eq!(found, allowed, "{state:?}");
        }
    }
}
