//! Document numbers: the rule of the law, and the series a shop draws them from.
//!
//! CGST Rules 2017, rule 46(b): a consecutive serial number of at most sixteen characters, letters,
//! digits, hyphen and slash, unique for a financial year. Which number comes next is the affair of the
//! service that posts the document; here is only what a number may look like.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use bahi_types::FiscalYear;

use crate::text::serde_as_text;

/// The longest number the law allows.
pub const MAX_LENGTH: usize = 16;

/// The longest prefix of a series: with `/26-27/` it leaves four digits, 9999 documents a year.
pub const MAX_PREFIX: usize = 5;

/// A legal document number. It keeps the case in which it was written, but two numbers that differ
/// only in case are equal: the portal holds them for the same.
#[derive(Clone, Debug)]
pub struct InvoiceNumber(String);

/// What is wrong with a document number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceNumberError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than 16 characters.
    #[error("has {0} characters, at most 16 are allowed")]
    TooLong(usize),
    /// A character other than a letter, a digit, `-` or `/`.
    #[error("contains {0:?}; only letters, digits, - and / are allowed")]
    Character(char),
    /// Begins with `-` or `/`.
    #[error("must begin with a letter or a digit")]
    FirstCharacter,
    /// Nothing but zeros, hyphens and slashes.
    #[error("must not be all zero")]
    AllZero,
}

impl InvoiceNumber {
    /// The number as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number in upper case: the key for uniqueness, and from 1-Jun-2025 what the e-invoice
    /// portal hashes into the IRN (GSTN advisory of 4-Apr-2025).
    pub fn canonical(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

impl FromStr for InvoiceNumber {
    type Err = InvoiceNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.chars().next().ok_or(InvoiceNumberError::Empty)?;
        let length = text.chars().count();
        if length > MAX_LENGTH {
            return Err(InvoiceNumberError::TooLong(length));
        }
        if let Some(c) = text.chars().find(|c| !is_allowed(*c)) {
            return Err(InvoiceNumberError::Character(c));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(InvoiceNumberError::FirstCharacter);
        }
        if text.chars().all(|c| matches!(c, '0' | '-' | '/')) {
            return Err(InvoiceNumberError::AllZero);
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '/'
}

impl PartialEq for InvoiceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for InvoiceNumber {}
impl Hash for InvoiceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}
impl fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(InvoiceNumber);

/// The series of one till or counter, like `P1`: at most five letters, digits, hyphens or slashes,
/// beginning with a letter or a digit. It is kept in upper case, so that `p1` is no second series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series(String);

/// Why a series has no such name or no such number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// The prefix cannot begin a document number.
    #[error("series prefix {0}")]
    Prefix(InvoiceNumberError),
    /// The prefix leaves less than four digits for the running number.
    #[error("series prefix has {0} characters, at most 5 are allowed")]
    PrefixTooLong(usize),
    /// Running numbers begin at 1.
    #[error("running numbers begin at 1")]
    Zero,
    /// The year's numbers of this series are used up: the next one would exceed 16 characters.
    #[error("series {prefix} is used up: number {running} would exceed 16 characters")]
    UsedUp {
        /// The prefix of the series.
        prefix: String,
        /// The running number that does not fit.
        running: u32,
    },
}

impl Series {
    /// A series with the prefix.
    ///
    /// # Errors
    /// When the prefix is too long or holds what a document number may not.
    pub fn try_new(prefix: &str) -> Result<Self, SeriesError> {
        let length = prefix.chars().count();
        if length > MAX_PREFIX {
            return Err(SeriesError::PrefixTooLong(length));
        }
        match prefix.parse::<InvoiceNumber>() {
            // All zero is allowed here: the running number that follows is not.
            Ok(_) | Err(InvoiceNumberError::AllZero) => Ok(Self(prefix.to_ascii_uppercase())),
            Err(error) => Err(SeriesError::Prefix(error)),
        }
    }

