//! The sale: two databases, one truth. Each step commits alone, and whatever dies between two of them leaves
//! something that the next request, or inventory's sweep, puts right.
//!
//! 1. Read the decisions on this invoice and the copies it is priced from; price it. No remote call.
//! 2. `Reserve` at inventory: from here on nobody else is promised these goods.
//! 3. One transaction: decision `issued`, lines, tenders, session totals, number and header, event last.
//! 4. Answer.
//!
//! Whatever ends an attempt after its grant, other than `issued`, first commits `void` and then releases. An outcome
//! nobody knows (the connection broke during COMMIT) is found out by that same `void`: either it is written, and the
//! sale can never commit, or it meets `issued`, and the sale is done.

use std::{collections::HashMap, sync::Arc};

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_gst::{StateCode, Supply};
use bahi_http::{Approval, Caller, Fault};
use bahi_proto::reservation_id;
use bahi_service::pause_point;
use bahi_types::{
    BranchId, CustomerGroupId, CustomerId, FiscalYear, InvoiceId, LocationId, Money, PosSessionId,
    ProductId, RegistrationId, TillId, UserId, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    model::{
        Buyer, Discounted, Header, Invoice, NewLine, NewTender, Priced, Tender, Terms, levy_of,
        price, serials_of, settle, supply,
    },
    store::{self, Paid},
};
use crate::{
    State,
    catalogue::{self, Goods},
    customer::{self, Claim, Customer, Entry, EntryKind},
    error::{Error, Result},
    events, exchange,
    held::{self, HeldBillId},
    number::{self, Counter},
    offline::{self, Slip},
    organisation,
    price_list::Asked,
    pricing::{self, Market},
    promotion::{self, Use},
    reservation::{self, ATTEMPTS, Allocated, Demand, Promise, Standing},
    returns::{self, Back, CreditNote},
    right::Rights,
    session::{self, Method, Takings},
};

/// Where a sale is made.
#[derive(Clone, Debug)]
pub(crate) enum Outlet {
    /// At a till.
    Till(PosSessionId),
    /// In the office: goods are sent from a location.
    Office {
        /// Where from.
        location: LocationId,
        /// The prefix asked for.
        series: Option<String>,
        /// Payable in whole rupees.
        round_to_rupee: bool,
        /// State of the delivery address.
        delivery: Option<String>,
    },
}

/// A sale as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub invoice_id: InvoiceId,
    /// Of the whole request.
    pub request_hash: Vec<u8>,
    pub outlet: Outlet,
    pub lines: Vec<NewLine>,
    pub bill_discount: Option<Discounted>,
    /// None pays the whole on credit.
    pub tenders: Option<Vec<NewTender>>,
    pub buyer: Buyer,
    pub customer_id: Option<CustomerId>,
    /// Why it may go beyond the customer's credit limit.
    pub credit_override: Option<String>,
    /// Whose prices it has.
    pub customer_group: Option<CustomerGroupId>,
    /// Codes of coupons, folded, each once.
    pub coupons: Vec<String>,
    pub salesperson_id: Option<UserId>,
    pub external_reference: Option<String>,
    pub external_date: Option<DateTime<Utc>>,
    /// What somebody with more rights has lent for it, as it was presented.
    pub approval: Option<String>,
    /// The held bill that it sells.
    pub held_bill: Option<HeldBillId>,
    /// What comes back in the same go and pays for it.
    pub back: Option<Swap>,
}

/// The return of an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// The bill of what comes back.
    pub original: InvoiceId,
    pub backs: Vec<Back>,
    pub reason: Option<String>,
    /// How the rest of the credit is refunded, where the sale takes less.
    pub refunds: Vec<NewTender>,
}

/// The place, whichever the outlet.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub registration_id: RegistrationId,
    pub gstin: Option<String>,
    pub state: StateCode,
    pub branch_id: BranchId,
    pub location_id: LocationId,
    pub till_id: Option<TillId>,
    pub session_id: Option<PosSessionId>,
    pub series: String,
    pub round_to_rupee: bool,
}

impl Site {
    /// The place of a session, whether it is open or not.
    pub(crate) fn of_seat(session: PosSessionId, seat: session::Seat) -> Result<Self> {
        let unknown = "The till, its branch or registration";
        Ok(Self {
            registration_id: seat
                .registration_id
                .ok_or_else(|| Fault::NotYetKnown(unknown.into()))?,
            state: state_of(seat.state_code.as_deref(), unknown)?,
            gstin: seat.gstin,
            branch_id: seat.branch_id,
            location_id: seat.location_id,
            till_id: Some(seat.till_id),
            session_id: Some(session),
            series: seat
                .series
                .ok_or_else(|| Fault::NotYetKnown(unknown.into()))?,
            round_to_rupee: seat.round_to_rupee.unwrap_or(false),
        })
    }
}

