//! Breaking promises: what becomes of holds when goods they rest on turn out to be gone.

use bahi_db::{Ctx, Tx};
use bahi_types::{Quantity, ReservationId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    commands::ask,
    model::{Hold, HoldLine, HoldState, Owner},
    store,
};
use crate::{
    Error, State,
    error::HoldRef,
    events::{self, HoldNews},
    ledger::{Books, Key, Place},
};

/// Rounds of asking sales before giving up; each asks about the newest undecided holds in the way.
const ROUNDS: usize = 8;

/// Runs `attempt` until no undecided hold of a till is in its way: in between sales is asked about those that were.
///
/// # Errors
/// What `attempt` refuses; [`Error::SalesUnreachable`] when sales does not answer.
pub(crate) async fn asking<T, F>(
    state: &State,
    ctx: &Ctx,
    attempt: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    // The key belongs to the command, not to what sales answers on the way.
    let inner = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        match attempt().await {
            Err(Error::HeldByTills(holds)) => {
                ask(state, &inner, &holds).await?;
                last = holds;
            }
            decided => return decided,
        }
    }
    Err(Error::HeldByTills(last))
}

/// Pending holds in the way of a loss, and what becomes of them.
pub(crate) struct Broken {
    holds: Vec<Hold>,
    ended: Vec<Hold>,
    lowered: Vec<(ReservationId, HoldLine, Quantity)>,
}

impl Broken {
    /// Locks the pending holds on any of `keys`. Call it before the gates are locked, as everywhere.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn lock(tx: &mut Tx, keys: &[Key]) -> Result<Self, Error> {
        let holding = if keys.is_empty() {
            Vec::new()
        } else {
            store::holding(tx, keys).await?
        };
        let mut holds = store::lock(tx, &holding).await?;
        holds.retain(Hold::is_pending);
        Ok(Self::new(holds))
    }

    /// Where they hold stock.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.holds.iter().flat_map(Hold::places)
    }

    /// Orders and the API's before tills'; newest first.
    fn new(mut holds: Vec<Hold>) -> Self {
        holds.sort_by_key(|h| {
            (
                h.owner == Owner::Sales,
                std::cmp::Reverse((h.created_at, h.id)),
            )
        });
        Self {
            holds,
            ended: Vec::new(),
            lowered: Vec::new(),
        }
    }

    /// Breaks promises until `gone` of a balance is free.
    ///
    /// # Errors
    /// [`Error::HeldByTills`] with the holds that sales must be asked about first.
    pub(crate) fn make_free(
        &mut self,
        books: &mut Books,
        key: Key,
        gone: Quantity,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let need = |books: &Books| gone - books.item(key).free();
        let (mut kept, mut undecided) = (Vec::new(), Vec::new());
        let mut asked = Quantity::ZERO;
        for mut hold in std::mem::take(&mut self.holds) {
            let at_key = |hold: &Hold, l: &HoldLine| hold.key(l) == key && l.qty.is_positive();
            let held: Quantity = hold
                .lines
                .iter()
                .filter(|l| at_key(&hold, l))
                .map(|l| l.qty)
                .sum();
            let missing = need(books) - asked;
            if !missing.is_positive() || held.is_zero() {
                kept.push(hold);
            } else if hold.owner != Owner::Sales {
                for line in &hold.lines {
                    if hold.key(line) == key {
                        // These very goods are the ones that are gone: nothing of them goes to quarantine.
                        books.shrink((key, line.qty));
                        books.risen.insert(key.place());
                    } else {
                        books.unhold(
                            (hold.key(line), line.qty),
                            hold.source(line.line, "quarantine"),
                            now,
                        );
                    }
                }
                self.ended.push(hold);
            } else if hold.answer.is_none() {
                asked += held;
                undecided.push(HoldRef {
                    id: hold.id,
                    invoice: hold
                        .invoice
                        .unwrap_or(bahi_types::InvoiceId::from_uuid(Uuid::nil())),
                    attempt: hold.attempt.unwrap_or_default(),
                });
                kept.push(hold);
            } else {
                let mut left = missing.min(held);
                let (location, id) = (hold.location, hold.id);
                for line in &mut hold.lines {
                    let same = Key::sellable((location, line.product), line.batch) == key;
                    let part = if same {
                        line.qty.min(left)
                    } else {
                        Quantity::ZERO
                    };
                    if part.is_positive() {
                        books.shrink((key, part));
                        self.lowered.push((id, *line, part));
                        line.qty -= part;
                        left -= part;
                    }
                }
                kept.push(hold);
            }
        }
        self.holds = kept;
        if !undecided.is_empty() {
            return Err(Error::HeldByTills(undecided));
        }
        if need(books).is_positive() {
            // A hold was granted between the look at them and the gates: look again.
            return Err(bahi_db::Error::Contention.into());
        }
        Ok(())
    }

    /// Writes what became of them.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn save(&self, tx: &mut Tx) -> Result<(), Error> {
        store::end(
            tx,
            HoldState::Released,
            &self.ended.iter().map(|h| h.id).collect::<Vec<_>>(),
        )
        .await?;
        for (hold, line, qty) in &self.lowered {
            store::lower(tx, *hold, line, *qty).await?;
        }
        Ok(())
    }

    /// Says which holds were broken, and gives their ids.
    pub(crate) fn announce(&self, tx: &mut Tx) -> Vec<ReservationId> {
        for hold in &self.ended {
            tx.publish(events::hold(HoldNews::Released, hold, hold.version + 1));
        }
        self.ended.iter().map(|hold| hold.id).collect()
    }
}
