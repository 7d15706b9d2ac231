//! Receiving, allocating, giving back, reversing. Locks: account, receipt, invoices, session, number.

use bahi_db::{Done, Error as DbError, Tx};
use bahi_events::Allocation;
use bahi_http::{Caller, Fault};
use bahi_types::{
    BranchId, CustomerId, FiscalYear, InvoiceId, LocationId, Money, PosSessionId, ReceiptId,
    RegistrationId, TillId,
};
use chrono::NaiveDate;
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{MOST_ALLOCATIONS, Means, Receipt, Refund, Whole, Wish, check, deal},
    store,
};
use crate::{
    State,
    customer::{self, Entry, EntryKind},
    error::{Error, Result},
    events, invoice,
    number::{self, Counter},
    organisation,
    session::{self, Takings},
};

/// Money that comes in.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub customer: Option<CustomerId>,
    pub session: Option<PosSessionId>,
    /// Whose branch and registration receive, where no session says so.
    pub location: Option<LocationId>,
    pub means: Means,
    pub amount: Money,
    pub reference: Option<String>,
    pub note: Option<String>,
    pub wish: Wish,
}

/// Where money is received.
struct Desk {
    registration_id: RegistrationId,
    branch_id: BranchId,
    till_id: Option<TillId>,
}

async fn desk(tx: &Tx, draft: &Draft) -> Result<Desk> {
    let unknown = || Fault::NotYetKnown("The branch or its registration".into());
    if let Some(session) = draft.session {
        let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
        if !seat.open {
            return Err(Error::SessionClosed);
        }
        return Ok(Desk {
            registration_id: seat.registration_id.ok_or_else(unknown)?,
            branch_id: seat.branch_id,
            till_id: Some(seat.till_id),
        });
    }
    let location = draft
        .location
        .ok_or_else(|| Fault::field("location_id", "is needed without a session"))?;
    let place = organisation::location(tx, location)
        .await?
        .ok_or_else(|| Fault::NotYetKnown("The location".into()))?;
    Ok(Desk {
        registration_id: place.registration_id.ok_or_else(unknown)?,
        branch_id: place.branch_id,
        till_id: None,
    })
}

/// What of `left` pays which invoices; they are locked afterwards.
async fn settle(
    tx: &mut Tx,
    customer: Option<CustomerId>,
    left: Money,
    wish: &Wish,
) -> Result<Vec<Allocation>> {
    let wanted = match (wish, customer) {
        (Wish::Chosen(chosen), _) => chosen.clone(),
        (Wish::Oldest, Some(customer)) => {
            deal(left, &store::oldest(tx, customer, MOST_ALLOCATIONS).await?)
        }
        (Wish::Oldest | Wish::Nothing, _) => Vec::new(),
    };
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let ids: Vec<InvoiceId> = wanted.iter().map(|a| a.invoice_id).collect();
    let payables = store::lock_invoices(tx, &ids).await?;
    check(&wanted, &payables, customer, left)?;
    store::pay(tx, &wanted).await?;
    Ok(wanted)
}

fn entry(kind: EntryKind, receipt: &Receipt, document: Uuid, date: NaiveDate) -> Entry {
    Entry {
        kind,
        customer: receipt.customer_id,
        invoice: None,
        receipt: Some(receipt.receipt_id),
        document,
        date,
        due: None,
        dues: Money::ZERO,
        advances: Money::ZERO,
    }
}

fn allocation_entries(receipt: &Receipt, paid: &[Allocation], date: NaiveDate) -> Vec<Entry> {
    let of = |a: &Allocation| Entry {
        invoice: Some(a.invoice_id),
        dues: -a.amount,
        advances: -a.amount,
        ..entry(
            EntryKind::Allocation,
            receipt,
            receipt.receipt_id.uuid(),
            date,
        )
    };
    paid.iter().map(of).collect()
}

fn sum(allocations: &[Allocation]) -> Money {
    allocations.iter().map(|a| a.amount).sum()
}

async fn whole(tx: &mut Tx, receipt: ReceiptId) -> Result<Whole> {
    Ok(store::get(tx, receipt).await?.ok_or(Fault::NotFound)?)
}

