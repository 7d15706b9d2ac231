//! A pattern, and how it reads a barcode.

use bahi_types::{Id, Quantity};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{barcode::model::Gtin, schema::barcode_pattern, text::words};

/// Marker of pattern ids; it has no values.
#[derive(Debug)]
pub enum PatternKind {}
/// A pattern.
pub type PatternId = Id<PatternKind>;

/// Most patterns of a tenant.
pub const MOST: i64 = 50;
/// Digits before the check digit of an EAN-13.
const DIGITS: usize = 12;

words! {
    /// What the value of a pattern is.
    #[schema(as = PatternMeaning)]
    pub enum Meaning {
        /// A net weight in kilograms.
        Weight = "weight",
        /// The price of what was weighed or counted.
        Price = "price",
        /// A number of stock units.
        Quantity = "quantity",
    }
}

/// A pattern.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = barcode_pattern)]
pub struct Pattern {
    /// Id.
    pub id: PatternId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// The pattern.
    pub pattern: String,
    /// What its value is.
    pub meaning: Meaning,
    /// The lowest comes first.
    pub position: i32,
    /// It is used.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be said of a pattern.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// The pattern.
    pub pattern: Shape,
    /// What its value is.
    pub meaning: Meaning,
    /// The lowest comes first.
    pub position: i32,
    /// It is used.
    pub active: bool,
}

impl Pattern {
    /// A new pattern.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Self {
        Self {
            id: PatternId::new(),
            version: 1,
            name: draft.name,
            pattern: draft.pattern.text,
            meaning: draft.meaning,
            position: draft.position,
            active: draft.active,
            created_at: now,
            updated_at: now,
        }
    }

    /// The pattern as `draft` wants it; itself when that is no change.
    pub fn amended(&self, draft: Draft, now: DateTime<Utc>) -> Self {
        let after = Self {
            name: draft.name,
            pattern: draft.pattern.text,
            meaning: draft.meaning,
            position: draft.position,
            active: draft.active,
            ..self.clone()
        };
        if after == *self {
            return after;
        }
        Self {
            version: self.version + 1,
            updated_at: now,
            ..after
        }
    }
}

/// A pattern ready to read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The digits.
    pub shape: Shape,
    /// What its value is.
    pub meaning: Meaning,
}

/// What a tenant without patterns reads with.
pub fn defaults() -> Vec<Rule> {
    let rule = |pattern: &str, meaning| {
        Some(Rule {
            shape: pattern.parse().ok()?,
            meaning,
        })
    };
    let known = [
        rule("21.....{NNDDD}", Meaning::Weight),
        rule("23.....{NNNDD}", Meaning::Price),
    ];
    known.into_iter().flatten().collect()
}

/// What a tenant reads with, given all its patterns in order.
pub fn rules(patterns: &[Pattern]) -> Vec<Rule> {
    if patterns.is_empty() {
        return defaults();
    }
    let active = patterns.iter().filter(|pattern| pattern.active);
    // They were checked on their way in.
    let rule = |pattern: &Pattern| {
        Some(Rule {
            shape: pattern.pattern.parse().ok()?,
            meaning: pattern.meaning,
        })
    };
    active.filter_map(rule).collect()
}

/// The digits of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shape {
    text: String,
    places: Vec<Place>,
    decimals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Digit(u8),
    Item,
    Check,
    Value,
}

/// What a pattern finds in a barcode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The digits of the item.
    pub item: String,
    /// The barcode of the item: the scanned one with a value of zero.
    pub base: Gtin,
    /// The value; none where it is zero, on the label of a shelf.
    pub value: Option<Decimal>,
}

impl Shape {
    /// The pattern as it was said.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads an EAN-13 whose check digit is right; none where the pattern does not fit.
    ///
    /// # Errors
    /// The check digit that the value should have.
    pub fn read(&self, code: &Gtin) -> Option<Result<Match, u8>> {
        let canonical = code.canonical();
        let digits = canonical.strip_prefix('0')?.as_bytes();
        let (mut item, mut value, mut check) = (String::new(), String::new(), None);
        let mut base = String::with_capacity(DIGITS + 1);
        for (place, digit) in self.places.iter().zip(digits) {
            let char = char::from(*digit);
            match place {
                Place::Digit(own) if own != digit => return None,
                Place::Digit(_) => base.push(char),
                Place::Item => {
                    item.push(char);
                    base.push(char);
                }
                Place::Value => {
                    value.push(char);
                    base.push('0');
                }
                Place::Check => {
                    check = Some(digit - b'0');
                    base.push('0');
                }
            }
        }
        let mantissa: i64 = value.parse().ok()?;
        let found = Match {
            item,
            base: Gtin::closed(base),
            value: (mantissa != 0).then(|| Decimal::new(mantissa, self.decimals)),
        };
        match (check, value_check(value.as_bytes())) {
            // On the label of a shelf there is nothing to protect.
            (Some(read), Some(right)) if read != right && mantissa != 0 => Some(Err(right)),
            _ => Some(Ok(found)),
        }
    }

