//! The arithmetic of barcodes (GS1 General Specifications, 7.9).

use std::{fmt, str::FromStr};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{Array, Nullable, Text},
};
use serde::{Deserialize, Serialize};

/// Most barcodes of one product.
pub const MOST: usize = 20;
/// Numbers of our own range.
pub const RANGE: u64 = 10_000_000_000;

/// A GTIN as it is printed: EAN-8, UPC-A (12), EAN-13 or GTIN-14.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtin(String);

/// Why a text is no barcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GtinError {
    /// Not digits, or not of a length that exists.
    #[error("is not a barcode of 8, 12, 13 or 14 digits")]
    Format,
    /// The last digit does not fit the others.
    #[error("has a wrong check digit: it should end in {0}")]
    CheckDigit(u8),
}

/// The check digit behind `digits`: from the right, weights 3, 1, 3, 1, ...
pub fn check_digit(digits: &[u8]) -> u8 {
    let weights = [3, 1].into_iter().cycle();
    let sum: u32 = digits
        .iter()
        .rev()
        .zip(weights)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or_default()
}

impl Gtin {
    /// A barcode of our own range.
    pub fn own(number: u64) -> Self {
        Self::closed(format!("29{:010}", number % RANGE))
    }

    /// Digits and the check digit behind them.
    pub(crate) fn closed(mut digits: String) -> Self {
        let check = check_digit(digits.as_bytes());
        digits.push(char::from(b'0' + check));
        Self(digits)
    }

    /// The digits as printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are one code, however many zeros stand before it.
    pub fn same(&self, other: &Self) -> bool {
        self.0.trim_start_matches('0') == other.0.trim_start_matches('0')
    }

    /// Fourteen digits, in which a UPC-A and the EAN-13 that begins with 0 are the same.
    pub fn canonical(&self) -> String {
        format!("{:0>14}", self.0)
    }
}

impl FromStr for Gtin {
    type Err = GtinError;
    fn from_str(text: &str) -> Result<Self, GtinError> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 8 | 12 | 13 | 14) || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(GtinError::Format);
        }
        let (digits, last) = bytes.split_at(bytes.len() - 1);
        let check = check_digit(digits);
        if last != [b'0' + check] {
            return Err(GtinError::CheckDigit(check));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Gtin {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{text:?} {error}"))
    }
}
impl From<Gtin> for String {
    fn from(code: Gtin) -> Self {
        code.0
    }
}
impl fmt::Display for Gtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The company prefix that GS1 has given a tenant, as it stands at the beginning of an EAN-13: 4 to 11 digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl Prefix {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The EAN-13 of an item reference, which fills what the prefix leaves of twelve digits.
    pub fn code(&self, reference: u64) -> Gtin {
        let width = 12usize.saturating_sub(self.0.len());
        Gtin::closed(format!("{}{reference:0width$}", self.0))
    }
}

impl TryFrom<String> for Prefix {
    type Error = &'static str;
    fn try_from(digits: String) -> Result<Self, &'static str> {
        if !(4..=11).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            Err("must be 4 to 11 digits")
        } else if digits.starts_with('2') || digits.starts_with("02") || digits.starts_with("04") {
            Err("must not begin with 02, 04 or 20 to 29: those are for use within a shop")
        } else {
            Ok(Self(digits))
        }
    }
}

/// The barcodes of one product, none of them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromSqlRow)]
#[serde(try_from = "Vec<Gtin>")]
pub struct Barcodes(Vec<Gtin>);

impl Barcodes {
    /// The codes.
    pub fn iter(&self) -> impl Iterator<Item = &Gtin> {
        self.0.iter()
    }

    /// The codes in GTIN-14.
    pub fn canonical(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Gtin::canonical)
    }

    /// The codes but those that are `taken` (GTIN-14).
    pub fn without(&self, taken: &[String]) -> Self {
        let free = |code: &&Gtin| !taken.contains(&code.canonical());
        Self(self.0.iter().filter(free).cloned().collect())
    }

    /// The codes as printed.
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(Gtin::to_string).collect()
    }
}

impl TryFrom<Vec<Gtin>> for Barcodes {
    type Error = String;
    fn try_from(codes: Vec<Gtin>) -> Result<Self, String> {
        if codes.len() > MOST {
            return Err(format!("has more than {MOST} barcodes"));
        }
        let mut seen: Vec<String> = codes.iter().map(Gtin::canonical).collect();
        seen.sort_unstable();
        if seen.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("names a barcode twice".into());
        }
        Ok(Self(codes))
    }
}

bahi_types::stands_as!(Gtin as String, Gtin::to_string);
bahi_types::stands_as!(Barcodes as Vec<Gtin>, |codes: &Barcodes| codes.0.clone());

impl FromSql<Array<Nullable<Text>>, Pg> for Barcodes {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let codes = <Vec<Option<String>> as FromSql<Array<Nullable<Text>>, Pg>>::from_sql(value)?;
        // They were checked on their way in.
        Ok(Self(codes.into_iter().flatten().map(Gtin).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_check_digits_of_the_vectors() {
        for good in [
            "2112345678900",
            "416000336108",
            "02345673",
            "4006381333931",
            "09501101530003",
            "20012345678909",
        ] {
            assert_eq!(good.parse::<Gtin>().map(String::from), Ok(good.to_owned()));
        }
        assert_eq!(
            "4006381333932".parse::<Gtin>(),
            Err(GtinError::CheckDigit(1))
        );
        for bad in [
            "",
            "1",
            "400638133393",
            "8.90E+12",
            "40063813339311",
            "४००६३८१३३३९३१",
        ] {
            assert!(bad.parse::<Gtin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_single_wrong_digit_is_found() {
        let good = "4006381333931";
        for place in 0..good.len() {
            for digit in b'0'..=b'9' {
                let mut bytes = good.as_bytes().to_vec();
                bytes[place] = digit;
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!(text.parse::<Gtin>().is_ok(), text == good, "{text}");
            }
        }
    }

    #[test]
    fn our_own_codes_are_valid_and_in_the_range_29() {
        for number in [1, 42, RANGE - 1] {
            let code = Gtin::own(number);
            assert!(code.as_str().starts_with("29") && code.as_str().len() == 13);
            assert_eq!(code.as_str().parse(), Ok(code.clone()));
        }
        assert_eq!(Gtin::own(1).as_str(), "2900000000018");
    }

    #[test]
    fn a_upc_and_its_ean_are_one_code() {
        let codes = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<Gtin>>()
        };
        assert!(Barcodes::try_from(codes(&["416000336108", "4006381333931"])).is_ok());
        assert!(Barcodes::try_from(codes(&["416000336108", "0416000336108"])).is_err());
    }
}
