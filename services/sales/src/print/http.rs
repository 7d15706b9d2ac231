//! Prints over HTTP.

use actix_web::{HttpResponse, get, http::header, web};
use bahi_http::{Caller, Problem, Timed, page, paged_by_time};
use bahi_prints::{Copy, receipt};
use bahi_types::{InvoiceId, Page, PageQuery, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Form, Format, Logged, Subject},
    store,
};
use crate::{State, error::Error};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(invoice_receipt)
        .service(note_receipt)
        .service(invoice_pdf)
        .service(note_pdf)
        .service(invoice_prints)
        .service(note_prints);
}

/// Paper of a receipt, in millimetres.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
enum PaperWidth {
    #[serde(rename = "58")]
    Mm58,
    #[default]
    #[serde(rename = "80")]
    Mm80,
}

/// Letters that the printer has above ASCII.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PrinterPage {
    #[default]
    Pc437,
    Wpc1252,
}

/// How a QR code gets onto the paper.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PrinterQr {
    #[default]
    Command,
    Dots,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ReceiptQuery {
    /// `escpos` when absent.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// 58 or 80; 80 when absent.
    #[serde(default)]
    #[param(inline)]
    width: PaperWidth,
    /// Of ESC/POS: `pc437` when absent. Other letters, like those of Indian scripts, are drawn.
    #[serde(default)]
    #[param(inline)]
    code_page: PrinterPage,
    /// Of ESC/POS: `command` when absent; `dots` for printers that cannot draw a QR code themselves.
    #[serde(default)]
    #[param(inline)]
    qr: PrinterQr,
    /// Of ESC/POS: opens the drawer; false when absent.
    #[serde(default)]
    drawer: bool,
}

impl ReceiptQuery {
    fn form(&self) -> Form {
        let width = match self.width {
            PaperWidth::Mm58 => receipt::Width::Mm58,
            PaperWidth::Mm80 => receipt::Width::Mm80,
        };
        let options = receipt::Options {
            code_page: match self.code_page {
                PrinterPage::Pc437 => receipt::CodePage::Pc437,
                PrinterPage::Wpc1252 => receipt::CodePage::Wpc1252,
            },
            qr: match self.qr {
                PrinterQr::Command => receipt::QrBy::Command,
                PrinterQr::Dots => receipt::QrBy::Dots,
            },
            drawer: self.drawer,
        };
        Form::Receipt(self.format, width, options)
    }
}

/// For whom a copy is.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CopyName {
    #[default]
    Original,
    Duplicate,
    Triplicate,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CopyQuery {
    /// `original` (for the recipient, when absent), `duplicate` (for the transporter) or `triplicate` (for the supplier).
    #[serde(default)]
    #[param(inline)]
    copy: CopyName,
}

impl CopyQuery {
    fn form(&self) -> Form {
        Form::A4(match self.copy {
            CopyName::Original => Copy::Original,
            CopyName::Duplicate => Copy::Duplicate,
            CopyName::Triplicate => Copy::Triplicate,
        })
    }
}

async fn printed(
    state: &State,
    caller: &Caller,
    subject: Subject,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let printed = commands::print(state, caller, subject, form).await?;
    let ending = match form.format() {
        "escpos" => "bin",
        other => other,
    };
    let name = printed.number.replace('/', "-");
    Ok(HttpResponse::Ok()
        .content_type(form.content_type())
        // The next one is another: it is marked.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"{name}.{ending}\""),
        ))
        .body(printed.bytes))
}

/// Prints the receipt of an invoice. Each call is a print, and logged; from the second on it is marked as a reprint.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.pos.read"])), params(("id" = InvoiceId, Path), ReceiptQuery), responses(
    (status = 200, description = "The receipt, in the format that was asked for; ESC/POS are octets",
        content((String = "application/octet-stream"), (String = "text/html"), (String = "application/pdf"))),
    (status = 404), (status = 503, description = "FONTS_MISSING, PRINT_BUSY")))]
#[get("/api/v1/pos/invoices/{id:[^:/]+}/receipt")]
async fn invoice_receipt(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<ReceiptQuery>,
) -> Result<HttpResponse, Problem> {
    printed(&state, &caller, Subject::Invoice(*id), query.form()).await
}

