//! Units in which quantities are reported to the government.

use std::{fmt, str::FromStr};

use crate::text::serde_as_text;

/// A unique quantity code (UQC), like `KGS`. Lower-case input is taken as upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uqc(&'static str);

/// The text is no unique quantity code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a unit (UQC) of GST, like PCS or KGS")]
pub struct UqcError;

/// The 45 units of the return offline tool and the e-invoice master codes.
const UNITS: [(&str, &str); 45] = [
    ("BAG", "Bags"),
    ("BAL", "Bale"),
    ("BDL", "Bundles"),
    ("BKL", "Buckles"),
    ("BOU", "Billion of units"),
    ("BOX", "Box"),
    ("BTL", "Bottles"),
    ("BUN", "Bunches"),
    ("CAN", "Cans"),
    ("CBM", "Cubic metres"),
    ("CCM", "Cubic centimetres"),
    ("CMS", "Centimetres"),
    ("CTN", "Cartons"),
    ("DOZ", "Dozens"),
    ("DRM", "Drums"),
    ("GGK", "Great gross"),
    ("GMS", "Grammes"),
    ("GRS", "Gross"),
    ("GYD", "Gross yards"),
    ("KGS", "Kilograms"),
    ("KLR", "Kilolitre"),
    ("KME", "Kilometre"),
    ("LTR", "Litres"),
    ("MLT", "Millilitre"),
    ("MTR", "Metres"),
    ("MTS", "Metric ton"),
    ("NOS", "Numbers"),
    ("OTH", "Others"),
    ("PAC", "Packs"),
    ("PCS", "Pieces"),
    ("PRS", "Pairs"),
    ("QTL", "Quintal"),
    ("ROL", "Rolls"),
    ("SET", "Sets"),
    ("SQF", "Square feet"),
    ("SQM", "Square metres"),
    ("SQY", "Square yards"),
    ("TBS", "Tablets"),
    ("TGM", "Ten gross"),
    ("THD", "Thousands"),
    ("TON", "Tonnes"),
    ("TUB", "Tubes"),
    ("UGS", "US gallons"),
    ("UNT", "Units"),
    ("YDS", "Yards"),
];

impl Uqc {
    /// What services carry instead of a unit.
    pub const NA: Self = Self("NA");

    /// The code.
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// What the code stands for.
    pub fn name(self) -> &'static str {
        let unit = UNITS.iter().find(|(code, _)| *code == self.0);
        unit.map_or("Not applicable", |(_, name)| name)
    }

    /// The units of goods, in alphabetical order.
    pub fn all() -> impl Iterator<Item = Self> {
        UNITS.into_iter().map(|(code, _)| Self(code))
    }
}

impl FromStr for Uqc {
    type Err = UqcError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut known = Self::all().chain([Self::NA]);
        known
            .find(|unit| unit.0.eq_ignore_ascii_case(text))
            .ok_or(UqcError)
    }
}

impl fmt::Display for Uqc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

serde_as_text!(Uqc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_forty_five_units_in_order() {
        let units: Vec<Uqc> = Uqc::all().collect();
        assert_eq!(units.len(), 45);
        assert!(units.is_sorted());
        for unit in units {
            assert_eq!(unit.code().parse(), Ok(unit));
            assert_ne!(unit.name(), Uqc::NA.name());
        }
    }

    #[test]
    fn services_have_no_unit() {
        assert_eq!("na".parse(), Ok(Uqc::NA));
        assert_eq!("pcs".parse::<Uqc>().unwrap().name(), "Pieces");
        for bad in ["", "PC", "KG", "XXX"] {
            assert_eq!(bad.parse::<Uqc>(), Err(UqcError), "{bad}");
        }
    }
}
