//! Limits and reasons as plain values.

use bahi_http::Fault;
use bahi_types::Money;
use serde::{Deserialize, Serialize};

/// A reason of adjustments.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, garde::Validate,
)]
#[serde(deny_unknown_fields)]
#[schema(as = AdjustmentReason)]
pub struct Reason {
    /// Short word, such as `damage`.
    #[garde(length(chars, min = 1, max = 40), custom(bahi_http::validate::line))]
    pub code: String,
    /// Name on screens.
    #[garde(custom(bahi_http::validate::line))]
    pub name: String,
}

/// What a tenant allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InventoryPolicy)]
pub struct Policy {
    /// Change of value up to which `inventory.stock.adjust` is enough; any when absent.
    pub adjust_limit: Option<Money>,
    /// Change of value up to which `inventory.count.approve` is enough; any when absent.
    pub count_limit: Option<Money>,
    /// Change of value up to which somebody who counted may approve the count.
    pub second_person_above: Money,
    /// Worth of goods up to which somebody who wrote a transfer may let it go too; any when absent.
    pub transfer_second_person_above: Option<Money>,
    /// Reasons of adjustments.
    pub reasons: Vec<Reason>,
    /// Version; 0 as long as it is what everybody begins with.
    pub version: i64,
}

/// The reason of an adjustment that states none.
pub const OTHER: &str = "other";

const REASONS: [(&str, &str); 9] = [
    ("damage", "Damaged"),
    ("expiry", "Expired"),
    ("found", "Found"),
    ("loss", "Lost"),
    ("opening", "Opening stock"),
    ("own_use", "Used ourselves"),
    ("sample", "Given as a sample"),
    ("theft", "Stolen"),
    (OTHER, "Other"),
];

impl Default for Policy {
    fn default() -> Self {
        let reason = |(code, name): (&str, &str)| Reason {
            code: code.into(),
            name: name.into(),
        };
        Self {
            adjust_limit: None,
            count_limit: None,
            second_person_above: Money::ZERO,
            transfer_second_person_above: None,
            reasons: REASONS.map(reason).to_vec(),
            version: 0,
        }
    }
}

impl Policy {
    /// The code of an adjustment's reason: the one stated, which must be on the list, else [`OTHER`].
    ///
    /// # Errors
    /// [`Fault::Invalid`] on `reason_code`.
    pub fn reason(&self, code: Option<String>) -> Result<String, Fault> {
        match code {
            None => Ok(OTHER.into()),
            Some(code) if self.reasons.iter().any(|r| r.code == code) => Ok(code),
            Some(_) => Err(Fault::field("reason_code", "is not on the list of reasons")),
        }
    }

    /// Up to which change of value somebody may approve a count: `None` is any. `counted`: he counted it himself;
    /// `any`: the limit does not bind him.
    pub fn count_approval(&self, counted: bool, any: bool) -> Option<Money> {
        let limit = self.count_limit.filter(|_| !any);
        let own = counted.then_some(self.second_person_above);
        match (limit, own) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_counted_needs_a_second_person_whatever_else_he_may() {
        let policy = Policy {
            count_limit: Some(Money::from(1000)),
            second_person_above: Money::from(50),
            ..Policy::default()
        };
        assert_eq!(policy.count_approval(false, false), Some(Money::from(1000)));
        assert_eq!(policy.count_approval(false, true), None);
        assert_eq!(policy.count_approval(true, true), Some(Money::from(50)));
        assert_eq!(policy.count_approval(true, false), Some(Money::from(50)));
        assert_eq!(
            Policy::default().count_approval(true, true),
            Some(Money::ZERO)
        );
    }
}
