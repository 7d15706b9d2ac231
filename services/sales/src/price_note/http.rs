//! Notes on prices over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::Done;
use bahi_http::{
    Caller, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time, validate,
};
use bahi_types::{
    BranchId, CustomerId, InvoiceId, Money, Page, PageQuery, PosSessionId, ProductId, Rate, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Draft},
    model::{Difference, Kind, Note, NoteHeader},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{MOST_LINES, NewTender, TenderBody, short_text},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(credit)
        .service(debit)
        .service(credit_notes)
        .service(debit_notes)
        .service(credit_note)
        .service(debit_note);
}

/// By how much the price of a line changes.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNoteLine {
    /// Line of the original invoice.
    #[garde(skip)]
    original_line: i32,
    /// Of the whole line, with tax where its price includes it.
    #[garde(custom(validate::positive))]
    amount: Money,
}

fn each_once(lines: &[NewNoteLine], (): &()) -> garde::Result {
    for (at, line) in lines.iter().enumerate() {
        let same = |l: &NewNoteLine| l.original_line == line.original_line;
        if lines[..at].iter().any(same) {
            return Err(garde::Error::new(format!(
                "names line {} twice",
                line.original_line
            )));
        }
    }
    Ok(())
}

fn differences(lines: Vec<NewNoteLine>) -> Vec<Difference> {
    let of = |l: NewNoteLine| Difference {
        line: l.original_line,
        amount: l.amount,
    };
    lines.into_iter().map(of).collect()
}

/// A credit note that lowers prices.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewCreditNote {
    original_invoice_id: InvoiceId,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(each_once))]
    lines: Vec<NewNoteLine>,
    /// How it is settled, together exactly its total: `credit` lowers what is owed, the rest is refunded. All is off what
    /// is owed when absent.
    #[garde(length(max = 20), dive)]
    refund_tenders: Option<Vec<NewTender>>,
    /// The session whose drawer refunds.
    session_id: Option<PosSessionId>,
    /// Why.
    #[garde(custom(|text: &String, ctx| short_text(text, ctx)))]
    reason: String,
}

/// A debit note that raises prices.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewDebitNote {
    original_invoice_id: InvoiceId,
    #[garde(length(min = 1, max = MOST_LINES), dive, custom(each_once))]
    lines: Vec<NewNoteLine>,
    /// Why.
    #[garde(custom(|text: &String, ctx| short_text(text, ctx)))]
    reason: String,
    /// Why it may go beyond the customer's credit limit; needs a permission.
    #[garde(inner(custom(short_text)))]
    credit_override: Option<String>,
}

/// A note in a list.
#[derive(Debug, Serialize, ToSchema)]
struct NoteSummary {
    note_id: InvoiceId,
    /// `credit` or `debit`.
    kind: String,
    number: String,
    date: NaiveDate,
    issued_at: DateTime<Utc>,
    original_invoice_id: InvoiceId,
    customer_id: Option<CustomerId>,
    gstin_buyer: Option<String>,
    place_of_supply: String,
    inter_state: bool,
    branch_id: BranchId,
    session_id: Option<PosSessionId>,
    issued_by: Option<UserId>,
    reason: String,
    taxable: Money,
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
    round_off: Money,
    total: Money,
    currency: String,
}

impl From<NoteHeader> for NoteSummary {
    fn from(h: NoteHeader) -> Self {
        Self {
            note_id: h.note_id,
            kind: h.kind,
            number: h.number,
            date: h.date,
            issued_at: h.issued_at,
            original_invoice_id: h.original_invoice_id,
            customer_id: h.customer_id,
            gstin_buyer: h.gstin_buyer,
            place_of_supply: h.place_of_supply,
            inter_state: h.inter_state,
            branch_id: h.branch_id,
            session_id: h.session_id,
            issued_by: h.issued_by,
            reason: h.reason,
            taxable: h.taxable,
            cgst: h.cgst,
            sgst: h.sgst,
            igst: h.igst,
            cess: h.cess,
            round_off: h.round_off,
            total: h.total,
            currency: h.currency,
        }
    }
}

/// A line of a note.
#[derive(Debug, Serialize, ToSchema)]
struct NoteLineBody {
    line: i32,
    original_line: i32,
    product_id: ProductId,
    description: String,
    hsn: String,
    tax_category: String,
    rate: Rate,
    cess_rate: Rate,
    taxable: Money,
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
    total: Money,
}

/// A note on prices.
#[derive(Debug, Serialize, ToSchema)]
struct NoteBody {
    #[serde(flatten)]
    summary: NoteSummary,
    lines: Vec<NoteLineBody>,
    refund_tenders: Vec<TenderBody>,
}
impl Versioned for NoteBody {
    fn version(&self) -> Option<i64> {
        Some(1)
    }
}

