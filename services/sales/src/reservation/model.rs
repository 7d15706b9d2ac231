//! What the decisions on an invoice come to.

use diesel::{
    QueryableByName,
    sql_types::{Bytea, Integer, Nullable, Text},
};
use serde::{Deserialize, Serialize};

/// A decision on one attempt.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Decided {
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    #[diesel(sql_type = Text)]
    pub decision: String,
    #[diesel(sql_type = Nullable<Bytea>)]
    pub request_hash: Option<Vec<u8>>,
}

/// How an invoice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// Nothing final yet; this is the attempt to take next.
    Open {
        /// Highest voided attempt + 1.
        next: u32,
    },
    /// The sale happened.
    Issued {
        /// Of the request that made it.
        request_hash: Vec<u8>,
    },
    /// Given up for good.
    Closed,
}

impl Standing {
    /// From all decisions on the invoice.
    pub(super) fn of(rows: &[Decided]) -> Self {
        if let Some(issued) = rows.iter().find(|r| r.decision == "issued") {
            return Self::Issued {
                request_hash: issued.request_hash.clone().unwrap_or_default(),
            };
        }
        if rows.iter().any(|r| r.decision == "closed") {
            return Self::Closed;
        }
        let highest = rows.iter().map(|r| r.attempt).max().unwrap_or(0);
        Self::Open {
            next: u32::try_from(highest).unwrap_or(0) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attempt: i32, decision: &str) -> Decided {
        let request_hash = (decision == "issued").then(|| vec![1]);
        Decided {
            attempt,
            decision: decision.into(),
            request_hash,
        }
    }

    #[test]
    fn begins_after_the_highest_void() {
        assert_eq!(Standing::of(&[]), Standing::Open { next: 1 });
        assert_eq!(
            Standing::of(&[row(3, "void"), row(1, "void")]),
            Standing::Open { next: 4 }
        );
    }

    #[test]
    fn a_final_decision_outweighs_every_void() {
        assert_eq!(
            Standing::of(&[row(1, "void"), row(2, "issued"), row(3, "void")]),
            Standing::Issued {
                request_hash: vec![1]
            }
        );
        assert_eq!(
            Standing::of(&[row(0, "closed"), row(1, "void")]),
            Standing::Closed
        );
    }
}
