//! Taking a batch in: what it needs is read once, then each item is one transaction.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bahi_db::{Ctx, Error as DbError, Tx};
use bahi_gst::{Supply, SupplyFacts, place_of_supply};
use bahi_http::{Caller, Fault, Problem};
use bahi_service::pause_point;
use bahi_types::{
    CustomerGroupId, CustomerId, FiscalYear, InvoiceId, LocationId, Money, PosSessionId, ProductId,
    RegistrationId, TillId,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    model::{
        FrozenLine, Item, Post, Return, Sale, Slip, frozen, outside_session, prefixes, same_sale,
        slip,
    },
    pricing::{Books, compare},
    store::{self, Gap, Record, Series},
};
use crate::{
    State,
    bundle::{self, Changes, Version},
    cancellation,
    catalogue::{self, Goods},
    customer,
    error::{Error, Result},
    events,
    invoice::{self, Draft, Moment, NewTender, Outlet, Priced, Site, folded, levy_of, supply},
    number::{self, Numbered},
    organisation::{self, Place},
    price_list::Asked,
    pricing::{self, Market},
    reservation::{self, ATTEMPTS, Standing},
    returns::{self, Back, Common, Frozen},
    session::{self, Seat},
};

/// Sales that are written side by side. The tills that are online have the rest of the pool.
const SIDE_BY_SIDE: usize = 6;
/// A till whose clock is further off than this is set first.
const FURTHEST: TimeDelta = TimeDelta::days(366);

// ---- series

/// Sees to it that a till has its offline series: the first time, those that tell of it or else the next that are free.
pub(crate) async fn provide(tx: &mut Tx, till: TillId, place: &Place) -> Result<()> {
    let Some(registration) = place.registration_id else {
        return Ok(());
    };
    let open = store::series(tx, Some(till), 100).await?;
    let year = FiscalYear::of(invoice::today(tx)).start_year();
    for purpose in [number::Purpose::Invoice, number::Purpose::CreditNote] {
        let has = |s: &Series| s.registration_id == registration && s.purpose == purpose.name();
        if open.iter().any(has) {
            continue;
        }
        for prefix in prefixes(&place.series, purpose.name()) {
            // What is open or numbers documents already is passed over.
            if number::taken(tx, registration, &prefix, purpose).await?
                || store::open(tx, registration, till, &prefix, purpose.name()).await? == 0
            {
                continue;
            }
            store::keep_apart(tx, registration, &prefix, year, purpose.name()).await?;
            break;
        }
    }
    Ok(())
}

/// The place of a till where the caller works: whatever is numbered, or sent, by a till is its branch's.
pub(crate) async fn desk(tx: &Tx, till: TillId) -> Result<Place> {
    let place = organisation::till(tx, till).await?.ok_or(Fault::NotFound)?;
    if tx.ctx().scope.has(place.branch_id) {
        Ok(place)
    } else {
        Err(DbError::OtherBranch.into())
    }
}

// ---- a batch

/// What became of an item.
#[derive(Debug)]
pub(super) struct Outcome {
    /// `issued`, `replaced`, `issued_online`, `void` or `refused`.
    pub result: String,
    pub document_id: Option<InvoiceId>,
    /// The number of the document; another than the printed one where it was issued online.
    pub document_number: Option<String>,
    /// It had been received before.
    pub replayed: bool,
    pub differences: serde_json::Value,
    pub problem: Option<Problem>,
}

/// A batch that was taken in.
#[derive(Debug)]
pub(super) struct Synced {
    pub received_at: DateTime<Utc>,
    pub skew_ms: i64,
    pub outcomes: Vec<Outcome>,
    pub gaps: Vec<Gap>,
}

/// A batch as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub till: TillId,
    pub sent_at: DateTime<Utc>,
    pub catalogue: Option<String>,
    pub items: Vec<serde_json::Value>,
}

/// How the prices of a sale are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    session: PosSessionId,
    date: NaiveDate,
    group: Option<CustomerGroupId>,
    customer: Option<CustomerId>,
    coupons: Vec<String>,
}

