//! Ordering, counting, submitting, approving and posting counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_types::{BatchId, LocationId, Money, Price, ProductId, Quantity, TenantId};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Count, CountLine, CountState, Key, Verb, exchange, new_lines},
    store::{self, Book, Look},
};
use crate::{
    Error, State, batch,
    copy::{self, ProductRow},
    events,
    ledger::{self, Cost, Kind, NO_BATCH, Place, Source, Status, worth},
    policy,
    reservation::{self, Broken},
    sales::Fence,
    serial::{self, Pieces},
};

/// Lines of one count at most.
const MOST: usize = 2000;
/// Approved counts that one run of the job looks at.
const A_RUN: i32 = 100;

/// A count to be made.
#[derive(Clone, Debug)]
pub(super) struct NewCount {
    pub location: LocationId,
    pub reference: Option<String>,
    pub keys: Vec<Key>,
    /// What was counted already, where that is told in one go.
    pub counted: Vec<Counted>,
}

/// What somebody counted.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub key: Key,
    pub qty: Quantity,
    pub unit_cost: Option<Price>,
    pub serials: Vec<String>,
}

/// Orders a count.
pub(super) async fn create(state: &State, ctx: &Ctx, new: NewCount) -> Result<Done<Count>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| begin(tx, &new).await)
        .await
}

async fn begin(tx: &mut Tx, new: &NewCount) -> Result<Count, Error> {
    copy::open_location(tx, new.location).await?;
    check(tx, &new.keys).await?;
    check_counted(tx, &new.counted).await?;
    let count = Count {
        id: Uuid::now_v7(),
        state: CountState::Open,
        location_id: new.location,
        reference: new.reference.clone(),
        created_by: tx.ctx().principal(),
        submitted_by: None,
        approved_by: None,
        created_at: tx.now(),
        submitted_at: None,
        approved_at: None,
        posted_at: None,
        value_delta: None,
        lines: new_lines(&[], &new.keys),
        version: 1,
    };
    store::insert(tx, &count).await?;
    store::insert_lines(tx, &count, &count.lines).await?;
    Ok(count)
}

async fn check(tx: &mut Tx, keys: &[Key]) -> Result<HashMap<ProductId, ProductRow>, Error> {
    let named: Vec<_> = keys
        .iter()
        .map(|k| (k.product, (k.batch != NO_BATCH).then_some(k.batch)))
        .collect();
    let products = batch::check_lines(tx, &named).await?;
    let mut seen = BTreeSet::new();
    match keys.iter().position(|key| !seen.insert(*key)) {
        Some(n) => Err(Fault::field(format!("lines[{n}]"), "is named twice").into()),
        None => Ok(products),
    }
}

/// What was counted of products that are followed by number names every piece.
async fn check_counted(tx: &mut Tx, counted: &[Counted]) -> Result<BTreeSet<ProductId>, Error> {
    let keys: Vec<Key> = counted.iter().map(|c| c.key).collect();
    let products = check(tx, &keys).await?;
    let lines = counted.iter();
    serial::check_lines(
        &products,
        lines.map(|c| (c.key.product, c.qty, c.serials.as_slice())),
    )?;
    let tracked = products.values().filter(|p| p.serial_tracked);
    Ok(tracked.map(|p| p.product_id).collect())
}

/// Enters what somebody has just counted. The books are read first and sales is asked right after: whatever was sold
/// in between happened before the look and is netted when it is heard.
pub(super) async fn count(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    counted: Vec<Counted>,
) -> Result<Done<Count>, Error> {
    // The key belongs to the entry itself.
    let plain = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let seen_now = counted.clone();
    let books = state
        .db
        .write(&plain, async move |tx: &mut Tx| -> Result<_, Error> {
            look(tx, id, &seen_now).await
        })
        .await?
        .value;
    let seen = state.sales.look(&plain).await.map_err(|error| {
        let error = format!("{error:#}");
        tracing::warn!(error, "sales gives no answer about a look");
        Error::SalesUnreachable
    })?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::lock(tx, id).await?;
            count.allow(Verb::Count)?;
            let of: BTreeMap<Key, i32> = count.lines.iter().map(|l| (l.key(), l.line)).collect();
            let book = |line: i32| books.iter().find(|b: &&Book| b.line == line).cloned();
            let looks = counted.iter().filter_map(|c| {
                Some(Look {
                    book: book(*of.get(&c.key)?)?,
                    counted: c.qty,
                    unit_cost: c.unit_cost,
                    serials: c.serials.clone(),
                })
            });
            store::record(tx, id, &looks.collect::<Vec<_>>(), &seen).await?;
            count.enter(CountState::Counting);
            store::save(tx, &count).await?;
            Ok(store::get(tx, id).await?)
        })
        .await
}

