//! GS1 element strings: application identifiers and their values (GS1 General Specifications, 3 and 7.8).

use bahi_types::Price;
use chrono::{Datelike, Months, NaiveDate};
use rust_decimal::Decimal;

use crate::{
    barcode::model::{Gtin, check_digit},
    scan::model::{Element, ScanError},
};

/// FNC1 as scanners send it: group separator.
const FNC1: char = '\u{1d}';

/// How long a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// This many digits.
    Digits(usize),
    /// Up to this many digits, ended by FNC1.
    UpToDigits(usize),
    /// Up to this many characters, ended by FNC1.
    UpTo(usize),
}

/// Identifiers by their first digits: prefix, digits of the whole identifier, length of the value. What a till has no
/// use for is read over. After the GS1 Barcode Syntax Dictionary.
const KNOWN: &[(&str, usize, Length)] = {
    use Length::{Digits, UpTo, UpToDigits};
    &[
        ("00", 2, Digits(18)),
        ("01", 2, Digits(14)),
        ("02", 2, Digits(14)),
        ("03", 2, Digits(14)),
        ("10", 2, UpTo(20)),
        ("11", 2, Digits(6)),
        ("12", 2, Digits(6)),
        ("13", 2, Digits(6)),
        ("15", 2, Digits(6)),
        ("16", 2, Digits(6)),
        ("17", 2, Digits(6)),
        ("20", 2, Digits(2)),
        ("21", 2, UpTo(20)),
        ("22", 2, UpTo(20)),
        ("235", 3, UpTo(28)),
        ("240", 3, UpTo(30)),
        ("241", 3, UpTo(30)),
        ("242", 3, UpToDigits(6)),
        ("243", 3, UpTo(20)),
        ("250", 3, UpTo(30)),
        ("251", 3, UpTo(30)),
        ("253", 3, UpTo(30)),
        ("254", 3, UpTo(20)),
        ("255", 3, UpToDigits(25)),
        ("30", 2, UpToDigits(8)),
        ("31", 4, Digits(6)),
        ("32", 4, Digits(6)),
        ("33", 4, Digits(6)),
        ("34", 4, Digits(6)),
        ("35", 4, Digits(6)),
        ("36", 4, Digits(6)),
        ("37", 2, UpToDigits(8)),
        ("390", 4, UpToDigits(15)),
        ("391", 4, UpToDigits(18)),
        ("392", 4, UpToDigits(15)),
        ("393", 4, UpToDigits(18)),
        ("394", 4, Digits(4)),
        ("395", 4, Digits(6)),
        ("400", 3, UpTo(30)),
        ("401", 3, UpTo(30)),
        ("402", 3, Digits(17)),
        ("403", 3, UpTo(30)),
        ("41", 3, Digits(13)),
        ("420", 3, UpTo(20)),
        ("421", 3, UpTo(12)),
        ("422", 3, Digits(3)),
        ("423", 3, UpToDigits(15)),
        ("424", 3, Digits(3)),
        ("425", 3, UpToDigits(15)),
        ("426", 3, Digits(3)),
        ("427", 3, UpTo(3)),
        ("7001", 4, Digits(13)),
        ("7002", 4, UpTo(30)),
        ("7003", 4, Digits(10)),
        ("7004", 4, UpToDigits(4)),
        ("7005", 4, UpTo(12)),
        ("7006", 4, Digits(6)),
        ("7007", 4, UpToDigits(12)),
        ("710", 3, UpTo(20)),
        ("711", 3, UpTo(20)),
        ("712", 3, UpTo(20)),
        ("713", 3, UpTo(20)),
        ("714", 3, UpTo(20)),
        ("715", 3, UpTo(20)),
        ("8001", 4, Digits(14)),
        ("8002", 4, UpTo(20)),
        ("8003", 4, UpTo(30)),
        ("8004", 4, UpTo(30)),
        ("8005", 4, Digits(6)),
        ("8006", 4, Digits(18)),
        ("8007", 4, UpTo(34)),
        ("8008", 4, UpToDigits(12)),
        ("8010", 4, UpTo(30)),
        ("8011", 4, UpToDigits(12)),
        ("8012", 4, UpTo(20)),
        ("8013", 4, UpTo(25)),
        ("8017", 4, Digits(18)),
        ("8018", 4, Digits(18)),
        ("8019", 4, UpToDigits(10)),
        ("8020", 4, UpTo(25)),
        ("8026", 4, Digits(18)),
        ("8110", 4, UpTo(70)),
        ("8111", 4, Digits(4)),
        ("8112", 4, UpTo(70)),
        ("8200", 4, UpTo(70)),
        ("9", 2, UpTo(90)),
    ]
};

