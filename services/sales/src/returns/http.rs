//! Returns over HTTP.

use actix_web::{HttpResponse, get, post, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::Done;
use bahi_http::{
    Caller, Fault, Post, Problem, Timed, Versioned, created, ok, page, paged_by_time, validate,
};
use bahi_types::{
    BranchId, InvoiceId, LocationId, Money, Page, PageQuery, PosSessionId, Price, ProductId,
    Quantity, Rate, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Common},
    model::{Back, CreditNote, Disposition, NoteHeader},
    store,
};
use crate::{
    State,
    error::Error,
    invoice::{MOST_LINES, NewLine, NewTender, TenderBody, serial_numbers, serials_of, short_text},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(take_back).service(list).service(get_one);
}

/// A line that comes back. With a bill: `original_line`. Without: exactly one of `product_id`, `barcode` and `sku`.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "ReturnLineInput")]
struct NewReturnLine {
    /// Line of the original invoice.
    original_line: Option<i32>,
    product_id: Option<ProductId>,
    #[garde(length(min = 1, max = 128))]
    barcode: Option<String>,
    #[garde(length(min = 1, max = 64))]
    sku: Option<String>,
    #[garde(custom(validate::positive))]
    qty: Quantity,
    /// Without a bill: another price than today's; needs a permission and a reason.
    #[garde(custom(validate::optional(validate::non_negative)))]
    unit_price: Option<Price>,
    /// Why the price is another.
    #[garde(inner(custom(short_text)))]
    reason: Option<String>,
    /// `restock` when absent.
    #[serde(default)]
    #[graphql(default)]
    disposition: Disposition,
    /// Serial numbers of the pieces, of a product that is followed by number: at most as many as `qty`.
    #[serde(default)]
    #[graphql(default)]
    #[garde(custom(serial_numbers))]
    serials: Vec<String>,
}

/// Goods that come back.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[graphql(name = "ReturnInput")]
pub(super) struct NewReturn {
    /// The bill; without it the permission `sales.return.unbilled` is needed.
    original_invoice_id: Option<InvoiceId>,
    /// The session whose drawer refunds.
    session_id: Option<PosSessionId>,
    /// Where the goods go: the till's or the original invoice's location when absent.
    location_id: Option<LocationId>,
    #[garde(length(min = 1, max = MOST_LINES), dive)]
    lines: Vec<NewReturnLine>,
    /// How it is refunded; together exactly what is due.
    #[serde(default)]
    #[graphql(default)]
    #[garde(length(max = 20), dive)]
    refund_tenders: Vec<NewTender>,
    /// Why.
    #[garde(inner(custom(short_text)))]
    reason: Option<String>,
    /// Number of an outside document that this return mirrors.
    #[garde(inner(custom(short_text)))]
    external_reference: Option<String>,
}

/// No line names more pieces than come back.
fn named(lines: &[NewReturnLine]) -> Result<(), Fault> {
    let more = |l: &NewReturnLine| Quantity::from(l.serials.len() as i64) > l.qty;
    match lines.iter().position(more) {
        Some(n) => Err(Fault::field(
            format!("lines[{n}].serials"),
            "names more than come back",
        )),
        None => Ok(()),
    }
}

fn billed(lines: &[NewReturnLine]) -> Result<Vec<Back>, Fault> {
    named(lines)?;
    let mut backs: Vec<Back> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let field = |name: &str| format!("lines[{index}].{name}");
        let original = line
            .original_line
            .ok_or_else(|| Fault::field(field("original_line"), "is needed with a bill"))?;
        if line.product_id.is_some()
            || line.barcode.is_some()
            || line.sku.is_some()
            || line.unit_price.is_some()
        {
            return Err(Fault::field(
                field("original_line"),
                "says product and price already",
            ));
        }
        if backs.iter().any(|b| b.line == original) {
            return Err(Fault::field(field("original_line"), "names a line twice"));
        }
        backs.push(Back {
            line: original,
            qty: line.qty,
            disposition: line.disposition,
            serials: line.serials.clone(),
        });
    }
    Ok(backs)
}