/// When a sale is made, by whom, and what numbers it.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    /// Now, with the next number.
    Now(DateTime<Utc>, Option<UserId>),
    /// A till has made and numbered it while it was away.
    Past(Arc<Slip>),
}

/// A sale that is priced and only lacks its stock and its number.
#[derive(Debug)]
pub(crate) struct Sale {
    pub header: Header,
    pub(super) lines: Vec<super::model::Line>,
    pub(super) tenders: Vec<Tender>,
    takings: Takings,
    counter: Counter,
    /// What the till has printed, when it made the sale while it was away.
    slip: Option<Arc<Slip>>,
    demand: Demand,
    uses: Vec<Use>,
    credit_override: Option<String>,
    /// What of it an order has claimed of the customer's credit.
    pub(super) from_orders: Money,
    /// What was lent for it.
    approval: Option<Approval>,
    held_bill: Option<HeldBillId>,
    /// What comes back for it, and the credit of that which pays.
    back: Option<(Swap, Money)>,
    request_hash: Vec<u8>,
}

/// Sells.
pub(crate) async fn sell(state: &State, caller: &Caller, draft: Draft) -> Result<Done<Invoice>> {
    state.restore.passed().await?;
    let (state, mut caller) = (state.clone(), caller.clone());
    // The decision row is this command's idempotency; see the module's rules.
    caller.ctx.idempotency = None;
    // In a task of its own: a client that hangs up leaves no hold behind.
    let runtime = state.runtime.clone();
    let task = async move {
        match attempts(&state, &caller, &draft).await {
            Ok(done) => Ok(done),
            Err(error) => second_look(&state, &caller.ctx, &draft, error).await,
        }
    };
    match runtime.spawn(task.in_current_span()).await {
        Ok(result) => result,
        Err(panic) => {
            tracing::error!(%panic, "a sale panicked; its hold lapses at the deadline");
            Err(Error::Db(DbError::Other(
                diesel::result::Error::RollbackTransaction,
            )))
        }
    }
}

/// Another request on the same id may have issued it while this one was refused: then that is the answer.
async fn second_look(
    state: &State,
    ctx: &Ctx,
    draft: &Draft,
    error: Error,
) -> Result<Done<Invoice>> {
    if matches!(error, Error::RequestReused | Error::Abandoned) {
        return Err(error);
    }
    let invoice = draft.invoice_id;
    match state
        .db
        .read(ctx, async |tx| reservation::standing(tx, invoice).await)
        .await
    {
        Ok(Standing::Issued { request_hash }) => answer(state, ctx, draft, &request_hash).await,
        Ok(Standing::Closed) => Err(Error::Abandoned),
        Ok(Standing::Open { .. }) | Err(_) => Err(error),
    }
}

async fn attempts(state: &State, caller: &Caller, draft: &Draft) -> Result<Done<Invoice>> {
    for _ in 0..ATTEMPTS {
        let known = look(state, &caller.ctx, draft).await?;
        let attempt = match known.standing {
            Standing::Issued { request_hash } => {
                return answer(state, &caller.ctx, draft, &request_hash).await;
            }
            Standing::Closed => return Err(Error::Abandoned),
            Standing::Open { next } => next,
        };
        let approval = match &draft.approval {
            Some(text) => {
                let document = draft.invoice_id.uuid();
                Some(Approval::read(&state.keys, text, caller, document)?)
            }
            None => None,
        };
        let sale = Arc::new(prepare(caller, draft, approval, known, attempt)?);
        if let Some(invoice) = one_attempt(state, &caller.ctx, &sale, attempt).await? {
            return Ok(Done::first(invoice));
        }
    }
    Err(Error::TooManyAttempts)
}

/// The sale is done: the same request gets it, another is refused, on every route and for ever.
async fn answer(
    state: &State,
    ctx: &Ctx,
    draft: &Draft,
    request_hash: &[u8],
) -> Result<Done<Invoice>> {
    // A restored invoice knows nothing of its request but the id.
    if !request_hash.is_empty() && request_hash != draft.request_hash {
        return Err(Error::RequestReused);
    }
    let invoice = state
        .db
        .read(ctx, async |tx| store::get(tx, draft.invoice_id).await)
        .await?
        .ok_or(DbError::NotFound)?;
    Ok(Done {
        value: invoice,
        replayed: true,
    })
}

