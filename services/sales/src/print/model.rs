//! What is printed, and what stands on it.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use bahi_gst::StateCode;
use bahi_objects::{Objects, S3};
use bahi_prints::{Copy, Document, Fonts, Kind, Line, Party, Payment, receipt};
use bahi_service::Env;
use bahi_types::{InvoiceId, Money, UserId};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    invoice::{Header, Invoice, Tender, serials_of},
    organisation::Letterhead,
    returns::CreditNote,
};

/// Where Debian puts its fonts.
const FONTS: &str = "/usr/share/fonts/truetype/noto";
/// Seconds by which India is ahead.
const INDIA: i32 = 19_800;

/// What it takes to print.
#[derive(Clone)]
pub(crate) struct Printer {
    pub(super) fonts: Option<Arc<Fonts>>,
    /// Where the A4s lie.
    pub(super) store: Option<Objects>,
    /// Turns for drawing.
    pub(super) turns: Arc<Semaphore>,
}

impl Printer {
    /// From the settings.
    pub fn new(env: &Env) -> anyhow::Result<Self> {
        let set = env.optional("BAHI_FONTS");
        let folder = set.as_deref().unwrap_or(FONTS);
        let fonts = match Fonts::load(Path::new(folder)) {
            _ if folder == "none" => None,
            Ok(fonts) => Some(Arc::new(fonts)),
            Err(error) if set.is_some() => return Err(error).context("BAHI_FONTS"),
            Err(error) => {
                tracing::warn!(%error, "no fonts: there are no PDFs, and receipts in the printer's letters alone");
                None
            }
        };
        let turns = env.parse("BAHI_PRINTS", 2_usize)?.max(1);
        Ok(Self {
            fonts,
            store: S3::read(env, "invoices")?.as_ref().map(Objects::new),
            turns: Arc::new(Semaphore::new(turns)),
        })
    }
}

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Invoice(InvoiceId),
    CreditNote(InvoiceId),
}

impl Subject {
    /// Its id.
    pub fn id(self) -> InvoiceId {
        match self {
            Self::Invoice(id) | Self::CreditNote(id) => id,
        }
    }

    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoice(_) => "invoice",
            Self::CreditNote(_) => "credit_note",
        }
    }

    /// From what is stored.
    pub fn of(name: &str, id: InvoiceId) -> Self {
        if name == "credit_note" {
            Self::CreditNote(id)
        } else {
            Self::Invoice(id)
        }
    }
}

/// How a receipt is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Commands of a thermal printer.
    #[default]
    Escpos,
    /// A page for a browser.
    Html,
    /// A PDF as long as the receipt.
    Pdf,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Receipt(Format, receipt::Width, receipt::Options),
    A4(Copy),
}

impl Form {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receipt(..) => "receipt",
            Self::A4(_) => "a4",
        }
    }

    /// As it is stored.
    pub const fn copy(self) -> &'static str {
        match self {
            Self::Receipt(..) => copy_name(Copy::Original),
            Self::A4(copy) => copy_name(copy),
        }
    }

    /// As it is stored.
    pub const fn format(self) -> &'static str {
        match self {
            Self::Receipt(Format::Escpos, ..) => "escpos",
            Self::Receipt(Format::Html, ..) => "html",
            Self::Receipt(Format::Pdf, ..) | Self::A4(_) => "pdf",
        }
    }

    /// Millimetres of a receipt's paper.
    pub fn width(self) -> Option<i32> {
        match self {
            Self::Receipt(_, width, _) => Some(i32::from(width.millimetres())),
            Self::A4(_) => None,
        }
    }

    /// What the answer is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Receipt(Format::Escpos, ..) => "application/octet-stream",
            Self::Receipt(Format::Html, ..) => "text/html; charset=utf-8",
            Self::Receipt(Format::Pdf, ..) | Self::A4(_) => "application/pdf",
        }
    }
}

/// As it is stored.
pub(super) const fn copy_name(copy: Copy) -> &'static str {
    match copy {
        Copy::Original => "original",
        Copy::Duplicate => "duplicate",
        Copy::Triplicate => "triplicate",
    }
}

/// A print that was made.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(super) struct Logged {
    #[diesel(sql_type = SqlUuid)]
    pub print_id: Uuid,
    #[diesel(sql_type = Text)]
    pub form: String,
    #[diesel(sql_type = Text)]
    pub copy: String,
    #[diesel(sql_type = Integer)]
    pub print_no: i32,
    #[diesel(sql_type = Text)]
    pub format: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub width: Option<i32>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub printed_by: Option<UserId>,
    #[diesel(sql_type = Timestamptz)]
    pub printed_at: DateTime<Utc>,
}

fn state(code: &str) -> Result<StateCode> {
    code.parse()
        .map_err(|e: bahi_gst::StateCodeError| Error::Uncomputable(e.to_string()))
}

fn time(at: DateTime<Utc>) -> NaiveTime {
    FixedOffset::east_opt(INDIA).map_or_else(
        || at.time(),
        |india| at.with_timezone(&india).naive_local().time(),
    )
}

fn seller(letterhead: &Letterhead, gstin: Option<&str>) -> Result<Party> {
    let branch = letterhead.branch.clone();
    Ok(Party {
        trade_name: branch.filter(|name| *name != letterhead.legal_name),
        name: Some(letterhead.legal_name.clone()),
        address: letterhead.address.clone(),
        phone: letterhead.phone.clone(),
        gstin: gstin.map(str::to_owned),
        state: Some(state(&letterhead.state_code)?),
    })
}

