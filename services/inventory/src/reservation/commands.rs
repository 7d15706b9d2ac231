//! Granting, ending and resolving holds.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Ctx, Done, Tx};
use bahi_http::Fault;
use bahi_proto::reservation_id;
use bahi_service::pause_point;
use bahi_types::{
    BatchId, InvoiceId, LocationId, ProductId, Quantity, ReservationId, business_date,
};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{
        Allocation, Answer, Ask, Demand, Hold, HoldLine, HoldState, Outcome, Owner, Terms, choose,
        dealt, grant, hold_lines,
    },
    store,
};
use crate::{
    Error, State,
    error::HoldRef,
    events::{self, HoldNews},
    kit,
    ledger::{self, Books, Kind, Source, Taken},
    serial::{self, Piece},
    shelf_life,
};

/// Holds stock for one attempt of an invoice-to-be.
///
/// # Errors
/// [`Error::OtherBasket`] when the attempt holds another basket; the database's.
pub async fn reserve(state: &State, ctx: &Ctx, demand: Demand) -> Result<Outcome, Error> {
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Outcome, Error> {
            let outcome = if demand.attempt == 1 {
                first(tx, &demand).await?
            } else {
                further(tx, &demand).await?
            };
            pause_point("inventory.reserve.before_commit").await;
            Ok(outcome)
        })
        .await;
    let outcome = match done {
        Ok(done) => done.value,
        // A first attempt leaves nothing behind when it is refused.
        Err(Error::InsufficientStock(short)) => Outcome::Refused(short),
        Err(error) => return Err(error),
    };
    pause_point("inventory.reserve.after_commit").await;
    Ok(outcome)
}

/// The usual case, in as few round trips as there can be: claim and locks go out together, then balances and lines.
async fn first(tx: &mut Tx, demand: &Demand) -> Result<Outcome, Error> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let products = demand.products();
    let claim = async {
        let claimed = store::claim(tx.shared(), tenant, now, demand).await;
        claimed.map_err(bahi_db::Error::from)
    };
    let (claimed, kits) = futures::try_join!(claim, kit::store::kits(tx, &products))?;
    if !claimed {
        return standing(tx, demand).await;
    }
    let (asks, parts) = apart(&demand.lines, &demand.terms, &kits)?;
    let places: BTreeSet<_> = asks.iter().map(|l| (demand.location, l.product)).collect();
    let terms = shelf_life::ruled(tx, &demand.terms, &places).await?;
    let rows =
        ledger::store::lock_shared(tx.shared(), tenant.uuid(), &places, &BTreeSet::new()).await?;
    let mut books = ledger::store::books(tx, rows);
    let what = (demand.id(), demand.location, asks.as_slice());
    let allocations = take(tx, &mut books, what, demand.allow_short, &terms).await?;
    let lines = hold_lines(&allocations);
    let conn = tx.shared();
    futures::try_join!(
        ledger::store::save_items(conn, tenant.uuid(), &books),
        store::insert_lines(conn, tenant, demand.id(), &lines),
    )?;
    kit::store::keep(tx, demand.id(), &parts, &kits).await?;
    Ok(Outcome::Granted(allocations))
}

/// An attempt after others: every lower one is released first and stays so, whatever comes of this one.
async fn further(tx: &mut Tx, demand: &Demand) -> Result<Outcome, Error> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let lower = demand.lower();
    let claimed = store::claim_over(tx, demand, &lower).await?;
    if !claimed {
        return standing(tx, demand).await;
    }
    let kits = kit::store::kits(tx, &demand.products()).await?;
    let (asks, parts) = apart(&demand.lines, &demand.terms, &kits)?;
    let mut open = store::lock(tx, &lower).await?;
    open.retain(Hold::is_pending);
    let mut places: BTreeSet<_> = asks.iter().map(|l| (demand.location, l.product)).collect();
    let terms = shelf_life::ruled(tx, &demand.terms, &places).await?;
    places.extend(open.iter().flat_map(Hold::places));
    let rows =
        ledger::store::lock_shared(tx.shared(), tenant.uuid(), &places, &BTreeSet::new()).await?;
    let mut books = ledger::store::books(tx, rows);
    for hold in &open {
        hold.free(&mut books, now);
    }
    store::end(
        tx,
        HoldState::Released,
        &open.iter().map(|h| h.id).collect::<Vec<_>>(),
    )
    .await?;
    // This sale takes its part before anybody else is served from what was freed.
    let what = (demand.id(), demand.location, asks.as_slice());
    let granted = match take(tx, &mut books, what, demand.allow_short, &terms).await {
        Err(Error::InsufficientStock(short)) => Err(short),
        other => Ok(other?),
    };
    match &granted {
        Ok(allocations) => {
            let lines = hold_lines(allocations);
            store::insert_lines(tx.shared(), tenant, demand.id(), &lines).await?;
            kit::store::keep(tx, demand.id(), &parts, &kits).await?;
        }
        Err(_) => store::unclaim(tx, demand.id()).await?,
    }
    ledger::close(tx, books).await?;
    Ok(granted.map_or_else(Outcome::Refused, Outcome::Granted))
}

