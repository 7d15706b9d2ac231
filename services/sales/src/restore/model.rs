//! What an orphan tells.

use bahi_db::Ctx;
use bahi_events::{Actor, Envelope, InvoiceIssued};
use bahi_proto::reservation_id;
use bahi_types::FiscalYear;
use chrono::NaiveDate;
use serde_json::Value;
use uuid::Uuid;

use crate::reservation::MOST_SEARCHED;

/// A statutory number, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub prefix: String,
    pub fiscal_year: i32,
    pub running: i64,
}

/// `P1/26-27/0042`, of a document of that date. `None` when it is no number of ours.
pub(super) fn numbered(number: &str, date: NaiveDate) -> Option<Numbered> {
    let year = FiscalYear::of(date);
    let (stem, running) = number.rsplit_once('/')?;
    let prefix = stem.strip_suffix(&format!("/{year}"))?;
    let running = running.parse().ok().filter(|running| *running > 0)?;
    (!prefix.is_empty()).then(|| Numbered {
        prefix: prefix.to_owned(),
        fiscal_year: year.start_year(),
        running,
    })
}

/// The attempt by which the invoice was issued.
pub(super) fn attempt(invoice: &InvoiceIssued) -> Option<u32> {
    let hold = invoice.reservation_id?;
    (1..=MOST_SEARCHED).find(|attempt| reservation_id(invoice.invoice_id, *attempt) == hold)
}

/// The user who acted.
pub(super) fn user(event: &Envelope<Value>) -> Option<Uuid> {
    match event.actor {
        Some(Actor::User { id }) => Some(id),
        _ => None,
    }
}

/// The circumstances in which it is written again.
pub(super) fn circumstances(service: &str, event: &Envelope<Value>) -> Ctx {
    Ctx::service(service, event.tenant_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_apart() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap_or_default();
        let year = FiscalYear::of(date);
        assert_eq!(
            numbered(&format!("P1/{year}/0042"), date),
            Some(Numbered {
                prefix: "P1".into(),
                fiscal_year: 2026,
                running: 42
            })
        );
        for strange in [
            String::new(),
            "42".into(),
            format!("P1/{year}/"),
            format!("/{year}/1"),
            format!("P1/{year}/0"),
            "P1/19-20/0042".into(),
        ] {
            assert_eq!(numbered(&strange, date), None, "{strange}");
        }
    }
}
