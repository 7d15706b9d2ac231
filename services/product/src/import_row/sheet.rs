//! A CSV file read piece by piece, as it arrives. It never fails: what cannot be a row is a flaw of a line, and what is
//! no header is told by [`Sheet::problem`].

use std::collections::BTreeMap;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::{
    import_row::decoder::Decoder,
    text::{unguarded, words},
};

words! {
    /// The columns that mean something.
    pub enum Column {
        /// Stock-keeping unit; the key of a row.
        Sku = "sku",
        /// Name.
        Name = "name",
        /// `goods` or `service`.
        Kind = "kind",
        /// A name, or a path from the top: `Food > Biscuits`.
        Category = "category",
        /// Name of the brand.
        Brand = "brand",
        /// Code of the unit.
        Unit = "unit",
        /// HSN or SAC, where it names one tax profile only.
        Hsn = "hsn",
        /// Name of the tax profile.
        TaxProfile = "tax_profile",
        /// Selling price.
        Price = "price",
        /// Whether the price includes tax.
        PriceIncludesTax = "price_includes_tax",
        /// Maximum retail price.
        Mrp = "mrp",
        /// Barcodes, with `|` or a space between them.
        Barcode = "barcode",
        /// State.
        Status = "status",
        /// Tracked by batch.
        TrackBatch = "track_batch",
        /// Tracked by serial number.
        TrackSerial = "track_serial",
        /// Tracked by expiry date.
        TrackExpiry = "track_expiry",
    }
}

impl Column {
    /// The column that a header names, in our words or those that other systems use.
    fn of(header: &str) -> Option<Self> {
        let name = header.trim().to_lowercase().replace([' ', '-', '/'], "_");
        name.parse().ok().or(match name.as_str() {
            "item_code" | "product_code" | "code" => Some(Self::Sku),
            "product_name" | "item_name" => Some(Self::Name),
            "type" => Some(Self::Kind),
            "category_name" | "category_path" => Some(Self::Category),
            "brand_name" => Some(Self::Brand),
            "uom" | "unit_code" => Some(Self::Unit),
            "hsn_code" | "hsn_sac" | "sac" => Some(Self::Hsn),
            "tax_profile_name" | "tax" => Some(Self::TaxProfile),
            "selling_price" | "sale_price" => Some(Self::Price),
            "includes_tax" | "tax_included" | "tax_inclusive" => Some(Self::PriceIncludesTax),
            "barcodes" | "ean" | "gtin" | "upc" => Some(Self::Barcode),
            _ => None,
        })
    }
}

/// The cells of a row that are not empty.
pub type Cells = BTreeMap<Column, String>;

/// What is wrong with a cell, or with a whole row (`row`) or the header (`header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Line of the file on which the row begins.
    pub line: i64,
    /// Column.
    pub column: &'static str,
    /// The cell, at most 200 characters of it.
    pub value: String,
    /// What is wrong.
    pub reason: String,
}

impl Flaw {
    /// A flaw.
    pub fn new(line: i64, column: &'static str, value: &str, reason: impl Into<String>) -> Self {
        let plain = value.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self {
            line,
            column,
            value: plain.take(200).collect(),
            reason: reason.into(),
        }
    }
}

/// A row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Cells to look at.
    Row {
        /// Line of the file on which it begins.
        line: i64,
        /// The cells.
        cells: Cells,
    },
    /// Not to be read.
    Flawed(Flaw),
}

/// Longest row in bytes: a quote that is never closed must not swallow the memory.
const LONGEST: usize = 64 * 1024;
/// Longest cell in bytes that means anything: eight levels of categories.
const LONGEST_CELL: usize = 2000;
/// Why a header is none.
pub(super) const NO_KEY: &str = "The first line names no column sku.";
/// Most columns.
pub(super) const WIDEST: usize = 256;

/// A file on its way in.
pub struct Sheet {
    decoder: Decoder,
    text: Vec<u8>,
    /// The bytes before the end of the first line, which tells the delimiter.
    head: Vec<u8>,
    reader: Option<Reader>,
    record: Vec<u8>,
    length: usize,
    ends: Vec<usize>,
    cells: usize,
    overlong: bool,
    /// Ends of line read so far, those inside the record being read, and the last byte read.
    newlines: i64,
    inside: i64,
    last: u8,
    layout: Option<Vec<Option<Column>>>,
    ignored: Vec<String>,
    problem: Option<String>,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            decoder: Decoder::default(),
            text: Vec::new(),
            head: Vec::new(),
            reader: None,
            record: vec![0; LONGEST],
            length: 0,
            ends: vec![0; WIDEST],
            cells: 0,
            overlong: false,
            newlines: 0,
            inside: 0,
            last: 0,
            layout: None,
            ignored: Vec::new(),
            problem: None,
        }
    }
}

