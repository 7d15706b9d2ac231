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
use bahi_gst::StateCode;
use bahi_http::{Caller, Fault};
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
        Buyer, Discounted, Header, Invoice, NewLine, NewTender, Tender, Terms, levy_of, price,
        serials_of, settle, supply,
    },
    store,
};
use crate::{
    State,
    catalogue::{self, Goods},
    error::{Error, Result},
    events,
    number::{self, Counter},
    organisation,
    price_list::Asked,
    pricing::{self, Market},
    promotion::{self, Use},
    reservation::{self, ATTEMPTS, Allocated, Demand, Promise, Standing},
    session::{self, Method, Takings},
};

/// Where a sale is made.
#[derive(Clone, Debug)]
pub(super) enum Outlet {
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
pub(super) struct Draft {
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
    /// Whose prices it has.
    pub customer_group: Option<CustomerGroupId>,
    /// Codes of coupons, folded, each once.
    pub coupons: Vec<String>,
    pub salesperson_id: Option<UserId>,
    pub external_reference: Option<String>,
    pub external_date: Option<DateTime<Utc>>,
}

/// The place, whichever the outlet.
struct Site {
    registration_id: RegistrationId,
    gstin: Option<String>,
    state: StateCode,
    branch_id: BranchId,
    location_id: LocationId,
    till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    series: String,
    round_to_rupee: bool,
}

/// A sale that is priced and only lacks its stock and its number.
struct Sale {
    header: Header,
    lines: Vec<super::model::Line>,
    tenders: Vec<Tender>,
    takings: Takings,
    counter: Counter,
    demand: Demand,
    uses: Vec<Use>,
    request_hash: Vec<u8>,
}

/// Sells.
pub(super) async fn sell(state: &State, caller: &Caller, draft: Draft) -> Result<Done<Invoice>> {
    state.restore.passed().await?;
    let (state, mut caller) = (state.clone(), caller.clone());
    // The decision row is this command's idempotency; see the module's rules.
    caller.ctx.idempotency = None;
    // In a task of its own: a client that hangs up leaves no hold behind.
    let task = async move {
        match attempts(&state, &caller, &draft).await {
            Ok(done) => Ok(done),
            Err(error) => second_look(&state, &caller.ctx, &draft, error).await,
        }
    };
    match tokio::spawn(task.in_current_span()).await {
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
        let sale = Arc::new(prepare(caller, draft, known, attempt)?);
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

/// One attempt. `None`: it is over without a sale of this request, look again.
async fn one_attempt(
    state: &State,
    ctx: &Ctx,
    sale: &Arc<Sale>,
    attempt: u32,
) -> Result<Option<Invoice>> {
    let invoice = sale.header.invoice_id;
    let holds_stock = !sale.demand.lines.is_empty();
    pause_point("sales.before_reserve").await;
    let promised = if holds_stock {
        match state
            .inventory
            .reserve(ctx, invoice, attempt, &sale.demand)
            .await?
        {
            Promise::Granted(promised) => promised,
            Promise::Short(short) => return Err(Error::InsufficientStock(short)),
            Promise::Gone => {
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
struct Known {
    standing: Standing,
    now: DateTime<Utc>,
    outlet: OutletKnown,
    /// One for each line.
    goods: Vec<Option<Goods>>,
    market: Market,
}

enum OutletKnown {
    Till(Option<session::Seat>),
    Office(Option<organisation::Place>, Option<String>),
}

/// Reads the decisions, the place, the products and the rules of their prices, in one read transaction and, without
/// barcodes and promotions on categories, one round trip.
async fn look(state: &State, ctx: &Ctx, draft: &Draft) -> Result<Known> {
    state
        .db
        .read(ctx, async |tx| {
            let now = tx.now();
            let tx: &Tx = tx;
            let names = named(tx, &draft.lines).await?;
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
                customer_group: draft.customer_group,
                date,
            };
            let (standing, outlet, found, mut market) = futures::try_join!(
                reservation::standing(tx, draft.invoice_id),
                outlet(tx, &draft.outlet),
                catalogue::find(tx, &ids, date),
                pricing::look(tx, &ids, &asked, &draft.coupons, draft.customer_id),
            )?;
            market.classify(tx, &found).await?;
            let by_id: HashMap<ProductId, Goods> =
                found.into_iter().map(|g| (g.product_id, g)).collect();
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
            })
        })
        .await
}

async fn outlet(tx: &Tx, outlet: &Outlet) -> bahi_db::Result<OutletKnown> {
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

fn site(draft: &Draft, outlet: OutletKnown) -> Result<Site> {
    match (outlet, &draft.outlet) {
        (OutletKnown::Till(seat), Outlet::Till(session)) => {
            let seat = seat.ok_or(Fault::NotFound)?;
            if !seat.open {
                return Err(Error::SessionClosed);
            }
            let unknown = "The till, its branch or registration";
            Ok(Site {
                registration_id: seat
                    .registration_id
                    .ok_or_else(|| Fault::NotYetKnown(unknown.into()))?,
                state: state_of(seat.state_code.as_deref(), unknown)?,
                gstin: seat.gstin,
                branch_id: seat.branch_id,
                location_id: seat.location_id,
                till_id: Some(seat.till_id),
                session_id: Some(*session),
                series: seat
                    .series
                    .ok_or_else(|| Fault::NotYetKnown(unknown.into()))?,
                round_to_rupee: seat.round_to_rupee.unwrap_or(false),
            })
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

/// Prices the sale from what is known: everything but stock and number.
fn prepare(caller: &Caller, draft: &Draft, known_now: Known, attempt: u32) -> Result<Sale> {
    let site = site(draft, known_now.outlet)?;
    let goods = known(&draft.lines, &known_now.goods)?;
    let (delivery, moved) = match &draft.outlet {
        Outlet::Till(_) => (None, false),
        Outlet::Office { delivery, .. } => (delivery.as_deref(), true),
    };
    let supply = supply(site.state, &draft.buyer, delivery, moved)?;
    let terms = Terms {
        levy: levy_of(supply, site.gstin.is_some()),
        round_to_rupee: site.round_to_rupee,
        may_override: caller.grants.allow("sales.price.override"),
        may_discount: caller.grants.allow("sales.discount.give"),
    };
    let market = Market {
        branch: Some(site.branch_id),
        ..known_now.market
    };
    let priced = price(&draft.lines, &goods, draft.bill_discount, terms, &market)?;
    let on_credit = |total: Money| {
        let whole = NewTender {
            method: Method::Credit,
            amount: total,
            reference: None,
        };
        if total.is_zero() {
            Vec::new()
        } else {
            vec![whole]
        }
    };
    let tenders = draft
        .tenders
        .clone()
        .unwrap_or_else(|| on_credit(priced.total));
    let settled = settle(priced.total, &tenders)?;
    let credit = settled.takings.get(Method::Credit);
    if credit.is_positive() && draft.customer_id.is_none() && !draft.buyer.can_owe() {
        return Err(Error::CreditNeedsBuyer);
    }
    let demand = Demand::new(
        site.location_id,
        priced
            .lines
            .iter()
            .filter(|l| l.stocked)
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
    let date = business_date(known_now.now);
    let year = FiscalYear::of(date);
    let counter = Counter::new(&site.series, year);
    let cashier = caller.user().ok();
    let buyer = draft.buyer.clone();
    let header = Header {
        invoice_id: draft.invoice_id,
        registration_id: site.registration_id,
        fiscal_year: year.start_year(),
        series: counter.prefix.clone(),
        number: String::new(),
        date,
        issued_at: known_now.now,
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
        status: "issued".to_owned(),
        version: 1,
        pricing: match &priced.pricing {
            Some(pricing) => Some(serde_json::to_value(pricing).map_err(DbError::from)?),
            None => None,
        },
    };
    let tenders = tenders.into_iter().map(|t| Tender {
        method: t.method.name().to_owned(),
        amount: t.amount,
        reference: t.reference,
    });
    Ok(Sale {
        header,
        lines: priced.lines,
        tenders: tenders.collect(),
        takings: settled.takings,
        counter,
        demand,
        uses: priced.uses,
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
            header.issued_at = tx.now();
            if business_date(header.issued_at) != header.date {
                return Err(Error::DayTurned);
            }
            header.number = write(tx, &sale, attempt, &header, &lines).await?;
            let invoice = Invoice {
                header,
                lines,
                tenders: sale.tenders.clone(),
            };
            audit_overrides(tx, &invoice);
            tx.publish(events::invoice_issued(&invoice));
            pause_point("sales.before_commit").await;
            Ok(invoice)
        })
        .await?;
    Ok(done.value)
}

/// Every row of the sale in one pipeline. The decision comes first, because waiting for a rival must happen before
/// anything is locked; the number last, because its row is what the other sales of the series wait for.
async fn write(
    tx: &Tx,
    sale: &Sale,
    attempt: u32,
    header: &Header,
    lines: &[super::model::Line],
) -> Result<String> {
    let invoice = header.invoice_id;
    let tax = header.cgst + header.sgst + header.igst + header.cess;
    let totals = async {
        match header.session_id {
            Some(session) => {
                session::add_sale(tx, session, &sale.takings, header.change, header.total, tax)
                    .await
            }
            None => Ok(1),
        }
    };
    let (decided, lines, tenders, counted, totals, number) = futures::join!(
        reservation::issue(tx, invoice, attempt, &sale.request_hash),
        store::insert_lines(tx, invoice, lines),
        store::insert_tenders(tx, invoice, &sale.tenders),
        promotion::count(tx, invoice, &sale.uses),
        totals,
        store::insert(tx, header, &sale.counter),
    );
    // A lost decision explains every error after it.
    if decided? == 0 {
        return Err(Error::Decided);
    }
    lines?;
    tenders?;
    if let Some((used, by_customer)) = counted? {
        return Err(Error::CouponUsedUp {
            code: used.code.clone(),
            by_customer,
        });
    }
    if totals? == 0 {
        return Err(Error::SessionClosed);
    }
    number?.ok_or_else(|| Error::SeriesTaken(sale.counter.prefix.clone()))
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