/// What a batch needs to know, read once.
struct Known {
    seats: HashMap<PosSessionId, Seat>,
    goods: HashMap<(NaiveDate, ProductId), Goods>,
    markets: HashMap<Key, Market>,
    changes: Changes,
    records: HashMap<Numbered, Record>,
    standings: HashMap<InvoiceId, Standing>,
}

/// An item with its slip.
struct Ready {
    item: Item,
    slip: Arc<Slip>,
}

/// Takes a batch in. Each item has its answer; a refused one writes nothing.
pub(super) async fn sync(state: &State, caller: &Caller, batch: Batch) -> Result<Synced> {
    state.restore.passed().await?;
    let mut caller = caller.clone();
    // Each item is known by its own number and id.
    caller.ctx.idempotency = None;
    let till = batch.till;
    let (place, series, now) = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_> {
            let place = desk(tx, till).await?;
            Ok((place, store::series(tx, Some(till), 100).await?, tx.now()))
        })
        .await?;
    let unknown = || Fault::NotYetKnown("The till's branch or registration".into());
    let post = Post {
        till_id: till,
        registration_id: place.registration_id.ok_or_else(unknown)?,
        sender: caller.user().ok(),
        sent_at: batch.sent_at,
        received_at: now,
        catalogue: batch.catalogue.clone(),
        away: Arc::default(),
    };
    let skew = post.sent_at - post.received_at;
    if skew.abs() > FURTHEST {
        return Err(
            Fault::field("sent_at", "is more than a year off; set the till's clock").into(),
        );
    }
    let read: Vec<Result<Ready>> = batch
        .items
        .iter()
        .map(|value| ready(&post, &series, value))
        .collect();
    keep_apart(state, &caller.ctx, &series, &read).await?;
    let known = Arc::new(look(state, &caller.ctx, &post, place.location_id, &read).await?);
    let outcomes = take_in(state, &caller, &known, read).await;
    let gaps = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_> {
            let mut gaps = Vec::new();
            for series in &series {
                gaps.extend(store::gaps(tx, series.registration_id, &series.prefix).await?);
            }
            Ok(gaps)
        })
        .await?;
    Ok(Synced {
        received_at: now,
        skew_ms: skew.num_milliseconds(),
        outcomes,
        gaps,
    })
}

/// Reads an item and what stands on it. Nothing is asked of the database.
fn ready(post: &Post, series: &[Series], value: &serde_json::Value) -> Result<Ready> {
    let item = Item::read(value)?;
    let hash = invoice::hash("offline", &item)?;
    let mut slip = slip(post, &item, hash)?;
    let purpose = match item {
        Item::Sale(_) => Some("invoice"),
        Item::Return(_) => Some("credit_note"),
        Item::Void(_) => None,
    };
    let own = series.iter().find(|s| {
        s.prefix == slip.number.prefix && purpose.is_none_or(|purpose| s.purpose == purpose)
    });
    let own = own.ok_or_else(|| Error::UnknownSeries(slip.number.prefix.clone()))?;
    slip.registration_id = own.registration_id;
    Ok(Ready {
        item,
        slip: Arc::new(slip),
    })
}

/// The prefixes of the batch's years number nothing else.
async fn keep_apart(
    state: &State,
    ctx: &Ctx,
    series: &[Series],
    read: &[Result<Ready>],
) -> Result<()> {
    let mut used: BTreeSet<(Uuid, String, i32, String)> = BTreeSet::new();
    for ready in read.iter().flatten() {
        let (number, registration) = (&ready.slip.number, ready.slip.registration_id);
        let own = series
            .iter()
            .find(|s| s.registration_id == registration && s.prefix == number.prefix);
        if let Some(own) = own {
            let (prefix, purpose) = (number.prefix.clone(), own.purpose.clone());
            used.insert((registration.uuid(), prefix, number.fiscal_year, purpose));
        }
    }
    if used.is_empty() {
        return Ok(());
    }
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            for (registration, prefix, year, purpose) in &used {
                let registration = RegistrationId::from_uuid(*registration);
                if !store::keep_apart(tx, registration, prefix, *year, purpose).await? {
                    return Err(Error::SeriesTaken(prefix.clone()));
                }
            }
            Ok(())
        })
        .await?;
    Ok(())
}

