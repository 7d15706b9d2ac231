//! Reading a scanned code. Pure: what it may stand for, before anybody looks for a product.

use bahi_types::{Price, Quantity, UnitId};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::{
    Error,
    barcode::model::{Gtin, GtinError},
    barcode_pattern::model::{Meaning, Rule, weight_in},
    product::model::Product,
    scan::gs1::{self, Elements},
    text::words,
};

/// The longest code that is read, in bytes; a Data Matrix of a trade item holds less.
pub const LONGEST: usize = 512;

words! {
    /// What kind of code was scanned.
    #[schema(as = ScanForm)]
    pub enum Form {
        /// GTIN-8.
        Ean8 = "ean8",
        /// GTIN-12.
        UpcA = "upca",
        /// GTIN-12 without its zeros.
        UpcE = "upce",
        /// GTIN-13.
        Ean13 = "ean13",
        /// GTIN-14.
        Gtin14 = "gtin14",
        /// An in-store code that a pattern reads.
        Pattern = "pattern",
        /// A GS1 element string.
        Gs1 = "gs1",
    }
}

/// One thing that a code says, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Element {
    /// The application identifier, or the pattern.
    #[schema(example = "17")]
    pub source: String,
    /// What it says: `gtin`, `content`, `content_count`, `sscc`, `batch`, `produced_on`, `best_before`, `expires_on`,
    /// `serial`, `count`, `weight`, `price`, `quantity`, `item` or `other`.
    pub name: String,
    /// The digits or characters.
    #[schema(example = "261100")]
    pub value: String,
    /// The same as a date or decimal, where it is one.
    #[schema(example = "2026-11-30")]
    pub means: Option<String>,
}

/// How much of a product a code is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// So many of the unit that the code stands for.
    Count(Quantity),
    /// So many kilograms, as a pattern has it: the product is weighed.
    Weighed(Quantity),
    /// So many kilograms, as a carton has it: it may be sold by the piece.
    Net(Quantity),
}

/// What a code may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The barcode that a product must have.
    pub code: Gtin,
    /// As what it was read.
    pub form: Form,
    /// How much.
    pub measure: Option<Measure>,
    /// The price of that much.
    pub price: Option<Price>,
    /// Batch.
    pub batch: Option<String>,
    /// Made on.
    pub produced_on: Option<NaiveDate>,
    /// Best before.
    pub best_before: Option<NaiveDate>,
    /// Not to be sold after.
    pub expires_on: Option<NaiveDate>,
    /// Serial number.
    pub serial: Option<String>,
    /// The logistic unit that holds it.
    pub sscc: Option<String>,
    /// Where all that stands.
    pub elements: Vec<Element>,
}

/// What was scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A trade item: the first of these that a product claims.
    Item(Vec<Candidate>),
    /// A logistic unit (SSCC), whose contents the code does not say.
    LogisticUnit(String),
}

/// Why a code cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Nothing, or nothing but separators.
    #[error("holds nothing")]
    Empty,
    /// More than [`LONGEST`] bytes.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// Neither digits of a length that exists nor an element string.
    #[error(
        "is no barcode: it has {0} characters where 6, 8, 12, 13, 14 or 18 digits or GS1 elements should be"
    )]
    Format(usize),
    /// The last digit does not fit the others.
    #[error("has a wrong check digit: it should end in {0}")]
    CheckDigit(u8),
    /// The value of an in-store code does not fit its own check digit.
    #[error(
        "has a wrong check digit for its value, by the pattern {pattern}: it should be {right}"
    )]
    ValueCheckDigit {
        /// The pattern.
        pattern: String,
        /// The right digit.
        right: u8,
    },
    /// The symbology's prefix is of no code that stands for a product.
    #[error("begins with {0}, which is no EAN, UPC or GS1 symbology")]
    Symbology(String),
    /// A bracket is missing.
    #[error("has brackets that do not enclose an application identifier")]
    Brackets,
    /// No such identifier.
    #[error("has no application identifier at {0:?}")]
    UnknownIdentifier(String),
    /// The value of an identifier.
    #[error("AI {ai} {rule}")]
    Value {
        /// The identifier.
        ai: String,
        /// What is wrong.
        rule: String,
    },
    /// An element string without an item.
    #[error("names no item: it has neither AI 01, nor AI 02, nor AI 00")]
    NoItem,
}