/// Prints the receipt of a credit note, as that of an invoice.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.pos.read"])), params(("id" = InvoiceId, Path), ReceiptQuery), responses(
    (status = 200, description = "The receipt, in the format that was asked for; ESC/POS are octets",
        content((String = "application/octet-stream"), (String = "text/html"), (String = "application/pdf"))),
    (status = 404), (status = 503, description = "FONTS_MISSING, PRINT_BUSY")))]
#[get("/api/v1/pos/returns/{id:[^:/]+}/receipt")]
async fn note_receipt(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<ReceiptQuery>,
) -> Result<HttpResponse, Problem> {
    printed(&state, &caller, Subject::CreditNote(*id), query.form()).await
}

/// Prints a copy of an invoice on A4. Each call is a print, and logged; from the second of a copy on it is marked as a
/// reprint.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.invoice.read"])), params(("id" = InvoiceId, Path), CopyQuery), responses(
    (status = 200, description = "The document", body = String, content_type = "application/pdf"),
    (status = 404), (status = 503, description = "FONTS_MISSING, PRINT_BUSY")))]
#[get("/api/v1/sales/invoices/{id:[^:/]+}/pdf")]
async fn invoice_pdf(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<CopyQuery>,
) -> Result<HttpResponse, Problem> {
    printed(&state, &caller, Subject::Invoice(*id), query.form()).await
}

/// Prints a copy of a credit note on A4, as that of an invoice.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.return.read"])), params(("id" = InvoiceId, Path), CopyQuery), responses(
    (status = 200, description = "The document", body = String, content_type = "application/pdf"),
    (status = 404), (status = 503, description = "FONTS_MISSING, PRINT_BUSY")))]
#[get("/api/v1/sales/returns/{id:[^:/]+}/pdf")]
async fn note_pdf(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<CopyQuery>,
) -> Result<HttpResponse, Problem> {
    printed(&state, &caller, Subject::CreditNote(*id), query.form()).await
}

/// A print that was made.
#[derive(Debug, Serialize, ToSchema)]
struct PrintBody {
    print_id: Uuid,
    /// `receipt` or `a4`.
    form: String,
    /// `original`, `duplicate` or `triplicate`.
    copy: String,
    /// Which print of this form and copy it was, from 1; the second and all after it are marked.
    print_no: i32,
    /// `escpos`, `html` or `pdf`.
    format: String,
    /// Millimetres of a receipt's paper.
    width: Option<i32>,
    /// Absent where a service printed.
    printed_by: Option<UserId>,
    printed_at: DateTime<Utc>,
}

impl From<Logged> for PrintBody {
    fn from(print: Logged) -> Self {
        Self {
            print_id: print.print_id,
            form: print.form,
            copy: print.copy,
            print_no: print.print_no,
            format: print.format,
            width: print.width,
            printed_by: print.printed_by,
            printed_at: print.printed_at,
        }
    }
}

async fn prints(
    state: &State,
    caller: &Caller,
    subject: Subject,
    query: &PageQuery,
) -> Result<HttpResponse, Problem> {
    let walk = Timed::oldest_first(query)?;
    let wanted = store::Filter { subject, walk };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            commands::exists(tx, subject).await?;
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let prints = paged_by_time(rows, query, total, |p| (p.printed_at, p.print_id));
    Ok(page(&prints.map(PrintBody::from)))
}

/// Prints of an invoice, the oldest first.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.invoice.read"])), params(("id" = InvoiceId, Path), PageQuery), responses(
    (status = 200, body = Page<PrintBody>), (status = 404)))]
#[get("/api/v1/sales/invoices/{id:[^:/]+}/prints")]
async fn invoice_prints(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    prints(&state, &caller, Subject::Invoice(*id), &query).await
}

/// Prints of a credit note, the oldest first.
#[utoipa::path(tag = "prints", security(("bearer" = ["sales.return.read"])), params(("id" = InvoiceId, Path), PageQuery), responses(
    (status = 200, body = Page<PrintBody>), (status = 404)))]
#[get("/api/v1/sales/returns/{id:[^:/]+}/prints")]
async fn note_prints(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    prints(&state, &caller, Subject::CreditNote(*id), &query).await
}