/// What an element string says, as far as a till needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// 01: the item.
    pub gtin: Option<Gtin>,
    /// 02: what a logistic unit holds.
    pub content: Option<Gtin>,
    /// 37: how many of `content`.
    pub content_count: Option<u32>,
    /// 00: the logistic unit.
    pub sscc: Option<String>,
    /// 10.
    pub batch: Option<String>,
    /// 11.
    pub produced_on: Option<NaiveDate>,
    /// 15.
    pub best_before: Option<NaiveDate>,
    /// 17.
    pub expires_on: Option<NaiveDate>,
    /// 21.
    pub serial: Option<String>,
    /// 30: how many in an item of variable measure.
    pub count: Option<u32>,
    /// 310n: net weight in kilograms.
    pub weight: Option<Decimal>,
    /// 392n: price of an item of variable measure.
    pub price: Option<Price>,
    /// All of them in their order.
    pub said: Vec<Element>,
}

/// Reads an element string as it is scanned; without the symbology's prefix.
pub fn scanned(text: &str, today: NaiveDate) -> Result<Elements, ScanError> {
    let mut rest = text.trim_start_matches(FNC1);
    let mut found = Elements::default();
    if rest.is_empty() {
        return Err(ScanError::Empty);
    }
    while !rest.is_empty() {
        let (ai, length) = identifier(rest)?;
        rest = &rest[ai.len()..];
        let end = match length {
            Length::Digits(digits) => {
                let end = rest.find(FNC1).unwrap_or(rest.len());
                // What is not ASCII ends it too soon, and the value is refused.
                if rest.is_char_boundary(digits) {
                    end.min(digits)
                } else {
                    end
                }
            }
            _ => rest.find(FNC1).unwrap_or(rest.len()),
        };
        found.take(ai, length, &rest[..end], today)?;
        rest = &rest[end..];
        rest = rest.trim_start_matches(FNC1);
    }
    found.complete()
}

/// Reads an element string whose identifiers stand in brackets.
pub fn bracketed(text: &str, today: NaiveDate) -> Result<Elements, ScanError> {
    let mut found = Elements::default();
    let mut rest = text;
    while !rest.is_empty() {
        let inner = rest.strip_prefix('(').ok_or(ScanError::Brackets)?;
        let (ai, after) = inner.split_once(')').ok_or(ScanError::Brackets)?;
        let (known, length) = identifier(ai)?;
        if known.len() != ai.len() {
            return Err(ScanError::UnknownIdentifier(shortened(ai)));
        }
        // A value may hold a bracket; what begins an element is one with digits and a bracket behind it.
        let end = (0..after.len())
            .find(|at| after.is_char_boundary(*at) && begins_element(&after[*at..]))
            .unwrap_or(after.len());
        found.take(ai, length, after[..end].trim_end(), today)?;
        rest = &after[end..];
    }
    if found.said.is_empty() {
        return Err(ScanError::Empty);
    }
    found.complete()
}

/// Elements with their identifiers in brackets, as they are put into a symbol: with FNC1 behind each value whose length
/// does not follow from its identifier (7.8.4).
///
/// # Errors
/// What is wrong with them.
pub fn raw(text: &str, today: NaiveDate) -> Result<String, String> {
    let found = bracketed(text, today).map_err(|error| error.to_string())?;
    let mut out = String::new();
    for (at, element) in found.said.iter().enumerate() {
        out.push_str(&element.source);
        out.push_str(&element.value);
        let fixed = matches!(
            element.source.get(..2),
            Some(
                "00" | "01"
                    | "02"
                    | "03"
                    | "04"
                    | "11"
                    | "12"
                    | "13"
                    | "14"
                    | "15"
                    | "16"
                    | "17"
                    | "18"
                    | "19"
                    | "20"
                    | "31"
                    | "32"
                    | "33"
                    | "34"
                    | "35"
                    | "36"
                    | "41"
            )
        );
        if !fixed && at + 1 < found.said.len() {
            out.push(FNC1);
        }
    }
    Ok(out)
}

fn begins_element(text: &str) -> bool {
    let Some((ai, _)) = text.strip_prefix('(').and_then(|text| text.split_once(')')) else {
        return false;
    };
    (2..=4).contains(&ai.len()) && ai.bytes().all(|b| b.is_ascii_digit()) && identifier(ai).is_ok()
}

