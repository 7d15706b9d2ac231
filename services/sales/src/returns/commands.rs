//! Taking goods back.

use std::sync::Arc;

use bahi_db::{Done, Error as DbError, Tx};
use bahi_events::Offline;
use bahi_gst::{StateCode, Supply, SupplyFacts, place_of_supply};
use bahi_http::{Caller, Fault};
use bahi_types::{
    BranchId, FiscalYear, InvoiceId, LocationId, Money, PosSessionId, ProductId, RegistrationId,
    TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::{
    model::{Back, CreditNote, Disposition, NoteHeader, NoteLine, give_back, refundable},
    store,
};
use crate::{
    State, catalogue,
    customer::{self, Entry, EntryKind},
    error::{Error, Result},
    events,
    invoice::{self, NewLine, NewTender, Priced, Tender, Terms, levy_of},
    number::{self, Counter},
    offline::{self, Slip},
    organisation::{self, Place},
    price_list::Asked,
    pricing,
    right::{Allowance, Rights},
    session::{self, Method, Takings},
};

/// What every return has.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// The till's session that refunds, if one does.
    pub session_id: Option<PosSessionId>,
    /// Where the goods go.
    pub location_id: Option<LocationId>,
    pub tenders: Vec<NewTender>,
    pub reason: Option<String>,
    pub external_reference: Option<String>,
    /// What the till has printed, when it took the goods back while it was away.
    pub slip: Option<Arc<Slip>>,
}

/// What came back without a bill while the till was away, as the till computed it.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub priced: Priced,
    /// One for each line.
    pub dispositions: Vec<Disposition>,
}

/// What is on the face of a credit note.
struct Face {
    id: InvoiceId,
    date: NaiveDate,
    issued_at: DateTime<Utc>,
    cashier: Option<UserId>,
    counter: Counter,
}

impl Common {
    /// The face of a note that is made now under `prefix`, or of the printed one.
    fn face(&self, tx: &Tx, cashier: Option<UserId>, prefix: &str) -> Face {
        match &self.slip {
            Some(slip) => Face {
                id: slip.claimed,
                date: slip.date,
                issued_at: slip.issued_at,
                cashier: Some(slip.cashier),
                counter: Counter::new(&slip.number.prefix, FiscalYear::of(slip.date)),
            },
            None => {
                let date = invoice::today(tx);
                Face {
                    id: InvoiceId::new(),
                    date,
                    issued_at: tx.now(),
                    cashier,
                    counter: Counter::new(prefix, FiscalYear::of(date)),
                }
            }
        }
    }

    fn told(&self) -> Option<Offline> {
        self.slip.as_ref().map(|slip| slip.told())
    }

    fn takings(&self) -> Takings {
        Takings::of(self.tenders.iter().map(|t| (t.method, t.amount)))
    }

    fn refunds(&self) -> Vec<Tender> {
        self.tenders.iter().map(Tender::from).collect()
    }
}

/// Takes goods back against their bill.
pub(crate) async fn take_back(
    state: &State,
    caller: &Caller,
    original: InvoiceId,
    backs: Vec<Back>,
    common: Common,
) -> Result<Done<CreditNote>> {
    state.restore.passed().await?;
    let cashier = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            take_back_in(tx, cashier, original, &backs, &common).await
        })
        .await
}

/// What comes back of an invoice is worth, as it stands now. It reads only.
pub(crate) async fn worth(tx: &Tx, original: InvoiceId, backs: &[Back]) -> Result<Money> {
    let sold = invoice::get(tx, original).await?.ok_or(Fault::NotFound)?;
    if sold.header.status == "cancelled" {
        return Err(Error::InvoiceCancelled);
    }
    let before = store::returned_serials(tx, original).await?;
    Ok(give_back(&sold.header, &sold.lines, backs, &before)?.total)
}

