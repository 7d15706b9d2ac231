//! What a till has taken with it: the catalogue of `GET /api/v1/pos/catalogue`, read as it is told there, and what a till
//! computes by it.

use std::{collections::HashMap, io::Read};

use anyhow::{Context, bail, ensure};
use bahi_gst::{
    Discount, Document, Levy, Line, PriceBand, Pricing, RateHistory, RateRow, RoundOff,
    TaxCategory, TaxRate, TaxedLine, compute,
};
use bahi_types::{Money, Price, Quantity};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::client::text;

/// A till's catalogue.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    head: Value,
    products: HashMap<String, Good>,
    profiles: HashMap<String, RateHistory>,
}

#[derive(Clone, Debug)]
struct Good {
    price: Price,
    price_includes_tax: bool,
    tax_profile: String,
}

/// What a customer lays on the counter.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Product id.
    pub product: String,
    /// Quantity.
    pub qty: Quantity,
    /// Price with tax.
    pub price: Price,
}

/// What the till has computed and printed.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The lines, as they are sent.
    pub lines: Vec<Value>,
    /// What rounding added.
    pub round_off: Money,
    /// What is to be paid.
    pub total: Money,
}

/// Unpacks a bundle.
///
/// # Errors
/// When it is packed otherwise than was asked, or broken.
pub fn unpack(packed: Option<&str>, bytes: &[u8]) -> anyhow::Result<String> {
    let mut text = String::new();
    match packed {
        Some("zstd") => text = String::from_utf8(zstd::stream::decode_all(bytes)?)?,
        Some("gzip") => {
            flate2::read::GzDecoder::new(bytes).read_to_string(&mut text)?;
        }
        other => bail!("the bundle is packed as {other:?}"),
    }
    Ok(text)
}

impl Bundle {
    /// The version to ask changes since, and to send with what was sold by it.
    pub fn version(&self) -> Option<&str> {
        self.head["version"].as_str()
    }

    /// Products for sale.
    pub fn products(&self) -> usize {
        self.products.len()
    }

    /// Takes in the whole, or what has changed. Returns whether it was the whole.
    ///
    /// # Errors
    /// When a line is not as the format says, or the end is missing.
    pub fn take(&mut self, text: &str) -> anyhow::Result<bool> {
        let mut lines = text.lines().map(serde_json::from_str::<Value>);
        let head = lines.next().context("an empty bundle")??;
        let whole = head["whole"].as_bool().context("whole")?;
        let mut next = Self {
            head,
            ..if whole { Self::default() } else { self.clone() }
        };
        let (mut section, mut columns, mut rows) = (String::new(), Vec::new(), 0_u64);
        for line in lines {
            let line = line?;
            if let Some(end) = line["end"].as_u64() {
                ensure!(end == rows, "{rows} rows, the bundle says {end}");
                *self = next;
                return Ok(whole);
            } else if let Some(name) = line["section"].as_str() {
                section = name.to_owned();
                let names = line["columns"].as_array().context("columns")?;
                columns = names.clone();
            } else if let Some(gone) = line["gone"].as_array() {
                next.forget(&section, gone);
            } else {
                rows += 1;
                let row = line.as_array().context("a row that is no array")?;
                let named = columns.iter().zip(row);
                let named =
                    named.filter_map(|(name, v)| Some((name.as_str()?.to_owned(), v.clone())));
                next.row(&section, &Value::Object(named.collect()))
                    .with_context(|| format!("a row of {section}: {line}"))?;
            }
        }
        bail!("the bundle breaks off")
    }

    fn forget(&mut self, section: &str, gone: &[Value]) {
        for id in gone.iter().filter_map(Value::as_str) {
            match section {
                "products" => drop(self.products.remove(id)),
                "tax_profiles" => drop(self.profiles.remove(id)),
                _ => {}
            }
        }
    }

    fn row(&mut self, section: &str, row: &Value) -> anyhow::Result<()> {
        match section {
            "products" => {
                let good = Good {
                    price: text(row, "price")?.parse()?,
                    price_includes_tax: row["price_includes_tax"].as_bool().context("a price")?,
                    tax_profile: text(row, "tax_profile_id")?.to_owned(),
                };
                self.products
                    .insert(text(row, "product_id")?.to_owned(), good);
            }
            "tax_profiles" => {
                let history = history(text(row, "category")?, &row["rates"])?;
                let id = text(row, "tax_profile_id")?.to_owned();
                self.profiles.insert(id, history);
            }
            // Needed for promotions only.
            "categories" => {}
            // The shop has no price lists and no promotions; a till that ignored them would charge wrong prices.
            _ => bail!("this till cannot sell by it"),
        }
        Ok(())
    }