impl Sheet {
    /// Takes the next bytes and adds the rows that end in them to `lines`.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut text = std::mem::take(&mut self.text);
        self.decoder.feed(bytes, &mut text);
        self.take(&text, lines);
        text.clear();
        self.text = text;
    }

    fn take(&mut self, text: &[u8], lines: &mut Vec<Line>) {
        if text.is_empty() {
            return;
        }
        if self.reader.is_some() {
            return self.read(text, lines);
        }
        self.head.extend_from_slice(text);
        if self.head.contains(&b'\n') || self.head.len() > LONGEST {
            self.begin(lines);
        }
    }

    /// Ends the file and adds the last row to `lines`.
    pub fn finish(&mut self, lines: &mut Vec<Line>) {
        let mut text = Vec::new();
        self.decoder.finish(&mut text);
        self.take(&text, lines);
        if self.reader.is_none() {
            self.begin(lines);
        }
        self.read(&[], lines);
        if self.layout.is_none() && self.problem.is_none() {
            self.problem = Some("The file is empty.".into());
        }
    }

    /// Headers that mean nothing here.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Why the file cannot be read at all.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn begin(&mut self, lines: &mut Vec<Line>) {
        let head = std::mem::take(&mut self.head);
        if head.starts_with(b"PK\x03\x04") {
            self.problem = Some("The file is a workbook or another ZIP archive, not CSV.".into());
        }
        self.reader = Some(ReaderBuilder::new().delimiter(delimiter(&head)).build());
        if !head.is_empty() {
            self.read(&head, lines);
        }
    }

    /// Reads `input`; without any, the end of the file.
    fn read(&mut self, mut input: &[u8], lines: &mut Vec<Line>) {
        let at_end = input.is_empty();
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        while at_end || !input.is_empty() {
            let (record, ends) = (
                &mut self.record[self.length..],
                &mut self.ends[self.cells..],
            );
            let (result, consumed, written, ended) = reader.read_record(input, record, ends);
            let newlines = |bytes: &[u8]| {
                i64::try_from(bytes.iter().filter(|b| **b == b'\n').count()).unwrap_or(0)
            };
            self.inside += newlines(&record[..written]);
            self.newlines += newlines(&input[..consumed]);
            let terminated = input[..consumed].ends_with(b"\n");
            self.last = input[..consumed].last().copied().unwrap_or(self.last);
            input = &input[consumed..];
            self.length += written;
            self.cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.overlong = true;
                    if self.layout.is_none() && self.problem.is_none() {
                        let longest = "The first line has more than 64 KiB or 256 columns: is a quote not closed?";
                        self.problem = Some(longest.into());
                    }
                    (self.length, self.cells) = (0, 0);
                }
                ReadRecordResult::Record => {
                    self.record_read(lines, terminated);
                    (self.length, self.cells, self.inside, self.overlong) = (0, 0, 0, false);
                }
                ReadRecordResult::End => break,
            }
        }
        self.reader = Some(reader);
    }

    fn record_read(&mut self, lines: &mut Vec<Line>, terminated: bool) {
        if self.problem.is_some() {
            return;
        }
        // A record may be over before the newline of its CR LF is read, or end inside a quote with the file.
        let before = self.newlines - i64::from(terminated);
        let last = if self.last == b'\n' && !terminated {
            before
        } else {
            before + 1
        };
        let first = before - self.inside + 1;
        if self.overlong {
            let reason = format!(
                "lines {first} to {last} read as one row that is too long: is a quote not closed?"
            );
            lines.push(Line::Flawed(Flaw::new(first, "row", "", reason)));
            return;
        }
        let ends = &self.ends[..self.cells];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let cells: Vec<&[u8]> = starts
            .zip(ends)
            .map(|(start, end)| &self.record[start..*end])
            .collect();
        if cells.iter().all(|cell| cell.trim_ascii().is_empty()) {
            return;
        }
        match &self.layout {
            None => {
                let layout = headers(&cells, &mut self.ignored);
                if !layout.contains(&Some(Column::Sku)) {
                    self.problem = Some(NO_KEY.into());
                }
                self.layout = Some(layout);
            }
            Some(layout) => lines.push(row(layout, &cells, first, last)),
        }
    }
}

/// The delimiter that the first line holds most of, outside of quotes; a comma when it holds none.
fn delimiter(head: &[u8]) -> u8 {
    let mut quoted = false;
    let (mut commas, mut semicolons, mut tabs) = (0, 0, 0);
    for byte in head.iter().take_while(|b| !matches!(b, b'\n' | b'\r')) {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            b';' if !quoted => semicolons += 1,
            b'\t' if !quoted => tabs += 1,
            _ => {}
        }
    }
    if semicolons > commas && semicolons >= tabs {
        b';'
    } else if tabs > commas {
        b'\t'
    } else {
        b','
    }
}

/// The columns that a header names; the others are put into `ignored`.
pub(super) fn headers(cells: &[&[u8]], ignored: &mut Vec<String>) -> Vec<Option<Column>> {
    let mut layout: Vec<Option<Column>> = Vec::with_capacity(cells.len());
    for cell in cells {
        let header = String::from_utf8_lossy(cell);
        let column = Column::of(&header).filter(|column| !layout.contains(&Some(*column)));
        if column.is_none() && !header.trim().is_empty() {
            ignored.push(
                header
                    .trim()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(100)
                    .collect(),
            );
        }
        layout.push(column);
    }
    layout
}