/// Reads what a scanner sent. `rules` are the tenant's patterns in order.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str, rules: &[Rule], today: NaiveDate) -> Result<Scan, ScanError> {
    if text.len() > LONGEST {
        return Err(ScanError::TooLong);
    }
    let text = text.trim_matches([' ', '\r', '\n', '\t']);
    if text.is_empty() {
        return Err(ScanError::Empty);
    }
    if let Some(rest) = text.strip_prefix(']') {
        // AIM identifiers (ISO/IEC 15424): the symbology and what the scanner did.
        return match rest.get(..2) {
            Some("C1" | "d2" | "e0" | "Q3") => elements(gs1::scanned(&rest[2..], today)?),
            // Without the two or five digits of an add-on.
            Some("E0" | "E4" | "I1" | "C0") => digits(&rest[2..], rules),
            _ => Err(ScanError::Symbology(text.chars().take(3).collect())),
        };
    }
    if text.starts_with('(') {
        return elements(gs1::bracketed(text, today)?);
    }
    if text.starts_with('\u{1d}') || text.contains('\u{1d}') {
        return elements(gs1::scanned(text, today)?);
    }
    match digits(text, rules) {
        // A scanner that sends no prefix: nothing else is so long.
        Err(ScanError::Format(length)) if length > 14 => elements(gs1::scanned(text, today)?),
        other => other,
    }
}

/// Reads a code without identifiers.
fn digits(text: &str, rules: &[Rule]) -> Result<Scan, ScanError> {
    let format = || ScanError::Format(text.chars().count());
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format());
    }
    let form = match text.len() {
        6 => {
            // The middle of a UPC-E of number system 0.
            let full = expand(&format!("0{text}")).ok_or_else(format)?;
            let code = Gtin::closed(full);
            return Ok(Scan::Item(vec![Candidate::plain(code, Form::UpcE)]));
        }
        8 => return eight(text),
        12 => Form::UpcA,
        13 => Form::Ean13,
        14 => Form::Gtin14,
        18 => {
            gs1::sscc(text).map_err(ScanError::CheckDigit)?;
            return Ok(Scan::LogisticUnit(text.to_owned()));
        }
        _ => return Err(format()),
    };
    let code: Gtin = text.parse().map_err(|error| match error {
        GtinError::CheckDigit(right) => ScanError::CheckDigit(right),
        GtinError::Format => format(),
    })?;
    let mut candidates = Vec::with_capacity(2);
    for rule in rules {
        let found = match rule.shape.read(&code) {
            None => continue,
            Some(Ok(found)) => found,
            Some(Err(right)) => {
                let pattern = rule.shape.as_str().to_owned();
                return Err(ScanError::ValueCheckDigit { pattern, right });
            }
        };
        candidates.push(Candidate::of_pattern(
            rule,
            found.item,
            found.base,
            found.value,
        ));
        break;
    }
    candidates.push(Candidate::plain(code, form));
    Ok(Scan::Item(candidates))
}

/// Eight digits: an EAN-8, a UPC-E, or both.
fn eight(text: &str) -> Result<Scan, ScanError> {
    let ean = text.parse::<Gtin>();
    let full = expand(&text[..7]).map(Gtin::closed);
    let upc = full.filter(|code| code.as_str().ends_with(&text[7..]));
    let mut candidates = Vec::with_capacity(2);
    if let Ok(code) = &ean {
        candidates.push(Candidate::plain(code.clone(), Form::Ean8));
    }
    if let Some(code) = upc {
        candidates.push(Candidate::plain(code, Form::UpcE));
    }
    match (candidates.is_empty(), ean) {
        (true, Err(GtinError::CheckDigit(right))) => Err(ScanError::CheckDigit(right)),
        (true, _) => Err(ScanError::Format(text.len())),
        (false, _) => Ok(Scan::Item(candidates)),
    }
}