/// One attempt. `None`: it is over without a sale of this request, look again. A sale that was made while the till was
/// away is made in any case: what is short is owed, and without inventory it holds nothing.
pub(crate) async fn one_attempt(
    state: &State,
    ctx: &Ctx,
    sale: &Arc<Sale>,
    attempt: u32,
) -> Result<Option<Invoice>> {
    let invoice = sale.header.invoice_id;
    let away = sale.slip.as_ref().is_some_and(|slip| slip.stock_is_away());
    let holds_stock = !sale.demand.lines.is_empty() && !away;
    pause_point("sales.before_reserve").await;
    let promised = if holds_stock {
        let promise = state
            .inventory
            .reserve(ctx, invoice, attempt, &sale.demand)
            .await;
        match (promise, &sale.slip) {
            (Ok(Promise::Granted(promised)), _) => promised,
            (Ok(Promise::Short(_)), Some(_)) => Vec::new(),
            (Err(error), Some(slip)) => {
                slip.without_stock(&error);
                Vec::new()
            }
            (Err(error), None) => return Err(error),
            (Ok(Promise::Short(short)), None) => return Err(Error::InsufficientStock(short)),
            (Ok(Promise::Gone), _) => {
                void(state, ctx, invoice, attempt).await?;
                return Ok(None);
            }
        }
    } else {
        Vec::new()
    };
    pause_point("sales.after_reserve").await;
    let error = match issue(state, ctx, sale, attempt, promised).await {
        Ok(invoice) => {
            pause_point("sales.after_commit").await;
            return Ok(Some(invoice));
        }
        Err(error) => error,
    };
    match void(state, ctx, invoice, attempt).await {
        // Nothing is known now, so nothing is released.
        Err(_) => return Err(error),
        Ok(Standing::Issued { .. }) => return Ok(None),
        Ok(Standing::Open { .. } | Standing::Closed) => {}
    }
    if holds_stock {
        pause_point("sales.before_release").await;
        state.inventory.release(ctx, invoice, attempt).await;
    }
    match error {
        Error::Decided | Error::DayTurned | Error::Db(DbError::CommitUnknown) => Ok(None),
        refused => Err(refused),
    }
}

/// Writes `void` on an attempt without a decision, and says how the invoice stands then.
async fn void(state: &State, ctx: &Ctx, invoice: InvoiceId, attempt: u32) -> Result<Standing> {
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            reservation::void(tx, &[(invoice, attempt)]).await?;
            reservation::standing(tx, invoice)
                .await
                .map_err(Error::from)
        })
        .await?;
    Ok(done.value)
}

/// What step 1 reads.
pub(super) struct Known {
    standing: Standing,
    now: DateTime<Utc>,
    outlet: OutletKnown,
    /// One for each line.
    goods: Vec<Option<Goods>>,
    market: Market,
    customer: Option<Customer>,
    /// What comes back is worth so much now.
    credit: Option<Money>,
}

pub(super) enum OutletKnown {
    Till(Option<session::Seat>),
    Office(Option<organisation::Place>, Option<String>),
}

/// Reads the decisions, the place, the products and the rules of their prices, in one read transaction and, without
/// barcodes and promotions on categories, one round trip.
async fn look(state: &State, ctx: &Ctx, draft: &Draft) -> Result<Known> {
    let look = async |tx: &mut Tx| look_in(tx, draft).await;
    state.db.look(ctx, look).await
}

