//! GST identification numbers: their seven forms, their check digit, and what can be read off them.

use std::{fmt, str::FromStr};

use crate::{pan::Pan, pattern, state::StateCode, text::serde_as_text};

/// A GST identification number (GSTIN) of 15 characters; CGST Rules 2017, rule 10, and the formats
/// published for returns by the GST developer portal. Lower-case input is taken as upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gstin {
    text: String,
    kind: GstinKind,
}

/// What kind of registration a GSTIN stands for, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GstinKind {
    /// A taxpayer: regular, composition, SEZ, casual.
    Normal,
    /// A government department registered by its TAN.
    Government,
    /// A non-resident taxable person.
    NonResident,
    /// A supplier abroad of online information services.
    Oidar,
    /// A United Nations body, embassy or other notified person (UIN).
    UnBody,
    /// A deductor of tax at source (s.51).
    TaxDeductor,
    /// An e-commerce operator who collects tax at source (s.52).
    TaxCollector,
}

/// What is wrong with a GSTIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GstinError {
    /// Not 15 characters.
    #[error("a GSTIN has 15 characters, this has {0}")]
    Length(usize),
    /// Fits none of the seven forms.
    #[error("has not the form of a GSTIN, like 27AAPFU0939F1ZV")]
    Format,
    /// The last character does not follow from the others: most likely a typing error.
    #[error("check digit is {found}, expected {expected}")]
    CheckDigit {
        /// What the first 14 characters call for.
        expected: char,
        /// What stands there.
        found: char,
    },
    /// The first two digits are no state in which one can be registered.
    #[error("state code {0} does not exist")]
    State(String),
}

/// The forms, the more special first: the 14th character of a deductor or collector would also pass
/// for that of a normal taxpayer.
const FORMS: [(GstinKind, &str); 7] = [
    (GstinKind::TaxDeductor, "##@@@@*####@+D*"),
    (GstinKind::TaxCollector, "##@@@@@####@+C*"),
    (GstinKind::Normal, "##@@@@@####@+?*"),
    (GstinKind::Government, "##@@@@#####@#Z#"),
    (GstinKind::NonResident, "####@@@#####NR*"),
    (GstinKind::Oidar, "99##@@@#####OS*"),
    (GstinKind::UnBody, "####@@@#####|N*"),
];

impl Gstin {
    /// Reads the id of a transporter, whose check digit is not enforced: ids with a wrong one are in
    /// real use on e-way bills. Form and state are checked as ever.
    ///
    /// # Errors
    /// [`GstinError`] of any kind but [`GstinError::CheckDigit`].
    pub fn parse_transporter(text: &str) -> Result<Self, GstinError> {
        let gstin = Self::formed(text)?;
        gstin.check_state()?;
        Ok(gstin)
    }

    fn formed(text: &str) -> Result<Self, GstinError> {
        let text = text.to_ascii_uppercase();
        let length = text.chars().count();
        if length != 15 {
            return Err(GstinError::Length(length));
        }
        let form = FORMS.iter().find(|(_, form)| pattern::matches(form, &text));
        let kind = form.ok_or(GstinError::Format)?.0;
        Ok(Self { text, kind })
    }

