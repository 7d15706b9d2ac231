//! A product as a row of a file.

use std::{collections::HashMap, fmt::Write};

use bahi_types::{BrandId, CategoryId, TaxProfileId, UnitId};

use crate::{import_row::sheet::Column, product::model::Product, text::guarded};

/// What the ids of products stand for.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Paths of categories, from the top.
    pub categories: HashMap<CategoryId, Vec<String>>,
    /// Names of brands.
    pub brands: HashMap<BrandId, String>,
    /// Codes of units.
    pub units: HashMap<UnitId, String>,
    /// Names of tax profiles.
    pub profiles: HashMap<TaxProfileId, String>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A text, guarded.
    Text(String),
    /// A plain decimal.
    Number(String),
}

impl Cell {
    fn text(text: &str) -> Self {
        Self::Text(guarded(text).into_owned())
    }

    fn maybe(text: Option<&String>) -> Self {
        text.map_or(Self::Empty, |text| Self::text(text))
    }

    fn yes_or_no(yes: bool) -> Self {
        Self::text(if yes { "yes" } else { "no" })
    }
}

/// The cell of a product in a column.
pub fn cell(product: &Product, names: &Names, column: Column) -> Cell {
    match column {
        Column::Sku => Cell::text(&product.sku),
        Column::Name => Cell::text(&product.name),
        Column::Kind => Cell::text(product.kind.word()),
        Column::Category => {
            let path = product.category_id.and_then(|id| names.categories.get(&id));
            path.map_or(Cell::Empty, |path| Cell::text(&joined(path)))
        }
        Column::Brand => Cell::maybe(product.brand_id.and_then(|id| names.brands.get(&id))),
        Column::Unit => Cell::maybe(names.units.get(&product.unit_id)),
        Column::Hsn => Cell::text(&product.hsn),
        Column::TaxProfile => Cell::maybe(names.profiles.get(&product.tax_profile_id)),
        Column::Price => Cell::Number(product.price.to_string()),
        Column::PriceIncludesTax => Cell::yes_or_no(product.price_includes_tax),
        Column::Mrp => product
            .mrp
            .map_or(Cell::Empty, |mrp| Cell::Number(mrp.to_string())),
        Column::Barcode => {
            let codes = product.barcodes.to_strings();
            if codes.is_empty() {
                Cell::Empty
            } else {
                Cell::text(&codes.join("|"))
            }
        }
        Column::Status => Cell::text(product.status.word()),
        Column::TrackBatch => Cell::yes_or_no(product.track_batch),
        Column::TrackSerial => Cell::yes_or_no(product.track_serial),
        Column::TrackExpiry => Cell::yes_or_no(product.track_expiry),
    }
}

/// A path as an import reads it.
fn joined(path: &[String]) -> String {
    let escaped = |name: &String| name.replace('\\', "\\\\").replace('>', "\\>");
    path.iter().map(escaped).collect::<Vec<_>>().join(" > ")
}

/// The header of a CSV file.
pub fn csv_header() -> String {
    let words: Vec<&str> = Column::ALL.iter().map(|column| column.word()).collect();
    format!("{}\r\n", words.join(","))
}

/// Adds a product as a row of CSV (RFC 4180).
pub fn push_csv(out: &mut String, product: &Product, names: &Names) {
    for (n, column) in Column::ALL.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        match cell(product, names, *column) {
            Cell::Empty => {}
            Cell::Number(number) => out.push_str(&number),
            Cell::Text(text) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
            }
        }
    }
    out.push_str("\r\n");
}

/// The number of a spreadsheet that is this decimal; none where it would be another in its fifteen digits.
pub fn number(decimal: &str) -> Option<f64> {
    let digits = decimal.trim_start_matches(['-', '0', '.']);
    let significant = digits.bytes().filter(u8::is_ascii_digit).count();
    (significant <= 15).then(|| decimal.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_only_where_it_stays_itself() {
        assert_eq!(number("25.50"), Some(25.5));
        assert_eq!(number("0.0001"), Some(0.0001));
        assert_eq!(number("99999999999.9999"), Some(99_999_999_999.999_9));
        assert_eq!(number("123456789012345.6789"), None);
    }

    #[test]
    fn a_name_with_a_bracket_stays_one_name_of_its_path() {
        assert_eq!(joined(&["A > B".into(), "C\\D".into()]), "A \\> B > C\\\\D");
    }
}
