//! A document on A4, with all that rule 46 of the CGST Rules asks of a tax invoice (rules 49 and 53 of the others ask for
//! less): parties with address and GSTIN, consecutive number and date, HSN, description, quantity and unit, taxable value,
//! rate and amount of each tax, place of supply with the name of the state, whether tax is payable on reverse charge, the
//! place for the signature, and the copy (rule 48).
//!
//! Lines flow over as many pages as they need; a page carries its sums to the next.

use bahi_types::{Money, Rate};
use rust_decimal::Decimal;

use crate::{
    document::{Copy, Document, Kind, Line, Mark, Party, grouped, percent},
    font::{Fonts, Length, Run, Weight},
    pdf::Canvas,
    qr::{QUIET, Qr},
    words,
};

const WIDTH: Length = 595_276;
const HEIGHT: Length = 841_890;
const MARGIN: Length = 28_000;
const INNER: Length = WIDTH - 2 * MARGIN;
/// Where a page's content ends; its number stands below.
const BOTTOM: Length = HEIGHT - MARGIN - 14_000;
const SMALL: Length = 7_000;
const NORMAL: Length = 8_000;
const LARGE: Length = 14_000;
const RULE: Length = 500;
/// From one line of text to the next, in hundredths of the size: Indian marks stand high and deep.
const LEADING: Length = 140;
/// White on both sides of a cell.
const PAD: Length = 2_000;
const QR_SIDE: Length = 80_000;

/// The document's copy as PDF. The same document, copy and mark give the same bytes.
pub fn pdf(document: &Document, copy: Copy, mark: Mark, fonts: &Fonts) -> Vec<u8> {
    let mut sheet = Sheet {
        fonts,
        document,
        copy,
        mark,
        canvas: Canvas::new(fonts),
        y: 0,
        columns: columns(document),
    };
    sheet.turn();
    sheet.parties();
    sheet.lines();
    sheet.totals();
    sheet.hsn();
    sheet.foot();
    sheet.numbers();
    sheet.canvas.finish(&document.number)
}

/// What a column of the lines' table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Number,
    Description,
    Hsn,
    Quantity,
    Price,
    Discount,
    Taxable,
    Central,
    State,
    Integrated,
    Cess,
    Total,
}

fn columns(document: &Document) -> Vec<(Column, Length)> {
    use Column::{
        Central, Cess, Description, Discount, Hsn, Integrated, Number, Price, Quantity, State,
        Taxable, Total,
    };
    let mut columns = vec![(Number, 20_000), (Description, 0), (Hsn, 42_000)];
    columns.push((Quantity, 48_000));
    if document.lines.iter().any(|line| line.unit_price.is_some()) {
        columns.push((Price, 50_000));
    }
    if document.lines.iter().any(|line| !line.discount.is_zero()) {
        columns.push((Discount, 42_000));
    }
    columns.push((Taxable, 58_000));
    if document.inter_state {
        columns.push((Integrated, 52_000));
    } else if document.kind != Kind::BillOfSupply {
        columns.extend([(Central, 46_000), (State, 46_000)]);
    }
    if document.lines.iter().any(|line| !line.cess.is_zero()) {
        columns.push((Cess, 42_000));
    }
    columns.push((Total, 60_000));
    let taken: Length = columns.iter().map(|(_, width)| width).sum();
    for (column, width) in &mut columns {
        if *column == Description {
            *width = INNER - taken;
        }
    }
    columns
}

/// Sums of the lines so far.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    taxable: Money,
    cgst: Money,
    sgst: Money,
    igst: Money,
    cess: Money,
    total: Money,
}

impl Carried {
    fn add(&mut self, line: &Line) {
        self.taxable += line.taxable;
        self.cgst += line.cgst;
        self.sgst += line.sgst;
        self.igst += line.igst;
        self.cess += line.cess;
        self.total += line.total;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
    Centre,
}

struct Sheet<'d> {
    fonts: &'d Fonts,
    document: &'d Document,
    copy: Copy,
    mark: Mark,
    canvas: Canvas<'d>,
    /// How far down the last page is filled.
    y: Length,
    columns: Vec<(Column, Length)>,
}

