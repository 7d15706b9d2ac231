//! Payment by UPI at a till: the link that the customer's app reads from a QR code.
//!
//! By NPCI's linking specification (`upi://pay`): `pa` the branch's address, `pn` who is paid, `tr` a reference of at most
//! 35 letters and digits, `am` rupees with two decimals, `cu` always INR, `tn` a note. The same request gives the same
//! link. Whether it was paid is what the payment service tells the cashier; its reference is kept on the tender.

use actix_web::{HttpResponse, get, web};
use bahi_db::Done;
use bahi_http::{Caller, Fault, Problem, Versioned, ok};
use bahi_types::{InvoiceId, Money, PosSessionId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    error::Error,
    organisation::{self, Payee},
    session,
};

/// Unreserved characters (RFC 3986) and the `@` of an address, which apps expect as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(show);
}

/// A link to pay by.
fn link_of(payee: &Payee, vpa: &str, reference: &str, amount: Money, note: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, KEPT).to_string();
    format!(
        "upi://pay?pa={}&pn={}&tr={}&am={amount}&cu=INR&tn={}",
        encoded(vpa),
        encoded(&payee.name),
        encoded(reference),
        encoded(note),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The open session of the till.
    session_id: PosSessionId,
    /// The sale that it is for: its id is the reference.
    invoice_id: InvoiceId,
    /// Rupees, above zero; of a split payment the part by UPI.
    amount: Money,
    /// What the customer's app shows, at most 50 characters.
    note: Option<String>,
}

/// What a customer pays by.
#[derive(Debug, Serialize, ToSchema)]
struct LinkBody {
    /// `upi://pay?...`
    link: String,
    /// The link as a QR code: an SVG image.
    qr_svg: Option<String>,
    vpa: String,
    payee: String,
    /// To be found in the payment: the tender's reference where the payment service gives none.
    reference: String,
    amount: Money,
    currency: &'static str,
}
impl Versioned for LinkBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// The link and QR code of a payment by UPI to the branch of a till.
#[utoipa::path(tag = "sessions", security(("bearer" = ["sales.pos.use"])), params(Wanted), responses(
    (status = 200, body = LinkBody), (status = 404), (status = 409, description = "SESSION_CLOSED"),
    (status = 422, description = "NO_UPI_ADDRESS: the branch has none")))]
#[get("/api/v1/pos/upi-link")]
async fn show(
    state: web::Data<State>,
    caller: Caller,
    wanted: web::Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    if !wanted.amount.is_positive() {
        return Err(Fault::field("amount", "must be above zero").into());
    }
    let note = wanted.note.clone().unwrap_or_else(|| "Bill".to_owned());
    if note.chars().count() > 50 || note.chars().any(char::is_control) {
        return Err(Fault::field("note", "must be a line of at most 50 characters").into());
    }
    let payee = state.db.read(&caller.ctx, async |tx| {
        let seat = session::seat(tx, wanted.session_id).await?;
        let seat = seat.ok_or(Fault::NotFound)?;
        if !seat.open {
            return Err(Error::SessionClosed);
        }
        let payee = organisation::payee(tx, seat.branch_id).await?;
        payee.ok_or_else(|| Fault::NotYetKnown("The branch or its registration".into()).into())
    });
    let payee = payee.await?;
    let vpa = payee.upi_vpa.clone().ok_or(Error::NoUpiAddress)?;
    let reference = wanted.invoice_id.uuid().simple().to_string();
    let link = link_of(&payee, &vpa, &reference, wanted.amount, &note);
    Ok(ok(&Done::first(LinkBody {
        qr_svg: bahi_prints::qr_svg(&link),
        link,
        vpa,
        payee: payee.name,
        reference,
        amount: wanted.amount,
        currency: "INR",
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_carries_what_the_specification_names() {
        let payee = Payee {
            name: "Sharma & Sons, पुणे".into(),
            upi_vpa: None,
        };
        let link = link_of(
            &payee,
            "shop.pune@okbank",
            "0190abcd",
            "1234.5".parse().unwrap(),
            "Bill 7",
        );
        assert_eq!(
            link,
            "upi://pay?pa=shop.pune@okbank&pn=Sharma%20%26%20Sons%2C%20%E0%A4%AA%E0%A5%81%E0%A4%A3%E0%A5%87\
             &tr=0190abcd&am=1234.50&cu=INR&tn=Bill%207"
        );
    }
}
