//! A session's row and its arithmetic.

use bahi_types::{BranchId, LocationId, Money, PosSessionId, TillId, UserId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A means of payment.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    async_graphql::Enum,
)]
#[serde(rename_all = "snake_case")]
#[graphql(name = "PaymentMethod")]
pub(crate) enum Method {
    /// Notes and coins.
    Cash,
    /// UPI.
    Upi,
    /// Card.
    Card,
    /// Wallet.
    Wallet,
    /// On account.
    Credit,
    /// Gift or credit voucher.
    Voucher,
    /// Goods that came back in the same go: the credit of an exchange.
    Exchange,
}

impl Method {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Cash,
        Self::Upi,
        Self::Card,
        Self::Wallet,
        Self::Credit,
        Self::Voucher,
        Self::Exchange,
    ];

    /// As it is stored and said.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::Upi => "upi",
            Self::Card => "card",
            Self::Wallet => "wallet",
            Self::Credit => "credit",
            Self::Voucher => "voucher",
            Self::Exchange => "exchange",
        }
    }

    /// Whether there is something in the drawer to count.
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::Credit | Self::Exchange)
    }
}

/// Sums by means of payment, in the order of [`Method::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takings([Money; 7]);

impl Takings {
    /// Sums tenders.
    pub fn of(tenders: impl IntoIterator<Item = (Method, Money)>) -> Self {
        let mut sums = Self::default();
        for (method, amount) in tenders {
            sums.0[method as usize] += amount;
        }
        sums
    }

    /// The sum of one means.
    pub fn get(&self, method: Method) -> Money {
        self.0[method as usize]
    }

    /// The sum of all.
    pub fn total(&self) -> Money {
        self.0.iter().copied().sum()
    }
}

/// A session.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Session {
    #[diesel(sql_type = SqlUuid)]
    pub session_id: PosSessionId,
    #[diesel(sql_type = SqlUuid)]
    pub till_id: TillId,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = SqlUuid)]
    pub opened_by: UserId,
    #[diesel(sql_type = Timestamptz)]
    pub opened_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub closed_by: Option<UserId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Numeric)]
    pub opening_float: Money,
    #[diesel(sql_type = Numeric)]
    pub received_cash: Money,
    #[diesel(sql_type = Numeric)]
    pub received_upi: Money,
    #[diesel(sql_type = Numeric)]
    pub received_card: Money,
    #[diesel(sql_type = Numeric)]
    pub received_wallet: Money,
    #[diesel(sql_type = Numeric)]
    pub received_credit: Money,
    #[diesel(sql_type = Numeric)]
    pub received_voucher: Money,
    #[diesel(sql_type = Numeric)]
    pub change_given: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_cash: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_upi: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_card: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_wallet: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_credit: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_voucher: Money,
    #[diesel(sql_type = Numeric)]
    pub cash_in: Money,
    #[diesel(sql_type = Numeric)]
    pub cash_out: Money,
    #[diesel(sql_type = Numeric)]
    pub expected_cash: Money,
    #[diesel(sql_type = BigInt)]
    pub sales: i64,
    #[diesel(sql_type = Numeric)]
    pub sold: Money,
    #[diesel(sql_type = Numeric)]
    pub sold_tax: Money,
    #[diesel(sql_type = BigInt)]
    pub returns: i64,
    #[diesel(sql_type = Numeric)]
    pub returned: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_tax: Money,
    #[diesel(sql_type = BigInt)]
    pub receipts: i64,
    /// By receipts; part of what was received.
    #[diesel(sql_type = Numeric)]
    pub collected: Money,
    /// Advances, receipts and notes given back; part of what was refunded.
    #[diesel(sql_type = Numeric)]
    pub repaid: Money,
    #[diesel(sql_type = BigInt)]
    pub cancels: i64,
    #[diesel(sql_type = Numeric)]
    pub cancelled: Money,
    #[diesel(sql_type = Numeric)]
    pub cancelled_tax: Money,
    /// Credit of goods that came back and paid for others at once: received and refunded alike.
    #[diesel(sql_type = Numeric)]
    pub exchanged: Money,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub retained: Option<Money>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub deposited: Option<Money>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

/// What was counted of one means.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Count {
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Numeric)]
    pub expected: Money,
    #[diesel(sql_type = Numeric)]
    pub counted: Money,
    #[diesel(sql_type = Numeric)]
    pub variance: Money,
    /// Notes and coins, as [`Denomination`]s, where they were told.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[serde(default)]
    pub denominations: Option<serde_json::Value>,
}