/// What the books say of `keys` now; lines are made for those that are new. Nothing where the count is past counting.
async fn look(tx: &mut Tx, id: Uuid, counted: &[Counted]) -> Result<Vec<Book>, Error> {
    let keys: &[Key] = &counted.iter().map(|c| c.key).collect::<Vec<_>>();
    let mut count = store::lock(tx, id).await?;
    if count.allow(Verb::Count).is_err() {
        return Ok(Vec::new());
    }
    copy::open_location(tx, count.location_id).await?;
    let tracked = check_counted(tx, counted).await?;
    let new = new_lines(&count.lines, keys);
    if count.lines.len() + new.len() > MOST {
        return Err(Fault::field("lines", "the count would have more than 2000 lines").into());
    }
    store::insert_lines(tx, &count, &new).await?;
    count.lines.extend(new);
    let lines: Vec<CountLine> = count
        .lines
        .iter()
        .filter(|l| keys.contains(&l.key()))
        .cloned()
        .collect();
    let places: BTreeSet<Place> = lines
        .iter()
        .map(|l| (count.location_id, l.product_id))
        .collect();
    let books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    let on_hand: Vec<Quantity> = lines
        .iter()
        .map(|l| books.item(l.balance(count.location_id)).on_hand)
        .collect();
    let mut found = store::books(tx, count.location_id, &lines, &on_hand).await?;
    let numbered = lines.iter().filter(|l| tracked.contains(&l.product_id));
    let balances: Vec<ledger::Key> = numbered.map(|l| l.balance(count.location_id)).collect();
    let lying = serial::store::lying(tx, &balances).await?;
    for line in &lines {
        let booked = lying.get(&line.balance(count.location_id));
        let book = found.iter_mut().find(|b| b.line == line.line);
        if let (Some(booked), Some(book)) = (booked, book) {
            book.serials.clone_from(booked);
        }
    }
    Ok(found)
}

/// Hands a count in.
pub(super) async fn submit(state: &State, ctx: &Ctx, id: Uuid) -> Result<Done<Count>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::lock(tx, id).await?;
            count.allow(Verb::Submit)?;
            if let Some(line) = count.lines.iter().find(|l| l.counted.is_none()) {
                return Err(Error::CountIncomplete(line.line));
            }
            count.expect(&store::expected(tx, id).await?);
            estimate(tx, &count).await?;
            let now = tx.now();
            count.enter(CountState::Submitted);
            count.submitted_by = Some(tx.ctx().principal());
            count.submitted_at = Some(now);
            store::save(tx, &count).await?;
            Ok(count)
        })
        .await
}

/// What the variances come to, at what the goods cost now.
async fn estimate(tx: &mut Tx, count: &Count) -> Result<Money, Error> {
    let found =
        |l: &&CountLine| l.batch_id.is_none() && l.variance.is_some_and(|v| v.is_positive());
    let products = count
        .lines
        .iter()
        .filter(found)
        .map(|l| l.product_id)
        .collect();
    let tracked = copy::batch_tracked(tx, &products).await?;
    // Goods followed by batch that are too many have a batch: what has none has no last day either.
    if let Some(line) = count
        .lines
        .iter()
        .find(|l| found(l) && tracked.contains(&l.product_id))
    {
        return Err(Error::BatchRequired(line.line as usize - 1));
    }
    let places: BTreeSet<Place> = count
        .lines
        .iter()
        .map(|l| (count.location_id, l.product_id))
        .collect();
    let costs = ledger::store::current_costs(tx, &places).await?;
    let mut sum = Money::ZERO;
    for line in &count.lines {
        let variance = line.variance.unwrap_or_default();
        let unit = line
            .unit_cost
            .or_else(|| costs.get(&(count.location_id, line.product_id)).copied());
        if unit.is_none() && variance.is_positive() {
            return Err(Error::UnitCostRequired(line.line as usize - 1));
        }
        let amount = if variance.is_negative() {
            -variance
        } else {
            variance
        };
        let value = worth(amount, unit.unwrap_or(Price::ZERO));
        sum += value.ok_or_else(|| Fault::field("lines", "make too large a value"))?;
    }
    Ok(sum)
}