fn buyer(header: &Header) -> Result<Party> {
    let code = header.buyer_state.as_deref();
    let by_gstin = header
        .gstin_buyer
        .as_deref()
        .and_then(|gstin| gstin.get(..2));
    Ok(Party {
        name: header.buyer_name.clone(),
        trade_name: None,
        address: header.buyer_address.clone(),
        phone: header.buyer_phone.clone(),
        gstin: header.gstin_buyer.clone(),
        state: code.or(by_gstin).map(state).transpose()?,
    })
}

/// Services have codes that begin with 99.
fn has_goods(lines: &[Line]) -> bool {
    lines.iter().any(|line| !line.hsn.starts_with("99"))
}

fn note(serials: &serde_json::Value) -> Option<String> {
    let serials = serials_of(serials);
    (!serials.is_empty()).then(|| format!("Serial no. {}", serials.join(", ")))
}

/// The facts of the document, under the names that the e-invoice portal's code has; nobody has signed them.
fn code(document: &Document) -> Option<String> {
    let main = document.lines.iter().max_by_key(|line| line.taxable)?;
    let kind = if document.kind == Kind::CreditNote {
        "CRN"
    } else {
        "INV"
    };
    let facts = json!({
        "SellerGstin": document.supplier.gstin.as_deref()?,
        "BuyerGstin": document.buyer.gstin.as_deref().unwrap_or("URP"),
        "DocNo": document.number,
        "DocTyp": kind,
        "DocDt": document.date.format("%d/%m/%Y").to_string(),
        "TotInvVal": document.total,
        "ItemCnt": document.lines.len(),
        "MainHsnCode": main.hsn,
    });
    Some(facts.to_string())
}

fn payment(t: &Tender) -> Payment {
    Payment {
        method: t.method.clone(),
        amount: t.amount,
        reference: t.reference.clone(),
    }
}

/// What stands on an invoice.
pub(super) fn of_invoice(invoice: &Invoice, letterhead: &Letterhead) -> Result<Document> {
    let h = &invoice.header;
    let line = |l: &crate::invoice::Line| Line {
        description: l.description.clone(),
        hsn: l.hsn.clone(),
        uqc: l.uqc.clone(),
        qty: l.qty,
        unit_price: Some(l.unit_price),
        discount: l.discount + l.bill_discount,
        taxed: l.tax_category == "taxable",
        rate: l.rate,
        cess_rate: l.cess_rate,
        taxable: l.taxable,
        cgst: l.cgst,
        sgst: l.sgst,
        igst: l.igst,
        cess: l.cess,
        total: l.total,
        note: note(&l.serials),
    };
    let lines: Vec<Line> = invoice.lines.iter().map(line).collect();
    let registered = h.gstin_supplier.is_some();
    let mut document = Document {
        kind: Kind::of_sale(registered, h.gstin_buyer.is_some(), &lines),
        number: h.number.clone(),
        date: h.date,
        time: time(h.issued_at),
        supplier: seller(letterhead, h.gstin_supplier.as_deref())?,
        buyer: buyer(h)?,
        place_of_supply: state(&h.place_of_supply)?,
        inter_state: h.inter_state,
        reverse_charge: h.reverse_charge,
        against: None,
        reason: None,
        till: letterhead.till.clone(),
        goods: has_goods(&lines),
        lines,
        discount: h.discount,
        taxable: h.taxable,
        cgst: h.cgst,
        sgst: h.sgst,
        igst: h.igst,
        cess: h.cess,
        round_off: h.round_off,
        total: h.total,
        payments: invoice.tenders.iter().map(payment).collect(),
        change: h.change,
        qr: None,
    };
    document.qr = code(&document);
    Ok(document)
}

/// What stands on a credit note; `original` is the invoice that it corrects.
pub(super) fn of_note(
    credit: &CreditNote,
    original: Option<&Header>,
    letterhead: &Letterhead,
) -> Result<Document> {
    let h = &credit.header;
    let line = |l: &crate::returns::NoteLine| Line {
        description: l.description.clone(),
        hsn: l.hsn.clone(),
        uqc: l.uqc.clone(),
        qty: l.qty,
        unit_price: None,
        discount: Money::ZERO,
        taxed: l.tax_category == "taxable",
        rate: l.rate,
        cess_rate: l.cess_rate,
        taxable: l.taxable,
        cgst: l.cgst,
        sgst: l.sgst,
        igst: l.igst,
        cess: l.cess,
        total: l.total,
        note: note(&l.serials),
    };
    let lines: Vec<Line> = credit.lines.iter().map(line).collect();
    let against = |header: &Header| -> (String, NaiveDate) { (header.number.clone(), header.date) };
    let mut document = Document {
        kind: Kind::CreditNote,
        number: h.number.clone(),
        date: h.date,
        time: time(h.issued_at),
        supplier: seller(letterhead, h.gstin_supplier.as_deref())?,
        buyer: original.map(buyer).transpose()?.unwrap_or_default(),
        place_of_supply: state(&h.place_of_supply)?,
        inter_state: h.inter_state,
        reverse_charge: original.is_some_and(|header| header.reverse_charge),
        against: original.map(against),
        reason: h.reason.clone(),
        till: letterhead.till.clone(),
        goods: has_goods(&lines),
        lines,
        discount: Money::ZERO,
        taxable: h.taxable,
        cgst: h.cgst,
        sgst: h.sgst,
        igst: h.igst,
        cess: h.cess,
        round_off: h.round_off,
        total: h.total,
        payments: credit.tenders.iter().map(payment).collect(),
        change: Money::ZERO,
        qr: None,
    };
    document.qr = code(&document);
    Ok(document)
}