fn unbilled(lines: &[NewReturnLine]) -> Result<Vec<NewLine>, Fault> {
    named(lines)?;
    let line = |(index, line): (usize, &NewReturnLine)| {
        let names = [
            line.product_id.is_some(),
            line.barcode.is_some(),
            line.sku.is_some(),
        ];
        if line.original_line.is_some() {
            return Err(Fault::field(
                format!("lines[{index}].original_line"),
                "needs original_invoice_id",
            ));
        }
        if names.into_iter().filter(|given| *given).count() != 1 {
            return Err(Fault::field(
                format!("lines[{index}]"),
                "needs exactly one of product_id, barcode and sku",
            ));
        }
        Ok(NewLine {
            product_id: line.product_id,
            barcode: line.barcode.clone(),
            sku: line.sku.clone(),
            qty: line.qty,
            unit_price: line.unit_price,
            price_includes_tax: None,
            discount: None,
            reason: line.reason.clone(),
            batch_mrp: None,
            serials: line.serials.clone(),
        })
    };
    lines.iter().enumerate().map(line).collect()
}

/// A line of a credit note.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "ReturnLine", complex)]
pub(super) struct ReturnLineBody {
    line: i32,
    original_line: Option<i32>,
    pub(super) product_id: ProductId,
    description: String,
    hsn: String,
    uqc: String,
    qty: Quantity,
    tax_category: String,
    rate: Rate,
    cess_rate: Rate,
    taxable: Money,
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
    total: Money,
    disposition: String,
    /// Serial numbers of its pieces, as far as they were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    serials: Vec<String>,
}

/// A return, as its credit note.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Return", complex)]
pub(crate) struct ReturnBody {
    #[serde(flatten)]
    #[graphql(flatten)]
    pub(super) summary: ReturnSummary,
    #[graphql(skip)]
    pub(super) lines: Vec<ReturnLineBody>,
    #[graphql(skip)]
    pub(super) refund_tenders: Vec<TenderBody>,
}
impl Versioned for ReturnBody {
    fn version(&self) -> Option<i64> {
        Some(self.summary.version)
    }
}

/// A return in a list.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "ReturnSummary")]
pub(super) struct ReturnSummary {
    #[graphql(name = "id")]
    pub(super) credit_note_id: InvoiceId,
    number: String,
    date: NaiveDate,
    issued_at: DateTime<Utc>,
    pub(super) original_invoice_id: Option<InvoiceId>,
    pub(super) branch_id: BranchId,
    pub(super) location_id: LocationId,
    pub(super) till_id: Option<TillId>,
    session_id: Option<PosSessionId>,
    pub(super) cashier_id: Option<UserId>,
    place_of_supply: String,
    inter_state: bool,
    reason: Option<String>,
    taxable: Money,
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
    round_off: Money,
    total: Money,
    currency: String,
    external_reference: Option<String>,
    version: i64,
}

impl From<NoteHeader> for ReturnSummary {
    fn from(h: NoteHeader) -> Self {
        Self {
            credit_note_id: h.credit_note_id,
            number: h.number,
            date: h.date,
            issued_at: h.issued_at,
            original_invoice_id: h.original_invoice_id,
            branch_id: h.branch_id,
            location_id: h.location_id,
            till_id: h.till_id,
            session_id: h.session_id,
            cashier_id: h.cashier_id,
            place_of_supply: h.place_of_supply,
            inter_state: h.inter_state,
            reason: h.reason,
            taxable: h.taxable,
            cgst: h.cgst,
            sgst: h.sgst,
            igst: h.igst,
            cess: h.cess,
            round_off: h.round_off,
            total: h.total,
            currency: h.currency,
            external_reference: h.external_reference,
            version: h.version,
        }
    }
}