/// The same in a transaction of the caller's.
pub(super) async fn look_in(tx: &Tx, draft: &Draft) -> Result<Known> {
    let now = tx.now();
    let names = named(tx, &draft.lines).await?;
    let customer = match draft.customer_id {
        Some(id) => customer::find(tx, id).await?,
        None => None,
    };
    let of_customer = customer.as_ref().and_then(|c| c.customer_group_id);
    let mut ids: Vec<Uuid> = names.iter().flatten().map(|p| p.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    let date = business_date(now);
    let (session, location) = match &draft.outlet {
        Outlet::Till(session) => (Some(*session), None),
        Outlet::Office { location, .. } => (None, Some(*location)),
    };
    let asked = Asked {
        session,
        location,
        customer_group: draft.customer_group.or(of_customer),
        date,
    };
    let (standing, outlet, found, mut market) = futures::try_join!(
        reservation::standing(tx, draft.invoice_id),
        outlet(tx, &draft.outlet),
        catalogue::find(tx, &ids, date, (session, location)),
        pricing::look(tx, &ids, &asked, &draft.coupons, draft.customer_id),
    )?;
    market.classify(tx, &found).await?;
    // Of a sale that is done, everything came back already.
    let open = matches!(standing, Standing::Open { .. });
    let credit = match draft.back.as_ref().filter(|_| open) {
        Some(swap) => Some(returns::worth(tx, swap.original, &swap.backs).await?),
        None => None,
    };
    let by_id: HashMap<ProductId, Goods> = found.into_iter().map(|g| (g.product_id, g)).collect();
    let goods = names
        .iter()
        .map(|id| id.and_then(|id| by_id.get(&id).cloned()))
        .collect();
    Ok(Known {
        standing,
        now,
        outlet,
        goods,
        market,
        customer,
        credit,
    })
}

pub(super) async fn outlet(tx: &Tx, outlet: &Outlet) -> bahi_db::Result<OutletKnown> {
    match outlet {
        Outlet::Till(session) => Ok(OutletKnown::Till(session::seat(tx, *session).await?)),
        Outlet::Office {
            location, series, ..
        } => {
            let place = organisation::location(tx, *location).await?;
            let prefix = match place.as_ref().and_then(|p| p.registration_id) {
                Some(registration) => {
                    number::prefix(
                        tx,
                        registration,
                        number::Purpose::Invoice,
                        series.as_deref(),
                    )
                    .await?
                }
                None => None,
            };
            Ok(OutletKnown::Office(place, prefix))
        }
    }
}

/// The product each line names; `None` when no product has the code.
pub(crate) async fn named(tx: &Tx, lines: &[NewLine]) -> Result<Vec<Option<ProductId>>> {
    let barcodes: Vec<&str> = lines.iter().filter_map(|l| l.barcode.as_deref()).collect();
    let skus: Vec<String> = lines
        .iter()
        .filter_map(|l| l.sku.as_deref())
        .map(str::to_lowercase)
        .collect();
    let named = if barcodes.is_empty() && skus.is_empty() {
        Vec::new()
    } else {
        catalogue::resolve(tx, &barcodes, &skus).await?
    };
    let find = |index: usize, code: &str, is_barcode: bool| {
        let mut hits = named
            .iter()
            .filter(|n| n.is_barcode == is_barcode && n.code == code)
            .map(|n| n.product_id);
        match (hits.next(), hits.next()) {
            (Some(_), Some(_)) => Err(Error::Ambiguous {
                line: index + 1,
                code: code.to_owned(),
            }),
            (hit, _) => Ok(hit),
        }
    };
    lines
        .iter()
        .enumerate()
        .map(
            |(index, line)| match (line.product_id, &line.barcode, &line.sku) {
                (Some(id), _, _) => Ok(Some(id)),
                (None, Some(code), _) => find(index, code, true),
                (None, None, Some(sku)) => find(index, &sku.to_lowercase(), false),
                (None, None, None) => Ok(None),
            },
        )
        .collect()
}

/// A line's product, or that it has not arrived.
pub(crate) fn known<'a>(lines: &[NewLine], goods: &'a [Option<Goods>]) -> Result<Vec<&'a Goods>> {
    lines
        .iter()
        .zip(goods)
        .map(|(line, goods)| {
            goods.as_ref().ok_or_else(|| {
                let code = line.barcode.clone().or(line.sku.clone());
                let what = line
                    .product_id
                    .map(|id| id.to_string())
                    .or(code)
                    .unwrap_or_default();
                Fault::NotYetKnown(format!("The product {what}")).into()
            })
        })
        .collect()
}

fn state_of(text: Option<&str>, what: &str) -> Result<StateCode> {
    let text = text.ok_or_else(|| Fault::NotYetKnown(what.to_owned()))?;
    text.parse()
        .map_err(|e: bahi_gst::StateCodeError| Error::Uncomputable(e.to_string()))
}