/// Takes goods back against their bill in a transaction of the caller's, who holds no lock but those of accounts.
pub(crate) async fn take_back_in(
    tx: &mut Tx,
    cashier: Option<UserId>,
    original: InvoiceId,
    backs: &[Back],
    common: &Common,
) -> Result<CreditNote> {
    customer::lock_of(tx, &[original]).await?;
    let header = invoice::lock(tx, original).await?.ok_or(Fault::NotFound)?;
    if header.status == "cancelled" {
        return Err(Error::InvoiceCancelled);
    }
    // Read under the lock, so that what came back before is all there.
    let sold = invoice::get(tx, original).await?.ok_or(Fault::NotFound)?;
    let before = store::returned_serials(tx, original).await?;
    let given = give_back(&header, &sold.lines, backs, &before)?;
    let takings = common.takings();
    refundable(
        &header,
        given.total,
        takings.total(),
        takings.get(Method::Credit),
    )?;
    let seat = match common.session_id {
        Some(session) => Some(open_seat(tx, session, common).await?),
        None => None,
    };
    if let Some(location) = common.location_id {
        workplace(tx, location).await?;
    }
    let location_id = common
        .location_id
        .or(seat.as_ref().map(|s| s.location_id))
        .unwrap_or(header.location_id);
    let prefix = number::prefix(
        tx,
        header.registration_id,
        number::Purpose::CreditNote,
        None,
    )
    .await?;
    let face = common.face(tx, cashier, &prefix.unwrap_or_default());
    let sum = |f: fn(&NoteLine) -> Money| given.lines.iter().map(f).sum::<Money>();
    let mut note = CreditNote {
        header: NoteHeader {
            credit_note_id: face.id,
            registration_id: header.registration_id,
            fiscal_year: face.counter.year.start_year(),
            series: face.counter.prefix.clone(),
            number: String::new(),
            date: face.date,
            issued_at: face.issued_at,
            original_invoice_id: Some(original),
            gstin_supplier: header.gstin_supplier.clone(),
            gstin_buyer: header.gstin_buyer.clone(),
            place_of_supply: header.place_of_supply.clone(),
            inter_state: header.inter_state,
            branch_id: header.branch_id,
            location_id,
            till_id: seat.as_ref().map(|s| s.till_id),
            session_id: common.session_id,
            cashier_id: face.cashier,
            reason: common.reason.clone(),
            taxable: sum(|l| l.taxable),
            cgst: sum(|l| l.cgst),
            sgst: sum(|l| l.sgst),
            igst: sum(|l| l.igst),
            cess: sum(|l| l.cess),
            round_off: given.round_off,
            total: given.total,
            currency: header.currency.clone(),
            external_reference: common.external_reference.clone(),
            version: 1,
        },
        lines: given.lines,
        tenders: common.refunds(),
    };
    let version = header.version + 1;
    let status = if given.whole {
        "credited_fully"
    } else {
        "credited_partially"
    };
    invoice::return_lines(tx, original, &given.after).await?;
    let credit = takings.get(Method::Credit);
    let credited = header.returned_credit + credit;
    invoice::credit_back(
        tx,
        original,
        header.returned + given.total,
        credited,
        status,
        version,
    )
    .await?;
    let owed_less = Entry {
        kind: EntryKind::Return,
        customer: header.customer_id,
        invoice: Some(original),
        receipt: None,
        document: note.header.credit_note_id.uuid(),
        date: face.date,
        due: None,
        dues: -credit,
        advances: Money::ZERO,
    };
    if credit.is_positive() {
        customer::book(tx, header.customer_id, &[owed_less]).await?;
    }
    post(tx, &mut note, &face.counter, &takings, common.slip.as_ref()).await?;
    tx.publish(events::return_processed(&note, version, common.told()));
    Ok(note)
}