    /// The barcode to print for so much of an item.
    #[cfg(test)]
    fn write(&self, item: &str, value: &str) -> String {
        let (mut item, mut left) = (item.chars(), value.chars());
        let digits = self.places.iter().map(|place| match place {
            Place::Digit(digit) => char::from(*digit),
            Place::Item => item.next().unwrap(),
            Place::Value => left.next().unwrap(),
            Place::Check => char::from(b'0' + value_check(value.as_bytes()).unwrap()),
        });
        Gtin::closed(digits.collect()).to_string()
    }
}

/// The check digit of a price or weight of four or five digits (GS1 General Specifications, 7.9.2 to 7.9.4).
fn value_check(digits: &[u8]) -> Option<u8> {
    const TWO_MINUS: [u8; 10] = [0, 2, 4, 6, 8, 9, 1, 3, 5, 7];
    const THREE: [u8; 10] = [0, 3, 6, 9, 2, 5, 8, 1, 4, 7];
    const FIVE_PLUS: [u8; 10] = [0, 5, 1, 6, 2, 7, 3, 8, 4, 9];
    const FIVE_MINUS: [u8; 10] = [0, 5, 9, 4, 8, 3, 7, 2, 6, 1];
    let weights: &[&[u8; 10]] = match digits.len() {
        4 => &[&TWO_MINUS, &TWO_MINUS, &THREE, &FIVE_MINUS],
        5 => &[&FIVE_PLUS, &TWO_MINUS, &FIVE_MINUS, &FIVE_PLUS, &TWO_MINUS],
        _ => return None,
    };
    let weighed = digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| weight.get(usize::from(digit.wrapping_sub(b'0'))));
    let sum: u8 = weighed.collect::<Option<Vec<&u8>>>()?.into_iter().sum();
    if digits.len() == 4 {
        return Some(sum * 3 % 10);
    }
    let missing = (10 - sum % 10) % 10;
    (0..)
        .zip(FIVE_MINUS)
        .find_map(|(digit, weighed)| (weighed == missing).then_some(digit))
}

impl std::str::FromStr for Shape {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        // A pattern is a line of at most fourteen characters; more is not even looked at.
        if text.len() != DIGITS + 2 {
            return Err(
                "must have the twelve digits before the check digit, with the value in { }",
            );
        }
        let (before, rest) = text.split_once('{').ok_or("must have its value in { }")?;
        let (value, after) = rest.split_once('}').ok_or("must have its value in { }")?;
        let whole = value.bytes().take_while(|b| *b == b'N').count();
        let decimals = value.len() - whole;
        if value.is_empty() || !value.bytes().skip(whole).all(|b| b == b'D') {
            return Err("must have N and then D between { and }");
        }
        if decimals > 3 {
            return Err("must have at most three D");
        }
        let place = |byte: u8| match byte {
            b'0'..=b'9' => Ok(Place::Digit(byte)),
            b'.' => Ok(Place::Item),
            b'C' => Ok(Place::Check),
            _ => Err("may have digits, dots, one C and one { } only"),
        };
        let mut places = before.bytes().map(place).collect::<Result<Vec<_>, _>>()?;
        places.extend(value.bytes().map(|_| Place::Value));
        places.extend(after.bytes().map(place).collect::<Result<Vec<_>, _>>()?);
        let prefix = match places[..] {
            [Place::Digit(a), Place::Digit(b), ..] => [a, b],
            _ => return Err("must begin with two digits"),
        };
        match &prefix {
            b"29" => return Err("must not begin with 29, the range of our own barcodes"),
            b"02" | b"04" | [b'2', _] => {}
            _ => return Err("must begin with 02, 04 or 20 to 28: other codes are manufacturers'"),
        }
        let count = |place: Place| places.iter().filter(|own| **own == place).count();
        if count(Place::Item) == 0 {
            return Err("must have a dot for each digit of the item");
        }
        match count(Place::Check) {
            0 => {}
            1 if matches!(value.len(), 4 | 5) => {}
            1 => return Err("can have a C only with a value of four or five digits"),
            _ => return Err("may have one C at most"),
        }
        Ok(Self {
            text: text.to_owned(),
            decimals: u32::try_from(decimals).unwrap_or_default(),
            places,
        })
    }
}

