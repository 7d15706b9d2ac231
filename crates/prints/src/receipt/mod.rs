//! A document on a roll of paper: what stands on it, line by line, and the three ways to send it.

mod escpos;
mod html;
mod layout;
mod pdf;

pub use escpos::{CodePage, Options, QrBy, escpos};
pub use html::html;
pub use pdf::pdf;

use rust_decimal::Decimal;

use crate::document::{Document, Kind, Line, Mark, grouped, percent};

/// The paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// 58 mm, of which 48 are printed: 384 dots, 32 letters.
    Mm58,
    /// 80 mm, of which 72 are printed: 576 dots, 48 letters.
    #[default]
    Mm80,
}

impl Width {
    /// Millimetres of paper.
    pub const fn millimetres(self) -> u16 {
        match self {
            Self::Mm58 => 58,
            Self::Mm80 => 80,
        }
    }

    /// Millimetres that are printed.
    const fn printed(self) -> u16 {
        match self {
            Self::Mm58 => 48,
            Self::Mm80 => 72,
        }
    }

    /// Dots of a line, eight a millimetre.
    const fn dots(self) -> usize {
        self.printed() as usize * 8
    }

    /// Letters of a line, twelve dots each.
    const fn letters(self) -> usize {
        self.dots() / 12
    }
}

/// A text can only be drawn, and there are no fonts to draw it with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the printer has no letters for {text:?}, and no fonts are installed to draw them")]
pub struct FontsMissing {
    /// The text.
    pub text: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    bold: bool,
    /// Twice as large.
    large: bool,
    centred: bool,
}

const PLAIN: Style = Style {
    bold: false,
    large: false,
    centred: false,
};
const BOLD: Style = Style {
    bold: true,
    ..PLAIN
};
const CENTRED: Style = Style {
    centred: true,
    ..PLAIN
};
const HEADING: Style = Style {
    bold: true,
    ..CENTRED
};
const TITLE: Style = Style {
    large: true,
    ..HEADING
};
const TOTAL: Style = Style {
    large: true,
    ..BOLD
};

/// A line of the receipt, or several where it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Text(String, Style),
    /// At both ends.
    Pair(String, String, Style),
    /// Columns of one width, the first to the left, the others to the right.
    Cells(Vec<String>, Style),
    Rule,
    Qr(String),
}

/// What stands on the receipt.
pub(crate) fn rows(document: &Document, mark: Mark) -> Vec<Row> {
    let mut rows = Vec::new();
    head(document, mark, &mut rows);
    rows.push(Row::Rule);
    for line in &document.lines {
        goods(line, &mut rows);
    }
    rows.push(Row::Rule);
    totals(document, &mut rows);
    for payment in &document.payments {
        let method = payment.method.to_uppercase();
        let name = match &payment.reference {
            Some(reference) => format!("{method} {reference}"),
            None => method,
        };
        rows.push(Row::Pair(name, grouped(payment.amount), PLAIN));
    }
    if document.change.is_positive() {
        rows.push(Row::Pair("Change".into(), grouped(document.change), PLAIN));
    }
    taxes(document, &mut rows);
    if let Some(code) = &document.qr {
        rows.push(Row::Rule);
        rows.push(Row::Qr(code.clone()));
    }
    rows
}