pub(super) fn site(draft: &Draft, outlet: OutletKnown) -> Result<Site> {
    match (outlet, &draft.outlet) {
        (OutletKnown::Till(seat), Outlet::Till(session)) => {
            let seat = seat.ok_or(Fault::NotFound)?;
            if !seat.open {
                return Err(Error::SessionClosed);
            }
            Site::of_seat(*session, seat)
        }
        (
            OutletKnown::Office(place, prefix),
            Outlet::Office {
                round_to_rupee,
                series,
                ..
            },
        ) => {
            let place = place.ok_or_else(|| Fault::NotYetKnown("The location".into()))?;
            let unknown = "The location's branch or registration";
            let registration_id = place
                .registration_id
                .ok_or_else(|| Fault::NotYetKnown(unknown.into()))?;
            if !place.active {
                return Err(Error::NotActive("The location, its branch or registration"));
            }
            Ok(Site {
                registration_id,
                state: state_of(place.state_code.as_deref(), unknown)?,
                gstin: place.gstin,
                branch_id: place.branch_id,
                location_id: place.location_id,
                till_id: None,
                session_id: None,
                series: prefix
                    .ok_or_else(|| Error::UnknownSeries(series.clone().unwrap_or_default()))?,
                round_to_rupee: *round_to_rupee,
            })
        }
        // `outlet` answers in kind.
        _ => Err(Fault::NotFound.into()),
    }
}

/// Who buys: as the request says, else as the customer is known.
pub(super) fn buyer(draft: &Draft, customer: Option<&Customer>) -> Buyer {
    let Some(customer) = customer.filter(|_| draft.buyer == Buyer::default()) else {
        return draft.buyer.clone();
    };
    let billing = customer.billing();
    Buyer {
        name: Some(customer.name.clone()).filter(|name| !name.is_empty()),
        phone: customer.phone.clone(),
        gstin: customer.gstin.clone(),
        state_code: billing.as_ref().map(|a| a.state_code.clone()),
        address: billing.map(|a| a.text),
    }
}

/// Prices the sale from what is known: everything but stock and number.
pub(super) fn prepare(
    caller: &Caller,
    draft: &Draft,
    approval: Option<Approval>,
    known_now: Known,
    attempt: u32,
) -> Result<Sale> {
    let lent = approval.as_ref().map(Approval::grants).unwrap_or_default();
    if draft.credit_override.is_some() && !lent.allow("sales.credit.override") {
        caller.require("sales.credit.override")?;
    }
    let site = site(draft, known_now.outlet)?;
    let of_till = approval.as_ref().and_then(|a| a.till);
    if of_till.is_some() && of_till != site.till_id {
        return Err(Fault::Approval("was given for another till").into());
    }
    let goods = known(&draft.lines, &known_now.goods)?;
    let (delivery, moved) = match &draft.outlet {
        Outlet::Till(_) => (None, false),
        Outlet::Office { delivery, .. } => (delivery.as_deref(), true),
    };
    let buyer = buyer(draft, known_now.customer.as_ref());
    let supply = supply(site.state, &buyer, delivery, moved)?;
    let terms = Terms {
        levy: levy_of(supply, site.gstin.is_some()),
        round_to_rupee: site.round_to_rupee,
        rights: Rights::of(&caller.grants).or(Rights::of(&lent)),
    };
    let market = Market {
        branch: Some(site.branch_id),
        ..known_now.market
    };
    let priced = price(&draft.lines, &goods, draft.bill_discount, terms, &market)?;
    let moment = Moment::Now(known_now.now, caller.user().ok());
    let place = (site, supply, buyer);
    let sale = match (&draft.back, known_now.credit) {
        (Some(swap), Some(credit)) => {
            let (paid, swap, used) = exchanged(draft, swap, credit, priced.total)?;
            let sale = assemble(&paid, place, priced, moment, attempt)?;
            Sale {
                back: Some((swap, used)),
                ..sale
            }
        }
        _ => assemble(draft, place, priced, moment, attempt)?,
    };
    Ok(Sale {
        approval,
        held_bill: draft.held_bill,
        ..sale
    })
}

/// Lets what comes back pay for the sale, as far as either goes.
fn exchanged(
    draft: &Draft,
    swap: &Swap,
    credit: Money,
    total: Money,
) -> Result<(Draft, Swap, Money)> {
    let used = credit.min(total);
    let tender = NewTender {
        method: Method::Exchange,
        amount: used,
        reference: None,
    };
    let by_exchange = |others: Vec<NewTender>| -> Vec<NewTender> {
        let own = Some(tender.clone()).filter(|t| t.amount.is_positive());
        own.into_iter().chain(others).collect()
    };
    let refunded: Money = swap.refunds.iter().map(|t| t.amount).sum();
    if refunded != credit - used {
        return Err(Error::RefundMismatch {
            total: credit - used,
        });
    }
    let paid = Draft {
        tenders: Some(by_exchange(draft.tenders.clone().unwrap_or_default())),
        ..draft.clone()
    };
    let swap = Swap {
        refunds: by_exchange(swap.refunds.clone()),
        ..swap.clone()
    };
    Ok((paid, swap, used))
}

