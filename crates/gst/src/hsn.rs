//! Commodity codes: HSN for goods, SAC for services.

use std::{fmt, str::FromStr};

use crate::text::serde_as_text;

/// A code of the Harmonised System of Nomenclature as GST uses it: 4, 6 or 8 digits. Codes of
/// chapter 99 are services (SAC), reported with the unit [`crate::Uqc::NA`] and quantity 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hsn(String);

/// What is wrong with a commodity code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HsnError {
    /// Not 4, 6 or 8 digits.
    #[error("an HSN code has 4, 6 or 8 digits")]
    Format,
    /// Chapter 00 does not exist, and chapter 77 is held in reserve by the Harmonised System.
    #[error("HSN chapter {0} does not exist")]
    Chapter(String),
    /// Shorter than this seller must report.
    #[error("HSN code {code} is too short, {required} digits are required")]
    TooShort {
        /// The code.
        code: String,
        /// How many digits are required.
        required: usize,
    },
}

impl Hsn {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many digits the code has.
    pub fn digits(&self) -> usize {
        self.0.len()
    }

    /// The first two digits.
    pub fn chapter(&self) -> &str {
        &self.0[..2]
    }

    /// Whether this is a service.
    pub fn is_service(&self) -> bool {
        self.chapter() == "99"
    }

    /// Checks that the code is at least as long as the law asks for.
    ///
    /// # Errors
    /// [`HsnError::TooShort`].
    pub fn require(&self, digits: usize) -> Result<(), HsnError> {
        if self.digits() < digits {
            return Err(HsnError::TooShort {
                code: self.0.clone(),
                required: digits,
            });
        }
        Ok(())
    }
}

/// How many digits a tax invoice must show: 8 for exports, 6 when the seller's aggregate turnover of
/// the year before exceeded 5 crore rupees, else 4 (Notification 78/2020-Central Tax). Sellers to 5
/// crore may leave the code out on invoices to unregistered buyers.
pub const fn required_hsn_digits(turnover_above_5_crore: bool, export: bool) -> usize {
    match (export, turnover_above_5_crore) {
        (true, _) => 8,
        (false, true) => 6,
        (false, false) => 4,
    }
}

impl FromStr for Hsn {
    type Err = HsnError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if !matches!(text.len(), 4 | 6 | 8) || !digits {
            return Err(HsnError::Format);
        }
        let chapter = &text[..2];
        if matches!(chapter, "00" | "77") {
            return Err(HsnError::Chapter(chapter.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Hsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Hsn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_goods_and_services() {
        let hsn = |text: &str| text.parse::<Hsn>();
        assert!(!hsn("330510").unwrap().is_service());
        assert!(hsn("998314").unwrap().is_service());
        assert!(hsn("0401").is_ok());
        assert!(hsn("04012000").is_ok());
        for bad in [
            "",
            "33",
            "330",
            "33051",
            "3305100",
            "330510000",
            "33O510",
            "3305 1",
            "३३०",
        ] {
            assert_eq!(hsn(bad), Err(HsnError::Format), "{bad}");
        }
        assert_eq!(hsn("0012"), Err(HsnError::Chapter("00".into())));
        assert_eq!(hsn("7701"), Err(HsnError::Chapter("77".into())));
    }

    #[test]
    fn turnover_and_export_set_the_length() {
        assert_eq!(required_hsn_digits(false, false), 4);
        assert_eq!(required_hsn_digits(true, false), 6);
        assert_eq!(required_hsn_digits(true, true), 8);
        let code: Hsn = "3305".parse().unwrap();
        assert!(code.require(4).is_ok());
        assert_eq!(
            code.require(6).unwrap_err().to_string(),
            "HSN code 3305 is too short, 6 digits are required"
        );
    }
}