    /// Computes a bill as the till prints it. A price of the file that is not the catalogue's has its reason.
    ///
    /// # Errors
    /// When a product or its rate is not in the catalogue.
    pub fn freeze(&self, date: NaiveDate, wanted: &[Wanted]) -> anyhow::Result<Frozen> {
        let mut lines = Vec::with_capacity(wanted.len());
        for line in wanted {
            let history = self.profiles.get(&self.good(line)?.tax_profile);
            let history = history.context("a tax profile that is not in the catalogue")?;
            lines.push(Line {
                qty: line.qty.decimal(),
                unit_price: line.price.decimal(),
                pricing: Pricing::Inclusive,
                discount: Discount::None,
                tax: history.on_inclusive(date, line.price.decimal())?,
            });
        }
        // A walk-in's supply is where the till stands.
        let registered = self.head["registration"]["gstin"].is_string();
        let rounds = self.head["till"]["round_to_rupee"] == true;
        let computed = compute(&Document {
            lines: &lines,
            bill_discount: Discount::None,
            levy: if registered {
                Levy::Intra
            } else {
                Levy::NotCharged
            },
            round_off: if rounds {
                RoundOff::NearestRupee
            } else {
                RoundOff::None
            },
        })?;
        let frozen = wanted.iter().zip(&computed.lines);
        let frozen =
            frozen.map(|(wanted, taxed)| Ok(frozen_line(wanted, self.good(wanted)?, taxed)));
        Ok(Frozen {
            lines: frozen.collect::<anyhow::Result<_>>()?,
            round_off: Money::rounded(computed.totals.round_off),
            total: Money::rounded(computed.totals.payable),
        })
    }

    fn good(&self, line: &Wanted) -> anyhow::Result<&Good> {
        let good = self.products.get(&line.product);
        good.with_context(|| format!("{} is not in the till's catalogue", line.product))
    }
}

fn frozen_line(wanted: &Wanted, good: &Good, taxed: &TaxedLine) -> Value {
    let (tax, amounts) = (&taxed.tax, &taxed.amounts);
    let mut line = json!({
        "product_id": wanted.product, "qty": wanted.qty, "unit_price": wanted.price, "price_includes_tax": true,
        "tax_category": category(tax), "rate": tax.rate().to_string(), "cess_rate": tax.cess().to_string(),
    });
    if wanted.price != good.price || !good.price_includes_tax {
        line["list_price"] = json!(good.price);
        line["reason"] = json!("price of the file");
    }
    for (name, amount) in [
        ("taxable", amounts.taxable),
        ("cgst", amounts.cgst),
        ("sgst", amounts.sgst),
        ("igst", amounts.igst),
        ("cess", amounts.cess),
        ("total", taxed.total()),
    ] {
        line[name] = json!(Money::rounded(amount));
    }
    line
}

fn category(tax: &TaxRate) -> &'static str {
    match tax.category() {
        TaxCategory::Taxable => "taxable",
        TaxCategory::NilRated => "nil",
        TaxCategory::Exempt => "exempt",
        TaxCategory::NonGst => "non_gst",
    }
}