/// Puts a priced basket, its place and its payment together: everything but stock and number.
pub(crate) fn assemble(
    draft: &Draft,
    (site, supply, buyer): (Site, Supply, Buyer),
    priced: Priced,
    moment: Moment,
    attempt: u32,
) -> Result<Sale> {
    let tenders = draft
        .tenders
        .clone()
        .unwrap_or_else(|| NewTender::on_credit(priced.total));
    let settled = settle(priced.total, &tenders)?;
    let credit = settled.takings.get(Method::Credit);
    if credit.is_positive() && draft.customer_id.is_none() && !buyer.can_owe() {
        return Err(Error::CreditNeedsBuyer);
    }
    let (slip, date, issued_at, cashier) = match moment {
        Moment::Now(now, cashier) => (None, business_date(now), now, cashier),
        Moment::Past(slip) => {
            let (date, at, cashier) = (slip.date, slip.issued_at, slip.cashier);
            (Some(slip), date, at, Some(cashier))
        }
    };
    let mut demand = Demand::new(
        site.location_id,
        priced
            .lines
            .iter()
            // What an order is billed for leaves with its deliveries.
            .filter(|l| l.stocked && l.of_order.is_none())
            .map(|l| (l.line, l.product_id, l.qty))
            .collect(),
    )
    .naming(
        priced
            .lines
            .iter()
            .map(|l| (l.line, serials_of(&l.serials)))
            .filter(|(_, serials)| !serials.is_empty())
            .collect(),
    );
    demand.allow_short = slip.is_some();
    let year = FiscalYear::of(date);
    let prefix = slip
        .as_ref()
        .map_or(&site.series, |slip| &slip.number.prefix);
    let counter = Counter::new(prefix, year);
    let header = Header {
        invoice_id: draft.invoice_id,
        registration_id: site.registration_id,
        fiscal_year: year.start_year(),
        series: counter.prefix.clone(),
        number: String::new(),
        date,
        issued_at,
        kind: if buyer.gstin.is_some() { "B2B" } else { "B2C" }.to_owned(),
        gstin_supplier: site.gstin,
        gstin_buyer: buyer.gstin,
        place_of_supply: supply.place.to_string(),
        inter_state: supply.inter,
        reverse_charge: false,
        branch_id: site.branch_id,
        location_id: site.location_id,
        till_id: site.till_id,
        session_id: site.session_id,
        customer_id: draft.customer_id,
        buyer_name: buyer.name,
        buyer_phone: buyer.phone,
        buyer_address: buyer.address,
        buyer_state: buyer.state_code,
        cashier_id: cashier,
        salesperson_id: draft.salesperson_id.or(cashier),
        reservation_id: reservation_id(draft.invoice_id, attempt),
        demand_hash: demand.hash.clone(),
        gross: priced.gross,
        discount: priced.discount,
        taxable: priced.taxable,
        cgst: priced.cgst,
        sgst: priced.sgst,
        igst: priced.igst,
        cess: priced.cess,
        round_off: priced.round_off,
        round_to_rupee: site.round_to_rupee,
        total: priced.total,
        tendered: settled.takings.total(),
        tendered_cash: settled.takings.get(Method::Cash),
        change: settled.change,
        credit,
        currency: "INR".to_owned(),
        external_reference: draft.external_reference.clone(),
        external_date: draft.external_date,
        returned: Money::ZERO,
        returned_credit: Money::ZERO,
        paid: Money::ZERO,
        credited: Money::ZERO,
        credited_credit: Money::ZERO,
        debited: Money::ZERO,
        open: credit,
        status: "issued".to_owned(),
        version: 1,
        pricing: match &priced.pricing {
            Some(pricing) => Some(serde_json::to_value(pricing).map_err(DbError::from)?),
            None => None,
        },
        reference: None,
        note: None,
        delivery_contact: None,
    };
    Ok(Sale {
        header,
        lines: priced.lines,
        tenders: tenders.iter().map(Tender::from).collect(),
        takings: settled.takings,
        counter,
        slip,
        demand,
        uses: priced.uses,
        credit_override: draft.credit_override.clone(),
        from_orders: Money::ZERO,
        approval: None,
        held_bill: None,
        back: None,
        request_hash: draft.request_hash.clone(),
    })
}