impl From<Note> for NoteBody {
    fn from(note: Note) -> Self {
        let lines = note.lines.into_iter().map(|l| NoteLineBody {
            line: l.line,
            original_line: l.original_line,
            product_id: l.product_id,
            description: l.description,
            hsn: l.hsn,
            tax_category: l.tax_category,
            rate: l.rate,
            cess_rate: l.cess_rate,
            taxable: l.taxable,
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
            total: l.total,
        });
        let tenders = note.tenders.into_iter().map(TenderBody::from);
        Self {
            lines: lines.collect(),
            refund_tenders: tenders.collect(),
            summary: note.header.into(),
        }
    }
}

/// Issues a credit note on prices; goods that come back are a return.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.write"])), request_body = NewCreditNote, responses(
    (status = 201, body = NoteBody),
    (status = 404),
    (status = 409, description = "INVOICE_CANCELLED or SESSION_CLOSED"),
    (status = 422, description = "EXCEEDS_LINE, NO_SUCH_LINE, REFUND_MISMATCH (says its total), REFUND_EXCEEDS_PAID, DRAWER_SHORT")))]
#[post("/api/v1/sales/credit-notes")]
async fn credit(
    state: web::Data<State>,
    req: Post<NewCreditNote>,
) -> Result<HttpResponse, Problem> {
    let draft = Draft {
        kind: Kind::Credit,
        original: req.body.original_invoice_id,
        differences: differences(req.body.lines),
        tenders: req.body.refund_tenders,
        session: req.body.session_id,
        reason: req.body.reason,
        credit_override: None,
    };
    let made = commands::issue(&state, &req.caller, draft).await?;
    Ok(created(&made.map(NoteBody::from)))
}

/// Issues a debit note on prices.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.write"])), request_body = NewDebitNote, responses(
    (status = 201, body = NoteBody),
    (status = 404),
    (status = 409, description = "INVOICE_CANCELLED or CREDIT_LIMIT_EXCEEDED (with the figures)"),
    (status = 422, description = "NO_SUCH_LINE or CREDIT_NEEDS_BUYER")))]
#[post("/api/v1/sales/debit-notes")]
async fn debit(state: web::Data<State>, req: Post<NewDebitNote>) -> Result<HttpResponse, Problem> {
    let draft = Draft {
        kind: Kind::Debit,
        original: req.body.original_invoice_id,
        differences: differences(req.body.lines),
        tenders: None,
        session: None,
        reason: req.body.reason,
        credit_override: req.body.credit_override,
    };
    let made = commands::issue(&state, &req.caller, draft).await?;
    Ok(created(&made.map(NoteBody::from)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NoteFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    original_invoice_id: Option<InvoiceId>,
    customer_id: Option<CustomerId>,
}

async fn list(
    state: &State,
    caller: &Caller,
    kind: Kind,
    query: &PageQuery,
    filter: &NoteFilter,
) -> Result<HttpResponse, Problem> {
    caller.require("sales.note.read")?;
    let walk = Timed::read(query, "issued_at")?;
    let wanted = store::Filter {
        kind,
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        original_invoice_id: filter.original_invoice_id.map(InvoiceId::uuid),
        customer_id: filter.customer_id.map(CustomerId::uuid),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let notes = paged_by_time(rows, query, total, |h| (h.issued_at, h.note_id.uuid()));
    Ok(page(&notes.map(NoteSummary::from)))
}

async fn one(
    state: &State,
    caller: &Caller,
    kind: Kind,
    id: InvoiceId,
) -> Result<HttpResponse, Problem> {
    caller.require("sales.note.read")?;
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::get(tx, kind, id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(NoteBody::from(found))))
}

/// Credit notes on prices, newest first unless sorted by `issued_at:asc`.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.read"])), params(PageQuery, NoteFilter), responses((status = 200, body = Page<NoteSummary>)))]
#[get("/api/v1/sales/credit-notes")]
async fn credit_notes(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<NoteFilter>,
) -> Result<HttpResponse, Problem> {
    list(&state, &caller, Kind::Credit, &query, &filter).await
}

/// Debit notes, newest first unless sorted by `issued_at:asc`.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.read"])), params(PageQuery, NoteFilter), responses((status = 200, body = Page<NoteSummary>)))]
#[get("/api/v1/sales/debit-notes")]
async fn debit_notes(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<NoteFilter>,
) -> Result<HttpResponse, Problem> {
    list(&state, &caller, Kind::Debit, &query, &filter).await
}

/// One credit note on prices.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.read"])), responses((status = 200, body = NoteBody), (status = 404)))]
#[get("/api/v1/sales/credit-notes/{id:[^:/]+}")]
async fn credit_note(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
) -> Result<HttpResponse, Problem> {
    one(&state, &caller, Kind::Credit, *id).await
}

/// One debit note.
#[utoipa::path(tag = "notes", security(("bearer" = ["sales.note.read"])), responses((status = 200, body = NoteBody), (status = 404)))]
#[get("/api/v1/sales/debit-notes/{id:[^:/]+}")]
async fn debit_note(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
) -> Result<HttpResponse, Problem> {
    one(&state, &caller, Kind::Debit, *id).await
}