/// A demand with its kits taken apart; these have no batches to choose from.
fn apart(
    lines: &[Ask],
    terms: &Terms,
    kits: &kit::Kits,
) -> Result<(Vec<Ask>, Vec<kit::Part>), Error> {
    let (asks, parts) = kit::demand(lines, kits)?;
    if let Some(part) = parts.iter().find(|p| terms.chosen.contains_key(&p.line)) {
        let field = format!("lines[{}].batch_id", part.line - 1);
        return Err(Fault::field(field, "a kit has no batches").into());
    }
    Ok((asks, parts))
}

/// Grants a demand on its terms; a batch chosen against the rules needs a reason, which is recorded.
async fn take(
    tx: &mut Tx,
    books: &mut Books,
    (id, location, lines): (ReservationId, LocationId, &[Ask]),
    allow_short: bool,
    terms: &Terms,
) -> Result<Vec<Allocation>, Error> {
    let named = serial::promise(tx, lines, &terms.serials, allow_short).await?;
    if terms.chosen.is_empty() && named.lines.is_empty() {
        return grant(books, location, lines, allow_short, terms).map_err(Error::InsufficientStock);
    }
    let choice = choose(books, location, lines, allow_short, terms, &named)
        .map_err(Error::InsufficientStock)?;
    let (allocations, against) = (choice.allocations, choice.against);
    serial::store::hold(tx, id, &choice.pieces).await?;
    if let Some(line) = against.first() {
        let Some(reason) = &terms.reason else {
            return Err(Error::OverrideRequired(*line));
        };
        let chosen: Vec<_> = allocations
            .iter()
            .filter(|a| against.contains(&a.line))
            .map(|a| json!({ "product_id": a.product_id, "batch_id": a.batch_id, "qty": a.qty, "min_shelf_life_days": terms.min_for(a.product_id) }))
            .collect();
        tx.audit(
            "inventory.batch.override",
            ("reservation", id.uuid()),
            Some(reason.clone()),
            json!({ "lines": chosen, "by": terms.by, "customer_id": terms.customer }),
        );
    }
    Ok(allocations)
}

/// The answer to a request for an attempt that is there already.
async fn standing(tx: &mut Tx, demand: &Demand) -> Result<Outcome, Error> {
    let hold = store::get(tx, demand.id()).await?;
    if !hold.is_pending() {
        return Ok(Outcome::Terminal(hold.state));
    }
    if hold.demand_hash.as_deref() != Some(demand.demand_hash.as_str()) {
        return Err(Error::OtherBasket);
    }
    let promised = kit::store::promised(tx, &[hold.id]).await?.remove(&hold.id);
    let (asks, _) = kit::demand(&demand.lines, &promised.unwrap_or_default())?;
    Ok(Outcome::Granted(dealt(hold.pools(), &asks)))
}

/// Gives the hold of an attempt at an invoice, or of an order, back. One that was never seen is remembered as released.
///
/// # Errors
/// The database's.
pub async fn release(
    state: &State,
    ctx: &Ctx,
    owner: Owner,
    invoice: InvoiceId,
    attempt: u32,
) -> Result<HoldState, Error> {
    let id = reservation_id(invoice, attempt);
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<HoldState, Error> {
            let hold = [(id, invoice, Some(attempt))];
            let new = store::claim_ended_of(tx, owner, HoldState::Released, &hold).await?;
            if new.contains(&id) {
                return Ok(HoldState::Released);
            }
            let hold = store::lock_one(tx, id).await?;
            if !hold.is_pending() {
                return Ok(hold.state);
            }
            give_back(tx, &[hold], HoldState::Released).await?;
            Ok(HoldState::Released)
        })
        .await?;
    Ok(done.value)
}

