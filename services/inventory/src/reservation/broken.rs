//! Breaking promises: what becomes of holds when goods they rest on turn out to be gone.

use std::collections::{BTreeMap, HashMap};

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
    events, kit,
    ledger::{Books, Key, Place, Source, Taken},
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

/// Pending holds in the way of a loss, and what becomes of them. Those of orders and of the API lose what is gone and
/// keep the rest; one of the API that is left with nothing ends.
pub(crate) struct Broken {
    holds: Vec<Hold>,
    kits: HashMap<ReservationId, Vec<kit::Part>>,
    /// What each lost, by line and allocation.
    lost: BTreeMap<ReservationId, BTreeMap<(i32, i32), Quantity>>,
    /// Of that, how many kits, by line.
    lost_kits: BTreeMap<ReservationId, Vec<kit::Part>>,
    lowered: Vec<(ReservationId, HoldLine, Quantity)>,
}

/// What was lost by line, in the line's own product: of lines of kits, as many as are whole no more.
pub(crate) fn lost_by_line(
    lost: &[HoldLine],
    of_hold: &[kit::Part],
    kits: &[kit::Part],
) -> BTreeMap<i32, Quantity> {
    let mut sums: BTreeMap<i32, Quantity> = BTreeMap::new();
    for line in lost {
        if !of_hold.iter().any(|part| part.line == line.line) {
            *sums.entry(line.line).or_default() += line.qty;
        }
    }
    for part in kits.iter().filter(|part| part.qty.is_positive()) {
        *sums.entry(part.line).or_default() += part.qty;
    }
    sums
}

impl Broken {
    /// Locks the pending holds on any of `keys`. Call it before batches and gates are locked, as everywhere.
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
        let ids: Vec<_> = holds.iter().map(|h| h.id).collect();
        let kits = kit::store::parts_of(tx, &ids).await?;
        Ok(Self::new(holds, kits))
    }

    /// Where they hold stock.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.holds.iter().flat_map(Hold::places)
    }

    /// Orders and the API's before tills'; newest first.
    fn new(mut holds: Vec<Hold>, kits: HashMap<ReservationId, Vec<kit::Part>>) -> Self {
        holds.sort_by_key(|h| {
            (
                h.owner == Owner::Sales,
                std::cmp::Reverse((h.created_at, h.id)),
            )
        });
        Self {
            holds,
            kits,
            lost: BTreeMap::new(),
            lost_kits: BTreeMap::new(),
            lowered: Vec::new(),
        }
    }

    /// Breaks promises until `gone` of a balance is free, for a line of a document.
    ///
    /// # Errors
    /// [`Error::HeldByTills`] with the holds that sales must be asked about first.
    pub(crate) fn make_free(
        &mut self,
        books: &mut Books,
        (key, gone): Taken,
        document: Source,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let need = |books: &Books| gone - books.item(key).free();
        let source = Source {
            purpose: "quarantine",
            ..document
        };
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
                self.lower(books, &mut hold, (key, missing.min(held)), source, now);
                kept.push(hold);
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

    /// Takes `gone` of a balance from a hold, what was promised last first, and frees what it leaves of kits that are
    /// whole no more.
    fn lower(
        &mut self,
        books: &mut Books,
        hold: &mut Hold,
        (key, gone): Taken,
        source: Source,
        now: DateTime<Utc>,
    ) {
        let mut left = gone;
        let mut direct = vec![Quantity::ZERO; hold.lines.len()];
        for (line, direct) in hold.lines.iter().zip(&mut direct).rev() {
            if hold.key(line) == key {
                *direct = line.qty.min(left);
                left -= *direct;
            }
        }
        let kits = self.kits.entry(hold.id).or_default();
        let (lost, parts) = kit::loss_with(&hold.lines, kits, direct.clone());
        let gone = self.lost_kits.entry(hold.id).or_default();
        for part in parts {
            for k in kits.iter_mut().filter(|k| k.line == part.line) {
                let qty = k.qty - part.qty;
                gone.push(kit::Part { qty, ..*k });
                *k = part;
            }
        }
        let lost_of_hold = self.lost.entry(hold.id).or_default();
        for (n, (direct, lost)) in direct.into_iter().zip(lost).enumerate() {
            let line = hold.lines[n];
            // These very goods are the ones that are gone: nothing of them goes to quarantine.
            if direct.is_positive() {
                books.shrink((hold.key(&line), direct));
            }
            books.unhold((hold.key(&line), lost - direct), source, now);
            if lost.is_positive() {
                *lost_of_hold
                    .entry((line.line, line.allocation_no))
                    .or_default() += lost;
                hold.lines[n].qty -= lost;
            }
        }
    }

    /// Holds that lost goods and are not sales', and the lines they lost.
    fn hit(&self) -> impl Iterator<Item = (&Hold, Hold)> {
        self.holds.iter().filter_map(|hold| {
            let lost = self.lost.get(&hold.id)?;
            let line = |l: &HoldLine| {
                let qty = *lost.get(&(l.line, l.allocation_no))?;
                Some(HoldLine { qty, ..*l })
            };
            let lines = hold.lines.iter().filter_map(line).collect();
            Some((
                hold,
                Hold {
                    lines,
                    ..hold.clone()
                },
            ))
        })
    }

    /// Writes what became of them.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn save(&self, tx: &mut Tx) -> Result<(), Error> {
        for (hold, lost) in self.hit() {
            for line in &lost.lines {
                store::lower(tx, hold.id, line, line.qty).await?;
            }
            let kits = self.kits.get(&hold.id).map_or(&[][..], Vec::as_slice);
            kit::store::leave(tx, hold.id, kits).await?;
            let empty = hold.lines.iter().all(|l| l.qty.is_zero());
            if empty && hold.owner == Owner::Api {
                store::end(tx, HoldState::Released, &[hold.id]).await?;
            } else {
                store::touch(tx, hold.id).await?;
            }
        }
        for (hold, line, qty) in &self.lowered {
            store::lower(tx, *hold, line, *qty).await?;
        }
        Ok(())
    }

    /// Says which holds were broken, and gives their ids.
    pub(crate) fn announce(&self, tx: &mut Tx) -> Vec<ReservationId> {
        let mut ids = Vec::new();
        for (hold, lost) in self.hit() {
            let of_hold = self.kits.get(&hold.id).map_or(&[][..], Vec::as_slice);
            let kits = self.lost_kits.get(&hold.id).map_or(&[][..], Vec::as_slice);
            tx.publish(events::hold_broken(
                &lost,
                &lost_by_line(&lost.lines, of_hold, kits),
            ));
            ids.push(hold.id);
        }
        ids
    }
}