fn high(size: Length) -> Length {
    size * LEADING / 100
}

impl Sheet<'_> {
    fn page(&self) -> usize {
        self.canvas.pages().saturating_sub(1)
    }

    /// Draws a line of text with its upper edge at `y`. What is too wide for its place is drawn smaller.
    fn put(
        &mut self,
        (x, y, width): (Length, Length, Length),
        text: &str,
        size: Length,
        weight: Weight,
        align: Align,
    ) {
        let runs = self.fonts.shape(text, weight);
        self.put_runs((x, y, width), &runs, size, align);
    }

    fn put_runs(
        &mut self,
        (x, y, width): (Length, Length, Length),
        runs: &[Run],
        size: Length,
        align: Align,
    ) {
        let mut size = size;
        let mut wide = self.fonts.width(runs, size);
        if wide > width && wide > 0 {
            size = (size * width / wide).max(3_000);
            wide = self.fonts.width(runs, size);
        }
        let x = match align {
            Align::Left => x,
            Align::Right => x + width - wide,
            Align::Centre => x + (width - wide) / 2,
        };
        let page = self.page();
        self.canvas.text(page, x, y + size * 105 / 100, runs, size);
    }

    fn rule(&mut self) {
        let (page, y) = (self.page(), self.y);
        self.canvas.block(page, MARGIN, y, INNER, RULE);
        self.y += RULE + PAD;
    }

    /// A new page with its heading.
    fn turn(&mut self) {
        self.canvas.add_page(WIDTH, HEIGHT);
        self.y = MARGIN;
        let (document, first) = (self.document, self.canvas.pages() == 1);
        let whole = |y| (MARGIN, y, INNER);
        let copy = self.copy.title(document.goods);
        let (title, y) = (document.kind.title(), self.y);
        self.put(whole(y), copy, SMALL, Weight::Regular, Align::Right);
        if let Some(mark) = self.mark.text() {
            self.put(whole(y), &mark, NORMAL, Weight::Bold, Align::Left);
        }
        self.y += high(SMALL) + PAD;
        let (size, y) = (if first { LARGE } else { NORMAL }, self.y);
        self.put(whole(y), title, size, Weight::Bold, Align::Centre);
        if !first {
            let date = document.date.format("%d-%m-%Y");
            let number = format!("No. {} of {date}", document.number);
            self.put(whole(y), &number, NORMAL, Weight::Regular, Align::Right);
            let name = document.supplier.name.clone().unwrap_or_default();
            self.put(whole(y), &name, NORMAL, Weight::Bold, Align::Left);
        }
        self.y += high(size) + PAD;
        self.rule();
    }

    /// Makes room for so much; on a new page, if need be.
    fn need(&mut self, height: Length) {
        if self.y + height > BOTTOM {
            self.turn();
        }
    }

    /// Lines of text in a box; gives where they end.
    fn paragraph(
        &mut self,
        (x, y, width): (Length, Length, Length),
        texts: &[(String, Weight)],
    ) -> Length {
        let mut y = y;
        for (text, weight) in texts {
            for line in self.fonts.wrap(text, *weight, NORMAL, width) {
                self.put((x, y, width), &line, NORMAL, *weight, Align::Left);
                y += high(NORMAL);
            }
        }
        y
    }

    fn parties(&mut self) {
        let document = self.document;
        let half = INNER / 2 - PAD;
        let right = MARGIN + INNER / 2 + PAD;
        let top = self.y;
        let supplier = party(&document.supplier);
        let left_end = self.paragraph((MARGIN, top, half), &supplier);
        let mut facts = vec![
            (format!("No.: {}", document.number), Weight::Bold),
            (
                format!("Date: {}", document.date.format("%d-%m-%Y")),
                Weight::Bold,
            ),
        ];
        let mut fact = |text: String| facts.push((text, Weight::Regular));
        if let Some((number, date)) = &document.against {
            let date = date.format("%d-%m-%Y");
            fact(format!("Against invoice: {number} of {date}"));
        }
        if let Some(reason) = &document.reason {
            fact(format!("Reason: {reason}"));
        }
        fact(format!("Place of supply: {}", document.place()));
        let reverse = if document.reverse_charge { "Yes" } else { "No" };
        fact(format!("Tax payable on reverse charge: {reverse}"));
        let right_end = self.paragraph((right, top, half), &facts);
        self.y = left_end.max(right_end) + PAD;
        self.rule();
        let mut buyer = vec![("Billed to".to_owned(), Weight::Bold)];
        let named = party(&document.buyer);
        if named.is_empty() {
            buyer.push(("Cash".to_owned(), Weight::Regular));
        }
        buyer.extend(named);
        let top = self.y;
        self.y = self.paragraph((MARGIN, top, INNER), &buyer) + PAD;
        self.rule();
    }

    /// A row of texts, each of several lines, in columns.
    fn row(&mut self, cells: &[(Length, Align, Vec<String>)], weight: Weight) {
        let mut x = MARGIN;
        let y = self.y;
        let most = cells.iter().map(|(_, _, lines)| lines.len()).max();
        for (width, align, lines) in cells {
            let place = |at: i64| (x + PAD, y + at * high(SMALL), width - 2 * PAD);
            for (at, line) in (0..).zip(lines) {
                self.put(place(at), line, SMALL, weight, *align);
            }
            x += width;
        }
        let most = i64::try_from(most.unwrap_or_default()).unwrap_or_default();
        self.y += most * high(SMALL) + PAD;
    }

    fn header_row(&mut self) {
        let state = self.document.state_tax();
        let cells: Vec<_> = self
            .columns
            .iter()
            .map(|(column, width)| {
                let text = match column {
                    Column::Number => "#",
                    Column::Description => "Description",
                    Column::Hsn => "HSN/SAC",
                    Column::Quantity => "Quantity",
                    Column::Price => "Rate",
                    Column::Discount => "Discount",
                    Column::Taxable => "Taxable value",
                    Column::Central => "CGST",
                    Column::State => state,
                    Column::Integrated => "IGST",
                    Column::Cess => "Cess",
                    Column::Total => "Total",
                };
                (*width, side(*column), vec![text.to_owned()])
            })
            .collect();
        self.row(&cells, Weight::Bold);
        self.rule();
    }

    /// The sums so far, under a name.
    fn carry(&mut self, name: &str, sums: Carried) {
        let cells: Vec<_> = self
            .columns
            .iter()
            .map(|(column, width)| {
                let text = match column {
                    Column::Description => name.to_owned(),
                    Column::Taxable => grouped(sums.taxable),
                    Column::Central => grouped(sums.cgst),
                    Column::State => grouped(sums.sgst),
                    Column::Integrated => grouped(sums.igst),
                    Column::Cess => grouped(sums.cess),
                    Column::Total => grouped(sums.total),
                    _ => String::new(),
                };
                (*width, side(*column), vec![text])
            })
            .collect();
        self.row(&cells, Weight::Bold);
    }

    fn lines(&mut self) {
        self.header_row();
        let mut sums = Carried::default();
        // A row at the foot of each page but the last says what is carried.
        let reserve = high(SMALL) + 2 * PAD + RULE;
        for (at, line) in self.document.lines.iter().enumerate() {
            let cells: Vec<_> = self
                .columns
                .iter()
                .map(|(column, width)| {
                    let lines = self.cell(*column, *width, at, line);
                    (*width, side(*column), lines)
                })
                .collect();
            let most = cells.iter().map(|(_, _, lines)| lines.len()).max();
            let most = i64::try_from(most.unwrap_or_default()).unwrap_or_default();
            if at > 0 && self.y + most * high(SMALL) + PAD + reserve > BOTTOM {
                self.rule();
                self.carry("Carried forward", sums);
                self.turn();
                self.header_row();
                self.carry("Brought forward", sums);
            }
            self.row(&cells, Weight::Regular);
            sums.add(line);
        }
        self.rule();
        self.carry("Total", sums);
        self.rule();
    }

    fn cell(&self, column: Column, width: Length, at: usize, line: &Line) -> Vec<String> {
        let half = Rate::rounded(line.rate.decimal() / Decimal::TWO);
        let of = |rate: Rate, amount: Money| {
            if line.taxed {
                vec![grouped(amount), percent(rate.decimal())]
            } else {
                vec![grouped(amount)]
            }
        };
        match column {
            Column::Number => vec![(at + 1).to_string()],
            Column::Description => {
                let room = width - 2 * PAD;
                let wrap = |text: &str| self.fonts.wrap(text, Weight::Regular, SMALL, room);
                let mut lines = wrap(&line.description);
                if let Some(note) = &line.note {
                    lines.extend(wrap(note));
                }
                if !line.taxed && self.document.kind != Kind::BillOfSupply {
                    lines.extend(wrap("(not taxed)"));
                }
                lines
            }
            Column::Hsn => vec![line.hsn.clone()],
            Column::Quantity => vec![line.qty.to_string(), line.uqc.clone()],
            Column::Price => {
                let price = line.unit_price.map(|price| price.decimal().normalize());
                vec![price.map(|price| price.to_string()).unwrap_or_default()]
            }
            Column::Discount => vec![grouped(line.discount)],
            Column::Taxable => vec![grouped(line.taxable)],
            Column::Central => of(half, line.cgst),
            Column::State => of(half, line.sgst),
            Column::Integrated => of(line.rate, line.igst),
            Column::Cess => of(line.cess_rate, line.cess),
            Column::Total => vec![grouped(line.total)],
        }
    }

    fn totals(&mut self) {
        let document = self.document;
        let mut sums = Vec::new();
        if !document.discount.is_zero() {
            sums.push(("Discounts, taken off already", document.discount));
        }
        sums.push(("Taxable value", document.taxable));
        let taxes = [
            ("CGST", document.cgst),
            (document.state_tax(), document.sgst),
            ("IGST", document.igst),
            ("Cess", document.cess),
            ("Round off", document.round_off),
        ];
        sums.extend(taxes.into_iter().filter(|(_, amount)| !amount.is_zero()));
        let count = i64::try_from(sums.len()).unwrap_or_default();
        self.need((count + 4) * high(NORMAL));
        let label = MARGIN + INNER / 2;
        let width = INNER / 2;
        for (name, amount) in sums {
            let y = self.y;
            self.put(
                (label, y, width),
                name,
                NORMAL,
                Weight::Regular,
                Align::Left,
            );
            let amount = grouped(amount);
            self.put(
                (label, y, width),
                &amount,
                NORMAL,
                Weight::Regular,
                Align::Right,
            );
            self.y += high(NORMAL);
        }
        let y = self.y;
        let name = if document.kind == Kind::CreditNote {
            "Amount credited (Rs)"
        } else {
            "Amount payable (Rs)"
        };
        self.put(
            (label, y, width),
            name,
            NORMAL + 1_000,
            Weight::Bold,
            Align::Left,
        );
        let total = grouped(document.total);
        self.put(
            (label, y, width),
            &total,
            NORMAL + 1_000,
            Weight::Bold,
            Align::Right,
        );
        self.y += high(NORMAL + 1_000) + PAD;
        let mut texts = vec![(words::amount(document.total), Weight::Bold)];
        for payment in &document.payments {
            let reference = payment.reference.as_deref().unwrap_or_default();
            let method = payment.method.to_uppercase();
            let amount = grouped(payment.amount);
            texts.push((
                format!("{method} {amount} {reference}").trim().to_owned(),
                Weight::Regular,
            ));
        }
        if document.change.is_positive() {
            let change = format!("Change {}", grouped(document.change));
            texts.push((change, Weight::Regular));
        }
        for text in texts {
            self.need(high(NORMAL) * 2);
            let y = self.y;
            self.y = self.paragraph((MARGIN, y, INNER), &[text]);
        }
        self.y += PAD;
        self.rule();
    }

    /// Sums by HSN, as the return wants them.
    fn hsn(&mut self) {
        if self.document.kind == Kind::BillOfSupply {
            return;
        }
        let document = self.document;
        let mut names = vec!["HSN/SAC", "Rate", "Taxable value"];
        if document.inter_state {
            names.push("IGST");
        } else {
            names.extend(["CGST", document.state_tax()]);
        }
        let cess = !document.cess.is_zero();
        if cess {
            names.push("Cess");
        }
        names.push("Total");
        let width = INNER / i64::try_from(names.len()).unwrap_or(1);
        let cells = |texts: Vec<String>| -> Vec<_> {
            let cell = |(at, text): (usize, String)| {
                let align = if at == 0 { Align::Left } else { Align::Right };
                (width, align, vec![text])
            };
            texts.into_iter().enumerate().map(cell).collect()
        };
        let heading = cells(names.into_iter().map(str::to_owned).collect());
        let line = high(SMALL) + PAD;
        self.need(4 * line);
        self.row(&heading, Weight::Bold);
        for sum in document.by_hsn() {
            if self.y + line > BOTTOM {
                self.turn();
                self.row(&heading, Weight::Bold);
            }
            let rate = percent(sum.rate.decimal());
            let mut texts = vec![sum.hsn, rate, grouped(sum.taxable)];
            if document.inter_state {
                texts.push(grouped(sum.igst));
            } else {
                texts.extend([grouped(sum.cgst), grouped(sum.sgst)]);
            }
            if cess {
                texts.push(grouped(sum.cess));
            }
            texts.push(grouped(sum.total));
            self.row(&cells(texts), Weight::Regular);
        }
        self.rule();
    }

    /// The code and the place for the signature.
    fn foot(&mut self) {
        self.need(QR_SIDE + 2 * PAD);
        let (page, top) = (self.page(), self.y);
        if let Some(code) = self.document.qr.as_deref().and_then(Qr::new) {
            let count = |n: usize| i64::try_from(n).unwrap_or_default();
            let module = QR_SIDE / count(code.width + 2 * QUIET).max(1);
            for (column, row, run) in code.runs() {
                let place = |n: usize| module * count(n + QUIET);
                let (x, y) = (MARGIN + place(column), top + place(row));
                self.canvas.block(page, x, y, module * count(run), module);
            }
        }
        let (x, width) = (MARGIN + INNER / 2, INNER / 2);
        let name = self.document.supplier.name.clone().unwrap_or_default();
        let name = format!("For {name}");
        self.put((x, top, width), &name, NORMAL, Weight::Bold, Align::Right);
        let below = top + QR_SIDE - high(NORMAL);
        let text = "Authorised signatory";
        self.put(
            (x, below, width),
            text,
            NORMAL,
            Weight::Regular,
            Align::Right,
        );
        self.y = top + QR_SIDE + PAD;
    }

    fn numbers(&mut self) {
        let pages = self.canvas.pages();
        for page in 0..pages {
            let text = format!("Page {} of {pages}", page + 1);
            let runs = self.fonts.shape(&text, Weight::Regular);
            let x = WIDTH - MARGIN - self.fonts.width(&runs, SMALL);
            self.canvas.text(page, x, HEIGHT - MARGIN, &runs, SMALL);
        }
    }
}

fn side(column: Column) -> Align {
    match column {
        Column::Number | Column::Description | Column::Hsn => Align::Left,
        _ => Align::Right,
    }
}

fn party(party: &Party) -> Vec<(String, Weight)> {
    let mut texts = Vec::new();
    if let Some(name) = &party.name {
        texts.push((name.clone(), Weight::Bold));
    }
    let plain = [&party.trade_name, &party.address];
    texts.extend(
        plain
            .into_iter()
            .flatten()
            .map(|text| (text.clone(), Weight::Regular)),
    );
    if let Some(phone) = &party.phone {
        texts.push((format!("Phone: {phone}"), Weight::Regular));
    }
    if let Some(gstin) = &party.gstin {
        texts.push((format!("GSTIN: {gstin}"), Weight::Regular));
    }
    if let Some(state) = party.state {
        texts.push((format!("State: {state} {}", state.name()), Weight::Regular));
    }
    texts
}