/// Takes goods back that nobody has a bill of.
pub(super) async fn take_back_unbilled(
    state: &State,
    caller: &Caller,
    lines: Vec<NewLine>,
    dispositions: Vec<Disposition>,
    common: Common,
) -> Result<Done<CreditNote>> {
    state.restore.passed().await?;
    let cashier = caller.user().ok();
    // What comes back below cost is no loss of this price.
    let rights = Rights {
        discount: Allowance::None,
        below_cost: true,
        ..Rights::of(&caller.grants)
    };
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let place = place(tx, &common).await?;
            let date = invoice::today(tx);
            let names = invoice::named(tx, &lines).await?;
            let ids: Vec<_> = names
                .iter()
                .flatten()
                .map(|p: &ProductId| p.uuid())
                .collect();
            let asked = Asked {
                session: common.session_id,
                location: common.location_id,
                customer_group: None,
                date,
            };
            let (found, mut market) = futures::try_join!(
                catalogue::find(tx, &ids, date, (None, None)),
                pricing::look(tx, &ids, &asked, &[], None),
            )?;
            market.classify(tx, &found).await?;
            market.branch = Some(place.branch_id);
            let goods: Vec<_> = names
                .iter()
                .map(|id| id.and_then(|id| found.iter().find(|g| g.product_id == id).cloned()))
                .collect();
            let goods = invoice::known(&lines, &goods)?;
            let supply = place_of_supply(&SupplyFacts::counter(place.state));
            let terms = Terms {
                levy: levy_of(supply, place.gstin.is_some()),
                round_to_rupee: place.round_to_rupee,
                rights,
            };
            let priced = invoice::price(&lines, &goods, None, terms, &market)?;
            unbilled(tx, place, supply, priced, &dispositions, &common, cashier).await
        })
        .await
}

/// Takes goods back that nobody has a bill of, as a till that was away has computed it.
pub(crate) async fn take_back_frozen(
    state: &State,
    caller: &Caller,
    frozen: Frozen,
    common: Common,
) -> Result<Done<CreditNote>> {
    state.restore.passed().await?;
    let cashier = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let place = place(tx, &common).await?;
            let supply = place_of_supply(&SupplyFacts::counter(place.state));
            let (priced, dispositions) = (frozen.priced, frozen.dispositions);
            unbilled(tx, place, supply, priced, &dispositions, &common, cashier).await
        })
        .await
}

/// Writes the credit note of a return without bill.
async fn unbilled(
    tx: &mut Tx,
    place: Spot,
    supply: Supply,
    priced: Priced,
    dispositions: &[Disposition],
    common: &Common,
    cashier: Option<UserId>,
) -> Result<CreditNote> {
    let takings = common.takings();
    if takings.total() != priced.total {
        return Err(Error::RefundMismatch {
            total: priced.total,
        });
    }
    let face = common.face(tx, cashier, number::UNBILLED);
    let note_lines = priced
        .lines
        .iter()
        .zip(dispositions)
        .map(|(l, disposition)| NoteLine {
            line: l.line,
            original_line: None,
            product_id: l.product_id,
            description: l.description.clone(),
            stocked: l.stocked,
            hsn: l.hsn.clone(),
            uqc: l.uqc.clone(),
            qty: l.qty,
            tax_category: l.tax_category.clone(),
            rate: l.rate,
            cess_rate: l.cess_rate,
            taxable: l.taxable,
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
            total: l.total,
            disposition: disposition.name().to_owned(),
            serials: l.serials.clone(),
        });
    let mut note = CreditNote {
        lines: note_lines.collect(),
        header: NoteHeader {
            credit_note_id: face.id,
            registration_id: place.registration_id,
            fiscal_year: face.counter.year.start_year(),
            series: face.counter.prefix.clone(),
            number: String::new(),
            date: face.date,
            issued_at: face.issued_at,
            original_invoice_id: None,
            gstin_supplier: place.gstin,
            gstin_buyer: None,
            place_of_supply: supply.place.to_string(),
            inter_state: supply.inter,
            branch_id: place.branch_id,
            location_id: place.location_id,
            till_id: place.till_id,
            session_id: common.session_id,
            cashier_id: face.cashier,
            reason: common.reason.clone(),
            taxable: priced.taxable,
            cgst: priced.cgst,
            sgst: priced.sgst,
            igst: priced.igst,
            cess: priced.cess,
            round_off: priced.round_off,
            total: priced.total,
            currency: "INR".to_owned(),
            external_reference: common.external_reference.clone(),
            version: 1,
        },
        tenders: common.refunds(),
    };
    post(tx, &mut note, &face.counter, &takings, common.slip.as_ref()).await?;
    let details = json!({ "number": note.header.number, "total": note.header.total });
    let object = ("credit_note", note.header.credit_note_id.uuid());
    tx.audit(
        "sales.return.unbilled",
        object,
        note.header.reason.clone(),
        details,
    );
    tx.publish(events::return_processed(&note, 1, common.told()));
    Ok(note)
}

