//! An XLSX workbook read row by row. Its archive is looked through before anything believes it: what it expands to, and
//! what a reader would have to hold of it at once, is bounded whatever it says of itself.

mod guard;

use std::{
    fs::File,
    io::{BufReader, Seek},
};

use calamine::{DataRef, DataType, Reader, SheetType, SheetVisible, Xlsx};
use rust_decimal::Decimal;

use crate::import_row::sheet::{Column, Flaw, Line, NO_KEY, WIDEST, headers, row};

pub use guard::Directory;

/// Rows that are handed on together.
const BATCH: usize = 1000;

/// A file that cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Unreadable {
    /// `file`, `header` or `row <n>`.
    pub field: String,
    /// What is wrong.
    pub rule: String,
}

impl Unreadable {
    /// The file as a whole.
    pub fn file(rule: impl Into<String>) -> Self {
        Self {
            field: "file".into(),
            rule: rule.into(),
        }
    }

    fn header(rule: impl Into<String>) -> Self {
        Self {
            field: "header".into(),
            rule: rule.into(),
        }
    }
}

/// Reads the first sheet that is shown and hands its rows on; `take` says whether more are wanted. Gives the headers
/// that mean nothing here. Takes processor time, and some 100 MiB of memory for the largest file.
///
/// # Errors
/// Why the file, its header or one of its rows cannot be read.
pub fn read(
    mut file: File,
    take: impl FnMut(Vec<Line>) -> bool,
) -> Result<Vec<String>, Unreadable> {
    guard::check(&mut file)?;
    file.rewind().map_err(unreadable)?;
    let mut workbook = Xlsx::new(BufReader::new(file)).map_err(unreadable)?;
    let sheets = workbook.sheets_metadata();
    let is_sheet = |sheet: &&calamine::Sheet| sheet.typ == SheetType::WorkSheet;
    let shown = sheets
        .iter()
        .filter(is_sheet)
        .find(|sheet| sheet.visible == SheetVisible::Visible);
    let name = shown.or_else(|| sheets.iter().find(is_sheet));
    let name = name
        .ok_or_else(|| Unreadable::file("has no sheet"))?
        .name
        .clone();
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(unreadable)?;
    let mut rows = Rows::new(take);
    while let Some(cell) = cells.next_cell().map_err(unreadable)? {
        let (line, column) = cell.get_position();
        if !rows.cell(line, column, cell.get_value())? {
            break;
        }
    }
    rows.finish()
}

fn unreadable(error: impl std::error::Error) -> Unreadable {
    Unreadable::file(format!("is not an XLSX workbook ({error})"))
}

/// The row that is being read, and those that wait to be handed on.
struct Rows<F> {
    take: F,
    layout: Option<Vec<Option<Column>>>,
    ignored: Vec<String>,
    line: u32,
    cells: Vec<Vec<u8>>,
    flaw: Option<Flaw>,
    batch: Vec<Line>,
    wanted: bool,
}

impl<F: FnMut(Vec<Line>) -> bool> Rows<F> {
    fn new(take: F) -> Self {
        Self {
            take,
            layout: None,
            ignored: Vec::new(),
            line: 0,
            cells: Vec::new(),
            flaw: None,
            batch: Vec::new(),
            wanted: true,
        }
    }

    /// Takes a cell; false when no more are wanted.
    fn cell(&mut self, line: u32, column: u32, value: &DataRef<'_>) -> Result<bool, Unreadable> {
        if line < self.line {
            return Err(Unreadable {
                field: format!("row {}", line.saturating_add(1)),
                rule: "comes after rows that lie below it".into(),
            });
        }
        if line > self.line {
            self.row_ended()?;
            self.line = line;
        }
        if value.is_empty() {
            return Ok(self.wanted);
        }
        let Some(column) = usize::try_from(column).ok().filter(|at| *at < WIDEST) else {
            let reason = format!("has a cell beyond column {WIDEST}");
            self.flaw
                .get_or_insert(Flaw::new(self.number(), "row", "", reason));
            return Ok(self.wanted);
        };
        match shown(value) {
            Ok(text) => {
                if self.cells.len() <= column {
                    self.cells.resize(column + 1, Vec::new());
                }
                self.cells[column] = text.into_bytes();
            }
            Err(error) => {
                let known = self.layout.as_ref().and_then(|layout| layout.get(column));
                if let Some(Some(known)) = known {
                    let reason = "is an error of a formula";
                    let flaw = Flaw::new(self.number(), known.word(), &error, reason);
                    self.flaw.get_or_insert(flaw);
                }
            }
        }
        Ok(self.wanted)
    }

    /// The row as a spreadsheet numbers it.
    fn number(&self) -> i64 {
        i64::from(self.line) + 1
    }

    fn row_ended(&mut self) -> Result<(), Unreadable> {
        let number = self.number();
        let cells = std::mem::take(&mut self.cells);
        let flaw = self.flaw.take();
        let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
        if flaw.is_none() && cells.iter().all(|cell| cell.trim_ascii().is_empty()) {
            return Ok(());
        }
        let Some(layout) = &self.layout else {
            if let Some(flaw) = flaw {
                return Err(Unreadable::header(flaw.reason));
            }
            let layout = headers(&cells, &mut self.ignored);
            if !layout.contains(&Some(Column::Sku)) {
                return Err(Unreadable::header(NO_KEY));
            }
            self.layout = Some(layout);
            return Ok(());
        };
        self.batch.push(match flaw {
            Some(flaw) => Line::Flawed(flaw),
            None => row(layout, &cells, number, number),
        });
        if self.batch.len() == BATCH {
            self.hand_on();
        }
        Ok(())
    }

