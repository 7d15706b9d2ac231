//! Exchanging: a sale that carries a return.

use bahi_db::Done;
use bahi_http::{Caller, Fault};
use bahi_types::{InvoiceId, Money};

use super::store;
use crate::{
    State,
    error::{Error, Result},
    invoice::{self, Draft, Invoice},
    returns::{self, CreditNote},
};

/// Both documents of an exchange.
#[derive(Clone, Debug)]
pub(super) struct Exchanged {
    pub invoice: Invoice,
    pub note: CreditNote,
    /// What of the note pays the invoice.
    pub amount: Money,
}

/// Exchanges.
pub(super) async fn exchange(
    state: &State,
    caller: &Caller,
    draft: Draft,
) -> Result<Done<Exchanged>> {
    let sold = invoice::sell(state, caller, draft).await?;
    let id = sold.value.header.invoice_id;
    let (note, amount) = note_of(state, caller, id).await?;
    Ok(sold.map(|invoice| Exchanged {
        invoice,
        note,
        amount,
    }))
}

/// An exchange that was made.
pub(super) async fn find(state: &State, caller: &Caller, id: InvoiceId) -> Result<Exchanged> {
    let (note, amount) = note_of(state, caller, id).await?;
    let found = state.db.read(&caller.ctx, async |tx| {
        invoice::get(tx, id)
            .await?
            .ok_or_else(|| Error::from(Fault::NotFound))
    });
    Ok(Exchanged {
        invoice: found.await?,
        note,
        amount,
    })
}

async fn note_of(state: &State, caller: &Caller, id: InvoiceId) -> Result<(CreditNote, Money)> {
    state
        .db
        .read(&caller.ctx, async |tx| {
            let found = store::find(tx, id).await?.ok_or(Fault::NotFound)?;
            let note = returns::get(tx, found.credit_note_id).await?;
            Ok((note.ok_or(Fault::NotFound)?, found.amount))
        })
        .await
}