fn key(sale: &Sale, date: NaiveDate) -> Key {
    Key {
        session: sale.session_id,
        date,
        group: sale.customer_group_id,
        customer: sale.customer_id,
        coupons: folded(&sale.coupons),
    }
}

/// The goods of an item whose lines are frozen.
fn frozen_lines(item: &Item) -> &[FrozenLine] {
    match item {
        Item::Sale(sale) => &sale.lines,
        Item::Return(back) => &back.goods,
        Item::Void(_) => &[],
    }
}

/// Reads all of it, in one read transaction and a number of statements that depends on days and groups of customers, not
/// on items.
async fn look(
    state: &State,
    ctx: &Ctx,
    post: &Post,
    location: LocationId,
    read: &[Result<Ready>],
) -> Result<Known> {
    let ready: Vec<&Ready> = read.iter().flatten().collect();
    let mut sessions: Vec<PosSessionId> = ready.iter().filter_map(|r| r.item.session()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    let mut of_day: HashMap<NaiveDate, BTreeSet<Uuid>> = HashMap::new();
    let mut of_key: HashMap<Key, BTreeSet<Uuid>> = HashMap::new();
    for ready in &ready {
        let goods = frozen_lines(&ready.item)
            .iter()
            .map(|l| l.product_id.uuid());
        let goods: Vec<Uuid> = goods.collect();
        of_day.entry(ready.slip.date).or_default().extend(&goods);
        if let Item::Sale(sale) = &ready.item {
            of_key
                .entry(key(sale, ready.slip.date))
                .or_default()
                .extend(&goods);
        }
    }
    let registrations: BTreeSet<RegistrationId> = ready
        .iter()
        .map(|r| r.slip.registration_id)
        .chain([post.registration_id])
        .collect();
    let ids: Vec<InvoiceId> = ready.iter().map(|r| r.slip.claimed).collect();
    state
        .db
        .read(ctx, async |tx| {
            let tx: &Tx = tx;
            let mut known = Known {
                seats: HashMap::new(),
                goods: HashMap::new(),
                markets: HashMap::new(),
                changes: Changes::default(),
                records: HashMap::new(),
                standings: reservation::standings(tx, &ids).await?,
            };
            for session in &sessions {
                if let Some(seat) = session::seat(tx, *session).await? {
                    known.seats.insert(*session, seat);
                }
            }
            for registration in &registrations {
                let of = ready
                    .iter()
                    .filter(|r| r.slip.registration_id == *registration);
                let numbers: Vec<&Numbered> = of.map(|r| &r.slip.number).collect();
                known
                    .records
                    .extend(store::records(tx, *registration, &numbers).await?);
            }
            for (date, ids) in &of_day {
                let ids: Vec<Uuid> = ids.iter().copied().collect();
                for goods in catalogue::find(tx, &ids, *date, (None, Some(location))).await? {
                    known.goods.insert((*date, goods.product_id), goods);
                }
            }
            for (key, ids) in &of_key {
                let ids: Vec<Uuid> = ids.iter().copied().collect();
                let asked = Asked {
                    session: Some(key.session),
                    location: None,
                    customer_group: key.group,
                    date: key.date,
                };
                let mut market =
                    pricing::look(tx, &ids, &asked, &key.coupons, key.customer).await?;
                let goods = known
                    .goods
                    .iter()
                    .filter(|((date, _), _)| *date == key.date);
                let goods: Vec<Goods> = goods.map(|(_, g)| g.clone()).collect();
                market.classify(tx, &goods).await?;
                known.markets.insert(key.clone(), market);
            }
            let all: BTreeSet<Uuid> = of_day.values().flatten().copied().collect();
            known.changes = bundle::changes(tx, &all.into_iter().collect::<Vec<_>>()).await?;
            Ok(known)
        })
        .await
}

/// Takes the items in: sales side by side; a return, which may be of a sale before it, when all before it are done, and so
/// does what bears the number or the id of one before it, for the first of the two is the one that counts.
async fn take_in(
    state: &State,
    caller: &Caller,
    known: &Arc<Known>,
    read: Vec<Result<Ready>>,
) -> Vec<Outcome> {
    let alone =
        |item: &Result<Ready>| matches!(item, Ok(ready) if matches!(ready.item, Item::Return(_)));
    let mut outcomes = Vec::with_capacity(read.len());
    let mut items = read.into_iter().peekable();
    while items.peek().is_some() {
        let (mut together, mut numbers, mut ids) = (Vec::new(), HashSet::new(), HashSet::new());
        while let Some(item) = items.next_if(|item| {
            let Ok(ready) = item else { return true };
            let first = numbers.insert(ready.slip.number.clone()) && ids.insert(ready.slip.claimed);
            together.is_empty() || (first && !alone(item))
        }) {
            let last = alone(&item);
            together.push(item);
            if last {
                break;
            }
        }
        let done = stream::iter(together)
            .map(|item| one(state.clone(), caller.clone(), known.clone(), item))
            .buffered(SIDE_BY_SIDE);
        outcomes.extend(done.collect::<Vec<_>>().await);
    }
    outcomes
}

/// One item, in a task of its own: a till that hangs up leaves none half done.
async fn one(state: State, caller: Caller, known: Arc<Known>, item: Result<Ready>) -> Outcome {
    let ready = match item {
        Ok(ready) => ready,
        Err(error) => return refused(error),
    };
    let task = async move {
        match &ready.item {
            Item::Sale(sale) => sell(&state, &caller, &known, sale, &ready.slip).await,
            Item::Return(back) => take_back(&state, &caller, &known, back, &ready.slip).await,
            Item::Void(void) => spoil(&state, &caller.ctx, &known, &void.reason, &ready.slip).await,
        }
    };
    match tokio::spawn(task.in_current_span()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => refused(error),
        Err(panic) => {
            tracing::error!(%panic, "an item of a batch panicked");
            let error = DbError::Other(diesel::result::Error::RollbackTransaction);
            refused(Error::Db(error))
        }
    }
}

fn refused(error: Error) -> Outcome {
    Outcome {
        result: "refused".into(),
        document_id: None,
        document_number: None,
        replayed: false,
        differences: serde_json::Value::Array(Vec::new()),
        problem: Some(error.into()),
    }
}

/// What the number stands for already: this very item, or another one.
fn before(record: &Record, slip: &Slip) -> Result<Outcome> {
    let same = record.claimed_id == slip.claimed
        // What a restore has brought back knows its item by number and id.
        && record.request_hash.as_ref().is_none_or(|hash| *hash == slip.hash);
    if !same {
        return Err(Error::NumberRepeated {
            number: record.number.clone(),
            document_id: record.document_id.map(InvoiceId::uuid),
        });
    }
    Ok(Outcome {
        result: record.outcome.clone(),
        document_id: record.document_id,
        document_number: (record.outcome != "void").then(|| record.number.clone()),
        replayed: true,
        differences: record.differences.clone(),
        problem: None,
    })
}

fn done(slip: &Slip, result: &str, document: Option<InvoiceId>, number: String) -> Outcome {
    Outcome {
        result: result.to_owned(),
        document_id: document,
        document_number: document.map(|_| number),
        replayed: false,
        differences: serde_json::to_value(&slip.differences).unwrap_or_default(),
        problem: None,
    }
}

/// What is known of a number and of its document, now.
async fn look_again(
    state: &State,
    ctx: &Ctx,
    slip: &Slip,
    id: InvoiceId,
) -> Result<(Option<Record>, Standing)> {
    state
        .db
        .read(ctx, async |tx| -> Result<_> {
            let tx: &Tx = tx;
            let numbers = [&slip.number];
            let (mut records, standing) = futures::try_join!(
                store::records(tx, slip.registration_id, &numbers),
                reservation::standing(tx, id),
            )?;
            Ok((records.remove(&slip.number), standing))
        })
        .await
}

// ---- sales

/// How an invoice that was issued online stands to the sale that the till made.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Online {
    /// The same goods for the same money; the printed number is void.
    Same(String),
    /// It is cancelled, or all of it came back and it was something else: the sale has an id of its own.
    OutOfTheWay,
    /// The number was explained in between.
    Again,
}