/// Step 3.
async fn issue(
    state: &State,
    ctx: &Ctx,
    sale: &Arc<Sale>,
    attempt: u32,
    promised: Vec<Allocated>,
) -> Result<Invoice> {
    let sale = sale.clone();
    let mut lines = sale.lines.clone();
    for line in &mut lines {
        let of_line = promised
            .iter()
            .filter(|p| p.line == line.line && p.batch_id.is_some());
        let batches: Vec<_> = of_line
            .map(|p| json!({ "batch_id": p.batch_id, "qty": p.qty }))
            .collect();
        line.batches = serde_json::Value::Array(batches);
    }
    let done = state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut header = sale.header.clone();
            if sale.slip.is_none() {
                header.issued_at = tx.now();
                if business_date(header.issued_at) != header.date {
                    return Err(Error::DayTurned);
                }
            }
            let written = write(tx, &sale, attempt, &header, &lines).await?;
            header.number = written.number;
            let invoice = Invoice {
                header,
                lines,
                tenders: written.tenders,
            };
            audit_overrides(tx, &invoice);
            audit_approval(tx, &sale, &invoice.header);
            let offline = sale.slip.as_ref().map(|slip| slip.told());
            tx.publish(events::invoice_issued(&invoice, offline));
            pause_point("sales.before_commit").await;
            Ok(invoice)
        })
        .await?;
    Ok(done.value)
}

/// What the sale leaves to be paid: within the customer's credit, and due when that ends. A buyer without an account has
/// no limit and owes at once.
async fn owe(tx: &mut Tx, sale: &Sale, header: &Header) -> Result<Entry> {
    let due = match header.customer_id {
        Some(id) => {
            let amount = header.credit;
            let from_orders = sale.from_orders;
            let claim = match sale.slip {
                Some(_) => Claim::Happened(amount),
                None => Claim::Invoice {
                    amount,
                    from_orders,
                },
            };
            let reason = sale.credit_override.as_deref();
            customer::claim(tx, id, claim, reason)
                .await?
                .due(header.date)
        }
        None => header.date,
    };
    Ok(Entry {
        kind: EntryKind::Invoice,
        customer: header.customer_id,
        invoice: Some(header.invoice_id),
        receipt: None,
        document: header.invoice_id.uuid(),
        date: header.date,
        due: Some(due),
        dues: header.credit,
        advances: Money::ZERO,
    })
}

/// What became of a sale that was written.
pub(super) struct Written {
    pub number: String,
    pub tenders: Vec<Tender>,
}

/// What comes back for a sale, as a credit note of its session. The invoice may have changed since the sale was priced;
/// then it is priced again.
async fn swap(tx: &mut Tx, header: &Header, (swap, _): &(Swap, Money)) -> Result<CreditNote> {
    let common = returns::Common {
        session_id: header.session_id,
        location_id: None,
        tenders: swap.refunds.clone(),
        reason: swap.reason.clone(),
        external_reference: None,
        slip: None,
    };
    let (cashier, original) = (header.cashier_id, swap.original);
    let note = returns::take_back_in(tx, cashier, original, &swap.backs, &common).await;
    note.map_err(|error| match error {
        Error::RefundMismatch { .. } => Error::DayTurned,
        other => other,
    })
}