/// Lets somebody look again: at the named lines, or at all of them.
pub(super) async fn recount(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    lines: Option<Vec<i32>>,
) -> Result<Done<Count>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::lock(tx, id).await?;
            count.allow(Verb::Recount)?;
            let known = |n: &i32| count.lines.iter().any(|l| l.line == *n);
            if let Some(at) = lines.iter().flatten().position(|n| !known(n)) {
                let field = format!("lines[{at}]");
                return Err(Fault::field(field, "is no line of the count").into());
            }
            store::clear(tx, id, lines.as_deref()).await?;
            back(tx, &mut count, CountState::Counting).await?;
            Ok(store::get(tx, id).await?)
        })
        .await
}

/// Takes a count back to an earlier state.
async fn back(tx: &mut Tx, count: &mut Count, state: CountState) -> Result<(), Error> {
    count.enter(state);
    count.approved_by = None;
    count.approved_at = None;
    if state != CountState::Submitted {
        count.submitted_by = None;
        count.submitted_at = None;
    }
    Ok(store::save(tx, count).await?)
}

/// Calls a count off.
pub(super) async fn cancel(state: &State, ctx: &Ctx, id: Uuid) -> Result<Done<Count>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::lock(tx, id).await?;
            count.allow(Verb::Cancel)?;
            count.enter(CountState::Cancelled);
            store::save(tx, &count).await?;
            Ok(count)
        })
        .await
}

/// Orders, counts and hands in, in one go.
pub(super) async fn reconcile(
    state: &State,
    ctx: &Ctx,
    new: NewCount,
) -> Result<Done<Count>, Error> {
    let counted = new.counted.clone();
    let plain = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let made = create(state, ctx, new).await?;
    let id = made.value.id;
    // A repeated request goes on where the first one stopped.
    let found = find(state, ctx, id).await?;
    if matches!(found.state, CountState::Open | CountState::Counting) {
        count(state, &plain, id, counted).await?;
        submit(state, &plain, id).await?;
    }
    let value = find(state, ctx, id).await?;
    Ok(Done {
        value,
        replayed: made.replayed,
    })
}

/// A count, with what the books say where that may be seen.
pub(super) async fn find(state: &State, ctx: &Ctx, id: Uuid) -> Result<Count, Error> {
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    state
        .db
        .read(&ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::get(tx, id).await?;
            if matches!(count.state, CountState::Submitted | CountState::Approved) {
                count.expect(&store::expected(tx, id).await?);
            }
            Ok(count.blind())
        })
        .await
}

/// Approves a count, and posts it if everything that happened before it has been heard. `any`: no limit of value binds
/// the caller.
pub(super) async fn approve(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    any: bool,
) -> Result<Done<Count>, Error> {
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Count, Error> {
            let mut count = store::lock(tx, id).await?;
            count.allow(Verb::Approve)?;
            copy::open_location(tx, count.location_id).await?;
            let policy = policy::get(tx).await?;
            let who = tx.ctx().principal();
            let up_to = policy.count_approval(count.counted_by(&who), any);
            count.expect(&store::expected(tx, id).await?);
            let value = estimate(tx, &count).await?;
            if up_to.is_some_and(|most| value > most) {
                let own = policy.count_approval(count.counted_by(&who), true);
                return Err(if own.is_some_and(|most| value > most) {
                    Error::SecondPerson
                } else {
                    Fault::Forbidden("inventory.count.approve_any".into()).into()
                });
            }
            let now = tx.now();
            count.enter(CountState::Approved);
            count.approved_by = Some(who);
            count.approved_at = Some(now);
            store::save(tx, &count).await?;
            store::cover(tx, id, up_to).await?;
            let details = json!({ "location_id": count.location_id, "value": value });
            tx.audit("inventory.count.approve", ("count", id), None, details);
            Ok(count)
        })
        .await?;
    // What cannot be posted yet is posted later, by the job.
    if let Err(error) = post(state, ctx, id).await {
        tracing::info!(count = %id, %error, "the count is posted later");
    }
    Ok(Done {
        value: find(state, ctx, id).await?,
        replayed: done.replayed,
    })
}