/// The rates of a profile: `[from, to, rate, cess, price_limit, rate_above, cess_above]`.
fn history(category: &str, rates: &Value) -> anyhow::Result<RateHistory> {
    let untaxed = match category {
        "taxable" => None,
        "nil" => Some(TaxRate::NIL_RATED),
        "exempt" => Some(TaxRate::EXEMPT),
        "non_gst" => Some(TaxRate::NON_GST),
        other => bail!("a category {other}"),
    };
    let mut rows = Vec::new();
    for rate in rates.as_array().context("rates")? {
        let number = |n: usize| -> anyhow::Result<Option<Decimal>> {
            rate[n].as_str().map(|t| Ok(t.parse()?)).transpose()
        };
        let tax = |rate: usize, cess: usize| -> anyhow::Result<TaxRate> {
            if let Some(untaxed) = untaxed {
                return Ok(untaxed);
            }
            let cess = number(cess)?.unwrap_or_default();
            Ok(TaxRate::taxable(number(rate)?.context("a rate")?, cess)?)
        };
        let mut row = |band, tax| -> anyhow::Result<()> {
            rows.push(RateRow {
                from: rate[0].as_str().context("a first day")?.parse()?,
                to: rate[1].as_str().map(str::parse).transpose()?,
                band,
                tax,
            });
            Ok(())
        };
        match number(4)? {
            Some(limit) => {
                row(PriceBand::UpTo(limit), tax(2, 3)?)?;
                row(PriceBand::Above(limit), tax(5, 6)?)?;
            }
            None => row(PriceBand::Any, tax(2, 3)?)?,
        }
    }
    Ok(RateHistory::try_new(rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(rates: &Value) -> String {
        let lines = [
            json!({ "version": "1-7", "whole": true, "till": { "round_to_rupee": false },
                    "registration": { "gstin": "27AAPFU0939F1ZV" } }),
            json!({ "section": "products", "columns": ["product_id", "price", "price_includes_tax", "tax_profile_id"] }),
            json!(["lamp", "299.00", true, "t"]),
            json!(["wick", "5.00", true, "t"]),
            json!({ "section": "tax_profiles", "columns": ["tax_profile_id", "hsn", "category", "rates"] }),
            json!(["t", "9405", "taxable", rates]),
            json!({ "end": 3 }),
        ];
        lines.map(|line| line.to_string()).join("\n")
    }

    fn wanted(product: &str, qty: i64, price: &str) -> Wanted {
        Wanted {
            product: product.into(),
            qty: Quantity::from(qty),
            price: price.parse().unwrap(),
        }
    }

    #[test]
    fn a_frozen_line_is_what_the_vectors_of_the_tax_say() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../gst/tests/vectors.json")).unwrap();
        let date = "2026-11-05".parse().unwrap();
        for vector in vectors["inclusive_split"].as_array().unwrap() {
            let rates = json!([[
                "2017-07-01",
                null,
                vector["rate"].to_string(),
                "0",
                null,
                null,
                null
            ]]);
            let mut bundle = Bundle::default();
            assert!(bundle.take(&whole(&rates)).unwrap());
            let price = vector["incl"].as_str().unwrap();
            let frozen = bundle.freeze(date, &[wanted("lamp", 1, price)]).unwrap();
            let line = &frozen.lines[0];
            assert_eq!(
                (
                    &line["taxable"],
                    &line["cgst"],
                    &line["sgst"],
                    &line["total"]
                ),
                (
                    &vector["taxable"],
                    &vector["cgst"],
                    &vector["cgst"],
                    &vector["incl"]
                )
            );
            assert_eq!(frozen.total.to_string(), price);
            assert_eq!(line["reason"].is_null(), price == "299.00");
        }
    }

    #[test]
    fn changes_are_laid_over_the_whole_and_half_a_bundle_is_none() {
        let rates = json!([
            ["2017-07-01", "2026-01-01", "12", "0", null, null, null],
            ["2026-01-01", null, "5", "0", "2500", "18", "0"]
        ]);
        let text = whole(&rates);
        let mut bundle = Bundle::default();
        let (half, _) = text.rsplit_once('\n').unwrap();
        assert!(bundle.take(half).is_err());
        assert_eq!((bundle.version(), bundle.products()), (None, 0));
        assert!(bundle.take(&text).unwrap());
        assert_eq!((bundle.version(), bundle.products()), (Some("1-7"), 2));
        let rate = |date: &str, price: &str| {
            let frozen = bundle.freeze(date.parse().unwrap(), &[wanted("lamp", 1, price)]);
            frozen.unwrap().lines[0]["rate"].clone()
        };
        assert_eq!(rate("2025-12-31", "299"), "12");
        assert_eq!(
            (rate("2026-01-01", "299"), rate("2026-01-01", "9999")),
            (json!("5"), json!("18"))
        );
        let delta = [
            json!({ "version": "1-9", "whole": false, "till": {}, "registration": { "gstin": null } }),
            json!({ "section": "products", "columns": ["product_id", "price", "price_includes_tax", "tax_profile_id"] }),
            json!(["lamp", "310.00", true, "t"]),
            json!({ "gone": ["wick"] }),
            json!({ "end": 1 }),
        ];
        assert!(
            !bundle
                .take(&delta.map(|line| line.to_string()).join("\n"))
                .unwrap()
        );
        assert_eq!((bundle.version(), bundle.products()), (Some("1-9"), 1));
        let date = "2026-11-05".parse().unwrap();
        let frozen = bundle.freeze(date, &[wanted("lamp", 2, "310")]).unwrap();
        // Without a registration no tax is charged.
        assert_eq!(frozen.lines[0]["cgst"], "0.00");
        assert!(bundle.freeze(date, &[wanted("wick", 1, "5")]).is_err());
    }
}
