//! Labels, sheets, and what fits on them. Lengths are whole micrometres.

use bahi_types::{Fixed, Money, UnitId};
use chrono::NaiveDate;
use rust_decimal::prelude::ToPrimitive;

use crate::{
    Error,
    barcode::picture::{Row, Symbol, Symbology, draw},
    product::model::Product,
    text::words,
};

/// Most labels of one print.
pub const MOST: u32 = 5_000;
/// Most products of one print.
pub const MOST_LINES: usize = 500;
/// The narrowest bar that shops' printers and scanners manage.
pub const NARROWEST: i64 = 190;
/// White at each edge of a label.
pub const PADDING: i64 = 1_000;
/// Height of a line of text.
pub const LINE: i64 = 3_200;
/// The lowest bars that scanners find.
const LOWEST: i64 = 5_000;
/// Width of a letter of a line, about.
const LETTER: i64 = 1_600;

/// A length in millimetres.
pub type Length = Fixed<2>;

words! {
    /// What a label shows.
    #[schema(as = LabelField)]
    pub enum Field {
        /// The product's name, on two lines at most.
        Name = "name",
        /// Its SKU.
        Sku = "sku",
        /// The selling price of one.
        Price = "price",
        /// The maximum retail price of one.
        Mrp = "mrp",
        /// The barcode, with the digits that people read.
        Barcode = "barcode",
    }
}

words! {
    /// What the labels are sent as.
    #[schema(as = LabelFormat)]
    pub enum Format {
        /// A document of sheets.
        Pdf = "pdf",
        /// Commands of a label printer.
        Zpl = "zpl",
    }
}

/// A length in micrometres; lengths were checked to be less than two metres.
pub fn micrometres(length: Length) -> i64 {
    (length.decimal() * rust_decimal::Decimal::from(1000))
        .to_i64()
        .unwrap_or(i64::MAX)
}

/// How labels lie on a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Width of the paper.
    pub width: i64,
    /// Height of the paper.
    pub height: i64,
    /// Labels side by side.
    pub columns: usize,
    /// Labels one below the other.
    pub rows: usize,
    /// White at the left and right edge.
    pub margin_x: i64,
    /// White at the upper and lower edge.
    pub margin_y: i64,
    /// White between columns.
    pub gap_x: i64,
    /// White between rows.
    pub gap_y: i64,
}

impl Sheet {
    /// Width and height of a label.
    pub fn label(&self) -> (i64, i64) {
        let share = |whole: i64, margin: i64, gap: i64, count: usize| {
            let count = i64::try_from(count).unwrap_or(i64::MAX).max(1);
            (whole - 2 * margin - (count - 1) * gap) / count
        };
        (
            share(self.width, self.margin_x, self.gap_x, self.columns),
            share(self.height, self.margin_y, self.gap_y, self.rows),
        )
    }

    /// The left and lower edge of the label at a place, counted from the upper left one.
    pub fn place(&self, at: usize) -> (i64, i64) {
        let (width, height) = self.label();
        let column = i64::try_from(at % self.columns).unwrap_or_default();
        let row = i64::try_from(at / self.columns).unwrap_or_default();
        let x = self.margin_x + column * (width + self.gap_x);
        let top = self.margin_y + row * (height + self.gap_y);
        (x, self.height - top - height)
    }
}

/// A label as it is printed, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// How many.
    pub count: u32,
    /// Its lines, from above.
    pub lines: Vec<String>,
    /// Its barcode and how it is drawn.
    pub code: Option<(Symbology, Row)>,
}

/// What fonts can set.
pub type Sets = fn(&str) -> bool;

impl Label {
    /// The label of a product, or of one of its units, of a size, with what `fields` name.
    ///
    /// # Errors
    /// [`Error::LabelWithoutBarcode`], [`Error::LabelTooSmall`].
    pub fn of(
        product: &Product,
        unit: Option<UnitId>,
        count: u32,
        fields: &[Field],
        size: (i64, i64),
        sets: Sets,
        today: NaiveDate,
    ) -> Result<Self, Error> {
        let letters = usize::try_from((size.0 - 2 * PADDING) / LETTER).unwrap_or_default();
        let (mut lines, mut code) = (Vec::new(), None);
        let (factor, price) = product.unit_price(unit);
        for field in fields {
            match field {
                Field::Name if sets(&product.name) => lines.extend(wrapped(&product.name, letters)),
                Field::Name if fields.contains(&Field::Sku) => {}
                Field::Name | Field::Sku => lines.push(product.sku.clone()),
                Field::Price => {
                    let tax = if product.price_includes_tax {
                        ""
                    } else {
                        " + tax"
                    };
                    lines.push(format!("Rs {}{tax}", Money::rounded(price.decimal())));
                }
                Field::Mrp => {
                    if let Some(mrp) = product.unit_mrp(factor) {
                        lines.push(format!("MRP Rs {mrp} incl. of all taxes"));
                    }
                }
                Field::Barcode => code = Some(barcode(product, unit, today)?),
            }
        }
        let label = Self { count, lines, code };
        label.check(size, &product.sku)?;
        Ok(label)
    }

