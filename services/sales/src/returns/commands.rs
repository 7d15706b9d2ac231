//! Taking goods back.

use bahi_db::{Done, Tx};
use bahi_gst::{StateCode, SupplyFacts, place_of_supply};
use bahi_http::{Caller, Fault};
use bahi_types::{
    BranchId, FiscalYear, InvoiceId, LocationId, Money, PosSessionId, ProductId, RegistrationId,
    TillId,
};
use serde_json::json;

use super::{
    model::{Back, CreditNote, Disposition, NoteHeader, NoteLine, Refund, give_back, refundable},
    store,
};
use crate::{
    State, catalogue,
    error::{Error, Result},
    events,
    invoice::{self, NewLine, NewTender, Terms, levy_of},
    number::{self, Counter},
    organisation,
    price_list::Asked,
    pricing,
    session::{self, Method, Takings},
};

/// What every return has.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// The till's session that refunds, if one does.
    pub session_id: Option<PosSessionId>,
    /// Where the goods go.
    pub location_id: Option<LocationId>,
    pub tenders: Vec<NewTender>,
    pub reason: Option<String>,
    pub external_reference: Option<String>,
}

impl Common {
    fn takings(&self) -> Takings {
        Takings::of(self.tenders.iter().map(|t| (t.method, t.amount)))
    }

    fn refunds(&self) -> Vec<Refund> {
        let refund = |t: &NewTender| Refund {
            method: t.method.name().to_owned(),
            amount: t.amount,
            reference: t.reference.clone(),
        };
        self.tenders.iter().map(refund).collect()
    }
}

/// Takes goods back against their bill.
pub(super) async fn take_back(
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
            let header = invoice::lock(tx, original).await?.ok_or(Fault::NotFound)?;
            // Read under the lock, so that what came back before is all there.
            let sold = invoice::get(tx, original).await?.ok_or(Fault::NotFound)?;
            let before = store::returned_serials(tx, original).await?;
            let given = give_back(&header, &sold.lines, &backs, &before)?;
            let takings = common.takings();
            refundable(
                &header,
                given.total,
                takings.total(),
                takings.get(Method::Credit),
            )?;
            let seat = match common.session_id {
                Some(session) => Some(open_seat(tx, session).await?),
                None => None,
            };
            if let Some(location) = common.location_id {
                organisation::location(tx, location)
                    .await?
                    .ok_or_else(|| Fault::NotYetKnown("The location".into()))?;
            }
            let location_id = common
                .location_id
                .or(seat.as_ref().map(|s| s.location_id))
                .unwrap_or(header.location_id);
            let date = invoice::today(tx);
            let year = FiscalYear::of(date);
            let prefix = number::prefix(
                tx,
                header.registration_id,
                number::Purpose::CreditNote,
                None,
            )
            .await?;
            let counter = Counter::new(&prefix.unwrap_or_default(), year);
            let sum = |f: fn(&NoteLine) -> Money| given.lines.iter().map(f).sum::<Money>();
            let mut note = CreditNote {
                header: NoteHeader {
                    credit_note_id: InvoiceId::new(),
                    registration_id: header.registration_id,
                    fiscal_year: year.start_year(),
                    series: counter.prefix.clone(),
                    number: String::new(),
                    date,
                    issued_at: tx.now(),
                    original_invoice_id: Some(original),
                    gstin_supplier: header.gstin_supplier.clone(),
                    gstin_buyer: header.gstin_buyer.clone(),
                    place_of_supply: header.place_of_supply.clone(),
                    inter_state: header.inter_state,
                    branch_id: header.branch_id,
                    location_id,
                    till_id: seat.as_ref().map(|s| s.till_id),
                    session_id: common.session_id,
                    cashier_id: cashier,
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
            let credited = header.returned_credit + takings.get(Method::Credit);
            invoice::credit_back(
                tx,
                original,
                header.returned + given.total,
                credited,
                status,
                version,
            )
            .await?;
            post(tx, &mut note, &counter, &takings).await?;
            tx.publish(events::return_processed(&note, version));
            Ok(note)
        })
        .await
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
    let may_override = caller.grants.allow("sales.price.override");
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
                catalogue::find(tx, &ids, date),
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
                may_override,
                may_discount: false,
            };
            let priced = invoice::price(&lines, &goods, None, terms, &market)?;
            let takings = common.takings();
            if takings.total() != priced.total {
                return Err(Error::RefundMismatch {
                    total: priced.total,
                });
            }
            let year = FiscalYear::of(date);
            let counter = Counter::new(number::UNBILLED, year);
            let note_lines = priced
                .lines
                .iter()
                .zip(&dispositions)
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
                    credit_note_id: InvoiceId::new(),
                    registration_id: place.registration_id,
                    fiscal_year: year.start_year(),
                    series: counter.prefix.clone(),
                    number: String::new(),
                    date,
                    issued_at: tx.now(),
                    original_invoice_id: None,
                    gstin_supplier: place.gstin,
                    gstin_buyer: None,
                    place_of_supply: supply.place.to_string(),
                    inter_state: supply.inter,
                    branch_id: place.branch_id,
                    location_id: place.location_id,
                    till_id: place.till_id,
                    session_id: common.session_id,
                    cashier_id: cashier,
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
            post(tx, &mut note, &counter, &takings).await?;
            let details = json!({ "number": note.header.number, "total": note.header.total });
            let object = ("credit_note", note.header.credit_note_id.uuid());
            tx.audit(
                "sales.return.unbilled",
                object,
                note.header.reason.clone(),
                details,
            );
            tx.publish(events::return_processed(&note, 1));
            Ok(note)
        })
        .await
}

/// Writes the note and what it does to the session. The session is locked before the number, as a sale does.
async fn post(
    tx: &mut Tx,
    note: &mut CreditNote,
    counter: &Counter,
    takings: &Takings,
) -> Result<()> {
    if let Some(session) = note.header.session_id {
        let h = &note.header;
        let tax = h.cgst + h.sgst + h.igst + h.cess;
        if session::add_return(tx, session, takings, h.total, tax).await? == 0 {
            return Err(Error::SessionClosed);
        }
    }
    let number = store::insert(tx, &note.header, counter, takings.total()).await?;
    note.header.number = number.ok_or_else(|| Error::SeriesTaken(counter.prefix.clone()))?;
    store::insert_parts(tx, note).await?;
    Ok(())
}

async fn open_seat(tx: &Tx, session: PosSessionId) -> Result<session::Seat> {
    let seat = session::seat(tx, session).await?.ok_or(Fault::NotFound)?;
    if seat.open {
        Ok(seat)
    } else {
        Err(Error::SessionClosed)
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
        let seat = open_seat(tx, session).await?;
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
    let place = organisation::location(tx, location)
        .await?
        .ok_or_else(|| Fault::NotYetKnown("The location".into()))?;
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
