//! Lengths of time and sizes as people write them: `250ms`, `2s`, `5m`; `64KiB`, `50MiB`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub usize);

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The number in front of one of these units, times the unit.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that leaves no rest.
fn written(amount: u64, units: &[(&'static str, u64)]) -> String {
    let mut whole = units
        .iter()
        .filter(|(_, factor)| amount.is_multiple_of(*factor));
    let found = whole.by_ref().max_by_key(|(_, factor)| *factor);
    let (unit, factor) = found.copied().unwrap_or(("", 1));
    match amount {
        0 => format!(
            "0{}",
            units.iter().min_by_key(|(_, f)| *f).map_or("", |(u, _)| u)
        ),
        _ => format!("{}{unit}", amount / factor),
    }
}

impl Span {
    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        measured(text, &TIMES)
            .map(Self::millis)
            .ok_or_else(|| format!("{text:?} is no length of time such as 250ms, 2s, 5m or 1h"))
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        measured(text, &SIZES)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size such as 512B, 64KiB, 50MiB or 1GiB"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        f.write_str(&written(millis, &TIMES))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0 as u64, &SIZES))
    }
}

macro_rules! text {
    ($name:ident, $pattern:literal, $example:literal) => {
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}

pub(super) use text;

text!(Span, "^[0-9]+(ms|s|m|h)$", "2s");
text!(Size, "^[0-9]+(B|KiB|MiB|GiB)$", "64KiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in ["0ms", "250ms", "2s", "5m", "1h", "90s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["0B", "512B", "64KiB", "50MiB", "1GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "2",
            "s",
            "-2s",
            "2 s",
            "2.5s",
            "99999999999999999999s",
            "2d",
        ] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
        for wrong in ["", "2", "KiB", "2KB", "99999999999999999GiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
