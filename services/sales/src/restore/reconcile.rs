//! Compares the restored database with the topic, and writes again what it has lost.

use anyhow::{Context, ensure};
use bahi_db::{Db, Error as DbError, Tx};
use bahi_events::{
    Envelope, INVOICE_CANCELLED, INVOICE_CREDITED, INVOICE_DEBITED, INVOICE_EDITED, INVOICE_ISSUED,
    InvoiceIssued, ORDER_CANCELLED, ORDER_CLOSED, ORDER_CONFIRMED, ORDER_CREATED, ORDER_FULFILLED,
    OrderFulfilled, PAYMENT_ALLOCATED, PAYMENT_CAPTURED, PAYMENT_REFUNDED, PAYMENT_REVERSED,
    POS_NUMBER_VOIDED, POS_SESSION_CLOSED, POS_SESSION_OPENED, PaymentCaptured, PosNumberVoided,
    PriceNote, RETURN_PROCESSED, ReturnProcessed, SalesOrder,
};
use bahi_kafka::Reader;
use bahi_service::pause_point;
use bahi_types::business_date;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    gate::{Place, nobody},
    model::{attempt, circumstances, user},
    store,
};
use crate::{
    error::Error,
    number::numbered,
    offline::{self, Slip},
    reservation,
    session::{self, Takings},
};

/// An event is inserted before it is committed, and clocks differ: so far before the last one known is read.
const MARGIN: TimeDelta = TimeDelta::hours(1);

type Event = Envelope<Value>;

/// What became of an orphan.
enum Fate {
    /// The database knows it.
    Known,
    Reimported,
    Listed,
}

/// Reads the topic beyond this database's outbox, imports or lists what it does not know, and records that it is done.
pub(super) async fn run(db: &Db, place: &Place) -> anyhow::Result<()> {
    pause_point("sales.restore").await;
    let reached = store::reached(db, &nobody(db)).await?;
    let last = store::outbox_last(db, &nobody(db)).await?;
    let since = last.map(|last| last - MARGIN);
    tracing::warn!(
        epoch = reached.epoch,
        ?since,
        "the database was restored: reading {}",
        place.topics.join(", ")
    );
    let (mut imported, mut listed) = (0, 0);
    // Sessions first: an invoice adds to the totals of its own.
    let sessions = [POS_SESSION_OPENED.name];
    let others = [
        INVOICE_ISSUED.name,
        RETURN_PROCESSED.name,
        POS_SESSION_CLOSED.name,
        INVOICE_CANCELLED.name,
        INVOICE_CREDITED.name,
        INVOICE_DEBITED.name,
        INVOICE_EDITED.name,
        PAYMENT_CAPTURED.name,
        PAYMENT_ALLOCATED.name,
        PAYMENT_REFUNDED.name,
        PAYMENT_REVERSED.name,
        ORDER_CREATED.name,
        ORDER_CONFIRMED.name,
        ORDER_FULFILLED.name,
        ORDER_CLOSED.name,
        ORDER_CANCELLED.name,
        POS_NUMBER_VOIDED.name,
    ];
    for types in [&sessions[..], &others[..]] {
        let (send, mut events) = mpsc::channel::<Event>(500);
        let (from, types) = (place.clone(), types.to_vec());
        let reading = tokio::task::spawn_blocking(move || read(&from, since, &types, &send));
        while let Some(event) = events.recv().await {
            ensure!(
                event.epoch < reached.epoch,
                "the topic holds events of epoch {}: raise outbox.epoch above it, not to {}",
                event.epoch,
                reached.epoch
            );
            match settle(db, event).await? {
                Fate::Known => {}
                Fate::Reimported => imported += 1,
                Fate::Listed => listed += 1,
            }
        }
        reading.await.context("the reader")??;
    }
    store::record(db, &nobody(db), reached.epoch).await?;
    tracing::warn!(
        imported,
        listed,
        "the restored database knows what it has said; it is sold from again"
    );
    Ok(())
}

