//! A quotation.

use bahi_types::{BranchId, CustomerId, Id, LocationId, Money, RegistrationId, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    offer::Offer,
    order::OrderId,
};

/// Marker of the kind.
pub(crate) enum QuotationKind {}
/// A quotation.
pub(crate) type QuotationId = Id<QuotationKind>;

/// A quotation.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(super) struct Quotation {
    #[diesel(sql_type = SqlUuid)]
    pub quotation_id: QuotationId,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    /// Its last day.
    #[diesel(sql_type = Date)]
    pub valid_until: NaiveDate,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    /// As [`Offer`].
    #[diesel(sql_type = Jsonb)]
    pub offer: serde_json::Value,
    #[diesel(sql_type = Numeric)]
    pub total: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub order_id: Option<OrderId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub created_by: Option<UserId>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub sent_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

impl Quotation {
    /// Its status on a day: time ends it.
    pub fn status_on(&self, today: NaiveDate) -> &str {
        let open = matches!(self.status.as_str(), "draft" | "sent");
        if open && self.valid_until < today {
            "expired"
        } else {
            &self.status
        }
    }

    /// That it is in one of these.
    ///
    /// # Errors
    /// [`Error::QuotationState`].
    pub fn must_be(&self, statuses: &[&str], today: NaiveDate) -> Result<()> {
        let status = self.status_on(today);
        if statuses.contains(&status) {
            Ok(())
        } else {
            Err(Error::QuotationState(status.to_owned()))
        }
    }

    /// What it promises.
    pub fn offer(&self) -> Result<Offer> {
        Ok(serde_json::from_value(self.offer.clone()).map_err(bahi_db::Error::from)?)
    }
}
