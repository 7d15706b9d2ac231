//! The retailer's file as it is: rows, documents, and the sums that the fleet must arrive at.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bahi_types::{Money, Price, Quantity};
use serde::Deserialize;

/// The file, shipped with its attribution in `data/README.md`.
pub const FILE: &str = include_str!("../data/online_retail.csv");

/// Codes that are charges, not goods.
const SERVICES: [&str; 10] = [
    "POST",
    "DOT",
    "M",
    "D",
    "S",
    "B",
    "C2",
    "BANK CHARGES",
    "AMAZONFEE",
    "CRUK",
];

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "InvoiceNo")]
    number: String,
    #[serde(rename = "StockCode")]
    code: String,
    #[serde(rename = "Description")]
    description: String,
    #[serde(rename = "Quantity")]
    quantity: i64,
    #[serde(rename = "InvoiceDate")]
    date: String,
    #[serde(rename = "UnitPrice")]
    price: String,
}

/// One line of a document.
#[derive(Clone, Debug)]
pub struct Line {
    /// Stock code, letter case folded.
    pub sku: String,
    /// Description, trimmed.
    pub text: String,
    /// Quantity; negative where goods came back or were written off.
    pub qty: Quantity,
    /// Price with tax.
    pub price: Price,
}

impl Line {
    /// quantity × price, rounded to paise.
    pub fn amount(&self) -> Money {
        Money::rounded(self.qty * self.price)
    }
}

/// What a document of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Goods sold.
    Sale,
    /// Goods brought back ("C" numbers).
    Return,
    /// A stock correction: lines without a price.
    Correction,
}

/// A document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its number in the file.
    pub number: String,
    /// Its time in the file, as RFC 3339 in UTC.
    pub date: String,
    /// What it is.
    pub kind: Kind,
    /// Its lines, in the order of the file.
    pub lines: Vec<Line>,
}

/// A product of the file.
#[derive(Clone, Debug)]
pub struct Product {
    /// First description seen.
    pub name: String,
    /// First price above zero, or 1 where there is none.
    pub price: Price,
    /// Has stock.
    pub goods: bool,
    /// All that goes out: sales and corrections downwards.
    pub outward: Quantity,
}

impl Product {
    /// Received before the first sale: all that goes out, and a few more to sell by hand.
    pub fn opening(&self) -> Quantity {
        if self.goods && self.outward.is_positive() {
            self.outward + Quantity::from(5)
        } else {
            Quantity::ZERO
        }
    }
}

/// The file, read.
pub struct Book {
    /// Documents in the order of the file.
    pub documents: Vec<Document>,
    /// Products by folded code.
    pub products: BTreeMap<String, Product>,
    /// Rows read.
    pub rows: usize,
    /// Different codes before folding.
    pub codes: usize,
}

/// Reads the file.
///
/// # Errors
/// When a row cannot be read: the file is ours, so none may be dropped.
pub fn read(text: &str) -> anyhow::Result<Book> {
    let mut book = Book {
        documents: Vec::new(),
        products: BTreeMap::new(),
        rows: 0,
        codes: 0,
    };
    let mut codes = std::collections::BTreeSet::new();
    for (at, row) in csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .enumerate()
    {
        let row: Row = row?;
        book.rows += 1;
        codes.insert(row.code.trim().to_owned());
        add(&mut book, row).with_context(|| format!("row {}", at + 2))?;
    }
    book.codes = codes.len();
    Ok(book)
}

fn add(book: &mut Book, row: Row) -> anyhow::Result<()> {
    let price: Price = row.price.parse()?;
    let qty = Quantity::from(row.quantity);
    let kind = match (row.number.starts_with('C'), price.is_zero()) {
        (true, false) if qty.is_negative() => Kind::Return,
        (false, true) => Kind::Correction,
        (false, false) if qty.is_positive() => Kind::Sale,
        _ => bail!("a line of a kind this tool does not know: {}", row.number),
    };
    let sku = row.code.trim().to_uppercase();
    let text = row.description.trim().to_owned();
    let goods = !SERVICES.contains(&sku.as_str());
    let product = book.products.entry(sku.clone()).or_insert_with(|| Product {
        name: if text.is_empty() {
            sku.clone()
        } else {
            text.clone()
        },
        price: Price::ZERO,
        goods,
        outward: Quantity::ZERO,
    });
    if product.price.is_zero() {
        product.price = price;
    }
    match kind {
        Kind::Sale => product.outward += qty,
        Kind::Correction if qty.is_negative() => product.outward -= qty,
        _ => {}
    }
    let line = Line {
        sku,
        text,
        qty,
        price,
    };
    match book.documents.last_mut() {
        Some(last) if last.number == row.number => {
            if last.kind != kind {
                bail!("{} mixes kinds of lines", row.number);
            }
            last.lines.push(line);
        }
        _ => {
            let date = format!("{}Z", row.date.replace(' ', "T"));
            book.documents.push(Document {
                number: row.number,
                date,
                kind,
                lines: vec![line],
            });
        }
    }
    Ok(())
}

