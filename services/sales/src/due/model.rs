//! How dues age.

use bahi_types::{CustomerId, InvoiceId, Money};
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{Date, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long something has been due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) enum Bucket {
    /// Its day has not come.
    #[serde(rename = "not_due")]
    NotDue,
    /// 0 to 30 days.
    #[serde(rename = "0-30")]
    To30,
    /// 31 to 60 days.
    #[serde(rename = "31-60")]
    To60,
    /// 61 to 90 days.
    #[serde(rename = "61-90")]
    To90,
    /// More than 90 days.
    #[serde(rename = "90+")]
    Over90,
}

impl Bucket {
    /// Of what was due on `due`, as of a day.
    pub fn of(due: NaiveDate, as_of: NaiveDate) -> Self {
        match (as_of - due).num_days() {
            ..0 => Self::NotDue,
            0..=30 => Self::To30,
            31..=60 => Self::To60,
            61..=90 => Self::To90,
            _ => Self::Over90,
        }
    }

    /// Its days since the due date, first and last.
    pub const fn days(self) -> (i32, i32) {
        match self {
            Self::NotDue => (i32::MIN, -1),
            Self::To30 => (0, 30),
            Self::To60 => (31, 60),
            Self::To90 => (61, 90),
            Self::Over90 => (91, i32::MAX),
        }
    }
}

/// What one party owes, by age.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Party {
    /// Orders and tells parties apart.
    #[diesel(sql_type = Text)]
    pub key: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub phone: Option<String>,
    #[diesel(sql_type = Numeric)]
    pub dues: Money,
    #[diesel(sql_type = Numeric)]
    pub not_due: Money,
    #[diesel(sql_type = Numeric)]
    pub to_30: Money,
    #[diesel(sql_type = Numeric)]
    pub to_60: Money,
    #[diesel(sql_type = Numeric)]
    pub to_90: Money,
    #[diesel(sql_type = Numeric)]
    pub over_90: Money,
    #[diesel(sql_type = Numeric)]
    pub overdue: Money,
    #[diesel(sql_type = Numeric)]
    pub advances: Money,
}

/// An invoice that is not paid.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct OpenItem {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Date)]
    pub due_date: NaiveDate,
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    #[diesel(sql_type = Numeric)]
    pub open: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_begin_on_the_due_date_and_meet_without_a_gap() {
        let due: NaiveDate = "2026-11-05".parse().unwrap();
        let after = |days: i64| Bucket::of(due, due + chrono::Duration::days(days));
        let seen = [-1, 0, 30, 31, 60, 61, 90, 91].map(after);
        assert_eq!(
            seen,
            [
                Bucket::NotDue,
                Bucket::To30,
                Bucket::To30,
                Bucket::To60,
                Bucket::To60,
                Bucket::To90,
                Bucket::To90,
                Bucket::Over90
            ]
        );
        for days in [-5, 0, 45, 90, 91, 400] {
            let (first, last) = after(days.into()).days();
            assert!((first..=last).contains(&days));
        }
    }
}