async fn sell(
    state: &State,
    caller: &Caller,
    known: &Known,
    sale: &Sale,
    slip: &Arc<Slip>,
) -> Result<Outcome> {
    let ctx = &caller.ctx;
    let mut record = known.records.get(&slip.number).cloned();
    let open = Standing::Open { next: 1 };
    let first = known.standings.get(&slip.claimed);
    let mut standing = first.cloned().unwrap_or(open);
    let derived = InvoiceId::derived(slip.claimed.uuid(), &slip.number.text());
    let mut id = slip.claimed;
    // Priced and checked once, and only where it is to be written.
    let mut draft: Option<(Draft, Site, Supply, Priced, Arc<Slip>)> = None;
    for _ in 0..ATTEMPTS {
        if let Some(record) = &record {
            let mut outcome = before(record, slip)?;
            if record.outcome == "issued_online"
                && let Some(invoice) = record.document_id
            {
                outcome.document_number = Some(number_of(state, ctx, invoice).await?);
            }
            return Ok(outcome);
        }
        let attempt = match standing {
            Standing::Open { next } => next,
            Standing::Issued { .. } => match online(state, ctx, id, sale, slip).await? {
                Online::Same(number) => return Ok(done(slip, "issued_online", Some(id), number)),
                Online::OutOfTheWay if id != derived => {
                    id = derived;
                    (record, standing) = look_again(state, ctx, slip, id).await?;
                    continue;
                }
                Online::OutOfTheWay => return Err(Error::Abandoned),
                Online::Again => {
                    (record, standing) = look_again(state, ctx, slip, id).await?;
                    continue;
                }
            },
            // Given up online, and sold all the same: the sale has an id of its own.
            Standing::Closed if id != derived => {
                id = derived;
                (record, standing) = look_again(state, ctx, slip, id).await?;
                continue;
            }
            Standing::Closed => return Err(Error::Abandoned),
        };
        if draft.is_none() {
            draft = Some(prepare(known, sale, slip)?);
        }
        let Some((draft, site, supply, priced, slip)) = &draft else {
            continue;
        };
        let made = Draft {
            invoice_id: id,
            ..draft.clone()
        };
        let moment = Moment::Past(slip.clone());
        let ready = invoice::assemble(
            &made,
            (site.clone(), *supply, draft.buyer.clone()),
            priced.clone(),
            moment,
            attempt,
        )?;
        if let Some(invoice) = invoice::one_attempt(state, ctx, &Arc::new(ready), attempt).await? {
            let result = if id == slip.claimed {
                "issued"
            } else {
                "replaced"
            };
            return Ok(done(slip, result, Some(id), invoice.header.number));
        }
        (record, standing) = look_again(state, ctx, slip, id).await?;
    }
    Err(Error::TooManyAttempts)
}

