//! A receipt's row, and how it is dealt out.

use bahi_events::Allocation;
use bahi_types::{
    BranchId, CustomerId, InvoiceId, Money, PosSessionId, ReceiptId, RegistrationId, TillId, UserId,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    session::{Method, Takings},
};

/// Most invoices that one request allocates to.
pub(super) const MOST_ALLOCATIONS: usize = 200;

/// How money came in, or is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Means {
    /// Notes and coins.
    Cash,
    /// UPI.
    Upi,
    /// Card.
    Card,
    /// Wallet.
    Wallet,
    /// Gift or credit voucher.
    Voucher,
    /// A cheque; in the office alone.
    Cheque,
    /// NEFT, RTGS, IMPS; in the office alone.
    BankTransfer,
}

impl Means {
    /// As it is stored and said.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cheque => "cheque",
            Self::BankTransfer => "bank_transfer",
            Self::Cash => Method::Cash.name(),
            Self::Upi => Method::Upi.name(),
            Self::Card => Method::Card.name(),
            Self::Wallet => Method::Wallet.name(),
            Self::Voucher => Method::Voucher.name(),
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        let all = [
            Self::Cash,
            Self::Upi,
            Self::Card,
            Self::Wallet,
            Self::Voucher,
            Self::Cheque,
            Self::BankTransfer,
        ];
        all.into_iter().find(|means| means.name() == name)
    }

    /// What it is in a till's totals; `None` for what no till takes.
    pub fn at_till(self) -> Option<Method> {
        match self {
            Self::Cash => Some(Method::Cash),
            Self::Upi => Some(Method::Upi),
            Self::Card => Some(Method::Card),
            Self::Wallet => Some(Method::Wallet),
            Self::Voucher => Some(Method::Voucher),
            Self::Cheque | Self::BankTransfer => None,
        }
    }

    /// An amount of it in a till's totals.
    pub fn takings(self, amount: Money) -> Option<Takings> {
        Some(Takings::of([(self.at_till()?, amount)]))
    }
}

/// A receipt.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Receipt {
    #[diesel(sql_type = SqlUuid)]
    pub receipt_id: ReceiptId,
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = Text)]
    pub series: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub till_id: Option<TillId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<PosSessionId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub cashier_id: Option<UserId>,
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Text)]
    pub currency: String,
    #[diesel(sql_type = Numeric)]
    pub allocated: Money,
    #[diesel(sql_type = Numeric)]
    pub refunded: Money,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reversal_reason: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub reversed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub version: i64,
}

impl Receipt {
    /// What is left of it.
    pub fn unallocated(&self) -> Money {
        if self.is_reversed() {
            return Money::ZERO;
        }
        self.amount - self.allocated - self.refunded
    }

    /// It turned out to be none.
    pub fn is_reversed(&self) -> bool {
        self.status == "reversed"
    }
}

/// A part of a receipt against an invoice, as it was made.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Allocated {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
}

/// An advance that was given back.
#[derive(Clone, Debug, QueryableByName, Serialize, Deserialize)]
pub(crate) struct Refund {
    #[diesel(sql_type = SqlUuid)]
    pub refund_id: Uuid,
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Nullable<Text>)]
    pub reference: Option<String>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<PosSessionId>,
}

/// A whole receipt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Whole {
    pub receipt: Receipt,
    pub allocations: Vec<Allocated>,
    pub refunds: Vec<Refund>,
}

/// An invoice that may be paid.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Payable {
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_id: Option<CustomerId>,
    #[diesel(sql_type = Numeric)]
    pub open: Money,
}

/// What a client chose to pay.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// These, by these amounts.
    Chosen(Vec<Allocation>),
    /// The oldest first.
    Oldest,
    /// Nothing now.
    Nothing,
}

/// Deals `left` out to `payables`, in their order, as far as it goes.
pub(super) fn deal(mut left: Money, payables: &[Payable]) -> Vec<Allocation> {
    let mut dealt = Vec::new();
    for payable in payables {
        let amount = left.min(payable.open);
        if amount.is_positive() {
            left -= amount;
            dealt.push(Allocation {
                invoice_id: payable.invoice_id,
                amount,
            });
        }
    }
    dealt
}

/// Refuses what S7 does not allow of a choice. `payables` are locked; what is not among them is not there.
pub(super) fn check(
    chosen: &[Allocation],
    payables: &[Payable],
    customer: Option<CustomerId>,
    left: Money,
) -> Result<()> {
    for wanted in chosen {
        let payable = payables
            .iter()
            .find(|p| p.invoice_id == wanted.invoice_id)
            .ok_or(bahi_http::Fault::NotFound)?;
        if payable.customer_id != customer {
            return Err(Error::OtherCustomer {
                invoice_id: wanted.invoice_id.uuid(),
            });
        }
        if wanted.amount > payable.open {
            return Err(Error::ExceedsOpen {
                invoice_id: wanted.invoice_id.uuid(),
                open: payable.open,
            });
        }
    }
    let sum: Money = chosen.iter().map(|a| a.amount).sum();
    if sum > left {
        return Err(Error::ExceedsReceipt { unallocated: left });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn payable(customer: Option<CustomerId>, open: &str) -> Payable {
        Payable {
            invoice_id: InvoiceId::new(),
            customer_id: customer,
            open: money(open),
        }
    }

    #[test]
    fn the_oldest_is_paid_first_and_the_last_in_part() {
        let payables = [
            payable(None, "30"),
            payable(None, "0"),
            payable(None, "50"),
            payable(None, "1"),
        ];
        let dealt = deal(money("70"), &payables);
        let amounts: Vec<_> = dealt.iter().map(|a| a.amount).collect();
        assert_eq!(amounts, [money("30"), money("40")]);
        assert_eq!(dealt[1].invoice_id, payables[2].invoice_id);
    }

    #[test]
    fn a_choice_stays_within_customer_invoice_and_receipt() {
        let customer = Some(CustomerId::new());
        let mine = payable(customer, "30");
        let theirs = payable(Some(CustomerId::new()), "30");
        let payables = [mine, theirs];
        let pay = |at: usize, amount: &str| Allocation {
            invoice_id: payables[at].invoice_id,
            amount: money(amount),
        };
        let check =
            |chosen: &[Allocation], left: &str| check(chosen, &payables, customer, money(left));
        assert!(check(&[pay(0, "30")], "30").is_ok());
        assert!(matches!(
            check(&[pay(0, "30.01")], "40"),
            Err(Error::ExceedsOpen { .. })
        ));
        assert!(matches!(
            check(&[pay(0, "30")], "29"),
            Err(Error::ExceedsReceipt { .. })
        ));
        assert!(matches!(
            check(&[pay(1, "1")], "30"),
            Err(Error::OtherCustomer { .. })
        ));
    }

    #[test]
    fn means_have_one_name_each() {
        for means in [Means::Cash, Means::Cheque, Means::BankTransfer] {
            assert_eq!(Means::of(means.name()), Some(means));
        }
        assert_eq!(Means::of("credit"), None);
    }
}
