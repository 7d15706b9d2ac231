//! What an orphan tells.

use bahi_db::Ctx;
use bahi_events::{Actor, Envelope, InvoiceIssued};
use bahi_proto::reservation_id;
use serde_json::Value;
use uuid::Uuid;

use crate::reservation::MOST_SEARCHED;

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

/// Who sold: the cashier of a till that was away, else the user who acted.
pub(super) fn cashier(event: &Envelope<Value>) -> Option<Uuid> {
    let offline = &event.payload["offline"]["cashier_id"];
    let offline = offline.as_str().and_then(|id| id.parse().ok());
    offline.or_else(|| user(event))
}

/// The circumstances in which it is written again.
pub(super) fn circumstances(service: &str, event: &Envelope<Value>) -> Ctx {
    Ctx::service(service, event.tenant_id)
}