    /// Refuses what does not fit.
    fn check(&self, size: (i64, i64), sku: &str) -> Result<(), Error> {
        let too_small = |rule: String| {
            Err(Error::LabelTooSmall {
                sku: sku.to_owned(),
                rule,
            })
        };
        let text = i64::try_from(self.lines.len()).unwrap_or(i64::MAX) * LINE;
        let Some((_, row)) = &self.code else {
            if text + 2 * PADDING > size.1 {
                return too_small(format!("needs a height of {} mm", mm(text + 2 * PADDING)));
            }
            return Ok(());
        };
        let height = text + LINE + LOWEST + 2 * PADDING;
        if height > size.1 {
            return too_small(format!("needs a height of {} mm", mm(height)));
        }
        let width = i64::try_from(row.width()).unwrap_or(i64::MAX) * NARROWEST;
        if width > size.0 {
            return too_small(format!("needs a width of {} mm for its barcode", mm(width)));
        }
        Ok(())
    }

    /// The lower edge and the height of the bars: what the text above and the digits below leave.
    pub fn bars(&self, height: i64) -> (i64, i64) {
        let text = i64::try_from(self.lines.len()).unwrap_or_default() * LINE;
        let base = PADDING + LINE;
        // Higher than an inch helps nobody.
        (base, (height - base - text - PADDING).min(25_400))
    }
}

fn mm(micrometres: i64) -> rust_decimal::Decimal {
    rust_decimal::Decimal::new(micrometres, 3).normalize()
}

fn barcode(
    product: &Product,
    unit: Option<UnitId>,
    today: NaiveDate,
) -> Result<(Symbology, Row), Error> {
    let none = || Error::LabelWithoutBarcode(product.sku.clone());
    let of_unit = unit.and_then(|unit| product.units.get(unit));
    let codes = of_unit.map_or(&product.barcodes, |unit| &unit.barcodes);
    let code = codes.iter().next().ok_or_else(none)?;
    let symbology = Symbology::of(code.as_str());
    match draw(code.as_str(), symbology, today) {
        Ok(Symbol::Row(row)) => Ok((symbology, row)),
        // A GTIN is always a row of bars.
        Ok(Symbol::Matrix(_)) | Err(_) => Err(none()),
    }
}

/// A text on two lines at most, broken between words where it can be.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let letters = letters.max(4);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let full = lines.len() >= 2;
            let Some(line) = lines.last_mut() else { break };
            let used = line.chars().count() + usize::from(!line.is_empty());
            if used + rest.len() <= letters {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.extend(rest.drain(..));
            } else if full {
                let room = letters.saturating_sub(used);
                if room > 0 && !line.is_empty() {
                    line.push(' ');
                }
                line.extend(rest.drain(..room.min(rest.len())));
                return lines;
            } else if line.is_empty() {
                line.extend(rest.drain(..letters.min(rest.len())));
                lines.push(String::new());
            } else {
                lines.push(String::new());
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::model::tests::{draft, with_barcodes};

    fn product() -> Product {
        with_barcodes(draft("84.74", false, Some("100")), &["4006381333931"])
    }

    fn label(fields: &[Field], size: (i64, i64)) -> Result<Label, Error> {
        let today = "2026-11-21".parse().unwrap();
        Label::of(&product(), None, 1, fields, size, |_| true, today)
    }

    #[test]
    fn labels_share_the_paper() {
        let sheet = Sheet {
            width: 210_000,
            height: 297_000,
            columns: 3,
            rows: 8,
            margin_x: 5_000,
            margin_y: 10_500,
            gap_x: 2_500,
            gap_y: 0,
        };
        assert_eq!(sheet.label(), (65_000, 34_500));
        assert_eq!(sheet.place(0), (5_000, 252_000));
        assert_eq!(sheet.place(23), (140_000, 10_500));
    }

    #[test]
    fn a_label_says_what_its_template_names() {
        let all = [
            Field::Name,
            Field::Sku,
            Field::Price,
            Field::Mrp,
            Field::Barcode,
        ];
        let label = label(&all, (65_000, 34_500)).unwrap();
        assert_eq!(
            label.lines,
            [
                "Cable",
                "CABLE-1",
                "Rs 84.74 + tax",
                "MRP Rs 100.00 incl. of all taxes"
            ]
        );
        let (base, height) = label.bars(34_500);
        assert_eq!((base, height), (4_200, 34_500 - 4_200 - 4 * LINE - PADDING));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let narrow = label(&[Field::Barcode], (21_000, 20_000));
        assert!(
            matches!(narrow, Err(Error::LabelTooSmall { rule, .. }) if rule.contains("21.47 mm"))
        );
        let low = label(&[Field::Name, Field::Barcode], (65_000, 10_000));
        assert!(matches!(low, Err(Error::LabelTooSmall { rule, .. }) if rule.contains("13.4 mm")));
        assert!(label(&[Field::Barcode], (21_470, 20_000)).is_ok());
    }

    #[test]
    fn names_break_between_words_and_end_after_two_lines() {
        assert_eq!(wrapped("Tea 250 g", 20), ["Tea 250 g"]);
        assert_eq!(
            wrapped("Assam tea leaves 250 g", 12),
            ["Assam tea", "leaves 250 g"]
        );
        assert_eq!(
            wrapped("Assam tea leaves first flush 250 g", 12),
            ["Assam tea", "leaves first"]
        );
        assert_eq!(wrapped("Donaudampfschiff", 8), ["Donaudam", "pfschiff"]);
        assert_eq!(
            wrapped("Donaudampfschifffahrt", 8),
            ["Donaudam", "pfschiff"]
        );
    }
}
