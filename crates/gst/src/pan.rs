//! Permanent account number: who somebody is to the income-tax department.

use std::{fmt, str::FromStr};

use crate::{pattern, text::serde_as_text};

/// A permanent account number (PAN): five letters, four digits, a letter (Income-tax Rules, rule 114).
/// Lower-case input is taken as upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pan(String);

/// The text has not the form of a PAN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a PAN: five letters, four digits and a letter")]
pub struct PanError;

/// What kind of person holds a PAN: its fourth letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PanHolder {
    /// P: an individual.
    Individual,
    /// C: a company.
    Company,
    /// F: a firm or limited liability partnership.
    Firm,
    /// H: a Hindu undivided family.
    HinduUndividedFamily,
    /// A: an association of persons.
    AssociationOfPersons,
    /// B: a body of individuals.
    BodyOfIndividuals,
    /// T: a trust.
    Trust,
    /// L: a local authority.
    LocalAuthority,
    /// J: an artificial juridical person.
    ArtificialJuridicalPerson,
    /// G: a government.
    Government,
}

impl Pan {
    /// The ten characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of holder, where the fourth letter is one the department has published.
    pub fn holder(&self) -> Option<PanHolder> {
        Some(match self.0.as_bytes().get(3)? {
            b'P' => PanHolder::Individual,
            b'C' => PanHolder::Company,
            b'F' => PanHolder::Firm,
            b'H' => PanHolder::HinduUndividedFamily,
            b'A' => PanHolder::AssociationOfPersons,
            b'B' => PanHolder::BodyOfIndividuals,
            b'T' => PanHolder::Trust,
            b'L' => PanHolder::LocalAuthority,
            b'J' => PanHolder::ArtificialJuridicalPerson,
            b'G' => PanHolder::Government,
            _ => return None,
        })
    }
}

impl FromStr for Pan {
    type Err = PanError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_uppercase();
        if pattern::matches("@@@@@####@", &text) {
            Ok(Self(text))
        } else {
            Err(PanError)
        }
    }
}

impl fmt::Display for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Pan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_holder_from_the_fourth_letter() {
        let holder = |s: &str| s.parse::<Pan>().unwrap().holder();
        assert_eq!(holder("AAPFU0939F"), Some(PanHolder::Firm));
        assert_eq!(holder("aajcs5738d"), Some(PanHolder::Company));
        assert_eq!(holder("AAAXA0000A"), None);
    }

    #[test]
    fn refuses_other_shapes() {
        for bad in [
            "",
            "AAPFU0939",
            "AAPFU0939FF",
            "AAP1U0939F",
            "AAPFU093FF",
            "AAPFÜ0939F",
        ] {
            assert_eq!(bad.parse::<Pan>(), Err(PanError), "{bad}");
        }
    }
}