    fn hand_on(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.wanted = (self.take)(batch);
    }

    fn finish(mut self) -> Result<Vec<String>, Unreadable> {
        self.row_ended()?;
        if self.layout.is_none() {
            return Err(Unreadable::file("is empty"));
        }
        if !self.batch.is_empty() {
            self.hand_on();
        }
        Ok(self.ignored)
    }
}

/// What a cell shows.
///
/// # Errors
/// The error of its formula.
fn shown(value: &DataRef<'_>) -> Result<String, String> {
    Ok(match value {
        DataRef::Empty => String::new(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => plain(*number),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        DataRef::DateTime(moment) => match moment.as_datetime() {
            Some(day) if moment.is_datetime() => {
                let time = day.time();
                if time == chrono::NaiveTime::MIN {
                    day.date().to_string()
                } else {
                    day.format("%Y-%m-%dT%H:%M:%S").to_string()
                }
            }
            _ => plain(moment.as_f64()),
        },
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => return Err(error.to_string()),
    })
}

/// A number as a plain decimal of the fifteen digits that a spreadsheet keeps: 19.989999999999998 is 19.99.
fn plain(number: f64) -> String {
    let short = format!("{number:.14e}");
    Decimal::from_scientific(&short).map_or(short, |decimal| decimal.normalize().to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rust_xlsxwriter::{Format, Formula, Workbook, Worksheet};

    use super::*;

    /// A workbook in a file.
    fn written(fill: impl FnOnce(&mut Worksheet)) -> File {
        let mut workbook = Workbook::new();
        fill(workbook.add_worksheet());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&workbook.save_to_buffer().unwrap()).unwrap();
        file
    }

    fn lines(file: File) -> Result<(Vec<String>, Vec<String>), Unreadable> {
        let mut all = Vec::new();
        let ignored = read(file, |mut lines| {
            all.append(&mut lines);
            true
        })?;
        let show = |line: &Line| match line {
            Line::Row { line, cells } => {
                let cells: Vec<String> = cells
                    .iter()
                    .map(|(column, value)| format!("{}={value}", column.word()))
                    .collect();
                format!("{line} {}", cells.join(" "))
            }
            Line::Flawed(flaw) => format!("{} {}! {}", flaw.line, flaw.column, flaw.reason),
        };
        Ok((all.iter().map(show).collect(), ignored))
    }

    #[test]
    fn cells_are_taken_as_they_are_shown() {
        let file = written(|sheet| {
            for (header, at) in [
                "SKU",
                "Item Name",
                "Selling Price",
                "EAN",
                "HSN",
                "Colour",
                "track_batch",
            ]
            .iter()
            .zip(0..)
            {
                sheet.write(1, at, *header).unwrap();
            }
            sheet.write(2, 0, "A-1").unwrap();
            sheet.write(2, 1, "चाय").unwrap();
            sheet
                .write(2, 2, "19.989999999999998".parse::<f64>().unwrap())
                .unwrap();
            sheet.write(2, 3, 8_901_234_567_894_i64).unwrap();
            sheet.write(2, 4, "0401").unwrap();
            sheet.write(2, 6, true).unwrap();
            sheet.write(4, 0, 12).unwrap();
            sheet.write(4, 3, "0416000336108").unwrap();
            let day = Format::new().set_num_format("yyyy-mm-dd");
            sheet.write_with_format(4, 1, 46_347, &day).unwrap();
            sheet.write(5, 0, "'=1").unwrap();
            sheet.write(5, 300, "far away").unwrap();
            sheet.write(6, 0, "E").unwrap();
            let broken = Formula::new("1/0").set_result("#DIV/0!");
            sheet.write(6, 2, broken).unwrap();
            sheet.write(7, 0, "F").unwrap();
            sheet.write(7, 8, "beyond").unwrap();
        });
        let (lines, ignored) = lines(file).unwrap();
        assert_eq!(
            lines,
            [
                "3 sku=A-1 name=चाय hsn=0401 price=19.99 barcode=8901234567894 track_batch=yes",
                "5 sku=12 name=2026-11-21 barcode=0416000336108",
                "6 row! has a cell beyond column 256",
                "7 price! is an error of a formula",
                "8 row! has 9 cells, the header has 7",
            ]
        );
        assert_eq!(ignored, ["Colour"]);
    }

    #[test]
    fn a_sheet_without_a_key_or_without_anything_is_refused() {
        let no_key = written(|sheet| {
            sheet.write(0, 0, "name").unwrap();
        });
        assert_eq!(lines(no_key).unwrap_err().field, "header");
        assert_eq!(
            lines(written(|_| {})).unwrap_err(),
            Unreadable::file("is empty")
        );
    }

    #[test]
    fn numbers_have_fifteen_digits() {
        for (number, text) in [
            (0.1 + 0.2, "0.3"),
            (8_901_234_567_894.0, "8901234567894"),
            (-5.0, "-5"),
            (1e-4, "0.0001"),
            (0.0, "0"),
        ] {
            assert_eq!(plain(number), text);
        }
        assert_eq!(plain(1e300), "1.00000000000000e300");
    }
}