async fn number_of(state: &State, ctx: &Ctx, id: InvoiceId) -> Result<String> {
    let invoice = state
        .db
        .read(ctx, async |tx| invoice::get(tx, id).await)
        .await?;
    Ok(invoice.ok_or(DbError::NotFound)?.header.number)
}

/// The id was issued: by this very sale online, or by something else. Under the invoice's lock, so that nothing happens to
/// it in between.
async fn online(
    state: &State,
    ctx: &Ctx,
    id: InvoiceId,
    sale: &Sale,
    slip: &Arc<Slip>,
) -> Result<Online> {
    let (sale, slip) = (sale.clone(), slip.clone());
    let window = state.cancel_within;
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            customer::lock_of(tx, &[id]).await?;
            let header = invoice::lock(tx, id).await?.ok_or(DbError::NotFound)?;
            let issued = invoice::get(tx, id).await?.ok_or(DbError::NotFound)?;
            let number = issued.header.number.clone();
            let otherwise = Error::IssuedOtherwise {
                invoice_id: id.uuid(),
                number: number.clone(),
            };
            // Made by a till that was away, under another number: one id for two sales.
            if let Some(printed) = store::of_document(tx, id).await? {
                if printed == slip.number.text() {
                    return Ok(Online::Again);
                }
                return Err(otherwise);
            }
            let (status, same) = (issued.header.status.as_str(), same_sale(&issued, &sale));
            match (status, same) {
                ("cancelled", _) | ("credited_fully", false) => return Ok(Online::OutOfTheWay),
                (_, false) => {
                    let printed = slip.number.text();
                    let own = header.till_id == Some(slip.till_id);
                    if own && cancellation::replace(tx, window, &header, &issued, &printed).await? {
                        pause_point("sales.before_commit").await;
                        return Ok(Online::OutOfTheWay);
                    }
                    return Err(otherwise);
                }
                (_, true) => {}
            }
            let reason = format!("issued online as {number}");
            if store::record_void(tx, &slip, &reason, Some(id)).await? == 0 {
                return Ok(Online::Again);
            }
            tx.publish(events::number_voided(&slip, &reason, Some(id)));
            pause_point("sales.before_commit").await;
            Ok(Online::Same(number))
        })
        .await?;
    Ok(done.value)
}

