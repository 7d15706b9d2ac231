//! A held bill.

use bahi_types::{BranchId, Id, InvoiceId, Money, PosSessionId, TillId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Marker of the kind.
pub(crate) enum HeldBillKind {}
/// A held bill.
pub(crate) type HeldBillId = Id<HeldBillKind>;

/// A held bill.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct HeldBill {
    #[diesel(sql_type = SqlUuid)]
    pub held_bill_id: HeldBillId,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub till_id: TillId,
    #[diesel(sql_type = SqlUuid)]
    pub session_id: PosSessionId,
    #[diesel(sql_type = Nullable<Text>)]
    pub label: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub basket: serde_json::Value,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = SqlUuid)]
    pub held_by: UserId,
    #[diesel(sql_type = Timestamptz)]
    pub held_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ended_by: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub ended_till: Option<TillId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    /// The sale that it became.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub invoice_id: Option<InvoiceId>,
    /// What it came to when it was put aside, where it could be priced.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub held_total: Option<Money>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// How long a till keeps a bill that it has taken up from the others.
const LOCK: TimeDelta = TimeDelta::minutes(15);

impl HeldBill {
    /// Whether `till` may take it up. Who has it already keeps it, and after a while anybody gets it, or at once with
    /// leave (`take_over`).
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::BillTaken`].
    pub fn claim(&self, till: TillId, take_over: bool, now: DateTime<Utc>) -> Result<()> {
        match self.state_at(now) {
            "held" => Ok(()),
            "resumed" => {
                let own = self.ended_till == Some(till);
                let stale = self.ended_at.is_none_or(|since| since + LOCK <= now);
                if own || stale || take_over {
                    return Ok(());
                }
                Err(Error::BillTaken {
                    till_id: self.ended_till,
                    user_id: self.ended_by,
                    since: self.ended_at,
                })
            }
            other => Err(Error::NotHeld(other.to_owned())),
        }
    }

    /// Its state at a moment: time ends it before the sweep does.
    pub fn state_at(&self, now: DateTime<Utc>) -> &str {
        // One that was taken up is not taken away from a till that is about to sell it.
        let ends = match self.state.as_str() {
            "held" => Some(self.expires_at),
            "resumed" => self.ended_at.map(|since| self.expires_at.max(since + LOCK)),
            _ => None,
        };
        if ends.is_some_and(|end| end <= now) {
            "expired"
        } else {
            &self.state
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_till_has_it_until_it_gives_it_back_or_lets_it_lie() {
        let now: DateTime<Utc> = "2026-11-05T06:00:00Z".parse().unwrap();
        let (here, there) = (TillId::new(), TillId::new());
        let mut bill = HeldBill {
            held_bill_id: HeldBillId::new(),
            branch_id: BranchId::new(),
            till_id: here,
            session_id: PosSessionId::new(),
            label: None,
            basket: serde_json::Value::Null,
            state: "held".into(),
            held_by: UserId::new(),
            held_at: now,
            expires_at: now + TimeDelta::hours(1),
            ended_by: None,
            ended_till: None,
            ended_at: None,
            invoice_id: None,
            held_total: None,
            version: 1,
        };
        assert!(bill.claim(there, false, now).is_ok());
        bill.state = "resumed".into();
        (bill.ended_till, bill.ended_at) = (Some(here), Some(now));
        assert!(bill.claim(here, false, now).is_ok());
        let refused = bill.claim(there, false, now);
        assert!(matches!(refused, Err(Error::BillTaken { till_id, .. }) if till_id == Some(here)));
        assert!(bill.claim(there, true, now).is_ok());
        assert!(bill.claim(there, false, now + LOCK).is_ok());
        let over = bill.claim(here, true, now + TimeDelta::hours(1));
        assert!(matches!(over, Err(Error::NotHeld(state)) if state == "expired"));
        bill.state = "sold".into();
        assert!(bill.claim(here, true, now).is_err());
    }
}