impl From<CreditNote> for ReturnBody {
    fn from(note: CreditNote) -> Self {
        let lines = note.lines.into_iter().map(|l| ReturnLineBody {
            line: l.line,
            original_line: l.original_line,
            product_id: l.product_id,
            description: l.description,
            hsn: l.hsn,
            uqc: l.uqc,
            qty: l.qty,
            tax_category: l.tax_category,
            rate: l.rate,
            cess_rate: l.cess_rate,
            taxable: l.taxable,
            cgst: l.cgst,
            sgst: l.sgst,
            igst: l.igst,
            cess: l.cess,
            total: l.total,
            disposition: l.disposition,
            serials: serials_of(&l.serials),
        });
        let tenders = note.tenders.into_iter().map(TenderBody::from);
        Self {
            lines: lines.collect(),
            refund_tenders: tenders.collect(),
            summary: note.header.into(),
        }
    }
}

/// Takes goods back and issues the credit note.
#[utoipa::path(tag = "returns", security(("bearer" = ["sales.return.write"])), request_body = NewReturn, responses(
    (status = 201, body = ReturnBody),
    (status = 403, description = "Without a bill, and without sales.return.unbilled"),
    (status = 409, description = "SESSION_CLOSED or NOT_YET_KNOWN"),
    (status = 422, description = "EXCEEDS_SOLD, NO_SUCH_LINE, REFUND_MISMATCH (says what is due), REFUND_EXCEEDS_PAID, DRAWER_SHORT")))]
#[post("/api/v1/sales/returns")]
async fn take_back(state: web::Data<State>, req: Post<NewReturn>) -> Result<HttpResponse, Problem> {
    let made = taken_back(&state, &req.caller, req.body).await?;
    Ok(created(&made.map(ReturnBody::from)))
}

/// Takes goods back, with their bill or without.
pub(super) async fn taken_back(
    state: &State,
    caller: &Caller,
    body: NewReturn,
) -> Result<Done<CreditNote>, Error> {
    caller.require("sales.return.write")?;
    let common = Common {
        session_id: body.session_id,
        location_id: body.location_id,
        tenders: body.refund_tenders,
        reason: body.reason,
        external_reference: body.external_reference,
        slip: None,
    };
    match body.original_invoice_id {
        Some(original) => {
            let backs = billed(&body.lines)?;
            commands::take_back(state, caller, original, backs, common).await
        }
        None => {
            caller.require("sales.return.unbilled")?;
            let lines = unbilled(&body.lines)?;
            let dispositions = body.lines.iter().map(|l| l.disposition).collect();
            commands::take_back_unbilled(state, caller, lines, dispositions, common).await
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(super) struct ReturnFilter {
    /// Exactly this number, in any case.
    number: Option<String>,
    original_invoice_id: Option<InvoiceId>,
    branch_id: Option<BranchId>,
    session_id: Option<PosSessionId>,
}

/// Returns, newest first unless sorted by `issued_at:asc`.
#[utoipa::path(tag = "returns", security(("bearer" = ["sales.return.read"])), params(PageQuery, ReturnFilter), responses((status = 200, body = Page<ReturnSummary>)))]
#[get("/api/v1/sales/returns")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<ReturnFilter>,
) -> Result<HttpResponse, Problem> {
    let notes = listed(&state, &caller, &filter, &query).await?;
    Ok(page(&notes.map(ReturnSummary::from)))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: &ReturnFilter,
    query: &PageQuery,
) -> Result<Page<NoteHeader>, Error> {
    caller.require("sales.return.read")?;
    let walk = Timed::read(query, "issued_at")?;
    let wanted = store::Filter {
        number: filter.number.as_deref().map(str::to_ascii_uppercase),
        original_invoice_id: filter.original_invoice_id.map(InvoiceId::uuid),
        branch_id: filter.branch_id.map(BranchId::uuid),
        session_id: filter.session_id.map(PosSessionId::uuid),
        walk,
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    Ok(paged_by_time(rows, query, total, |h| {
        (h.issued_at, h.credit_note_id.uuid())
    }))
}

/// One return.
#[utoipa::path(tag = "returns", security(("bearer" = ["sales.return.read"])), responses((status = 200, body = ReturnBody), (status = 404)))]
#[get("/api/v1/sales/returns/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<InvoiceId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::get(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(ReturnBody::from(found))))
}