/// Checks what the till computed and sets it beside the books.
fn prepare(
    known: &Known,
    sale: &Sale,
    slip: &Slip,
) -> Result<(Draft, Site, Supply, Priced, Arc<Slip>)> {
    let seat = seat(known, sale.session_id, slip)?;
    let goods = goods(known, &sale.lines, slip.date)?;
    let mut site = Site::of_seat(sale.session_id, seat.clone())?;
    let buyer = sale.buyer.clone().unwrap_or_default();
    let supply = supply(site.state, &buyer, None, false)?;
    let levy = levy_of(supply, site.gstin.is_some());
    let mut priced = frozen(&sale.lines, &goods, levy, sale.round_off, sale.total)?;
    let paid: Money = sale.tenders.iter().map(|t| t.amount).sum();
    if paid - sale.change != sale.total {
        return Err(Error::DoesNotAddUp {
            line: None,
            field: "change",
            told: sale.change,
            due: paid - sale.total,
        });
    }
    site.round_to_rupee = rounds(&site, &priced);
    let mut slip = slip.clone();
    slip.differences.extend(outside_session(
        slip.issued_at,
        seat.opened_at,
        seat.closed_at,
    ));
    if let Some(market) = known.markets.get(&key(sale, slip.date)) {
        let market = Market {
            branch: Some(site.branch_id),
            ..market.clone()
        };
        let books = Books {
            goods: &goods,
            market: &market,
            changes: &known.changes,
            catalogue: slip.catalogue.as_deref().and_then(Version::read),
        };
        slip.differences
            .extend(compare(sale, levy, &books, &mut priced));
    }
    let draft = Draft {
        invoice_id: sale.invoice_id,
        request_hash: slip.hash.clone(),
        outlet: Outlet::Till(sale.session_id),
        lines: Vec::new(),
        bill_discount: None,
        tenders: Some(sale.tenders.clone()),
        buyer,
        customer_id: sale.customer_id,
        credit_override: None,
        customer_group: sale.customer_group_id,
        coupons: Vec::new(),
        salesperson_id: sale.salesperson_id,
        external_reference: sale.external_reference.clone(),
        external_date: sale.external_date,
        approval: None,
        held_bill: None,
        back: None,
    };
    Ok((draft, site, supply, priced, Arc::new(slip)))
}

/// Whether the till rounds: as it did, else as it does now where that makes no difference to this sale.
fn rounds(site: &Site, priced: &Priced) -> bool {
    !priced.round_off.is_zero() || site.round_to_rupee && priced.total.decimal().fract().is_zero()
}

/// The session of the item, which must be the till's.
fn seat(known: &Known, session: PosSessionId, slip: &Slip) -> Result<Seat> {
    let seat = known.seats.get(&session).cloned();
    let seat = seat.filter(|seat| seat.till_id == slip.till_id);
    let none = || Fault::field("session_id", "is no session of this till");
    Ok(seat.ok_or_else(none)?)
}