impl TryFrom<String> for Shape {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}
impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.text
    }
}

/// A weight in kilograms as a quantity of a unit with this UQC; none where that is no unit of weight.
pub fn weight_in(uqc: &str, kilograms: Quantity) -> Option<Decimal> {
    let kilograms = kilograms.decimal();
    Some(match uqc {
        "KGS" => kilograms,
        "GMS" => kilograms * Decimal::from(1000),
        "QTL" => kilograms / Decimal::from(100),
        "TON" | "MTS" => kilograms / Decimal::from(1000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        text.parse().unwrap()
    }

    fn read(pattern: &str, code: &str) -> Option<Result<Match, u8>> {
        shape(pattern).read(&code.parse().unwrap())
    }

    #[test]
    fn reads_the_weight_of_the_vector() {
        let found = read("21.....{NNDDD}", "2112345015002").unwrap().unwrap();
        assert_eq!(found.item, "12345");
        assert_eq!(found.value, Some("1.500".parse().unwrap()));
        assert_eq!(found.base.as_str(), "2112345000008");
        assert_eq!(read("23.....{NNNDD}", "2112345015002"), None);
        assert_eq!(read("21.....{NNDDD}", "4006381333931"), None);
        let shelf = read("21.....{NNDDD}", "2112345000008").unwrap().unwrap();
        assert_eq!((shelf.value, shelf.base.as_str()), (None, "2112345000008"));
    }

    #[test]
    fn a_upc_of_number_system_two_is_the_ean_that_begins_with_02() {
        let code = shape("02.....{NNNDD}").write("12345", "01999");
        assert!(code.starts_with("02"));
        let upc = &code[1..];
        let found = read("02.....{NNNDD}", upc).unwrap().unwrap();
        assert_eq!(found.value, Some("19.99".parse().unwrap()));
    }

    #[test]
    fn knows_the_check_digits_of_prices() {
        assert_eq!(value_check(b"2875"), Some(9));
        assert_eq!(value_check(b"14685"), Some(6));
        assert_eq!(value_check(b"123"), None);
        let pattern = "23....C{NNNDD}";
        let code = shape(pattern).write("1234", "14685");
        let found = read(pattern, &code).unwrap().unwrap();
        assert_eq!(
            (found.item.as_str(), found.value),
            ("1234", Some("146.85".parse().unwrap()))
        );
        // The price alone is changed and the barcode closed again.
        let forged = Gtin::closed(format!("{}4{}", &code[..7], &code[8..12]));
        let caught = shape(pattern).read(&forged).unwrap();
        assert_eq!(caught, Err(value_check(b"44685").unwrap()));
    }

    #[test]
    fn refuses_patterns_that_make_no_sense() {
        for good in [
            "21.....{NNDDD}",
            "02.....{NNNDD}",
            "2412....{NNNN}",
            "23....C{NNNDD}",
            "25...{DDD}0000",
        ] {
            assert_eq!(good.parse::<Shape>().map(String::from), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "21.....NNDDD",
            "21.....{NNDD}",
            "21.....{NNDDDD}",
            "21.....{}NNDDD",
            "21.....{DDDNN}",
            "21.....{NNXDD}",
            "21.....}NNDDD{",
            "211234567{NNN}",
            "..12345{NNDDD}",
            "29.....{NNDDD}",
            "40.....{NNDDD}",
            "21....C{NNN}.0",
            "21...CC{NNNDD}",
            "21.x...{NNDDD}",
            "21.....{NDDDD}",
            "21.....{NN{DD}",
            "२१....{NN}",
        ] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_defaults_are_two_and_end_with_the_first_of_ones_own() {
        assert_eq!(defaults().len(), 2);
        assert_eq!(rules(&[]), defaults());
        let draft = Draft {
            name: "Off".into(),
            pattern: shape("21.....{NNDDD}"),
            meaning: Meaning::Weight,
            position: 0,
            active: false,
        };
        assert_eq!(rules(&[Pattern::new(draft, Utc::now())]), []);
    }
}