/// A row that begins in line `first` and ends in line `last`.
pub(super) fn row(layout: &[Option<Column>], cells: &[&[u8]], first: i64, last: i64) -> Line {
    if cells
        .iter()
        .skip(layout.len())
        .any(|cell| !cell.trim_ascii().is_empty())
    {
        let reason = format!("has {} cells, the header has {}", cells.len(), layout.len());
        return Line::Flawed(Flaw::new(first, "row", "", reason));
    }
    let mut known = Cells::new();
    for (cell, column) in cells.iter().zip(layout) {
        let Some(column) = *column else { continue };
        let flawed = |reason: String| {
            Line::Flawed(Flaw::new(
                first,
                column.word(),
                &String::from_utf8_lossy(cell),
                reason,
            ))
        };
        let Ok(text) = std::str::from_utf8(cell) else {
            return flawed("is neither UTF-8 nor UTF-16".into());
        };
        let text = text.trim();
        if text.contains('\n') {
            return flawed(format!(
                "lines {first} to {last} read as one row: is a quote not closed?"
            ));
        }
        if text.len() > LONGEST_CELL {
            return flawed(format!("is longer than {LONGEST_CELL} bytes"));
        }
        if text.chars().any(char::is_control) {
            return flawed("contains a control character".into());
        }
        if !text.is_empty() {
            known.insert(column, unguarded(text).to_owned());
        }
    }
    Line::Row {
        line: first,
        cells: known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `file` in pieces of every size from one byte on; all must agree.
    fn read(file: &[u8]) -> (Vec<Line>, Sheet) {
        let whole = |piece: usize| {
            let (mut sheet, mut lines) = (Sheet::default(), Vec::new());
            file.chunks(piece.max(1))
                .for_each(|bytes| sheet.feed(bytes, &mut lines));
            sheet.finish(&mut lines);
            (lines, sheet)
        };
        let (lines, sheet) = whole(file.len());
        for piece in [1, 2, 3, 7, 64] {
            assert_eq!(whole(piece).0, lines, "pieces of {piece}");
        }
        (lines, sheet)
    }

    fn shown(lines: &[Line]) -> Vec<String> {
        let show = |line: &Line| match line {
            Line::Row { line, cells } => {
                let cells: Vec<String> = cells
                    .iter()
                    .map(|(c, v)| format!("{}={v}", c.word()))
                    .collect();
                format!("{line} {}", cells.join(" "))
            }
            Line::Flawed(flaw) => format!("{} {}! {}", flaw.line, flaw.column, flaw.reason),
        };
        lines.iter().map(show).collect()
    }

    #[test]
    fn byte_order_mark_semicolons_and_crlf_are_no_trouble() {
        let (lines, sheet) = read(
            "\u{feff}SKU;Item Name;Colour\r\nA;\"x; \"\"y\"\"\";red\r\n\r\n B ;;\r\n".as_bytes(),
        );
        assert_eq!(shown(&lines), ["2 sku=A name=x; \"y\"", "4 sku=B"]);
        assert_eq!(sheet.ignored(), ["Colour"]);
        assert_eq!(sheet.problem(), None);
    }

    #[test]
    fn a_bad_row_is_named_and_its_neighbours_are_read() {
        let mut file =
            b"sku,name\nA,one\nB,\"two\nand more\"\nC,\xff\xfe\nD,four,five,six\nE,\x00\nF,six"
                .to_vec();
        file.extend_from_slice(b"\n,,\nG,seven,\n");
        let (lines, _) = read(&file);
        assert_eq!(
            shown(&lines),
            [
                "2 sku=A name=one",
                "3 name! lines 3 to 4 read as one row: is a quote not closed?",
                "5 name! is neither UTF-8 nor UTF-16",
                "6 row! has 4 cells, the header has 2",
                "7 name! contains a control character",
                "8 sku=F name=six",
                "10 sku=G name=seven",
            ]
        );
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_memory() {
        let mut file = b"sku,name\nA,one\nB,\"two\n".to_vec();
        file.extend(b"C,three\n".repeat(20_000));
        let (lines, sheet) = read(&file);
        assert_eq!(
            shown(&lines),
            [
                "2 sku=A name=one",
                "3 row! lines 3 to 20003 read as one row that is too long: is a quote not closed?"
            ]
        );
        assert_eq!(sheet.record.len(), LONGEST);
    }

    #[test]
    fn a_file_without_the_key_column_is_refused_as_a_whole() {
        assert_eq!(
            read(b"name,price\nx,1\n").1.problem(),
            Some("The first line names no column sku.")
        );
        assert_eq!(read(b"").1.problem(), Some("The file is empty."));
        assert_eq!(read(b"\n\n").1.problem(), Some("The file is empty."));
        assert!(read(b"PK\x03\x04sku\n").1.problem().is_some());
        assert_eq!(read(b"\xff\xfes\0k\0u\0\n\0").1.problem(), None);
        assert_eq!(read(b"sku").1.problem(), None);
    }
}