/// Ends pending, locked holds and serves from them whoever waits.
async fn give_back(tx: &mut Tx, holds: &[Hold], state: HoldState) -> Result<(), Error> {
    let now = tx.now();
    let places: BTreeSet<_> = holds.iter().flat_map(Hold::places).collect();
    let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    for hold in holds {
        hold.free(&mut books, now);
    }
    store::end(tx, state, &holds.iter().map(|h| h.id).collect::<Vec<_>>()).await?;
    ledger::close(tx, books).await?;
    let news = if state == HoldState::Expired {
        HoldNews::Expired
    } else {
        HoldNews::Released
    };
    for hold in holds.iter().filter(|h| h.owner != Owner::Sales) {
        tx.publish(events::hold(news, hold, hold.version + 1));
    }
    Ok(())
}

/// What a client of the API asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where.
    pub location: LocationId,
    /// Lines.
    pub lines: Vec<Ask>,
    /// The holder's words.
    pub reference: Option<String>,
    /// How long; an order's has no end.
    pub ttl: Duration,
    /// The order it is for.
    pub order: Option<Uuid>,
    /// Which batches.
    pub terms: Terms,
}

/// A hold as a command answers it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// Id.
    pub id: ReservationId,
}

/// Holds stock until a deadline.
///
/// # Errors
/// [`Error::InsufficientStock`], [`Error::Restoring`].
pub async fn hold(state: &State, ctx: &Ctx, wish: Wish) -> Result<Done<Made>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Made, Error> {
            let now = tx.now();
            let products: Vec<ProductId> = wish.lines.iter().map(|l| l.product).collect();
            let kits = kit::store::kits(tx, &products).await?;
            let (lines, parts) = apart(&wish.lines, &wish.terms, &kits)?;
            let places: BTreeSet<_> = lines.iter().map(|l| (wish.location, l.product)).collect();
            let terms = shelf_life::ruled(tx, &wish.terms, &places).await?;
            let rows = ledger::store::lock_shared(
                tx.shared(),
                tx.tenant().uuid(),
                &places,
                &BTreeSet::new(),
            )
            .await?;
            let mut books = ledger::store::books(tx, rows);
            let id = ReservationId::new();
            let what = (id, wish.location, lines.as_slice());
            let allocations = take(tx, &mut books, what, false, &terms).await?;
            let hold = Hold {
                id,
                owner: if wish.order.is_some() {
                    Owner::Order
                } else {
                    Owner::Api
                },
                state: HoldState::Pending,
                location: wish.location,
                invoice: None,
                attempt: None,
                demand_hash: None,
                order: wish.order,
                reference: wish.reference,
                deadline: wish.order.is_none().then(|| now + wish.ttl),
                answer: None,
                created_at: now,
                version: 1,
                lines: hold_lines(&allocations),
            };
            store::insert(tx, &hold).await?;
            kit::store::keep(tx, hold.id, &parts, &kits).await?;
            ledger::close(tx, books).await?;
            tx.publish(events::hold(HoldNews::Reserved, &hold, 1));
            Ok(Made { id: hold.id })
        })
        .await
}

/// Refuses what is for sales to decide: the hold of a sale, or of one of its orders.
fn let_alone(hold: &Hold) -> Result<(), Error> {
    if hold.owner == Owner::Sales || hold.attempt.is_some() {
        return Err(Error::HeldBySale);
    }
    Ok(())
}

/// Locks a hold of the API that may still be decided.
async fn lock_open(tx: &mut Tx, id: ReservationId) -> Result<Hold, Error> {
    let hold = store::lock_one(tx, id).await?;
    if hold.owner == Owner::Sales {
        return Err(Error::HeldBySale);
    }
    if !hold.is_pending() {
        return Err(match hold.state {
            HoldState::Expired => Error::ReservationExpired,
            state => Error::ReservationEnded(state.name().to_owned()),
        });
    }
    Ok(hold)
}

/// What of a hold is issued.
#[derive(Clone, Debug, Default)]
pub struct Issued {
    /// How much of each line; absent: everything.
    pub wanted: Option<BTreeMap<i32, Quantity>>,
    /// Serial numbers of the pieces, as lines name them.
    pub serials: Vec<(i32, Vec<String>)>,
    /// What of a line comes from a batch of the hold, where that was chosen: then it is all of the line.
    pub batches: BTreeMap<(i32, BatchId), Quantity>,
}

