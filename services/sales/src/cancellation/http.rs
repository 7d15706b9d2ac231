//! Cancelling over HTTP.

use actix_web::{HttpResponse, post, web};
use async_graphql::InputObject;
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
#[derive(Clone, Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "CancelInvoiceInput")]
pub(super) struct Cancel {
    reason_code: Reason,
    /// Why, in words; needed where the code is `other`.
    #[garde(inner(custom(short_text)))]
    note: Option<String>,
    /// How what was paid is refunded; together exactly that, and never as credit.
    #[serde(default)]
    #[graphql(default)]
    #[garde(length(max = 20), dive)]
    refund_tenders: Vec<NewTender>,
    /// The session whose drawer refunds, for an invoice of no till.
    session_id: Option<PosSessionId>,
}

impl Cancel {
    /// As it is wished for.
    pub(super) fn wish(self) -> Result<Wish, Fault> {
        if self.reason_code == Reason::Other && self.note.is_none() {
            return Err(Fault::field(
                "note",
                "is needed where the reason is another",
            ));
        }
        let credit = |t: &NewTender| t.method == Method::Credit;
        if let Some(at) = self.refund_tenders.iter().position(credit) {
            let field = format!("refund_tenders[{at}].method");
            return Err(Fault::field(field, "what is owed is credited without"));
        }
        Ok(Wish {
            reason: self.reason_code,
            note: self.note,
            tenders: self.refund_tenders,
            session: self.session_id,
        })
    }
}

/// Cancels an invoice; it keeps its number, and its goods come back.
#[utoipa::path(tag = "invoices", security(("bearer" = ["sales.invoice.cancel"])), request_body = Cancel, responses(
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
    let done = commands::cancel(&state, &req.caller, *id, req.body.wish()?).await?;
    Ok(ok(&done.map(InvoiceBody::from)))
}
