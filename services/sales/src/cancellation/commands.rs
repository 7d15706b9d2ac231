//! Cancelling. Locks: account, orders that it bills, invoice, counters of coupons, session.

use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::{InvoiceId, Money, PosSessionId, UserId};
use serde_json::json;

use super::{
    model::{Cancellation, Reason, Window, check},
    store,
};
use crate::{
    State,
    customer::{self, Entry, EntryKind},
    error::{Error, Result},
    events,
    invoice::{self, Header, Invoice, NewTender, Tender},
    order, promotion,
    session::{self, Late, Method, Takings},
};

/// An invoice that is to be cancelled.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub reason: Reason,
    pub note: Option<String>,
    pub tenders: Vec<NewTender>,
    /// Whose drawer refunds, for an invoice of no till.
    pub session: Option<PosSessionId>,
}

/// Cancels an invoice.
pub(super) async fn cancel(
    state: &State,
    caller: &Caller,
    id: InvoiceId,
    wish: Wish,
) -> Result<Done<Invoice>> {
    state.restore.passed().await?;
    let by = caller.user().ok();
    let window = state.cancel_within;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            customer::lock_of(tx, &[id]).await?;
            let sold = invoice::get(tx, id).await?.ok_or(Fault::NotFound)?;
            order::lock_billed(tx, &sold.lines).await?;
            let header = invoice::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            let refunded = Takings::of(wish.tenders.iter().map(|t| (t.method, t.amount)));
            check(window, &header, &sold.lines, refunded.total(), tx.now())?;
            if wish.session.is_some()
                && header.session_id.is_some()
                && wish.session != header.session_id
            {
                let fault = Fault::field("session_id", "must be the one that sold");
                return Err(fault.into());
            }
            undo(tx, &header, &sold, &wish, by, Closed::Refuses).await?;
            Ok(invoice::get(tx, id).await?.ok_or(Fault::NotFound)?)
        })
        .await
}

/// What a closed session does to a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Refuses,
    /// Its Z report gets a supplement.
    Supplements,
}

/// Cancels an invoice of a till, for which the till has printed another sale while it was away: what it received is given
/// back as it came. `header` is locked, and its customer's account before it. False, and nothing is done, where it may no
/// longer be cancelled or money has come in for it since.
pub(crate) async fn replace(
    tx: &mut Tx,
    window: Window,
    header: &Header,
    sold: &Invoice,
    printed: &str,
) -> Result<bool> {
    if header.paid.is_positive()
        || check(window, header, &sold.lines, header.refundable(), tx.now()).is_err()
    {
        return Ok(false);
    }
    let mut change = header.change;
    let mut tenders = Vec::new();
    for tender in &sold.tenders {
        let Some(method) = Method::ALL
            .into_iter()
            .find(|m| m.name() == tender.method && *m != Method::Credit)
        else {
            continue;
        };
        let mut amount = tender.amount;
        if method == Method::Cash {
            let kept = change.min(amount);
            amount -= kept;
            change -= kept;
        }
        if amount.is_positive() {
            let reference = tender.reference.clone();
            tenders.push(NewTender {
                method,
                amount,
                reference,
            });
        }
    }
    let wish = Wish {
        reason: Reason::Duplicate,
        note: Some(format!("the till printed another sale, {printed}, for it")),
        tenders,
        session: None,
    };
    undo(
        tx,
        header,
        sold,
        &wish,
        header.cashier_id,
        Closed::Supplements,
    )
    .await?;
    Ok(true)
}

/// Undoes a locked invoice that may be cancelled.
async fn undo(
    tx: &mut Tx,
    header: &Header,
    sold: &Invoice,
    wish: &Wish,
    by: Option<UserId>,
    closed: Closed,
) -> Result<()> {
    let id = header.invoice_id;
    let paid_back = wish.tenders.iter().map(|t| (t.method, t.amount));
    let refunds = Takings::of(paid_back.clone());
    order::unbill(tx, &sold.lines).await?;
    promotion::uncount(tx, id).await?;
    let tax = header.cgst + header.sgst + header.igst + header.cess;
    // What a till sold on credit was among its takings.
    let owed = std::iter::once((Method::Credit, header.credit - header.paid));
    let moved = match (header.session_id, wish.session) {
        (Some(own), _) => {
            let all = Takings::of(paid_back.chain(owed));
            let moved = session::pay_out(tx, own, &all, Some((header.total, tax))).await?;
            if moved == 0 && closed == Closed::Supplements {
                let late = Late::cancelled(&all, header.total, tax);
                session::add_late(tx, own, &late).await?;
                1
            } else {
                moved
            }
        }
        (None, Some(drawer)) => {
            session::seat(tx, drawer).await?.ok_or(Fault::NotFound)?;
            session::pay_out(tx, drawer, &refunds, None).await?
        }
        (None, None) => 1,
    };
    if moved == 0 {
        return Err(Error::SessionClosed);
    }
    let cancelled = Cancellation {
        reason: wish.reason,
        note: wish.note.clone(),
        at: tx.now(),
        by,
        session_id: header.session_id.or(wish.session),
        credited: header.open,
        refunded: refunds.total(),
        tenders: wish.tenders.iter().map(Tender::from).collect(),
    };
    let version = header.version + 1;
    store::cancel(tx, id, header.total, version, &cancelled).await?;
    if header.open.is_positive() {
        let owed_less = Entry {
            kind: EntryKind::Cancel,
            customer: header.customer_id,
            invoice: Some(id),
            receipt: None,
            document: id.uuid(),
            date: invoice::today(tx),
            due: None,
            dues: -header.open,
            advances: Money::ZERO,
        };
        customer::book(tx, header.customer_id, &[owed_less]).await?;
    }
    let details = json!({ "number": header.number, "total": header.total });
    // The note may name the buyer, and what is audited cannot be erased.
    tx.audit(
        "sales.invoice.cancel",
        ("invoice", id.uuid()),
        Some(wish.reason.name().to_owned()),
        details,
    );
    tx.publish(events::invoice_cancelled(
        header,
        &sold.lines,
        &cancelled,
        version,
    ));
    Ok(())
}