/// Quantity and amount of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Quantity.
    pub qty: Quantity,
    /// Amount with tax.
    pub amount: Money,
}

impl Book {
    /// The file's own sums per product over documents of `kind`.
    pub fn sums(&self, kind: Kind) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for line in self
            .documents
            .iter()
            .filter(|d| d.kind == kind)
            .flat_map(|d| &d.lines)
        {
            let sum = sums.entry(line.sku.clone()).or_default();
            sum.qty += line.qty;
            sum.amount += line.amount();
        }
        sums
    }

    /// How many documents and lines are of `kind`.
    pub fn count(&self, kind: Kind) -> (usize, usize) {
        let of_kind = || self.documents.iter().filter(|d| d.kind == kind);
        (of_kind().count(), of_kind().map(|d| d.lines.len()).sum())
    }
}

/// A part of a return: the lines that one earlier sale covers, or those that none does.
#[derive(Clone, Debug)]
pub struct ReturnPart {
    /// Index of the sale in `documents`, for a return with bill.
    pub original: Option<usize>,
    /// (line of the return, line number of the original from 1, quantity back as a positive number)
    pub lines: Vec<(Line, Option<i32>, Quantity)>,
}

impl Book {
    /// Splits each return over the earlier sales that cover it: same code, same price, enough left.
    /// The result is indexed as `documents`; other documents have no parts.
    pub fn returns(&self) -> Vec<Vec<ReturnPart>> {
        let mut left: BTreeMap<(usize, i32), Quantity> = BTreeMap::new();
        let mut sold: BTreeMap<&str, Vec<(usize, i32)>> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.documents.len());
        for (at, document) in self.documents.iter().enumerate() {
            let mut parts: Vec<ReturnPart> = Vec::new();
            for (number, line) in (1..).zip(&document.lines) {
                match document.kind {
                    Kind::Sale => {
                        left.insert((at, number), line.qty);
                        sold.entry(&line.sku).or_default().push((at, number));
                    }
                    Kind::Return => {
                        let back = -line.qty;
                        let covers = |place: &&(usize, i32)| {
                            let original = &self.documents[place.0].lines[place.1 as usize - 1];
                            original.price == line.price
                                && left.get(place).is_some_and(|l| *l >= back)
                        };
                        let place = sold
                            .get(line.sku.as_str())
                            .and_then(|p| p.iter().find(covers))
                            .copied();
                        if let Some(place) = place {
                            left.entry(place).and_modify(|l| *l -= back);
                        }
                        let original = place.map(|p| p.0);
                        let entry = (line.clone(), place.map(|p| p.1), back);
                        match parts.iter_mut().find(|p| p.original == original) {
                            Some(part) => part.lines.push(entry),
                            None => parts.push(ReturnPart {
                                original,
                                lines: vec![entry],
                            }),
                        }
                    }
                    Kind::Correction => {}
                }
            }
            all.push(parts);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_file_has_its_place() {
        let book = read(FILE).unwrap();
        assert_eq!(
            (
                book.rows,
                book.documents.len(),
                book.codes,
                book.products.len()
            ),
            (4792, 2093, 3958, 3848)
        );
        assert_eq!(book.count(Kind::Sale).1, 4114);
        assert_eq!(book.count(Kind::Return).1, 58);
        assert_eq!(book.count(Kind::Correction).1, 462 + 158);
        assert_eq!(book.products.values().filter(|p| !p.goods).count(), 10);
    }

    #[test]
    fn a_return_is_split_without_losing_a_piece() {
        let book = read(FILE).unwrap();
        let back: Quantity = book
            .returns()
            .iter()
            .flatten()
            .flat_map(|p| &p.lines)
            .map(|l| l.2)
            .sum();
        let file: Quantity = book.sums(Kind::Return).values().map(|s| s.qty).sum();
        assert_eq!(back, -file);
    }
}
