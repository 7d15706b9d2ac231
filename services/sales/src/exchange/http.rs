//! Exchanges over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::Done;
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created, ok, validate};
use bahi_types::{CustomerGroupId, CustomerId, InvoiceId, Money, PosSessionId, Quantity, UserId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::commands::{self, Exchanged};
use crate::{
    State,
    invoice::{
        Buyer, Discounted, Draft, InvoiceBody, MOST_COUPONS, MOST_LINES, NewLine, NewTender,
        Outlet, Swap, basket_lines, bounded, client_made, folded, hash, identity, serial_numbers,
        short_text,
    },
    returns::{Back, Disposition, ReturnBody},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(exchange).service(get_one);
}

/// A line that comes back.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct BackLine {
    /// Line of the original invoice; each once.
    original_line: i32,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// `restock` when absent.
    #[serde(default)]
    disposition: Disposition,
    /// Serial numbers of the pieces: at most as many as `qty`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(custom(serial_numbers))]
    serials: Vec<String>,
}

/// What comes back, against its bill.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct BackPart {
    original_invoice_id: InvoiceId,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(each_once))]
    lines: Vec<BackLine>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(short_text)))]
    reason: Option<String>,
    /// How the rest of the credit is refunded, where the sale takes less; together exactly that.
    #[serde(default)]
    #[garde(length(max = 19), dive)]
    refund_tenders: Vec<NewTender>,
}

fn each_once(lines: &[BackLine], (): &()) -> garde::Result {
    for (index, line) in lines.iter().enumerate() {
        let at = index + 1;
        if lines[..index]
            .iter()
            .any(|l| l.original_line == line.original_line)
        {
            return Err(garde::Error::new(format!("line {at} names a line twice")));
        }
        if Quantity::from(line.serials.len() as i64) > line.qty {
            let message = format!("line {at} names more serials than come back");
            return Err(garde::Error::new(message));
        }
    }
    Ok(())
}

/// A return and a sale in one.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewExchange {
    /// Of the sale: a UUIDv7 of the client's making. Without it an `Idempotency-Key` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(validate::optional(client_made)))]
    invoice_id: Option<InvoiceId>,
    session_id: PosSessionId,
    /// What comes back.
    #[serde(rename = "return")]
    #[garde(dive)]
    back: BackPart,
    /// What goes out.
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(basket_lines))]
    lines: Vec<NewLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(bounded))]
    bill_discount: Option<Discounted>,
    /// What the sale costs more than the credit, and how it is paid.
    #[serde(default)]
    #[garde(length(max = 19), dive)]
    tenders: Vec<NewTender>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    buyer: Option<Buyer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<CustomerId>,
    /// The group of customers whose prices it has; the customer's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_group_id: Option<CustomerGroupId>,
    /// Codes of coupons; each must take something off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = MOST_COUPONS), inner(length(chars, min = 1, max = 100)))]
    coupons: Vec<String>,
    /// The cashier when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salesperson_id: Option<UserId>,
    /// What somebody with more rights has lent for the invoice.
    #[serde(default, skip_serializing)]
    #[garde(length(min = 1, max = 4096))]
    approval: Option<String>,
}

/// An exchange.
#[derive(Debug, Serialize, ToSchema)]
struct ExchangeBody {
    invoice: InvoiceBody,
    credit_note: ReturnBody,
    /// What of the credit note pays the invoice.
    exchanged: Money,
}
impl Versioned for ExchangeBody {
    fn version(&self) -> Option<i64> {
        None
    }
}
impl From<Exchanged> for ExchangeBody {
    fn from(e: Exchanged) -> Self {
        Self {
            invoice: e.invoice.into(),
            credit_note: e.note.into(),
            exchanged: e.amount,
        }
    }
}

/// Takes goods back and sells others for them. Both documents are there, or neither.
#[utoipa::path(tag = "exchanges", security(("bearer" = ["sales.pos.use"])), request_body = NewExchange, params(("Idempotency-Key" = Option<String>, Header)), responses(
    (status = 201, body = ExchangeBody),
    (status = 404, description = "The session or the original invoice"),
    (status = 409, description = "INSUFFICIENT_STOCK, SESSION_CLOSED, ABANDONED, INVOICE_CANCELLED, ..."),
    (status = 422, description = "EXCEEDS_SOLD, NO_SUCH_LINE, REFUND_MISMATCH (says what is due), REFUND_EXCEEDS_PAID, TENDER_SHORT, and what a sale is refused for")))]
#[post("/api/v1/pos/exchanges")]
async fn exchange(
    state: web::Data<State>,
    req: Post<NewExchange>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("sales.return.write")?;
    let body = req.body;
    let request_hash = hash("exchange", &body)?;
    let original = body.back.original_invoice_id;
    if body.invoice_id == Some(original) {
        let field = "return.original_invoice_id";
        return Err(Fault::field(field, "must be an earlier invoice").into());
    }
    let backs = body.back.lines.into_iter().map(|l| Back {
        line: l.original_line,
        qty: l.qty,
        disposition: l.disposition,
        serials: l.serials,
    });
    let swap = Swap {
        original,
        backs: backs.collect(),
        reason: body.back.reason,
        refunds: body.back.refund_tenders,
    };
    let draft = Draft {
        invoice_id: identity(&req.caller, body.invoice_id)?,
        request_hash,
        outlet: Outlet::Till(body.session_id),
        lines: body.lines,
        bill_discount: body.bill_discount,
        tenders: Some(body.tenders),
        buyer: body.buyer.unwrap_or_default(),
        customer_id: body.customer_id,
        credit_override: None,
        customer_group: body.customer_group_id,
        coupons: folded(&body.coupons),
        salesperson_id: body.salesperson_id,
        external_reference: None,
        external_date: None,
        approval: body.approval,
        held_bill: None,
        back: Some(swap),
    };
    let made = commands::exchange(&state, &req.caller, draft).await?;
    Ok(created(&made.map(ExchangeBody::from)))
}

/// The exchange that an invoice is part of.
#[utoipa::path(tag = "exchanges", security(("bearer" = ["sales.invoice.read"])), responses((status = 200, body = ExchangeBody), (status = 404)))]
#[get("/api/v1/pos/exchanges/{invoice_id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
) -> Result<HttpResponse, Problem> {
    let found = commands::find(&state, &caller, *id).await?;
    Ok(ok(&Done::first(ExchangeBody::from(found))))
}
