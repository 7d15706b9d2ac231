//! A held bill.

use bahi_types::{BranchId, Id, PosSessionId, TillId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};

/// Marker of the kind.
pub(crate) enum HeldBillKind {}
/// A held bill.
pub(crate) type HeldBillId = Id<HeldBillKind>;

/// A held bill.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(super) struct HeldBill {
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
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

impl HeldBill {
    /// Its state at a moment: time ends it before the sweep does.
    pub fn state_at(&self, now: DateTime<Utc>) -> &str {
        if self.state == "held" && self.expires_at <= now {
            "expired"
        } else {
            &self.state
        }
    }
}
