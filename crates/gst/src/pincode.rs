//! Postal index numbers, and whether one can belong to a state.

use std::{fmt, str::FromStr};

use crate::{state::StateCode, text::serde_as_text};

/// A postal index number: six digits, the first not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pincode(u32);

/// The text is not a postal index number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a pincode: six digits, the first not zero")]
pub struct PincodeError;

impl Pincode {
    /// The number, as an e-way bill carries it.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether the first three digits are used in `state`. States for which no range is published
    /// (Telangana, Ladakh, other territory, other country) accept every pincode.
    pub fn fits(self, state: StateCode) -> bool {
        let prefix = self.0 / 1000;
        let ranges = prefixes(state.number());
        ranges.is_empty()
            || ranges
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&prefix))
    }
}

/// First three digits by state, from the state and pincode master of the e-invoice portal.
const fn prefixes(state: u8) -> &'static [(u32, u32)] {
    match state {
        1 => &[(180, 194)],
        2 => &[(171, 177)],
        3 => &[(140, 160)],
        4 => &[(140, 140), (160, 160)],
        5 => &[(244, 263)],
        6 => &[(121, 136)],
        7 => &[(110, 110)],
        8 => &[(301, 345)],
        9 => &[(201, 285)],
        10 => &[(800, 855)],
        11 => &[(737, 737)],
        12 => &[(790, 792)],
        13 => &[(797, 798)],
        14 => &[(795, 795)],
        15 => &[(796, 796)],
        16 => &[(799, 799)],
        17 => &[(793, 794)],
        18 => &[(781, 788)],
        19 => &[(700, 743)],
        20 => &[(813, 835)],
        21 => &[(751, 770)],
        22 => &[(490, 497)],
        23 => &[(450, 488)],
        24 => &[(360, 396)],
        25 | 26 => &[(362, 362), (396, 396)],
        27 => &[(400, 445)],
        28 | 37 => &[(500, 535)],
        29 => &[(560, 591)],
        30 => &[(403, 403)],
        31 => &[(682, 682)],
        32 => &[(670, 695)],
        33 => &[(600, 643)],
        34 => &[(533, 533), (605, 605), (607, 607), (609, 609), (673, 673)],
        35 => &[(744, 744)],
        _ => &[],
    }
}

impl FromStr for Pincode {
    type Err = PincodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if text.len() != 6 || text.starts_with('0') || !digits {
            return Err(PincodeError);
        }
        text.parse().map(Self).map_err(|_| PincodeError)
    }
}

impl fmt::Display for Pincode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

serde_as_text!(Pincode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_a_pincode_can_be() {
        let fits = |pin: &str, state: u8| {
            pin.parse::<Pincode>()
                .unwrap()
                .fits(StateCode::try_from(state).unwrap())
        };
        assert!(fits("400001", 27));
        assert!(!fits("560001", 27));
        assert!(fits("560001", 29));
        assert!(fits("605001", 34));
        assert!(!fits("606001", 34));
        assert!(fits("500001", 36), "no range is published for Telangana");
    }

    #[test]
    fn refuses_other_shapes() {
        for bad in [
            "",
            "40001",
            "4000011",
            "040001",
            "4000O1",
            "+40001",
            "४०००००",
        ] {
            assert_eq!(bad.parse::<Pincode>(), Err(PincodeError), "{bad}");
        }
    }
}