/// Issues what a hold has, or the given quantities of its lines; the rest is released. An order's hold is issued
/// delivery by delivery and keeps the rest until the order closes; a delivery that was told before changes nothing.
///
/// # Errors
/// When it has ended or lapsed, or has less; for an order's [`Error::FulfilmentRequired`], or
/// [`Error::FulfilmentReused`] when the delivery was told of another hold, or with other lines.
pub async fn commit(
    state: &State,
    ctx: &Ctx,
    id: ReservationId,
    issued: Issued,
    fulfilment: Option<Uuid>,
) -> Result<Done<Made>, Error> {
    state.restore.passed().await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Made, Error> {
            let now = tx.now();
            let hold = store::get(tx, id).await?;
            let_alone(&hold)?;
            if hold.owner == Owner::Order {
                let fulfilment = fulfilment.ok_or(Error::FulfilmentRequired)?;
                return deliver(tx, id, &issued, fulfilment).await;
            }
            if fulfilment.is_some() {
                return Err(Fault::field("fulfilment_id", "only an order is delivered").into());
            }
            let hold = lock_open(tx, id).await?;
            if hold.deadline.is_some_and(|deadline| deadline <= now) {
                return Err(Error::ReservationExpired);
            }
            let kits = kit::store::parts(tx, id).await?;
            let parts = split(&hold, &kits, issued.wanted.as_ref(), &issued.batches)?;
            if parts.iter().all(|p| p.is_zero()) {
                return Err(Fault::field("lines", "must issue something").into());
            }
            let places: BTreeSet<_> = hold.places().collect();
            let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
            ledger::store::guard(tx, "reservation", "issue", &[id.uuid()]).await?;
            all_fit(&books, &hold, &parts, now)?;
            let pieces = pieces(tx, &hold, &parts, &issued.serials).await?;
            let mut issued = hold.clone();
            for ((line, part), named) in issued.lines.iter_mut().zip(&parts).zip(pieces) {
                if part.is_positive() {
                    books.take_held(
                        Kind::Issue,
                        (hold.key(line), *part),
                        hold.source(line.line, "issue"),
                        now,
                    );
                    books.name(named);
                }
                line.qty = *part;
            }
            for (line, part) in hold.lines.iter().zip(&parts) {
                let rest: Taken = (hold.key(line), line.qty - *part);
                books.unhold(rest, hold.source(line.line, "quarantine"), now);
            }
            store::end(tx, HoldState::Committed, &[id]).await?;
            let movements = ledger::close(tx, books).await?;
            tx.publish(events::hold(HoldNews::Committed, &issued, hold.version + 1));
            tx.publish(events::hold_issued(&hold, &movements));
            Ok(Made { id })
        })
        .await
}

/// Issues one delivery of an order and keeps the rest promised.
pub(super) async fn deliver(
    tx: &mut Tx,
    id: ReservationId,
    Issued {
        wanted,
        serials,
        batches,
    }: &Issued,
    fulfilment: Uuid,
) -> Result<Made, Error> {
    let new = ledger::store::guard(tx, "fulfilment", "issue", &[fulfilment]).await?;
    if new.is_empty() || !store::keep_delivery(tx, fulfilment, id, wanted.as_ref(), None).await? {
        // One that was issued before deliveries were kept is not known.
        return match store::delivery(tx, fulfilment).await? {
            Some(told) if told.refused.is_some() => Err(Error::FulfilmentRefused),
            Some(told) if (told.hold, &told.wanted) != (id, wanted) => Err(Error::FulfilmentReused),
            _ => Ok(Made { id }),
        };
    }
    let now = tx.now();
    let hold = lock_open(tx, id).await?;
    let kits = kit::store::parts(tx, id).await?;
    let parts = split(&hold, &kits, wanted.as_ref(), batches)?;
    let places: BTreeSet<_> = hold.places().collect();
    let mut books = ledger::store::lock(tx, &places, &BTreeSet::new()).await?;
    all_fit(&books, &hold, &parts, now)?;
    let named = pieces(tx, &hold, &parts, serials).await?;
    let mut issued = hold.clone();
    let lines = hold.lines.iter().zip(&parts).zip(named);
    for (((line, part), named), out) in lines.zip(&mut issued.lines) {
        out.qty = *part;
        if part.is_positive() {
            let source = Source {
                kind: "fulfilment",
                id: fulfilment,
                line: line.line,
                purpose: "issue",
            };
            books.take_held(Kind::Issue, (hold.key(line), *part), source, now);
            books.name(named);
            store::lower(tx, id, line, *part).await?;
        }
    }
    if parts.iter().all(|p| p.is_zero()) {
        return Err(Fault::field("lines", "must issue something").into());
    }
    kit::store::leave(tx, id, &kit::undelivered(&kits, wanted.as_ref())).await?;
    let whole = hold.lines.iter().map(|l| l.qty).eq(parts.iter().copied());
    if whole {
        store::end(tx, HoldState::Committed, &[id]).await?;
    } else {
        store::touch(tx, id).await?;
    }
    let movements = ledger::close(tx, books).await?;
    tx.publish(events::hold(HoldNews::Committed, &issued, hold.version + 1));
    tx.publish(events::delivered(fulfilment, hold.location, &movements));
    Ok(Made { id })
}