fn read(
    place: &Place,
    since: Option<DateTime<Utc>>,
    types: &[&'static str],
    send: &mpsc::Sender<Event>,
) -> anyhow::Result<()> {
    let reader = Reader::connect(&place.brokers)?;
    for topic in &place.topics {
        let mut parts = reader.parts(topic)?;
        if let Some(since) = since {
            parts = reader.since(topic, &parts, since)?;
        }
        reader.read(topic, &parts, |record| {
            // What is no event was not said by this service.
            let value = record.value().unwrap_or_default();
            let Ok(event) = serde_json::from_slice::<Event>(value) else {
                return Ok(());
            };
            if event.source_service == "sales" && types.contains(&event.event_type.as_str()) {
                send.blocking_send(event)
                    .context("the comparison has ended")?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Imports an event that the database does not know, or lists it.
async fn settle(db: &Db, event: Event) -> anyhow::Result<Fate> {
    let ctx = circumstances(db.service(), &event);
    if store::knows(db, &ctx, &event).await? {
        return Ok(Fate::Known);
    }
    let wanted = event.clone();
    let imported = db
        .write(&ctx, async move |tx: &mut Tx| import(tx, &wanted).await)
        .await
        .map(|done| done.value);
    let reason = match imported {
        Ok(None) => return Ok(Fate::Reimported),
        Ok(Some(reason)) => reason,
        // The database's state is a reason to try all of it again, its refusal one to list the event.
        Err(Error::Db(
            error @ (DbError::Contention
            | DbError::Locked
            | DbError::Timeout
            | DbError::Unavailable
            | DbError::CommitUnknown),
        )) => return Err(error).context("importing an orphan"),
        Err(error) => error.to_string(),
    };
    tracing::warn!(event_id = %event.event_id, event_type = event.event_type, reason, "an orphan is listed");
    db.write(&ctx, async move |tx: &mut Tx| {
        raise(tx, &event).await?;
        store::note(tx, &event, Some(&reason)).await?;
        Ok::<_, Error>(())
    })
    .await?;
    Ok(Fate::Listed)
}

/// Writes what the event tells; a reason when it does not tell enough.
async fn import(tx: &mut Tx, event: &Event) -> Result<Option<String>, Error> {
    let reason = match event.event_type.as_str() {
        "invoice.issued" => invoice(tx, event).await?,
        "pos.session_opened" => {
            let written = store::reopen(tx, event, user(event)).await?;
            (written == 0).then(|| "its till is not known, or has another open session".to_owned())
        }
        "pos.number_voided" => voided(tx, event).await?,
        "return.processed" => {
            Some("a credit note is booked by hand: its goods and money came back".to_owned())
        }
        "pos.session_closed" => {
            Some("the session is still open here: count it and close it".to_owned())
        }
        "invoice.cancelled" => {
            Some("the invoice stands here: its goods came back, cancel it again".to_owned())
        }
        "invoice.edited" => Some("it is not fiscal: edit the invoice again".to_owned()),
        "order.fulfilled" => {
            Some("goods have left for a delivery that is not known here: enter it by hand".to_owned())
        }
        order if order.starts_with("order.") => Some(
            "the order is older here, or not there: enter it again, and see at the stock what is held for it"
                .to_owned(),
        ),
        _ => Some("money is booked by hand: it moved".to_owned()),
    };
    if reason.is_none() {
        store::note(tx, event, None).await?;
    }
    Ok(reason)
}

async fn invoice(tx: &mut Tx, event: &Event) -> Result<Option<String>, Error> {
    let Ok(issued) = serde_json::from_value::<InvoiceIssued>(event.payload.clone()) else {
        return Ok(Some("its payload cannot be read".into()));
    };
    let Some(number) = numbered(&issued.number, issued.date) else {
        return Ok(Some("its number is none of ours".into()));
    };
    let Some(attempt) = attempt(&issued) else {
        return Ok(Some("its hold is none of its own".into()));
    };
    // No request is known by its hash: whoever asks for this id gets this invoice.
    if reservation::issue(tx, issued.invoice_id, attempt, &[]).await? == 0 {
        return Ok(Some("the attempt was decided otherwise".into()));
    }
    store::insert_invoice(tx, event, &number).await?;
    let Some(offline) = issued.offline else {
        store::add_to_session(tx, event).await?;
        store::raise(tx, issued.registration_id.uuid(), &number, "invoice").await?;
        return Ok(None);
    };
    // Its number is the till's own, and its session may be closed here as it was there.
    let (Some(till), Some(session)) = (issued.till_id, issued.session_id) else {
        return Ok(Some("it came from a till that it does not name".into()));
    };
    let face = (till, issued.registration_id, Some(session));
    let slip = Slip::of_event(offline, face, number, issued.date, event.occurred_at);
    offline::reopen(tx, &slip, "invoice").await?;
    if offline::record(tx, &slip, Some(issued.invoice_id)).await? == 0 {
        return Err(Error::Decided);
    }
    let paid = issued.tenders.iter().filter_map(|t| {
        let mut methods = session::Method::ALL.into_iter();
        Some((methods.find(|m| m.name() == t.method)?, t.amount))
    });
    let tax = &issued.tax;
    let tax = tax.cgst + tax.sgst + tax.igst + tax.cess;
    let late = session::Late::sale(&Takings::of(paid), issued.change, issued.total, tax);
    session::add_late(tx, session, &late).await?;
    Ok(None)
}

/// A number that a till had printed, and that stands for nothing, or for an invoice that was issued online.
async fn voided(tx: &mut Tx, event: &Event) -> Result<Option<String>, Error> {
    let Ok(voided) = serde_json::from_value::<PosNumberVoided>(event.payload.clone()) else {
        return Ok(Some("its payload cannot be read".into()));
    };
    let Some(number) = numbered(&voided.number, voided.date) else {
        return Ok(Some("its number is none of ours".into()));
    };
    let face = (voided.till_id, voided.registration_id, None);
    let slip = Slip::of_event(voided.offline, face, number, voided.date, event.occurred_at);
    let written = offline::record_void(tx, &slip, &voided.reason, voided.invoice_id).await?;
    Ok((written == 0).then(|| "the number was explained otherwise".to_owned()))
}

/// No number of a listed document is given out again.
async fn raise(tx: &mut Tx, event: &Event) -> Result<(), Error> {
    if let Ok(issued) = serde_json::from_value::<InvoiceIssued>(event.payload.clone()) {
        // What a till numbered while it was away comes of no counter; it is missing in the till's series until it is seen to.
        if let Some(number) =
            numbered(&issued.number, issued.date).filter(|_| issued.offline.is_none())
        {
            store::raise(tx, issued.registration_id.uuid(), &number, "invoice").await?;
        }
    } else if let Ok(receipt) = serde_json::from_value::<PaymentCaptured>(event.payload.clone()) {
        if let Some(number) = numbered(&receipt.number, receipt.date) {
            store::raise(tx, receipt.registration_id.uuid(), &number, "receipt").await?;
        }
    } else if let Ok(note) = serde_json::from_value::<PriceNote>(event.payload.clone()) {
        let purpose = if event.event_type == INVOICE_DEBITED.name {
            "debit_note"
        } else {
            "price_note"
        };
        if let Some(number) = numbered(&note.number, note.date) {
            store::raise(tx, note.registration_id.uuid(), &number, purpose).await?;
        }
    } else if let Ok(back) = serde_json::from_value::<ReturnProcessed>(event.payload.clone())
        && back.offline.is_none()
        && let Some(number) = numbered(&back.number, back.date)
        && let Some(registration) = store::registration_of(tx, back.branch_id.uuid()).await?
    {
        store::raise(tx, registration, &number, "credit_note").await?;
    } else if let Ok(order) = serde_json::from_value::<SalesOrder>(event.payload.clone()) {
        if let Some(number) = numbered(&order.number, order.date) {
            store::raise(tx, order.registration_id.uuid(), &number, "order").await?;
        }
    } else if let Ok(told) = serde_json::from_value::<OrderFulfilled>(event.payload.clone()) {
        let date = business_date(told.delivered_at);
        if let Some(number) = numbered(&told.fulfilment_number, date) {
            let registration = told.order.registration_id.uuid();
            store::raise(tx, registration, &number, "delivery").await?;
        }
    }
    Ok(())
}