/// Posts the approved counts of every tenant whose fence is passed.
///
/// # Errors
/// The database's.
pub async fn post_approved(state: &State) -> anyhow::Result<()> {
    let nobody = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let waiting = state
        .db
        .read(&nobody, async |tx: &mut Tx| {
            store::approved(tx, A_RUN).await.map_err(Error::from)
        })
        .await?;
    for (tenant, id) in waiting {
        let ctx = Ctx::service(state.db.service(), tenant);
        if let Err(error) = post(state, &ctx, id).await {
            tracing::info!(count = %id, %error, "the count is posted later");
        }
    }
    Ok(())
}

/// Posts an approved count.
///
/// # Errors
/// [`Error::CountWaiting`] when something that happened before it has not been heard; [`Error::SalesUnreachable`],
/// [`Error::Restoring`].
async fn post(state: &State, ctx: &Ctx, id: Uuid) -> Result<(), Error> {
    state.restore.passed().await?;
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let last = state
        .db
        .read(&ctx, async move |tx: &mut Tx| {
            store::last_look(tx, id).await.map_err(Error::from)
        })
        .await?;
    let fence = match last {
        None => Fence::Open(Vec::new()),
        Some(seen) => state.sales.passed(&ctx, &seen).await.map_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(error, "sales gives no answer about a look");
            Error::SalesUnreachable
        })?,
    };
    match fence {
        Fence::Closed => Err(Error::CountWaiting),
        Fence::Lost => lose(state, &ctx, id).await,
        Fence::Open(ends) => {
            reservation::asking(state, &ctx, || attempt(state, &ctx, id, ends.clone())).await
        }
    }
}

/// Sales was restored since the looks: they cannot be compared with anything any more.
async fn lose(state: &State, ctx: &Ctx, id: Uuid) -> Result<(), Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<(), Error> {
            let mut count = store::lock(tx, id).await?;
            if count.state != CountState::Approved {
                return Ok(());
            }
            store::clear(tx, id, None).await?;
            back(tx, &mut count, CountState::Counting).await?;
            let why = Some("sales was restored after the look".to_owned());
            tx.audit("inventory.count.lost", ("count", id), why, json!({}));
            Ok(())
        })
        .await?;
    Ok(())
}

/// The pieces that differ, locked.
async fn named(tx: &mut Tx, count: &Count) -> Result<Pieces, Error> {
    let names = count.lines.iter().flat_map(|l| {
        let both = l.serials_missing.iter().chain(&l.serials_extra);
        both.map(|no| (l.product_id, no.clone()))
    });
    Ok(serial::store::lock(tx, &names.collect(), &BTreeMap::new()).await?)
}