/// Refuses what was promised from a batch that has been blocked since, or whose last day is past. The hold keeps it: a
/// block may be lifted, and whoever holds it can let it go and ask anew.
fn all_fit(
    books: &Books,
    hold: &Hold,
    parts: &[Quantity],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let today = business_date(now);
    let mut issued = hold
        .lines
        .iter()
        .zip(parts)
        .filter(|(_, part)| part.is_positive());
    match issued.find(|(line, _)| !books.item(hold.key(line)).fit(today, 0)) {
        None => Ok(()),
        Some((line, _)) => Err(Error::BatchUnfit(
            usize::try_from(line.line - 1).unwrap_or(0),
        )),
    }
}

/// The pieces that leave with each allocation. Whoever hands goods out has them in hand: what is named must lie there.
async fn pieces(
    tx: &mut Tx,
    hold: &Hold,
    parts: &[Quantity],
    serials: &[(i32, Vec<String>)],
) -> Result<Vec<Vec<String>>, Error> {
    let mut dealt: Vec<Vec<String>> = vec![Vec::new(); parts.len()];
    let of_line = |line: i32| hold.lines.iter().filter(move |l| l.line == line);
    let names: BTreeSet<serial::Name> = serials
        .iter()
        .flat_map(|(line, named)| {
            let products = of_line(*line).map(|l| l.product);
            products.flat_map(move |product| named.iter().map(move |no| (product, no.clone())))
        })
        .collect();
    if serials.iter().all(|(_, named)| named.is_empty()) {
        return Ok(dealt);
    }
    let products = names.iter().map(|name| name.0).collect();
    let tracked = serial::store::tracked(tx, &products).await?;
    let pieces = serial::store::lock(tx, &names, &BTreeMap::new()).await?;
    let mut used: BTreeSet<Uuid> = BTreeSet::new();
    for (n, (line, named)) in serials.iter().enumerate() {
        if !named.is_empty() && !of_line(*line).any(|l| tracked.contains(&l.product)) {
            return Err(Error::NotSerialTracked(n));
        }
        for no in named {
            let place = hold.lines.iter().enumerate().find(|(at, l)| {
                let room = Quantity::from(dealt[*at].len() as i64 + 1) <= parts[*at];
                let piece = pieces.get(l.product, no);
                let there = |p: &Piece| {
                    p.held.is_none() && !used.contains(&p.id) && p.lies((hold.key(l), Uuid::nil()))
                };
                l.line == *line && room && piece.is_some_and(there)
            });
            match place {
                Some((at, l)) => {
                    used.extend(pieces.get(l.product, no).map(|p| p.id));
                    dealt[at].push(no.clone());
                }
                None => {
                    let product = of_line(*line).map(|l| l.product).next();
                    let piece = product.and_then(|product| pieces.get(product, no));
                    let found = match piece {
                        Some(piece) if piece.held.is_some() => serial::PROMISED.to_owned(),
                        found => serial::place_of(found),
                    };
                    return Err(Error::SerialNotHere(n, no.clone(), found));
                }
            }
        }
    }
    Ok(dealt)
}