/// Locks the account of a receipt, and the receipt.
async fn lock(tx: &mut Tx, id: ReceiptId) -> Result<Receipt> {
    let seen = store::find(tx, id).await?.ok_or(Fault::NotFound)?;
    if let Some(customer) = seen.customer_id {
        customer::lock(tx, customer).await?;
    }
    let receipt = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
    if receipt.is_reversed() {
        return Err(Error::ReceiptReversed);
    }
    Ok(receipt)
}

/// Receives money.
pub(super) async fn receive(state: &State, caller: &Caller, draft: Draft) -> Result<Done<Whole>> {
    state.restore.passed().await?;
    let cashier = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let desk = desk(tx, &draft).await?;
            if let Some(customer) = draft.customer {
                let account = customer::lock(tx, customer).await?;
                if account.status.is_none() {
                    return Err(Fault::NotYetKnown("The customer".into()).into());
                }
            }
            let paid = settle(tx, draft.customer, draft.amount, &draft.wish).await?;
            if draft.customer.is_none() && sum(&paid) != draft.amount {
                return Err(Error::ReceiptNeedsCustomer);
            }
            if let (Some(session), Some(takings)) =
                (draft.session, draft.means.takings(draft.amount))
                && session::add_receipt(tx, session, &takings).await? == 0
            {
                return Err(Error::SessionClosed);
            }
            let date = invoice::today(tx);
            let year = FiscalYear::of(date);
            let purpose = number::Purpose::Receipt;
            let prefix = number::prefix(tx, desk.registration_id, purpose, None).await?;
            let counter = Counter::new(&prefix.unwrap_or_default(), year);
            let mut receipt = Receipt {
                receipt_id: ReceiptId::new(),
                registration_id: desk.registration_id,
                fiscal_year: year.start_year(),
                series: counter.prefix.clone(),
                number: String::new(),
                date,
                received_at: tx.now(),
                customer_id: draft.customer,
                branch_id: desk.branch_id,
                till_id: desk.till_id,
                session_id: draft.session,
                cashier_id: cashier,
                method: draft.means.name().to_owned(),
                amount: draft.amount,
                reference: draft.reference.clone(),
                note: draft.note.clone(),
                currency: "INR".to_owned(),
                allocated: sum(&paid),
                refunded: Money::ZERO,
                status: "posted".to_owned(),
                reversal_reason: None,
                reversed_at: None,
                version: 1,
            };
            let number = store::insert(tx, &receipt, &counter).await?;
            receipt.number = number.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
            store::insert_allocations(tx, receipt.receipt_id, date, &paid).await?;
            let came = Entry {
                advances: receipt.amount,
                ..entry(
                    EntryKind::Receipt,
                    &receipt,
                    receipt.receipt_id.uuid(),
                    date,
                )
            };
            let mut entries = vec![came];
            entries.extend(allocation_entries(&receipt, &paid, date));
            customer::book(tx, receipt.customer_id, &entries).await?;
            tx.publish(events::payment_captured(&receipt, &paid));
            whole(tx, receipt.receipt_id).await
        })
        .await
}

/// Allocates what is left of a receipt.
pub(super) async fn allocate(
    state: &State,
    caller: &Caller,
    id: ReceiptId,
    wish: Wish,
) -> Result<Done<Whole>> {
    state.restore.passed().await?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut receipt = lock(tx, id).await?;
            let left = receipt.unallocated();
            let paid = settle(tx, receipt.customer_id, left, &wish).await?;
            if paid.is_empty() {
                return whole(tx, id).await;
            }
            receipt.allocated += sum(&paid);
            receipt.version += 1;
            store::save(tx, &receipt).await?;
            let date = invoice::today(tx);
            store::insert_allocations(tx, id, date, &paid).await?;
            let entries = allocation_entries(&receipt, &paid, date);
            customer::book(tx, receipt.customer_id, &entries).await?;
            tx.publish(events::payment_allocated(&receipt, &paid, date));
            whole(tx, id).await
        })
        .await
}

/// An advance that is to be given back.
#[derive(Clone, Debug)]
pub(super) struct GiveBack {
    pub means: Means,
    pub amount: Money,
    pub reference: Option<String>,
    pub reason: String,
    pub session: Option<PosSessionId>,
}

async fn from_drawer(tx: &Tx, session: PosSessionId, takings: Option<Takings>) -> Result<()> {
    session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
    let takings = takings
        .ok_or_else(|| Fault::field("session_id", "goes with means that a till takes and gives"))?;
    if session::pay_out(tx, session, &takings, None).await? == 0 {
        return Err(Error::SessionClosed);
    }
    Ok(())
}