/// Writes the note and what it does to the session. The session is locked before the number, as a sale does.
async fn post(
    tx: &mut Tx,
    note: &mut CreditNote,
    counter: &Counter,
    takings: &Takings,
    slip: Option<&Arc<Slip>>,
) -> Result<()> {
    if let Some(slip) = slip
        && offline::record(tx, slip, Some(note.header.credit_note_id)).await? == 0
    {
        return Err(Error::Decided);
    }
    if let Some(session) = note.header.session_id {
        let h = &note.header;
        let tax = h.cgst + h.sgst + h.igst + h.cess;
        if slip.is_some() {
            let late = session::Late::back(takings, h.total, tax);
            session::add_late(tx, session, &late).await?;
        } else if session::add_return(tx, session, takings, h.total, tax).await? == 0 {
            return Err(Error::SessionClosed);
        }
    }
    let printed = slip.map(|slip| slip.number.running);
    let number = store::insert(tx, &note.header, counter, takings.total(), printed).await?;
    note.header.number = number.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
    store::insert_parts(tx, note).await?;
    Ok(())
}

/// The session that refunds. One that is closed takes what was refunded before, while the till was away.
async fn open_seat(tx: &Tx, session: PosSessionId, common: &Common) -> Result<session::Seat> {
    let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
    if seat.open || common.slip.is_some() {
        Ok(seat)
    } else {
        Err(Error::SessionClosed)
    }
}

/// A location that goods are put to. The note's branch says nothing of it, so nothing else keeps them off the shelves of
/// a branch where the caller does not work.
async fn workplace(tx: &Tx, location: LocationId) -> Result<Place> {
    let place = organisation::location(tx, location)
        .await?
        .ok_or_else(|| Fault::NotYetKnown("The location".into()))?;
    if tx.ctx().scope.has(place.branch_id) {
        Ok(place)
    } else {
        Err(DbError::OtherBranch.into())
    }
}

/// Where an unbilled return happens.
struct Spot {
    registration_id: RegistrationId,
    gstin: Option<String>,
    state: StateCode,
    branch_id: BranchId,
    location_id: LocationId,
    till_id: Option<TillId>,
    round_to_rupee: bool,
}

async fn place(tx: &Tx, common: &Common) -> Result<Spot> {
    let unknown = || Fault::NotYetKnown("The branch or its registration".into());
    let read = |text: Option<String>| -> Result<StateCode> {
        let text = text.ok_or_else(unknown)?;
        text.parse()
            .map_err(|e: bahi_gst::StateCodeError| Error::Uncomputable(e.to_string()))
    };
    if let Some(session) = common.session_id {
        let seat = open_seat(tx, session, common).await?;
        if let Some(location) = common.location_id {
            workplace(tx, location).await?;
        }
        return Ok(Spot {
            registration_id: seat.registration_id.ok_or_else(unknown)?,
            state: read(seat.state_code)?,
            gstin: seat.gstin,
            branch_id: seat.branch_id,
            location_id: common.location_id.unwrap_or(seat.location_id),
            till_id: Some(seat.till_id),
            round_to_rupee: seat.round_to_rupee.unwrap_or(false),
        });
    }
    let location = common
        .location_id
        .ok_or_else(|| Fault::field("location_id", "is needed without a session"))?;
    let place = workplace(tx, location).await?;
    Ok(Spot {
        registration_id: place.registration_id.ok_or_else(unknown)?,
        state: read(place.state_code)?,
        gstin: place.gstin,
        branch_id: place.branch_id,
        location_id: place.location_id,
        till_id: None,
        round_to_rupee: true,
    })
}
