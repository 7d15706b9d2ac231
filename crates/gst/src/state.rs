//! State codes of GST: the first two digits of a GSTIN and the place of supply of a document.

use std::{fmt, str::FromStr};

use crate::text::serde_as_text;

/// A two-digit state code: 01 to 38, 96 (other country) or 97 (other territory).
///
/// Source: state code list of the GST offline tool and of e-invoice master codes. JSON carries two
/// digits as a string (`"09"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateCode(u8);

/// The text or number is not a state code of GST.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state code (01 to 38, 96 or 97)")]
pub struct StateCodeError(pub String);

/// Names by code, 01 first.
const NAMES: [&str; 38] = [
    "Jammu and Kashmir",
    "Himachal Pradesh",
    "Punjab",
    "Chandigarh",
    "Uttarakhand",
    "Haryana",
    "Delhi",
    "Rajasthan",
    "Uttar Pradesh",
    "Bihar",
    "Sikkim",
    "Arunachal Pradesh",
    "Nagaland",
    "Manipur",
    "Mizoram",
    "Tripura",
    "Meghalaya",
    "Assam",
    "West Bengal",
    "Jharkhand",
    "Odisha",
    "Chhattisgarh",
    "Madhya Pradesh",
    "Gujarat",
    "Daman and Diu",
    "Dadra and Nagar Haveli and Daman and Diu",
    "Maharashtra",
    "Andhra Pradesh (before division)",
    "Karnataka",
    "Goa",
    "Lakshadweep",
    "Kerala",
    "Tamil Nadu",
    "Puducherry",
    "Andaman and Nicobar Islands",
    "Telangana",
    "Andhra Pradesh",
    "Ladakh",
];

impl StateCode {
    /// 96: the place of supply of an export.
    pub const OTHER_COUNTRY: Self = Self(96);
    /// 97: territorial waters, continental shelf and exclusive economic zone.
    pub const OTHER_TERRITORY: Self = Self(97);

    /// The code as a number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The name of the state or union territory.
    pub fn name(self) -> &'static str {
        match self.0 {
            96 => "Other Country",
            97 => "Other Territory",
            code => NAMES
                .get(usize::from(code).wrapping_sub(1))
                .copied()
                .unwrap_or_default(),
        }
    }

    /// The code in use today: 25 was merged into 26 (Act 44 of 2019, from 26-Jan-2020) and 28 became
    /// 37 when Andhra Pradesh was divided. Every other code is its own successor.
    pub const fn successor(self) -> Self {
        match self.0 {
            25 => Self(26),
            28 => Self(37),
            _ => self,
        }
    }

    /// True where the second half of an intra-state tax is UTGST and not SGST: the union territories
    /// without a legislature and other territory (UTGST Act 2017, s.2(8)). Returns use the same fields.
    pub const fn levies_utgst(self) -> bool {
        matches!(self.0, 4 | 25 | 26 | 31 | 35 | 38 | 97)
    }

    /// True for every code but 96: only in India can one be registered.
    pub const fn is_in_india(self) -> bool {
        self.0 != 96
    }

    /// Every code, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=38).chain([96, 97]).map(Self)
    }
}

impl TryFrom<u8> for StateCode {
    type Error = StateCodeError;
    fn try_from(code: u8) -> Result<Self, Self::Error> {
        match code {
            1..=38 | 96 | 97 => Ok(Self(code)),
            _ => Err(StateCodeError(format!("{code:02}"))),
        }
    }
}

impl FromStr for StateCode {
    type Err = StateCodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || StateCodeError(text.chars().take(16).collect());
        if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        text.parse::<u8>().map_err(|_| refused())?.try_into()
    }
}

impl fmt::Display for StateCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

serde_as_text!(StateCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_and_reads_back() {
        assert_eq!(StateCode::all().count(), 40);
        for code in StateCode::all() {
            assert!(!code.name().is_empty());
            assert_eq!(code.to_string().parse::<StateCode>(), Ok(code));
        }
        assert_eq!("27".parse::<StateCode>().unwrap().name(), "Maharashtra");
        assert_eq!("38".parse::<StateCode>().unwrap().name(), "Ladakh");
    }

    #[test]
    fn refuses_what_is_not_a_state() {
        for bad in [
            "00", "39", "95", "98", "99", "7", "007", "", "+7", " 7", "२७",
        ] {
            assert!(bad.parse::<StateCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn merged_states_have_a_successor() {
        let code = |n: u8| StateCode::try_from(n).unwrap();
        assert_eq!(code(25).successor(), code(26));
        assert_eq!(code(28).successor(), code(37));
        assert_eq!(code(27).successor(), code(27));
    }
}