/// The eleven digits of a UPC-A before its check digit, from the seven of a UPC-E before its own (GS1 General
/// Specifications, 5.2.2.4.2).
fn expand(seven: &str) -> Option<String> {
    let system = seven
        .get(..1)
        .filter(|system| matches!(*system, "0" | "1"))?;
    let (middle, last) = (seven.get(1..6)?, seven.get(6..7)?);
    let (two, three, four) = (&middle[..2], &middle[..3], &middle[..4]);
    Some(match last {
        "0" | "1" | "2" => format!("{system}{two}{last}0000{}", &middle[2..]),
        "3" => format!("{system}{three}00000{}", &middle[3..]),
        "4" => format!("{system}{four}00000{}", &middle[4..]),
        _ => format!("{system}{middle}0000{last}"),
    })
}

fn elements(said: Elements) -> Result<Scan, ScanError> {
    let Elements {
        gtin,
        content,
        content_count,
        sscc,
        batch,
        produced_on,
        best_before,
        expires_on,
        serial,
        count,
        weight,
        price,
        said,
    } = said;
    let many = content_count.or(count);
    let Some(code) = gtin.or(content) else {
        return sscc.map(Scan::LogisticUnit).ok_or(ScanError::NoItem);
    };
    let weight = match weight.map(Quantity::try_new) {
        None => None,
        Some(Ok(weight)) => Some(Measure::Net(weight)),
        Some(Err(error)) => {
            let (ai, rule) = ("310n".to_owned(), error.to_string());
            return Err(ScanError::Value { ai, rule });
        }
    };
    let count = many.map(|many| Measure::Count(i64::from(many).into()));
    Ok(Scan::Item(vec![Candidate {
        measure: count.or(weight),
        price,
        batch,
        produced_on,
        best_before,
        expires_on,
        serial,
        sscc,
        elements: said,
        ..Candidate::plain(code, Form::Gs1)
    }]))
}

impl Candidate {
    fn plain(code: Gtin, form: Form) -> Self {
        Self {
            code,
            form,
            measure: None,
            price: None,
            batch: None,
            produced_on: None,
            best_before: None,
            expires_on: None,
            serial: None,
            sscc: None,
            elements: Vec::new(),
        }
    }

    fn of_pattern(rule: &Rule, item: String, base: Gtin, value: Option<Decimal>) -> Self {
        let element = |name: &str, value: String, means| Element {
            source: rule.shape.as_str().to_owned(),
            name: name.to_owned(),
            value,
            means,
        };
        let mut elements = vec![element("item", item, None)];
        let mut candidate = Self::plain(base, Form::Pattern);
        if let Some(value) = value {
            let text = Some(value.to_string());
            elements.push(element(
                rule.meaning.word(),
                value.mantissa().to_string(),
                text,
            ));
            // At most ten digits with at most three decimals: it fits.
            let quantity = Quantity::rounded(value);
            match rule.meaning {
                Meaning::Weight => candidate.measure = Some(Measure::Weighed(quantity)),
                Meaning::Quantity => candidate.measure = Some(Measure::Count(quantity)),
                Meaning::Price => candidate.price = Some(Price::rounded(value)),
            }
        }
        Self {
            elements,
            ..candidate
        }
    }

    /// The weight it says, in kilograms.
    pub fn weight(&self) -> Option<Quantity> {
        match self.measure {
            Some(Measure::Weighed(weight) | Measure::Net(weight)) => Some(weight),
            _ => None,
        }
    }

