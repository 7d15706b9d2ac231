//! Cancelling over HTTP.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Fault, Post, Problem, ok};
use bahi_types::{InvoiceId, PosSessionId};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Wish},
    model::Reason,
};
use crate::{
    State,
    invoice::{InvoiceBody, NewTender, short_text},
    session::Method,
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(cancel);
}

/// An invoice that is to be cancelled.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Cancel {
    reason_code: Reason,
    /// Why, in words; needed where the code is `other`.
    #[garde(inner(custom(short_text)))]
    note: Option<String>,
    /// How what was paid is refunded; together exactly that, and never as credit.
    #[serde(default)]
    #[garde(length(max = 20), dive)]
    refund_tenders: Vec<NewTender>,
    /// The session whose drawer refunds, for an invoice of no till.
    session_id: Option<PosSessionId>,
}

/// Cancels an invoice; it keeps its number, and its goods come back.
#[utoipa::path(tag = "invoices", request_body = Cancel, responses(
    (status = 200, body = InvoiceBody),
    (status = 404),
    (status = 409, description = "CANCEL_TOO_LATE, INVOICE_CANCELLED, INVOICE_CREDITED (something came back, or a note was issued), SESSION_CLOSED"),
    (status = 422, description = "REFUND_MISMATCH (says what was paid), DRAWER_SHORT")))]
#[post("/api/v1/sales/invoices/{id:[^:/]+}:cancel")]
async fn cancel(
    state: web::Data<State>,
    id: web::Path<InvoiceId>,
    req: Post<Cancel>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.invoice.cancel")?;
    let body = req.body;
    if body.reason_code == Reason::Other && body.note.is_none() {
        return Err(Fault::field("note", "is needed where the reason is another").into());
    }
    if let Some(at) = body
        .refund_tenders
        .iter()
        .position(|t| t.method == Method::Credit)
    {
        let field = format!("refund_tenders[{at}].method");
        return Err(Fault::field(field, "what is owed is credited without").into());
    }
    let wish = Wish {
        reason: body.reason_code,
        note: body.note,
        tenders: body.refund_tenders,
        session: body.session_id,
    };
    let done = commands::cancel(&state, &req.caller, *id, wish).await?;
    Ok(ok(&done.map(InvoiceBody::from)))
}