/// The identifier that a text begins with.
fn identifier(text: &str) -> Result<(&str, Length), ScanError> {
    let unknown = || ScanError::UnknownIdentifier(shortened(text));
    let known = KNOWN.iter().find(|(prefix, ..)| text.starts_with(prefix));
    let (_, digits, length) = known.ok_or_else(unknown)?;
    let ai = text.get(..*digits).ok_or_else(unknown)?;
    if ai.bytes().all(|b| b.is_ascii_digit()) {
        Ok((ai, *length))
    } else {
        Err(unknown())
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(4).filter(|c| !c.is_control()).collect()
}

impl Elements {
    fn take(
        &mut self,
        ai: &str,
        length: Length,
        value: &str,
        today: NaiveDate,
    ) -> Result<(), ScanError> {
        let wrong = |rule: String| ScanError::Value {
            ai: ai.to_owned(),
            rule,
        };
        let characters = value.chars().count();
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        match length {
            Length::Digits(count) if characters != count || !digits => {
                return Err(wrong(format!(
                    "needs {count} digits and has {:?}",
                    shown(value)
                )));
            }
            Length::UpToDigits(most) if characters == 0 || characters > most || !digits => {
                return Err(wrong(format!(
                    "needs 1 to {most} digits and has {:?}",
                    shown(value)
                )));
            }
            Length::UpTo(most) if characters == 0 || characters > most => {
                return Err(wrong(format!(
                    "needs 1 to {most} characters and has {characters}"
                )));
            }
            Length::UpTo(_) if !value.bytes().all(encodable) => {
                return Err(wrong("has a character that GS1 does not allow".to_owned()));
            }
            _ => {}
        }
        if let Some(before) = self.said.iter().find(|element| element.source == ai) {
            if before.value == value {
                return Ok(());
            }
            return Err(wrong("stands twice, with different values".to_owned()));
        }
        let number = || {
            value
                .parse::<u32>()
                .map_err(|_| wrong("is too large".to_owned()))
        };
        let date =
            || date(value, today).ok_or_else(|| wrong(format!("{value:?} is no date YYMMDD")));
        let gtin = || {
            value
                .parse::<Gtin>()
                .map_err(|error| wrong(error.to_string()))
        };
        let (name, text) = match ai {
            "00" => {
                sscc(value).map_err(|right| {
                    wrong(format!("has a wrong check digit: it should end in {right}"))
                })?;
                self.sscc = Some(value.to_owned());
                ("sscc", None)
            }
            "01" => {
                self.gtin = Some(gtin()?);
                ("gtin", None)
            }
            "02" => {
                self.content = Some(gtin()?);
                ("content", None)
            }
            "10" => {
                self.batch = Some(value.to_owned());
                ("batch", None)
            }
            "11" => {
                let date = date()?;
                self.produced_on = Some(date);
                ("produced_on", Some(date.to_string()))
            }
            "15" => {
                let date = date()?;
                self.best_before = Some(date);
                ("best_before", Some(date.to_string()))
            }
            "17" => {
                let date = date()?;
                self.expires_on = Some(date);
                ("expires_on", Some(date.to_string()))
            }
            "21" => {
                self.serial = Some(value.to_owned());
                ("serial", None)
            }
            "30" => {
                self.count = Some(number()?);
                ("count", None)
            }
            "37" => {
                self.content_count = Some(number()?);
                ("content_count", None)
            }
            _ if ai.starts_with("310") => {
                let decimals = decimals(ai).filter(|n| *n <= 5);
                let decimals =
                    decimals.ok_or_else(|| wrong("has at most five decimals".to_owned()))?;
                let weight =
                    decimal(value, decimals).ok_or_else(|| wrong("is too large".to_owned()))?;
                self.weight = Some(weight);
                ("weight", Some(weight.to_string()))
            }
            _ if ai.starts_with("392") => {
                let amount = decimals(ai).and_then(|decimals| decimal(value, decimals));
                let amount = amount.and_then(|amount| Price::try_new(amount).ok());
                let amount = amount.ok_or_else(|| {
                    wrong("has more than four decimals or is too large".to_owned())
                })?;
                self.price = Some(amount);
                ("price", Some(amount.to_string()))
            }
            _ => ("other", None),
        };
        self.said.push(Element {
            source: ai.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            means: text,
        });
        Ok(())
    }

    /// Elements that need each other are there (GS1 General Specifications, 4.14).
    fn complete(self) -> Result<Self, ScanError> {
        let needs = |ai: &str, other: &str| {
            Err(ScanError::Value {
                ai: ai.to_owned(),
                rule: format!("needs {other}"),
            })
        };
        if self.gtin.is_some() && self.content.is_some() {
            return Err(ScanError::Value {
                ai: "02".to_owned(),
                rule: "does not go with AI 01".to_owned(),
            });
        }
        if self.content.is_some() && self.content_count.is_none() {
            return needs("02", "AI 37, how many there are");
        }
        if self.content_count.is_some() && self.content.is_none() {
            return needs("37", "AI 02, what is counted");
        }
        if let (Some(_), None) = (self.weight.or(self.price.map(Price::decimal)), &self.gtin)
            && self.content.is_none()
        {
            return needs("01", "a value: a weight or price is one of an item");
        }
        Ok(self)
    }
}

fn shown(value: &str) -> String {
    value.chars().take(40).collect()
}

/// The characters of a GS1 value: letters, digits and twenty signs.
fn encodable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!\"%&'()*+,-./:;<=>?_".contains(&byte)
}