    /// How many of `unit` (none is the stock unit) of the product, one of which costs `unit_price`, it is. A price alone
    /// is divided by that; none where it is nothing.
    ///
    /// # Errors
    /// [`Error::NotWeighed`] for a weighed code of a product that is not sold by weight.
    pub fn quantity(
        &self,
        product: &Product,
        unit: Option<UnitId>,
        unit_price: Price,
    ) -> Result<Option<Quantity>, Error> {
        let weighed = |weight: Quantity| {
            let amount = weight_in(&product.uqc, weight).filter(|_| unit.is_none());
            amount.and_then(|amount| Quantity::try_new(amount).ok())
        };
        match self.measure {
            None if let Some(price) = self.price => {
                let divided = price.decimal().checked_div(unit_price.decimal());
                Ok(divided.map(Quantity::rounded))
            }
            Some(Measure::Count(count)) => Ok(Some(count)),
            Some(Measure::Weighed(weight)) => match weighed(weight) {
                Some(quantity) => Ok(Some(quantity)),
                None => Err(Error::NotWeighed(product.uqc.clone())),
            },
            Some(Measure::Net(weight)) => Ok(Some(weighed(weight).unwrap_or(1.into()))),
            None => Ok(Some(1.into())),
        }
    }
}

/// Whether a barcode may be of a pattern at all; the patterns of the tenant are looked up only then.
pub fn restricted(text: &str) -> bool {
    let text = text.trim_matches([' ', '\r', '\n', '\t']);
    let digits = text.strip_prefix("]E0").unwrap_or(text);
    match digits.len() {
        12 => matches!(digits.as_bytes().first(), Some(b'2' | b'4')),
        13 => matches!(digits.as_bytes().first(), Some(b'2' | b'0')),
        14 => matches!(digits.as_bytes().get(..2), Some(b"02" | b"00")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{barcode::model::check_digit, barcode_pattern::model::defaults};

    fn today() -> NaiveDate {
        "2026-11-21".parse().unwrap()
    }

    fn scan(text: &str) -> Result<Scan, ScanError> {
        read(text, &defaults(), today())
    }

    fn candidates(text: &str) -> Vec<Candidate> {
        match scan(text) {
            Ok(Scan::Item(candidates)) => candidates,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn forms(text: &str) -> Vec<(Form, String)> {
        let found = candidates(text).into_iter();
        found.map(|c| (c.form, c.code.to_string())).collect()
    }

    #[test]
    fn reads_every_code_of_the_vectors() {
        for (code, form) in [
            ("416000336108", Form::UpcA),
            ("02345673", Form::Ean8),
            ("4006381333931", Form::Ean13),
            ("8901234567890", Form::Ean13),
            ("09501101530003", Form::Gtin14),
            ("20012345678909", Form::Gtin14),
            ("90012345678908", Form::Gtin14),
        ] {
            assert_eq!(forms(code)[0], (form, code.to_owned()));
        }
        for weighed in ["2112345678900", "2112345015002"] {
            let found = forms(weighed);
            assert_eq!(found[0], (Form::Pattern, "2112345000008".to_owned()));
            assert_eq!(found[1], (Form::Ean13, weighed.to_owned()));
        }
        let found = &candidates("2112345015002")[0];
        assert_eq!(
            found.measure,
            Some(Measure::Weighed("1.500".parse().unwrap()))
        );
        let sources: Vec<_> = found
            .elements
            .iter()
            .map(|e| (e.source.as_str(), e.name.as_str()))
            .collect();
        assert_eq!(
            sources,
            [("21.....{NNDDD}", "item"), ("21.....{NNDDD}", "weight")]
        );
    }

    #[test]
    fn a_price_is_read_and_its_quantity_left_open() {
        // 23 12345 12050 and the check digit.
        let digits = "231234512050";
        let code = format!("{digits}{}", check_digit(digits.as_bytes()));
        let found = &candidates(&code)[0];
        assert_eq!(
            (found.price, found.measure),
            (Some("120.50".parse().unwrap()), None)
        );
    }

    #[test]
    fn a_upc_e_is_the_upc_a_it_stands_for() {
        assert!(forms("01234505").contains(&(Form::UpcE, "012000003455".to_owned())));
        assert_eq!(expand("0123450").unwrap(), "01200000345");
        assert_eq!(expand("0123453").unwrap(), "01230000045");
        assert_eq!(expand("0123454").unwrap(), "01234000005");
        assert_eq!(expand("0123459").unwrap(), "01234500009");
        assert_eq!(expand("2123459"), None);
        // Six digits are of number system 0; eight may be right as an EAN-8 too.
        assert_eq!(forms("123450")[0].0, Form::UpcE);
        let both = forms("02345673");
        assert_eq!(both[0].0, Form::Ean8);
        assert_eq!(both[1], (Form::UpcE, "023456000073".to_owned()));
    }

    #[test]
    fn prefixes_of_symbologies_are_dropped() {
        let raw = "010950110153000310A1\u{1d}17271200";
        for prefix in ["]C1", "]d2", "]e0", "]Q3", "\u{1d}", ""] {
            let found = &candidates(&format!("{prefix}{raw}"))[0];
            assert_eq!(
                (found.form, found.batch.as_deref()),
                (Form::Gs1, Some("A1")),
                "{prefix}"
            );
            assert_eq!(found.expires_on, Some("2027-12-31".parse().unwrap()));
        }
        assert_eq!(forms("]E04006381333931")[0].0, Form::Ean13);
        assert_eq!(forms(" 4006381333931\r\n")[0].0, Form::Ean13);
        assert_eq!(scan("]A0123"), Err(ScanError::Symbology("]A0".into())));
        assert_eq!(scan("]é"), Err(ScanError::Symbology("]é".into())));
    }

    #[test]
    fn a_logistic_unit_is_no_item_unless_it_says_its_contents() {
        for text in [
            "106141412345678908",
            "(00)106141412345678908",
            "]C100106141412345678908",
        ] {
            assert_eq!(
                scan(text),
                Ok(Scan::LogisticUnit("106141412345678908".into())),
                "{text}"
            );
        }
        let found = &candidates("(00)106141412345678908(02)00614141123452(37)48")[0];
        assert_eq!(found.code.as_str(), "00614141123452");
        assert_eq!(found.measure, Some(Measure::Count(48.into())));
        assert_eq!(found.sscc.as_deref(), Some("106141412345678908"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(scan("4006381333932"), Err(ScanError::CheckDigit(1)));
        assert_eq!(scan("106141412345678900"), Err(ScanError::CheckDigit(8)));
        assert_eq!(scan("1"), Err(ScanError::Format(1)));
        assert_eq!(scan("8.90E+12"), Err(ScanError::Format(8)));
        assert_eq!(scan("४००६३८१३३३९३१"), Err(ScanError::Format(13)));
        assert_eq!(scan("12345678"), Err(ScanError::CheckDigit(0)));
        assert_eq!(scan(""), Err(ScanError::Empty));
        assert_eq!(scan(&"1".repeat(LONGEST + 1)), Err(ScanError::TooLong));
        assert_eq!(scan("(10)ABC"), Err(ScanError::NoItem));
    }

    #[test]
    fn patterns_are_looked_up_for_codes_that_may_have_one() {
        for text in [
            "2112345015002",
            "0212345015002",
            "212345015002",
            "02112345015002",
            "]E02112345015002",
        ] {
            assert!(restricted(text), "{text}");
        }
        for text in [
            "4006381333931",
            "8901234567890",
            "(01)09501101530003",
            "02345673",
        ] {
            assert!(!restricted(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", code in "(\\][A-Za-z][0-9])?[0-9]{0,30}\\PC{0,3}") {
            let _ = scan(&text);
            let _ = scan(&code);
        }

        #[test]
        fn every_gtin_is_read_and_no_other_last_digit(digits in "[1-9][0-9]{11}", off in 1u8..10) {
            let right = check_digit(digits.as_bytes());
            let good = scan(&format!("{digits}{right}"));
            prop_assert!(good.is_ok());
            let bad = scan(&format!("{digits}{}", (right + off) % 10));
            prop_assert_eq!(bad, Err(ScanError::CheckDigit(right)));
        }
    }
}
