//! Versions of the catalogue.

use std::{collections::HashMap, fmt};

use bahi_types::ProductId;

/// A version of the copies: what a till has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// Restore epoch.
    pub epoch: i64,
    /// The last change.
    pub change: i64,
}

impl Version {
    /// As it is written: `1-42`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (epoch, change) = text.split_once('-')?;
        let number = |text: &str| text.parse().ok().filter(|n: &i64| *n >= 0);
        Some(Self {
            epoch: number(epoch)?,
            change: number(change)?,
        })
    }

    /// From where a till that has `had` goes on; 0 gives it the whole.
    pub(super) fn after(self, had: Option<Self>) -> i64 {
        match had {
            Some(had) if had.epoch == self.epoch && had.change <= self.change => had.change,
            _ => 0,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.change)
    }
}

/// When products, and the rules of all prices and taxes, were changed last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(super) epoch: i64,
    pub(super) rules: i64,
    pub(super) products: HashMap<ProductId, i64>,
}

impl Changes {
    /// Whether the product, or a rule, has changed after `had`.
    pub(crate) fn since(&self, product: ProductId, had: Version) -> bool {
        let product = self.products.get(&product).copied().unwrap_or_default();
        had.epoch != self.epoch || product.max(self.rules) > had.change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_of_this_history_gets_the_whole() {
        let now = Version {
            epoch: 2,
            change: 40,
        };
        assert_eq!(Version::read(&now.to_string()), Some(now));
        assert_eq!(now.after(Version::read("2-30")), 30);
        for strange in ["1-30", "2-41", "2", "x-1", "2--1", ""] {
            assert_eq!(now.after(Version::read(strange)), 0, "{strange}");
        }
    }
}