/// The last digit of an identifier: how many decimals its value has.
fn decimals(ai: &str) -> Option<u32> {
    ai.chars().next_back()?.to_digit(10)
}

fn decimal(digits: &str, decimals: u32) -> Option<Decimal> {
    let mantissa: i128 = digits.parse().ok()?;
    Decimal::try_from_i128_with_scale(mantissa, decimals).ok()
}

/// Whether 18 digits are an SSCC; the check digit it should have where they are not.
pub fn sscc(digits: &str) -> Result<(), u8> {
    let (body, last) = digits.as_bytes().split_at(digits.len().saturating_sub(1));
    let right = check_digit(body);
    if last == [b'0' + right] {
        Ok(())
    } else {
        Err(right)
    }
}

/// A date YYMMDD. The century is the one that brings it within 49 years back and 50 ahead (7.12), and the day 00 is the
/// last of the month.
fn date(digits: &str, today: NaiveDate) -> Option<NaiveDate> {
    let part = |at: usize| digits.get(at..at + 2)?.parse::<u32>().ok();
    let (year, month, day) = (i32::try_from(part(0)?).ok()?, part(2)?, part(4)?);
    let (century, now) = (today.year().div_euclid(100), today.year().rem_euclid(100));
    let century = match year - now {
        51.. => century - 1,
        ..=-50 => century + 1,
        _ => century,
    };
    let year = century * 100 + year;
    if day > 0 {
        return NaiveDate::from_ymd_opt(year, month, day);
    }
    let first = NaiveDate::from_ymd_opt(year, month, 1)?;
    first.checked_add_months(Months::new(1))?.pred_opt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> NaiveDate {
        "2026-11-21".parse().unwrap()
    }

    fn read(text: &str) -> Result<Elements, ScanError> {
        if text.starts_with('(') {
            bracketed(text, today())
        } else {
            scanned(text, today())
        }
    }

    fn day(text: &str) -> Option<NaiveDate> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn reads_the_published_examples() {
        assert_eq!(
            read("(01)09501101530003").unwrap().gtin.unwrap().as_str(),
            "09501101530003"
        );
        assert_eq!(
            read("0120012345678909").unwrap().gtin.unwrap().as_str(),
            "20012345678909"
        );
        let weighed = read("(01)90012345678908(3103)001750").unwrap();
        assert_eq!(weighed.weight, Some("1.750".parse().unwrap()));
        assert_eq!(weighed, read("0190012345678908\u{1d}3103001750").unwrap());
        assert_eq!(weighed, read("01900123456789083103001750").unwrap());
    }

    #[test]
    fn a_variable_value_ends_at_the_separator_and_a_fixed_one_by_itself() {
        let found = read("01095011015300031017B\u{1d}17270131215\u{1d}\u{1d}3012").unwrap();
        assert_eq!(
            (found.batch.as_deref(), found.serial.as_deref(), found.count),
            (Some("17B"), Some("5"), Some(12))
        );
        let found =
            read("010950110153000310B-17\u{1d}1727013121S/5\u{1d}392212050\u{1d}11261100").unwrap();
        assert_eq!(found.batch.as_deref(), Some("B-17"));
        assert_eq!(found.expires_on, day("2027-01-31"));
        assert_eq!(found.serial.as_deref(), Some("S/5"));
        assert_eq!(found.price, Some("120.50".parse().unwrap()));
        assert_eq!(found.produced_on, day("2026-11-30"));
        let names: Vec<(&str, &str)> = found
            .said
            .iter()
            .map(|e| (e.source.as_str(), e.name.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("01", "gtin"),
                ("10", "batch"),
                ("17", "expires_on"),
                ("21", "serial"),
                ("3922", "price"),
                ("11", "produced_on")
            ]
        );
    }

    #[test]
    fn brackets_and_the_raw_form_say_the_same() {
        let one =
            read("(00)106141412345678908(02)00614141123452(37)48(10)L(1)A(15)280229").unwrap();
        assert_eq!(one.batch.as_deref(), Some("L(1)A"));
        assert_eq!(
            (one.content_count, one.best_before),
            (Some(48), day("2028-02-29"))
        );
        let raw = "0010614141234567890802006141411234523748\u{1d}10L(1)A\u{1d}15280229";
        assert_eq!(read(raw).unwrap(), one);
    }

    #[test]
    fn the_century_is_the_nearest_and_the_day_00_the_last() {
        for (digits, year) in [
            ("760101", 2076),
            ("770101", 1977),
            ("270100", 2027),
            ("000229", 2000),
        ] {
            assert_eq!(date(digits, today()).unwrap().year(), year, "{digits}");
        }
        assert_eq!(date("280200", today()), day("2028-02-29"));
        assert_eq!(date("271200", today()), day("2027-12-31"));
        // Late in a century the next one is near.
        assert_eq!(
            date("100101", "2080-05-05".parse().unwrap())
                .unwrap()
                .year(),
            2110
        );
        for bad in ["261301", "260001", "260230", "261131"] {
            assert_eq!(date(bad, today()), None, "{bad}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let says = |text: &str| read(text).unwrap_err().to_string();
        for (text, part) in [
            ("(01)0950110153000", "AI 01 needs 14 digits"),
            ("(01)09501101530004", "should end in 3"),
            ("(00)106141412345678900", "should end in 8"),
            ("(17)261301", "no date"),
            ("(17)2701", "AI 17 needs 6 digits"),
            ("(10)ABCDEFGHIJKLMNOPQRSTU", "1 to 20 characters and has 21"),
            ("(10)", "1 to 20 characters"),
            ("(10)A B", "does not allow"),
            ("(30)123456789", "1 to 8 digits"),
            ("(02)00614141123452", "AI 37"),
            ("(37)12", "AI 02"),
            ("(01)09501101530003(02)00614141123452(37)1", "AI 01"),
            ("(01)09501101530003(10)A(10)B", "twice"),
            ("(3109)001750(01)09501101530003", "at most five decimals"),
            ("(3103)001750", "AI 01"),
            ("(3929)000012345(01)09501101530003", "four decimals"),
            ("(04)12", "\"04\""),
            ("(1)12", "\"1\""),
            ("(01", "brackets"),
            ("01", "AI 01 needs 14 digits"),
            ("\u{1d}", "nothing"),
            ("(310)12", "\"310\""),
        ] {
            assert!(says(text).contains(part), "{text}: {}", says(text));
        }
        assert_eq!(read("(01)09501101530003(10)A(10)A").unwrap().said.len(), 2);
    }

    fn value() -> impl Strategy<Value = String> {
        "[A-Za-z0-9/+_.-]{1,20}"
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", gs1 in "[(]?(00|01|02|10|17|21|30|310[0-9]|392[0-9]|37|[0-9]{2})[)]?[0-9A-Z\u{1d}(]{0,30}") {
            for text in [text, gs1] {
                let _ = scanned(&text, today());
                let _ = bracketed(&text, today());
            }
        }

        #[test]
        fn what_is_written_is_read(batch in value(), serial in value(), grams in 0u32..1_000_000, days in 0i64..18_000) {
            let date = today() + chrono::TimeDelta::days(days);
            let expiry = date.format("%y%m%d");
            let raw = format!("010950110153000310{batch}\u{1d}21{serial}\u{1d}3103{grams:06}17{expiry}");
            let text = format!("(01)09501101530003(10){batch}(21){serial}(3103){grams:06}(17){expiry}");
            let found = scanned(&raw, today()).unwrap();
            prop_assert_eq!(&found, &bracketed(&text, today()).unwrap());
            prop_assert_eq!(found.batch, Some(batch));
            prop_assert_eq!(found.serial, Some(serial));
            prop_assert_eq!(found.weight, Some(Decimal::new(grams.into(), 3)));
            prop_assert_eq!(found.expires_on, Some(date));
        }
    }
}