/// So many notes or coins of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Denomination {
    /// Rupees of one.
    pub value: Money,
    /// How many.
    pub pieces: u32,
}

impl Denomination {
    /// What they are worth together.
    pub fn sum(all: &[Self]) -> Money {
        let worth = |d: &Self| Money::rounded(d.value.decimal() * Decimal::from(d.pieces));
        all.iter().map(worth).sum()
    }
}

/// Why a count cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CountFault {
    /// These had takings and were not counted.
    Missing(Vec<&'static str>),
    /// More is to stay in the drawer than was counted.
    RetainedTooMuch,
}

impl Session {
    /// Received by one means.
    pub fn received(&self, method: Method) -> Money {
        match method {
            Method::Cash => self.received_cash,
            Method::Upi => self.received_upi,
            Method::Card => self.received_card,
            Method::Wallet => self.received_wallet,
            Method::Credit => self.received_credit,
            Method::Voucher => self.received_voucher,
            Method::Exchange => self.exchanged,
        }
    }

    /// Refunded by one means.
    pub fn refunded(&self, method: Method) -> Money {
        match method {
            Method::Cash => self.refunded_cash,
            Method::Upi => self.refunded_upi,
            Method::Card => self.refunded_card,
            Method::Wallet => self.refunded_wallet,
            Method::Credit => self.refunded_credit,
            Method::Voucher => self.refunded_voucher,
            Method::Exchange => self.exchanged,
        }
    }

    /// What should be there of one means.
    pub fn expected(&self, method: Method) -> Money {
        match method {
            Method::Cash => self.expected_cash,
            other => self.received(other) - self.refunded(other),
        }
    }

    /// Sets the count against what is expected. Cash is counted always, other means when they moved.
    pub fn count(
        &self,
        counted: &[(Method, Money)],
        retained: Money,
    ) -> Result<Vec<Count>, CountFault> {
        let given = |method: Method| {
            counted
                .iter()
                .find(|(m, _)| *m == method)
                .map(|(_, amount)| *amount)
        };
        let mut counts = Vec::new();
        let mut missing = Vec::new();
        for method in Method::ALL.into_iter().filter(|m| m.is_counted()) {
            let expected = self.expected(method);
            let moved = !self.received(method).is_zero() || !self.refunded(method).is_zero();
            match given(method) {
                Some(counted) => counts.push(Count {
                    method: method.name().to_owned(),
                    expected,
                    counted,
                    variance: counted - expected,
                    denominations: None,
                }),
                None if moved || method == Method::Cash => missing.push(method.name()),
                None => {}
            }
        }
        if !missing.is_empty() {
            return Err(CountFault::Missing(missing));
        }
        if given(Method::Cash).is_none_or(|cash| retained > cash) {
            return Err(CountFault::RetainedTooMuch);
        }
        Ok(counts)
    }
}

/// What a document adds to a session when it comes from a till that was away: to its totals while it is open, to a
/// supplement of its Z report afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Late {
    pub received: Takings,
    pub change: Money,
    pub refunded: Takings,
    /// 0 or 1, as the next.
    pub sales: i64,
    pub returns: i64,
    pub sold: Money,
    pub sold_tax: Money,
    pub returned: Money,
    pub returned_tax: Money,
    pub cancels: i64,
    pub cancelled: Money,
    pub cancelled_tax: Money,
}

impl Late {
    /// Nothing.
    fn nothing() -> Self {
        Self {
            received: Takings::default(),
            change: Money::ZERO,
            refunded: Takings::default(),
            sales: 0,
            returns: 0,
            sold: Money::ZERO,
            sold_tax: Money::ZERO,
            returned: Money::ZERO,
            returned_tax: Money::ZERO,
            cancels: 0,
            cancelled: Money::ZERO,
            cancelled_tax: Money::ZERO,
        }
    }

    /// A sale.
    pub fn sale(takings: &Takings, change: Money, total: Money, tax: Money) -> Self {
        Self {
            received: *takings,
            change,
            sales: 1,
            sold: total,
            sold_tax: tax,
            ..Self::nothing()
        }
    }

    /// A return.
    pub fn back(refunds: &Takings, total: Money, tax: Money) -> Self {
        Self {
            refunded: *refunds,
            returns: 1,
            returned: total,
            returned_tax: tax,
            ..Self::nothing()
        }
    }