fn head(document: &Document, mark: Mark, rows: &mut Vec<Row>) {
    let supplier = &document.supplier;
    let mut centred = |text: String, style: Style| rows.push(Row::Text(text, style));
    let names = [&supplier.trade_name, &supplier.name];
    let mut names = names.into_iter().flatten();
    if let Some(name) = names.next() {
        centred(name.clone(), TITLE);
    }
    if let Some(name) = names.next() {
        centred(name.clone(), CENTRED);
    }
    for line in supplier.address.iter().flat_map(|address| address.lines()) {
        centred(line.to_owned(), CENTRED);
    }
    if let Some(phone) = &supplier.phone {
        centred(format!("Phone {phone}"), CENTRED);
    }
    if let Some(gstin) = &supplier.gstin {
        centred(format!("GSTIN {gstin}"), CENTRED);
    }
    centred(document.kind.title().into(), HEADING);
    if let Some(mark) = mark.text() {
        centred(mark, HEADING);
    }
    let pair = |left: String, right: String| Row::Pair(left, right, PLAIN);
    let date = document.date.format("%d-%m-%Y").to_string();
    rows.push(pair(format!("No. {}", document.number), date));
    let till = document.till.clone().unwrap_or_default();
    rows.push(pair(till, document.time.format("%H:%M").to_string()));
    if let Some((number, date)) = &document.against {
        rows.push(pair(
            format!("Against {number}"),
            date.format("%d-%m-%Y").to_string(),
        ));
    }
    let buyer = &document.buyer;
    let named = [&buyer.name, &buyer.phone, &buyer.address];
    for text in named.into_iter().flatten() {
        rows.push(Row::Text(text.clone(), PLAIN));
    }
    if let Some(gstin) = &buyer.gstin {
        rows.push(Row::Text(format!("GSTIN {gstin}"), PLAIN));
    }
    if document.inter_state {
        rows.push(Row::Text(
            format!("Place of supply {}", document.place()),
            PLAIN,
        ));
    }
    if document.reverse_charge {
        rows.push(Row::Text(
            "Tax payable on reverse charge: Yes".into(),
            PLAIN,
        ));
    }
}

fn goods(line: &Line, rows: &mut Vec<Row>) {
    rows.push(Row::Text(line.description.clone(), PLAIN));
    let price = line.unit_price.map(|price| {
        let price = price.decimal().normalize();
        format!(" x {}", price.round_dp(4).max(Decimal::ZERO))
    });
    let left = format!(
        " {} {}{} HSN {} {}",
        line.qty,
        line.uqc,
        price.unwrap_or_default(),
        line.hsn,
        percent(line.rate.decimal())
    );
    rows.push(Row::Pair(left, grouped(line.total), PLAIN));
    if line.discount.is_positive() {
        let saved = format!(" Discount {}", grouped(line.discount));
        rows.push(Row::Text(saved, PLAIN));
    }
    if let Some(note) = &line.note {
        rows.push(Row::Text(format!(" {note}"), PLAIN));
    }
}

fn totals(document: &Document, rows: &mut Vec<Row>) {
    let mut sum = |name: &str, amount| rows.push(Row::Pair(name.into(), grouped(amount), PLAIN));
    sum("Taxable value", document.taxable);
    let taxes = [
        ("CGST", document.cgst),
        (document.state_tax(), document.sgst),
        ("IGST", document.igst),
        ("Cess", document.cess),
        ("Round off", document.round_off),
    ];
    for (name, amount) in taxes {
        if !amount.is_zero() {
            sum(name, amount);
        }
    }
    let name = match document.kind {
        Kind::CreditNote => "REFUND",
        _ => "TOTAL",
    };
    let total = format!("Rs {}", grouped(document.total));
    rows.push(Row::Pair(name.into(), total, TOTAL));
}

fn taxes(document: &Document, rows: &mut Vec<Row>) {
    let sums = document.by_rate();
    if document.supplier.gstin.is_none() || sums.iter().all(|sum| sum.rate.is_zero()) {
        return;
    }
    let cell = |text: &str| text.to_owned();
    rows.push(Row::Rule);
    let head = if document.inter_state {
        vec![cell("GST"), cell("Taxable"), cell("IGST")]
    } else {
        vec![
            cell("GST"),
            cell("Taxable"),
            cell("CGST"),
            cell(document.state_tax()),
        ]
    };
    rows.push(Row::Cells(head, BOLD));
    for sum in sums {
        let mut cells = vec![percent(sum.rate.decimal()), grouped(sum.taxable)];
        if document.inter_state {
            cells.push(grouped(sum.igst));
        } else {
            cells.push(grouped(sum.cgst));
            cells.push(grouped(sum.sgst));
        }
        rows.push(Row::Cells(cells, PLAIN));
    }
}