    /// The prefix, in upper case.
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// The `running`-th number of the series in a fiscal year, like `P1/26-27/0001`. Four digits,
    /// more when four are not enough.
    ///
    /// # Errors
    /// When `running` is 0, or the text would be longer than the law allows.
    pub fn number(&self, year: FiscalYear, running: u32) -> Result<InvoiceNumber, SeriesError> {
        if running == 0 {
            return Err(SeriesError::Zero);
        }
        let text = format!("{}/{year}/{running:04}", self.0);
        if text.len() > MAX_LENGTH {
            return Err(SeriesError::UsedUp {
                prefix: self.0.clone(),
                running,
            });
        }
        Ok(InvoiceNumber(text))
    }
}

impl FromStr for Series {
    type Err = SeriesError;
    fn from_str(prefix: &str) -> Result<Self, Self::Err> {
        Self::try_new(prefix)
    }
}
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Series);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Result<InvoiceNumber, InvoiceNumberError> {
        text.parse()
    }

    #[test]
    fn accepts_what_the_law_allows() {
        for good in [
            "1",
            "P1/26-27/0001",
            "MH/26-27/0001",
            "A-1",
            "0-1",
            "a",
            "ABCDEFGHIJ/12-34",
        ] {
            assert!(number(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(number(""), Err(InvoiceNumberError::Empty));
        assert_eq!(
            number("ABCDEFGHIJ/12-345"),
            Err(InvoiceNumberError::TooLong(17))
        );
        assert_eq!(number("A 1"), Err(InvoiceNumberError::Character(' ')));
        assert_eq!(number("A_1"), Err(InvoiceNumberError::Character('_')));
        assert_eq!(number("É1"), Err(InvoiceNumberError::Character('É')));
        assert_eq!(number("/1"), Err(InvoiceNumberError::FirstCharacter));
        assert_eq!(number("-1"), Err(InvoiceNumberError::FirstCharacter));
        assert_eq!(number("0000"), Err(InvoiceNumberError::AllZero));
        assert_eq!(number("0/0-0"), Err(InvoiceNumberError::AllZero));
    }

    #[test]
    fn case_makes_no_difference_to_equality() {
        use std::collections::HashSet;
        let both = HashSet::from([number("mh/1").unwrap(), number("MH/1").unwrap()]);
        assert_eq!(both.len(), 1);
        assert_eq!(number("mh/1").unwrap().to_string(), "mh/1");
        assert_eq!(number("mh/1").unwrap().canonical(), "MH/1");
    }

    #[test]
    fn a_series_counts_until_sixteen_characters_are_full() {
        let year = FiscalYear::starting(2026);
        let series = Series::try_new("p1").unwrap();
        assert_eq!(series.number(year, 1).unwrap().as_str(), "P1/26-27/0001");
        assert_eq!(
            series.number(year, 9_999_999).unwrap().as_str(),
            "P1/26-27/9999999"
        );
        assert!(matches!(
            series.number(year, 10_000_000),
            Err(SeriesError::UsedUp { .. })
        ));
        assert_eq!(series.number(year, 0), Err(SeriesError::Zero));
        let longest = Series::try_new("ABCDE").unwrap();
        assert_eq!(
            longest.number(year, 9999).unwrap().as_str(),
            "ABCDE/26-27/9999"
        );
        assert!(longest.number(year, 10_000).is_err());
    }

    #[test]
    fn a_prefix_must_be_able_to_begin_a_number() {
        assert_eq!(
            Series::try_new("ABCDEF"),
            Err(SeriesError::PrefixTooLong(6))
        );
        assert_eq!(
            Series::try_new(""),
            Err(SeriesError::Prefix(InvoiceNumberError::Empty))
        );
        assert!(Series::try_new("/A").is_err());
        assert!(Series::try_new("A B").is_err());
        assert!(
            Series::try_new("00")
                .unwrap()
                .number(FiscalYear::starting(2026), 1)
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn every_number_of_a_series_is_legal(
            prefix in "[A-Za-z0-9][A-Za-z0-9/-]{0,4}", year in 2017i32..2099, running in 1u32..=9999,
        ) {
            let number = Series::try_new(&prefix).unwrap()
                .number(FiscalYear::starting(year), running).unwrap();
            prop_assert_eq!(number.as_str().parse::<InvoiceNumber>(), Ok(number.clone()));
        }
    }
}