    fn check_digit(&self) -> Result<(), GstinError> {
        let (body, last) = self.text.split_at(14);
        match (gstin_check_digit(body), last.chars().next()) {
            (Some(expected), Some(found)) if expected != found => {
                Err(GstinError::CheckDigit { expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Only registrations made in a state carry a state code for sure; the others may be central.
    fn check_state(&self) -> Result<(), GstinError> {
        use GstinKind::{Government, Normal, TaxCollector, TaxDeductor};
        let in_a_state = matches!(self.kind, Normal | Government | TaxDeductor | TaxCollector);
        if in_a_state && self.state().is_none() {
            return Err(GstinError::State(self.text[..2].to_owned()));
        }
        Ok(())
    }

    /// The fifteen characters, in upper case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The kind of registration.
    pub const fn kind(&self) -> GstinKind {
        self.kind
    }

    /// The state of registration; none for OIDAR suppliers and for bodies registered with the centre.
    pub fn state(&self) -> Option<StateCode> {
        let code: StateCode = self.text[..2].parse().ok()?;
        code.is_in_india().then_some(code)
    }

    /// The PAN inside; none where the registration rests on a TAN or a foreign id.
    pub fn pan(&self) -> Option<Pan> {
        self.text[2..12].parse().ok()
    }
}

/// The check digit that belongs after the first 14 characters of a GSTIN; none if `body` is not 14
/// characters of `0-9A-Z`.
///
/// From the left the characters count once, twice, once, twice; of each product the quotient and the
/// remainder by 36 are added, and the digit brings the sum to a multiple of 36.
pub fn gstin_check_digit(body: &str) -> Option<char> {
    if body.len() != 14 {
        return None;
    }
    let mut sum = 0;
    for (position, c) in body.chars().enumerate() {
        let value = if c.is_ascii_lowercase() {
            None
        } else {
            c.to_digit(36)
        }?;
        let product = value * (1 + position as u32 % 2);
        sum += product / 36 + product % 36;
    }
    char::from_digit((36 - sum % 36) % 36, 36).map(|c| c.to_ascii_uppercase())
}

impl FromStr for Gstin {
    type Err = GstinError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let gstin = Self::formed(text)?;
        gstin.check_digit()?;
        gstin.check_state()?;
        Ok(gstin)
    }
}

impl TryFrom<&str> for Gstin {
    type Error = GstinError;
    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Gstin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(Gstin);

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes 14 characters with their check digit.
    fn complete(body: &str) -> String {
        format!("{body}{}", gstin_check_digit(body).unwrap())
    }

    #[test]
    fn tells_the_seven_forms_apart() {
        for (body, kind) in [
            ("27AAPFU0939F1Z", GstinKind::Normal),
            ("12GEOPS0823BBZ", GstinKind::Normal),
            ("0717USA12345NR", GstinKind::NonResident),
            ("9917USA29001OS", GstinKind::Oidar),
            ("0717UNO00001UN", GstinKind::UnBody),
            ("0717AUS00001ON", GstinKind::UnBody),
            ("19AAACI1681G1D", GstinKind::TaxDeductor),
            ("27MUMB12345A1D", GstinKind::TaxDeductor),
            ("29AABCF8078M1C", GstinKind::TaxCollector),
        ] {
            let gstin: Gstin = complete(body).parse().unwrap();
            assert_eq!(gstin.kind(), kind, "{gstin}");
        }
        // The last character of a department's number must be a digit: search one.
        let department = (0..=9999)
            .map(|n| complete(&format!("27MUMB1{n:04}A1Z")))
            .find(|s| s.ends_with(|c: char| c.is_ascii_digit()))
            .unwrap();
        assert_eq!(
            department.parse::<Gstin>().unwrap().kind(),
            GstinKind::Government
        );
    }

    #[test]
    fn suppliers_from_abroad_have_a_check_digit_too() {
        for text in ["9917SGP29001OST", "9917AUS29001OSF", "9922CHE29001OSR"] {
            assert_eq!(text.parse::<Gstin>().unwrap().kind(), GstinKind::Oidar);
        }
    }

    #[test]
    fn reads_state_and_pan() {
        let of = |s: &str| s.parse::<Gstin>().unwrap();
        let normal = of("27AAPFU0939F1ZV");
        assert_eq!(normal.state().unwrap().name(), "Maharashtra");
        assert_eq!(normal.pan().unwrap().as_str(), "AAPFU0939F");
        let oidar = of(&complete("9917USA29001OS"));
        assert_eq!((oidar.state(), oidar.pan()), (None, None));
        let by_tan = of(&complete("27MUMB12345A1D"));
        assert_eq!(by_tan.pan(), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = |s: &str| s.parse::<Gstin>().unwrap_err();
        assert_eq!(refused(""), GstinError::Length(0));
        assert_eq!(refused("27AAPFU0939F1Z"), GstinError::Length(14));
        assert_eq!(refused("27AAPFU0939F1Zé"), GstinError::Format);
        assert_eq!(refused("27AAPFU09३9F1ZV"), GstinError::Format);
        assert_eq!(refused("27AAPFU0939F0ZV"), GstinError::Format);
        assert_eq!(
            refused("27AAPFU0939F1CV"),
            GstinError::CheckDigit {
                expected: '6',
                found: 'V'
            }
        );
        for state in ["00", "39", "88", "96", "99"] {
            let text = complete(&format!("{state}AAACD8017H1Z"));
            assert_eq!(refused(&text), GstinError::State(state.into()));
        }
        assert_eq!(
            refused("27AAPFU0939F1ZO").to_string(),
            "check digit is O, expected V"
        );
    }

    #[test]
    fn a_transporter_may_have_a_wrong_check_digit_but_not_a_wrong_state() {
        assert!("29AAFCA7488L1Z0".parse::<Gstin>().is_err());
        assert_eq!(
            Gstin::parse_transporter("29AAFCA7488L1Z0")
                .unwrap()
                .to_string(),
            "29AAFCA7488L1Z0"
        );
        assert_eq!(
            Gstin::parse_transporter("00AABCE2207R1Z5"),
            Err(GstinError::State("00".into()))
        );
    }

    #[test]
    fn every_single_wrong_character_is_noticed() {
        let right = "27AAPFU0939F1ZV";
        for place in 0..15 {
            for c in ('0'..='9').chain('A'..='Z') {
                let mut wrong: Vec<char> = right.chars().collect();
                wrong[place] = c;
                let wrong: String = wrong.into_iter().collect();
                assert_eq!(wrong.parse::<Gstin>().is_ok(), wrong == right, "{wrong}");
            }
        }
    }

    #[test]
    fn json_is_a_checked_string() {
        let gstin: Gstin = serde_json::from_str("\"27aapfu0939f1zv\"").unwrap();
        assert_eq!(
            serde_json::to_string(&gstin).unwrap(),
            "\"27AAPFU0939F1ZV\""
        );
        assert!(serde_json::from_str::<Gstin>("\"27AAPFU0939F1ZO\"").is_err());
        assert!(serde_json::from_str::<Gstin>("27").is_err());
    }
}