/// How much of each allocation is issued. Of a line that stands for kits, the quantity is a number of kits.
fn split(
    hold: &Hold,
    kits: &[kit::Part],
    wanted: Option<&BTreeMap<i32, Quantity>>,
    batches: &BTreeMap<(i32, BatchId), Quantity>,
) -> Result<Vec<Quantity>, Error> {
    let Some(wanted) = wanted else {
        return Ok(hold.lines.iter().map(|l| l.qty).collect());
    };
    let mut held: BTreeMap<(i32, ProductId), Quantity> = BTreeMap::new();
    for line in &hold.lines {
        *held.entry((line.line, line.product)).or_default() += line.qty;
    }
    let mut left = BTreeMap::new();
    for (line, asked) in wanted {
        let (line, asked) = (*line, *asked);
        let of_line = || {
            held.range((line, ProductId::from_uuid(uuid::Uuid::nil()))..)
                .take_while(move |(key, _)| key.0 == line)
        };
        let part = kits.iter().find(|part| part.line == line);
        let whole = part.map_or_else(|| of_line().map(|(_, qty)| *qty).sum(), |part| part.qty);
        let more = Error::MoreThanReserved {
            line,
            held: whole,
            asked,
        };
        if asked > whole {
            return Err(more);
        }
        for (key, qty) in of_line() {
            let taken = match part {
                Some(part) => {
                    kit::in_whole_kits(*qty, part.qty, asked).ok_or(Error::PartOfAKit { line })?
                }
                None => asked,
            };
            left.insert(*key, taken);
        }
    }
    let mut chosen = batches.clone();
    let part = |l: &HoldLine| {
        let rest = left.entry((l.line, l.product)).or_default();
        let mut part = l.qty.min(*rest);
        if batches.keys().any(|(line, _)| *line == l.line) {
            let of_batch = chosen.entry((l.line, l.batch)).or_default();
            part = part.min(*of_batch);
            *of_batch -= part;
        }
        *rest -= part;
        part
    };
    let parts = hold.lines.iter().map(part).collect();
    if let Some(((line, batch), missing)) = chosen.into_iter().find(|(_, qty)| qty.is_positive()) {
        let asked = batches.get(&(line, batch)).copied().unwrap_or_default();
        let held = asked - missing;
        return Err(Error::MoreThanReserved { line, held, asked });
    }
    Ok(parts)
}

/// Gives a hold of the API back.
///
/// # Errors
/// When it has ended, or is a sale's.
pub async fn let_go(state: &State, ctx: &Ctx, id: ReservationId) -> Result<Done<Made>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Made, Error> {
            let hold = lock_open(tx, id).await?;
            let_alone(&hold)?;
            give_back(tx, &[hold], HoldState::Released).await?;
            Ok(Made { id })
        })
        .await
}

/// Ends holds of the API whose time is over.
///
/// # Errors
/// The database's.
pub async fn lapse(state: &State, ctx: &Ctx, ids: Vec<ReservationId>) -> Result<usize, Error> {
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<usize, Error> {
            let now = tx.now();
            let mut holds = store::lock(tx, &ids).await?;
            holds.retain(|h| {
                h.is_pending() && h.owner == Owner::Api && h.deadline.is_some_and(|d| d <= now)
            });
            give_back(tx, &holds, HoldState::Expired).await?;
            Ok(holds.len())
        })
        .await?;
    Ok(done.value)
}

/// Lets those of the holds that are still pending wait for jobs behind all others.
///
/// # Errors
/// The database's.
pub async fn put_off(state: &State, ctx: &Ctx, ids: Vec<ReservationId>) -> Result<(), Error> {
    let later =
        async move |tx: &mut Tx| -> Result<(), Error> { Ok(store::put_off(tx, &ids).await?) };
    state.db.write(ctx, later).await?;
    Ok(())
}

/// What sales said about a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// No sale comes of it.
    Void,
    /// It is sold.
    Issued(Answer),
}

/// Acts on what sales said: a void hold is released, an issued one is remembered and not asked about again.
///
/// # Errors
/// The database's.
pub async fn resolve(
    state: &State,
    ctx: &Ctx,
    said: Vec<(ReservationId, Said)>,
) -> Result<usize, Error> {
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<usize, Error> {
            let ids: Vec<_> = said.iter().map(|s| s.0).collect();
            let mut holds = store::lock(tx, &ids).await?;
            holds.retain(|h| h.is_pending() && h.answer.is_none());
            for (id, said) in &said {
                if let Said::Issued(answer) = said {
                    store::remember(tx, *id, answer).await?;
                    holds.retain(|h| h.id != *id);
                }
            }
            give_back(tx, &holds, HoldState::Released).await?;
            Ok(said.len())
        })
        .await?;
    Ok(done.value)
}

/// Asks sales about holds and acts on the answers. Holds that sales does not speak of stay as they are.
///
/// # Errors
/// [`Error::SalesUnreachable`] when there is no answer: every hold stays.
pub async fn ask(state: &State, ctx: &Ctx, holds: &[HoldRef]) -> Result<usize, Error> {
    let said = state.sales.states(ctx, holds).await.map_err(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            holds = holds.len(),
            "sales gives no answer; the holds stay"
        );
        Error::SalesUnreachable
    })?;
    resolve(state, ctx, said).await
}
