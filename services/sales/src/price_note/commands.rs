//! Issuing notes. Locks: account, invoice, session, number.

use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::{FiscalYear, InvoiceId, Money, PosSessionId};

use super::{
    model::{Difference, Kind, Note, NoteHeader, NoteLine, credit, debit},
    store::{self, Change},
};
use crate::{
    State,
    customer::{self, Claim, Entry, EntryKind},
    error::{Error, Result},
    events,
    invoice::{self, Header, NewTender, Tender},
    number::{self, Counter, Purpose},
    returns::refundable,
    session::{self, Method, Takings},
};

/// A note that is to be issued.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub kind: Kind,
    pub original: InvoiceId,
    pub differences: Vec<Difference>,
    /// How a credit note is settled; off what is owed when absent.
    pub tenders: Option<Vec<NewTender>>,
    /// Whose drawer refunds.
    pub session: Option<PosSessionId>,
    pub reason: String,
    /// Why a debit note may go beyond the customer's credit limit.
    pub credit_override: Option<String>,
}

/// Issues a note.
pub(super) async fn issue(state: &State, caller: &Caller, draft: Draft) -> Result<Done<Note>> {
    state.restore.passed().await?;
    if draft.credit_override.is_some() {
        caller.require("sales.credit.override")?;
    }
    let by = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let original = draft.original;
            customer::lock_of(tx, &[original]).await?;
            let header = invoice::lock(tx, original).await?.ok_or(Fault::NotFound)?;
            if header.status == "cancelled" {
                return Err(Error::InvoiceCancelled);
            }
            let sold = invoice::get(tx, original).await?.ok_or(Fault::NotFound)?;
            let noted = match draft.kind {
                Kind::Credit => credit(&header, &sold.lines, &draft.differences)?,
                Kind::Debit => debit(&header, &sold.lines, &draft.differences)?,
            };
            let tenders = match (draft.kind, &draft.tenders) {
                (Kind::Debit, _) => Vec::new(),
                (Kind::Credit, Some(tenders)) => tenders.clone(),
                (Kind::Credit, None) => NewTender::on_credit(noted.total),
            };
            let takings = Takings::of(tenders.iter().map(|t| (t.method, t.amount)));
            let off = takings.get(Method::Credit);
            if draft.kind == Kind::Credit {
                refundable(&header, noted.total, takings.total(), off)?;
            }
            let date = invoice::today(tx);
            let year = FiscalYear::of(date);
            let purpose = match draft.kind {
                Kind::Credit => Purpose::PriceNote,
                Kind::Debit => Purpose::DebitNote,
            };
            let prefix = number::prefix(tx, header.registration_id, purpose, None).await?;
            let counter = Counter::new(&prefix.unwrap_or_default(), year);
            let sum = |f: fn(&NoteLine) -> Money| noted.lines.iter().map(f).sum::<Money>();
            let mut note = Note {
                header: NoteHeader {
                    note_id: InvoiceId::new(),
                    kind: draft.kind.name().to_owned(),
                    registration_id: header.registration_id,
                    fiscal_year: year.start_year(),
                    series: counter.prefix.clone(),
                    number: String::new(),
                    date,
                    issued_at: tx.now(),
                    original_invoice_id: original,
                    customer_id: header.customer_id,
                    gstin_supplier: header.gstin_supplier.clone(),
                    gstin_buyer: header.gstin_buyer.clone(),
                    place_of_supply: header.place_of_supply.clone(),
                    inter_state: header.inter_state,
                    branch_id: header.branch_id,
                    session_id: draft.session,
                    issued_by: by,
                    reason: draft.reason.clone(),
                    taxable: sum(|l| l.taxable),
                    cgst: sum(|l| l.cgst),
                    sgst: sum(|l| l.sgst),
                    igst: sum(|l| l.igst),
                    cess: sum(|l| l.cess),
                    round_off: noted.round_off,
                    total: noted.total,
                    currency: header.currency.clone(),
                },
                lines: noted.lines,
                tenders: tenders.iter().map(Tender::from).collect(),
            };
            owe(tx, &draft, &header, &note, off).await?;
            let version = header.version + 1;
            let change = Change {
                credited: if draft.kind == Kind::Credit {
                    noted.total
                } else {
                    Money::ZERO
                },
                credited_credit: off,
                debited: if draft.kind == Kind::Debit {
                    noted.total
                } else {
                    Money::ZERO
                },
                status: status(draft.kind, noted.whole, &header.status),
                version,
            };
            if let Some(drawer) = draft.session {
                session::seat(tx, drawer).await?.ok_or(Fault::NotFound)?;
                let money = tenders.iter().filter(|t| t.method != Method::Credit);
                let money = Takings::of(money.map(|t| (t.method, t.amount)));
                if session::pay_out(tx, drawer, &money, None).await? == 0 {
                    return Err(Error::SessionClosed);
                }
            }
            let number =
                store::insert(tx, &note.header, &counter, purpose, takings.total()).await?;
            note.header.number =
                number.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
            store::insert_parts(tx, &note).await?;
            store::change(tx, original, change).await?;
            tx.publish(events::price_noted(&note, version));
            Ok(note)
        })
        .await
}

/// Where the invoice stands then: what was credited whole is not, once more is charged.
fn status(kind: Kind, whole: bool, now: &str) -> &str {
    match kind {
        Kind::Credit if whole => "credited_fully",
        Kind::Credit => "credited_partially",
        Kind::Debit if now == "credited_fully" => "credited_partially",
        Kind::Debit => now,
    }
}

/// Changes what is owed: `off` less by a credit note, the whole of a debit note more.
async fn owe(tx: &mut Tx, draft: &Draft, header: &Header, note: &Note, off: Money) -> Result<()> {
    let entry = Entry {
        kind: EntryKind::CreditNote,
        customer: header.customer_id,
        invoice: Some(header.invoice_id),
        receipt: None,
        document: note.header.note_id.uuid(),
        date: note.header.date,
        due: None,
        dues: -off,
        advances: Money::ZERO,
    };
    if draft.kind == Kind::Credit {
        if off.is_positive() {
            customer::book(tx, header.customer_id, &[entry]).await?;
        }
        return Ok(());
    }
    let amount = note.header.total;
    let due = match header.customer_id {
        Some(id) => {
            let claim = Claim::Invoice {
                amount,
                from_orders: Money::ZERO,
            };
            let reason = draft.credit_override.as_deref();
            let account = customer::claim(tx, id, claim, reason).await?;
            account.due(note.header.date)
        }
        None if header.buyer_name.is_some() && header.buyer_phone.is_some() => note.header.date,
        None => return Err(Error::CreditNeedsBuyer),
    };
    let entry = Entry {
        kind: EntryKind::DebitNote,
        due: Some(due),
        dues: amount,
        ..entry
    };
    customer::record(tx, &[entry]).await?;
    Ok(())
}