/// Every row of the sale in one pipeline. The decision comes first, because waiting for a rival must happen before
/// anything is locked; the number last, because its row is what the other sales of the series wait for.
pub(super) async fn write(
    tx: &mut Tx,
    sale: &Sale,
    attempt: u32,
    header: &Header,
    lines: &[super::model::Line],
) -> Result<Written> {
    let invoice = header.invoice_id;
    let tax = header.cgst + header.sgst + header.igst + header.cess;
    let on_credit = header.credit.is_positive();
    // Whether there is credit, and what comes back, has to be waited for.
    let waits = on_credit || sale.back.is_some() || sale.held_bill.is_some();
    if waits && reservation::issue(tx, invoice, attempt, &sale.request_hash).await? == 0 {
        return Err(Error::Decided);
    }
    let mut owed = Vec::new();
    if on_credit {
        owed.push(owe(tx, sale, header).await?);
    }
    if let Some(bill) = sale.held_bill {
        held::sell(tx, bill, header.till_id, invoice).await?;
    }
    let mut tenders = sale.tenders.clone();
    let note = match &sale.back {
        Some(back) => Some(swap(tx, header, back).await?),
        None => None,
    };
    for tender in &mut tenders {
        if let Some(note) = note
            .as_ref()
            .filter(|_| tender.method == Method::Exchange.name())
        {
            tender.reference = Some(note.header.number.clone());
        }
    }
    let tx: &Tx = tx;
    let decision = async {
        if waits {
            return Ok(1);
        }
        reservation::issue(tx, invoice, attempt, &sale.request_hash).await
    };
    let totals = async {
        let (takings, change) = (&sale.takings, header.change);
        match (header.session_id, &sale.slip) {
            (Some(session), None) => {
                session::add_sale(tx, session, takings, change, header.total, tax).await
            }
            (Some(session), Some(_)) => {
                let late = session::Late::sale(takings, change, header.total, tax);
                session::add_late(tx, session, &late).await.map(|()| 1)
            }
            (None, _) => Ok(1),
        }
    };
    let explained = async {
        match &sale.slip {
            Some(slip) => offline::record(tx, slip, Some(invoice)).await,
            None => Ok(1),
        }
    };
    let printed = sale.slip.as_ref().map(|slip| slip.number.running);
    let (decided, explained, lines, paid, counted, recorded, totals, number) = futures::join!(
        decision,
        explained,
        store::insert_lines(tx, invoice, lines),
        store::insert_tenders(tx, Paid::Invoice, invoice.uuid(), &tenders),
        promotion::count(tx, invoice, &sale.uses),
        customer::record(tx, &owed),
        totals,
        store::insert(tx, header, &sale.counter, printed),
    );
    // A lost decision, or number, explains every error after it.
    if decided? == 0 || explained? == 0 {
        return Err(Error::Decided);
    }
    lines?;
    paid?;
    if let Some((used, by_customer)) = counted? {
        return Err(Error::CouponUsedUp {
            code: used.code.clone(),
            by_customer,
        });
    }
    recorded?;
    if totals? == 0 {
        return Err(Error::SessionClosed);
    }
    let number = number?.ok_or_else(|| Error::SeriesTaken(sale.counter.prefix.clone()))?;
    if let (Some(note), Some((_, used))) = (&note, &sale.back) {
        exchange::record(tx, invoice, note.header.credit_note_id, *used).await?;
    }
    Ok(Written { number, tenders })
}

/// What somebody lent for the sale: who, to whom, what and why.
fn audit_approval(tx: &mut Tx, sale: &Sale, header: &Header) {
    let Some(approval) = &sale.approval else {
        return;
    };
    let details = json!({
        "number": header.number, "total": header.total, "discount": header.discount,
        "approval_id": approval.jti, "approver_id": approval.sub,
        "cashier_id": header.cashier_id, "till_id": header.till_id, "permissions": approval.perms,
    });
    tx.audit(
        "sales.approval.use",
        ("invoice", header.invoice_id.uuid()),
        Some(approval.reason.clone()),
        details,
    );
}

fn audit_overrides(tx: &mut Tx, invoice: &Invoice) {
    let overridden: Vec<_> = invoice
        .lines
        .iter()
        .filter(|l| l.list_price.is_some())
        .map(|l| {
            json!({ "line": l.line, "product_id": l.product_id, "list_price": l.list_price, "unit_price": l.unit_price,
                    "price_includes_tax": l.price_includes_tax, "reason": l.override_reason })
        })
        .collect();
    if overridden.is_empty() {
        return;
    }
    let reason = invoice.lines.iter().find_map(|l| l.override_reason.clone());
    let details = json!({ "number": invoice.header.number, "lines": overridden });
    tx.audit(
        "sales.price.override",
        ("invoice", invoice.header.invoice_id.uuid()),
        reason,
        details,
    );
}

/// What an abandoned invoice is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Abandoned {
    pub invoice_id: InvoiceId,
}

/// Gives an invoice id up, so that a slow first request can never issue it.
pub(super) async fn abandon(
    state: &State,
    caller: &Caller,
    invoice: InvoiceId,
) -> Result<Done<Abandoned>> {
    state.restore.passed().await?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            reservation::close(tx, invoice).await?;
            match reservation::standing(tx, invoice).await? {
                Standing::Issued { .. } => {
                    let number = store::get(tx, invoice)
                        .await?
                        .map(|i| i.header.number)
                        .unwrap_or_default();
                    Err(Error::AlreadyIssued {
                        invoice_id: invoice.uuid(),
                        number,
                    })
                }
                Standing::Closed | Standing::Open { .. } => Ok(Abandoned {
                    invoice_id: invoice,
                }),
            }
        })
        .await
}

/// The date a document posted now would bear.
pub(crate) fn today(tx: &Tx) -> NaiveDate {
    business_date(tx.now())
}