    /// A sale that is cancelled.
    pub fn cancelled(refunds: &Takings, total: Money, tax: Money) -> Self {
        Self {
            refunded: *refunds,
            cancels: 1,
            cancelled: total,
            cancelled_tax: tax,
            ..Self::nothing()
        }
    }
}

/// What came for a session after its close, on one day.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Supplement {
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Numeric)]
    pub received_cash: Money,
    #[diesel(sql_type = Numeric)]
    pub received_upi: Money,
    #[diesel(sql_type = Numeric)]
    pub received_card: Money,
    #[diesel(sql_type = Numeric)]
    pub received_wallet: Money,
    #[diesel(sql_type = Numeric)]
    pub received_credit: Money,
    #[diesel(sql_type = Numeric)]
    pub received_voucher: Money,
    #[diesel(sql_type = Numeric)]
    pub change_given: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_cash: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_upi: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_card: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_wallet: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_credit: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded_voucher: Money,
    #[diesel(sql_type = Numeric)]
    pub cash: Money,
    #[diesel(sql_type = BigInt)]
    pub sales: i64,
    #[diesel(sql_type = Numeric)]
    pub sold: Money,
    #[diesel(sql_type = Numeric)]
    pub sold_tax: Money,
    #[diesel(sql_type = BigInt)]
    pub returns: i64,
    #[diesel(sql_type = Numeric)]
    pub returned: Money,
    #[diesel(sql_type = Numeric)]
    pub returned_tax: Money,
    #[diesel(sql_type = BigInt)]
    pub cancels: i64,
    #[diesel(sql_type = Numeric)]
    pub cancelled: Money,
    #[diesel(sql_type = Numeric)]
    pub cancelled_tax: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn session() -> Session {
        let zero = Money::ZERO;
        Session {
            session_id: PosSessionId::new(),
            till_id: TillId::new(),
            branch_id: BranchId::new(),
            location_id: LocationId::new(),
            state: "open".into(),
            opened_by: UserId::new(),
            opened_at: DateTime::UNIX_EPOCH,
            closed_by: None,
            closed_at: None,
            opening_float: money("2000"),
            received_cash: money("300"),
            received_upi: money("200"),
            received_card: zero,
            received_wallet: zero,
            received_credit: money("50"),
            received_voucher: zero,
            change_given: money("69"),
            refunded_cash: zero,
            refunded_upi: zero,
            refunded_card: zero,
            refunded_wallet: zero,
            refunded_credit: zero,
            refunded_voucher: zero,
            cash_in: zero,
            cash_out: money("100"),
            expected_cash: money("2131"),
            sales: 1,
            sold: money("431"),
            sold_tax: zero,
            returns: 0,
            returned: zero,
            returned_tax: zero,
            receipts: 0,
            collected: zero,
            repaid: zero,
            cancels: 0,
            cancelled: zero,
            cancelled_tax: zero,
            exchanged: zero,
            retained: None,
            deposited: None,
            version: 1,
        }
    }

    #[test]
    fn a_count_gives_the_variance_of_each_means_that_moved() {
        let counts = session()
            .count(
                &[(Method::Cash, money("2130")), (Method::Upi, money("200"))],
                money("2000"),
            )
            .unwrap();
        let seen: Vec<_> = counts
            .iter()
            .map(|c| (c.method.as_str(), c.variance))
            .collect();
        assert_eq!(seen, [("cash", money("-1")), ("upi", money("0"))]);
    }

    #[test]
    fn what_moved_must_be_counted_and_credit_need_not() {
        let missing =
            |counted: &[(Method, Money)]| session().count(counted, Money::ZERO).unwrap_err();
        assert_eq!(
            missing(&[(Method::Cash, money("1"))]),
            CountFault::Missing(vec!["upi"])
        );
        assert_eq!(missing(&[]), CountFault::Missing(vec!["cash", "upi"]));
    }

    #[test]
    fn no_more_is_retained_than_was_counted() {
        let all = [(Method::Cash, money("10")), (Method::Upi, money("200"))];
        assert_eq!(
            session().count(&all, money("10.01")).unwrap_err(),
            CountFault::RetainedTooMuch
        );
    }

    #[test]
    fn takings_sum_by_means() {
        let takings = Takings::of([
            (Method::Upi, money("1")),
            (Method::Cash, money("2")),
            (Method::Upi, money("3")),
        ]);
        assert_eq!(
            (
                takings.get(Method::Upi),
                takings.get(Method::Card),
                takings.total()
            ),
            (money("4"), money("0"), money("6"))
        );
    }
}
