//! Making, revising and ending quotations.

use bahi_db::{Done, Error as DbError, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::FiscalYear;
use chrono::{Days, NaiveDate};

use super::{
    model::{Quotation, QuotationId},
    store,
};
use crate::{
    State,
    error::{Error, Result},
    invoice::{self, Wish, today},
    number::{self, Counter, Purpose},
    offer::Offer,
    order::{self, NewOrder, Order},
};

/// Days that a quotation holds when nothing is said.
const VALID: u64 = 30;

/// What a quotation is to say.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub wish: Wish,
    /// The prefix asked for.
    pub series: Option<String>,
    pub valid_until: Option<NaiveDate>,
    pub note: Option<String>,
}

fn last_day(asked: Option<NaiveDate>, today: NaiveDate) -> Result<NaiveDate> {
    let last = asked.or_else(|| today.checked_add_days(Days::new(VALID)));
    let last = last.unwrap_or(today);
    if last < today {
        return Err(Fault::field("valid_until", "is over").into());
    }
    Ok(last)
}

/// Makes one.
pub(super) async fn create(
    state: &State,
    caller: &Caller,
    terms: Terms,
) -> Result<Done<Quotation>> {
    state.restore.passed().await?;
    let by = caller.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let today = today(tx);
            let valid_until = last_day(terms.valid_until, today)?;
            let (header, lines) = invoice::offer(tx, &by, &terms.wish).await?;
            let registration = header.registration_id;
            let asked = terms.series.as_deref();
            let prefix = number::prefix(tx, registration, Purpose::Quotation, asked).await?;
            let prefix =
                prefix.ok_or_else(|| Error::UnknownSeries(asked.unwrap_or_default().to_owned()))?;
            let mut quotation = Quotation {
                quotation_id: QuotationId::new(),
                registration_id: registration,
                number: String::new(),
                date: today,
                valid_until,
                status: "draft".to_owned(),
                branch_id: header.branch_id,
                location_id: header.location_id,
                customer_id: header.customer_id,
                total: header.total,
                offer: serde_json::to_value(Offer::new(&terms.wish, header, lines))
                    .map_err(DbError::from)?,
                note: terms.note.clone(),
                order_id: None,
                reason: None,
                created_by: by.user().ok(),
                created_at: tx.now(),
                sent_at: None,
                ended_at: None,
                version: 1,
            };
            let counter = Counter::new(&prefix, FiscalYear::of(today));
            let taken = number::take(tx, registration, &counter, Purpose::Quotation).await?;
            let taken = taken.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
            quotation.number = taken.number.clone();
            store::insert(tx, &quotation, &counter, &taken).await?;
            Ok(quotation)
        })
        .await
}

/// Says something else; it is a draft then. Number and registration stay.
pub(super) async fn revise(
    state: &State,
    caller: &Caller,
    id: QuotationId,
    seen: i64,
    terms: Terms,
) -> Result<Done<Quotation>> {
    let by = caller.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let today = today(tx);
            let mut quotation = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if quotation.version != seen {
                let current = quotation.version;
                return Err(DbError::Stale { current }.into());
            }
            // An expired one may be given another day.
            quotation.must_be(&["draft", "sent", "expired"], today)?;
            quotation.valid_until = last_day(terms.valid_until, today)?;
            let (header, lines) = invoice::offer(tx, &by, &terms.wish).await?;
            if header.registration_id != quotation.registration_id {
                let why = "is of another registration than the quotation's number";
                return Err(Fault::field("location_id", why).into());
            }
            quotation.status = "draft".to_owned();
            quotation.sent_at = None;
            quotation.branch_id = header.branch_id;
            quotation.location_id = header.location_id;
            quotation.customer_id = header.customer_id;
            quotation.total = header.total;
            quotation.note = terms.note.clone();
            quotation.offer = serde_json::to_value(Offer::new(&terms.wish, header, lines))
                .map_err(DbError::from)?;
            quotation.version += 1;
            store::save(tx, &quotation).await?;
            Ok(quotation)
        })
        .await
}

/// It went to the buyer.
pub(super) async fn send(
    state: &State,
    caller: &Caller,
    id: QuotationId,
) -> Result<Done<Quotation>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut quotation = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            quotation.must_be(&["draft", "sent"], today(tx))?;
            if quotation.status == "draft" {
                quotation.status = "sent".to_owned();
                quotation.sent_at = Some(tx.now());
                quotation.version += 1;
                store::save(tx, &quotation).await?;
            }
            Ok(quotation)
        })
        .await
}

/// The buyer says no.
pub(super) async fn decline(
    state: &State,
    caller: &Caller,
    id: QuotationId,
    reason: Option<String>,
) -> Result<Done<Quotation>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut quotation = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            quotation.must_be(&["draft", "sent"], today(tx))?;
            quotation.status = "declined".to_owned();
            quotation.reason = reason.clone();
            quotation.ended_at = Some(tx.now());
            quotation.version += 1;
            store::save(tx, &quotation).await?;
            Ok(quotation)
        })
        .await
}

/// The buyer says yes: an order at its prices. Said again, it is the same order.
pub(super) async fn accept(
    state: &State,
    caller: &Caller,
    id: QuotationId,
    allow_back_order: bool,
    expected_date: Option<NaiveDate>,
    external_reference: Option<String>,
) -> Result<Done<Order>> {
    state.restore.passed().await?;
    let by = caller.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut quotation = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if let Some(order) = quotation.order_id {
                return Ok(order::get(tx, order).await?.ok_or(Fault::NotFound)?);
            }
            quotation.must_be(&["sent"], today(tx))?;
            let mut offer = quotation.offer()?;
            if external_reference.is_some() {
                offer.external_reference = external_reference.clone();
            }
            let new = NewOrder {
                registration_id: quotation.registration_id,
                branch_id: quotation.branch_id,
                location_id: quotation.location_id,
                customer_id: quotation.customer_id,
                quotation_id: Some(id.uuid()),
                offer,
                series: None,
                allow_back_order,
                expected_date,
                note: quotation.note.clone(),
            };
            let order = order::take_down(tx, &by, new).await?;
            quotation.status = "accepted".to_owned();
            quotation.order_id = Some(order.head.order_id);
            quotation.ended_at = Some(tx.now());
            quotation.version += 1;
            store::save(tx, &quotation).await?;
            Ok(order)
        })
        .await
}