async fn attempt(
    state: &State,
    ctx: &Ctx,
    id: Uuid,
    ends: Vec<(String, i32, i64)>,
) -> Result<(), Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<(), Error> {
            let mut count = store::lock(tx, id).await?;
            if count.state != CountState::Approved {
                return Ok(());
            }
            if !store::heard(tx, &ends).await? {
                return Err(Error::CountWaiting);
            }
            ledger::store::guard(tx, "count", "post", &[id]).await?;
            let expected = store::expected(tx, id).await?;
            count.expect(&expected);
            let location = count.location_id;
            let lost: Vec<ledger::Key> = count
                .lines
                .iter()
                .filter(|l| {
                    l.status == Status::Sellable
                        && (l.variance.is_some_and(|v| v.is_negative())
                            || !l.serials_missing.is_empty())
                })
                .map(|l| l.balance(location))
                .collect();
            let mut broken = Broken::lock(tx, &lost).await?;
            let batches: BTreeSet<BatchId> =
                count.lines.iter().filter_map(|l| l.batch_id).collect();
            batch::store::share(tx, &batches).await?;
            let own: BTreeSet<Place> = count
                .lines
                .iter()
                .map(|l| (location, l.product_id))
                .collect();
            let places: BTreeSet<Place> = own.iter().copied().chain(broken.places()).collect();
            let mut books = ledger::store::lock(tx, &places, &batches).await?;
            // A late sale may have come before the gates were locked; after this it meets a posted count.
            if store::expected(tx, id).await? != expected {
                return Err(bahi_db::Error::Contention.into());
            }
            let value = match estimate(tx, &count).await {
                // Events came in since the approval and made a gain of it.
                Err(Error::BatchRequired(_)) => {
                    return back(tx, &mut count, CountState::Submitted).await;
                }
                value => value?,
            };
            if store::covered(tx, id)
                .await?
                .is_some_and(|most| value > most)
            {
                // Events came in since the approval and it covers the outcome no more.
                return back(tx, &mut count, CountState::Submitted).await;
            }
            let costs = ledger::store::current_costs(tx, &own).await?;
            let pieces = named(tx, &count).await?;
            let now = tx.now();
            for line in &mut count.lines {
                let variance = line.variance.unwrap_or_default();
                let key = line.balance(location);
                let lies = |no: &&String| {
                    let piece = pieces.get(line.product_id, no);
                    piece.is_some_and(|p| p.lies((key, Uuid::nil())))
                };
                let missing: Vec<String> =
                    line.serials_missing.iter().filter(lies).cloned().collect();
                let extra = line.serials_extra.iter().filter(|no| !lies(no));
                let extra: Vec<String> = extra.cloned().collect();
                let (out, into) = exchange(variance, missing.len(), extra.len());
                let source = Source {
                    kind: "count",
                    id,
                    line: line.line,
                    purpose: "count",
                };
                let reason = Some("count".to_owned());
                let gone = out.min(books.item(key).on_hand);
                if gone.is_positive() {
                    if line.status == Status::Sellable {
                        broken.make_free(&mut books, (key, gone), source, now)?;
                    }
                    books.take(Kind::AdjustOut, key, gone, source, reason.clone(), now);
                    let most = serial::whole(gone).unwrap_or_default();
                    books.name(missing.into_iter().take(most).collect());
                }
                if into.is_positive() {
                    let unit = line.unit_cost.or_else(|| costs.get(&key.place()).copied());
                    let unit = unit.unwrap_or(Price::ZERO);
                    let value = worth(into, unit)
                        .ok_or_else(|| Fault::field("lines", "make too large a value"))?;
                    let cost = Cost::Known(value, unit);
                    books.put(Kind::AdjustIn, key, into, cost, source, reason, now);
                    let most = serial::whole(into).unwrap_or_default();
                    books.name(extra.into_iter().take(most).collect());
                }
                line.qty_delta = Some(into - gone);
            }
            broken.save(tx).await?;
            let movements = ledger::close(tx, books).await?;
            for line in &mut count.lines {
                let of_line = |m: &&ledger::Movement| {
                    let source = m.draft.source;
                    source.id == id && source.line == line.line && source.purpose == "count"
                };
                line.value_delta = Some(movements.iter().filter(of_line).map(|m| m.value).sum());
            }
            count.value_delta = Some(count.lines.iter().filter_map(|l| l.value_delta).sum());
            count.enter(CountState::Posted);
            count.posted_at = Some(now);
            store::save_lines(tx, &count).await?;
            store::save(tx, &count).await?;
            broken.announce(tx);
            let facts = copy::facts(tx, own).await?;
            tx.publish(events::count_posted(&facts, &count));
            Ok(())
        })
        .await?;
    Ok(())
}