/// Gives what is left of a receipt back, in part or whole.
pub(super) async fn refund(
    state: &State,
    caller: &Caller,
    id: ReceiptId,
    back: GiveBack,
) -> Result<Done<Whole>> {
    state.restore.passed().await?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut receipt = lock(tx, id).await?;
            let left = receipt.unallocated();
            if back.amount > left {
                return Err(Error::ExceedsReceipt { unallocated: left });
            }
            if let Some(session) = back.session {
                from_drawer(tx, session, back.means.takings(back.amount)).await?;
            }
            receipt.refunded += back.amount;
            receipt.version += 1;
            store::save(tx, &receipt).await?;
            let refund = Refund {
                refund_id: Uuid::now_v7(),
                method: back.means.name().to_owned(),
                amount: back.amount,
                reference: back.reference.clone(),
                reason: back.reason.clone(),
                date: invoice::today(tx),
                session_id: back.session,
            };
            store::insert_refund(tx, id, &refund).await?;
            let gone = Entry {
                advances: -back.amount,
                ..entry(EntryKind::Refund, &receipt, refund.refund_id, refund.date)
            };
            customer::book(tx, receipt.customer_id, &[gone]).await?;
            let details =
                json!({ "number": receipt.number, "amount": back.amount, "method": refund.method });
            let object = ("receipt", id.uuid());
            tx.audit(
                "sales.receipt.refund",
                object,
                Some(back.reason.clone()),
                details,
            );
            tx.publish(events::payment_refunded(&receipt, &refund));
            whole(tx, id).await
        })
        .await
}

/// Undoes a receipt that turned out to be none.
pub(super) async fn reverse(
    state: &State,
    caller: &Caller,
    id: ReceiptId,
    reason: String,
    drawer: Option<PosSessionId>,
) -> Result<Done<Whole>> {
    state.restore.passed().await?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut receipt = lock(tx, id).await?;
            if receipt.refunded.is_positive() {
                return Err(Error::ReceiptRefunded);
            }
            let means = Means::of(&receipt.method);
            if receipt.session_id.is_some() && means == Some(Means::Cash) && drawer.is_none() {
                let fault = Fault::field("session_id", "is needed: a drawer gives the cash back");
                return Err(fault.into());
            }
            let undone = store::paid(tx, id).await?;
            let ids: Vec<InvoiceId> = undone.iter().map(|a| a.invoice_id).collect();
            // An invoice of another branch would stay paid by a receipt that is none.
            if store::lock_invoices(tx, &ids).await?.len() < ids.len() {
                return Err(DbError::OtherBranch.into());
            }
            store::bounce(tx, &undone).await?;
            if let Some(session) = drawer {
                let takings = means.and_then(|means| means.takings(receipt.amount));
                from_drawer(tx, session, takings).await?;
            }
            let date = invoice::today(tx);
            receipt.allocated = Money::ZERO;
            receipt.status = "reversed".to_owned();
            receipt.reversal_reason = Some(reason.clone());
            receipt.reversed_at = Some(tx.now());
            receipt.version += 1;
            store::save(tx, &receipt).await?;
            let due = store::due_dates(tx, &ids).await?;
            let due_of = |invoice: InvoiceId| {
                let found = due.iter().find(|(id, _)| *id == invoice);
                found.map_or(date, |(_, due)| *due)
            };
            let again = undone.iter().map(|a| Entry {
                invoice: Some(a.invoice_id),
                due: Some(due_of(a.invoice_id)),
                dues: a.amount,
                advances: a.amount,
                ..entry(EntryKind::Reversal, &receipt, id.uuid(), date)
            });
            let mut entries: Vec<Entry> = again.collect();
            entries.push(Entry {
                advances: -receipt.amount,
                ..entry(EntryKind::Reversal, &receipt, id.uuid(), date)
            });
            customer::book(tx, receipt.customer_id, &entries).await?;
            let details = json!({ "number": receipt.number, "amount": receipt.amount, "method": receipt.method });
            tx.audit("sales.receipt.reverse", ("receipt", id.uuid()), Some(reason.clone()), details);
            tx.publish(events::payment_reversed(&receipt, &undone, drawer, date));
            whole(tx, id).await
        })
        .await
}