fn goods<'a>(known: &'a Known, lines: &[FrozenLine], date: NaiveDate) -> Result<Vec<&'a Goods>> {
    let of = |line: &FrozenLine| {
        let found = known.goods.get(&(date, line.product_id));
        found.ok_or_else(|| Fault::NotYetKnown(format!("The product {}", line.product_id)).into())
    };
    lines.iter().map(of).collect()
}

// ---- returns and spoilt numbers

async fn take_back(
    state: &State,
    caller: &Caller,
    known: &Known,
    back: &Return,
    slip: &Arc<Slip>,
) -> Result<Outcome> {
    caller.require("sales.return.write")?;
    let ctx = &caller.ctx;
    let record = match known.records.get(&slip.number) {
        Some(record) => Some(record.clone()),
        None => look_again(state, ctx, slip, slip.claimed).await?.0,
    };
    if let Some(record) = &record {
        return before(record, slip);
    }
    let seat = seat(known, back.session_id, slip)?;
    let refunds: Money = back
        .refund_tenders
        .iter()
        .map(|t: &NewTender| t.amount)
        .sum();
    if refunds != back.total {
        return Err(Error::RefundMismatch { total: back.total });
    }
    let mut made = Slip::clone(slip);
    made.differences.extend(outside_session(
        slip.issued_at,
        seat.opened_at,
        seat.closed_at,
    ));
    let common = Common {
        session_id: Some(back.session_id),
        location_id: None,
        tenders: back.refund_tenders.clone(),
        reason: back.reason.clone(),
        external_reference: back.external_reference.clone(),
        slip: Some(Arc::new(made)),
    };
    let note = match back.original_invoice_id {
        Some(claimed) => {
            let original = state
                .db
                .read(ctx, async |tx| store::standing_for(tx, claimed).await)
                .await?;
            let lines = back.lines.iter().map(|l| Back {
                line: l.original_line,
                qty: l.qty,
                disposition: l.disposition,
                serials: l.serials.clone(),
            });
            returns::take_back(state, caller, original, lines.collect(), common).await
        }
        None => {
            caller.require("sales.return.unbilled")?;
            let goods = goods(known, &back.goods, slip.date)?;
            let site = Site::of_seat(back.session_id, seat)?;
            let supply = place_of_supply(&SupplyFacts::counter(site.state));
            let levy = levy_of(supply, site.gstin.is_some());
            let frozen = Frozen {
                priced: frozen(&back.goods, &goods, levy, back.round_off, back.total)?,
                dispositions: back.goods.iter().map(|l| l.disposition).collect(),
            };
            returns::take_back_frozen(state, caller, frozen, common).await
        }
    };
    match note {
        Ok(note) => {
            let header = note.value.header;
            Ok(done(
                slip,
                "issued",
                Some(header.credit_note_id),
                header.number,
            ))
        }
        // Another request may have been faster with this very return: then it is why there is nothing left to take back.
        Err(error) => match (look_again(state, ctx, slip, slip.claimed).await?.0, error) {
            (Some(record), _) => before(&record, slip),
            (None, Error::Decided) => Err(Error::TooManyAttempts),
            (None, error) => Err(error),
        },
    }
}

/// A number that was printed and stands for nothing.
async fn spoil(
    state: &State,
    ctx: &Ctx,
    known: &Known,
    reason: &str,
    slip: &Arc<Slip>,
) -> Result<Outcome> {
    if let Some(record) = known.records.get(&slip.number) {
        return before(record, slip);
    }
    let (reason, spoilt) = (reason.to_owned(), slip.clone());
    let written = state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<bool> {
            if store::record_void(tx, &spoilt, &reason, None).await? == 0 {
                return Ok(false);
            }
            tx.publish(events::number_voided(&spoilt, &reason, None));
            Ok(true)
        })
        .await?;
    if written.value {
        return Ok(done(slip, "void", None, String::new()));
    }
    match look_again(state, ctx, slip, slip.claimed).await?.0 {
        Some(record) => before(&record, slip),
        None => Err(Error::TooManyAttempts),
    }
}
