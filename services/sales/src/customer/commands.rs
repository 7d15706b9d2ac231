//! Raising and lowering what a customer owes, inside the transaction of the document that does it.

use bahi_db::Tx;
use bahi_http::Fault;
use bahi_types::{CustomerId, Money};
use serde_json::json;

use super::{
    model::{Account, Entry},
    store,
};
use crate::error::{Error, Result};

/// What is asked of a customer's credit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// An order is confirmed.
    Order(Money),
    /// An invoice is posted.
    Invoice {
        /// What it leaves to be paid.
        amount: Money,
        /// What of it a confirmed order has claimed already.
        from_orders: Money,
    },
    /// A till has sold on credit while it was away: it is owed, whatever the limit and the customer's state are by now.
    Happened(Money),
}

/// Locks the account and raises it, if S6 allows. `reason`: of a caller who may go beyond the limit, and wants to; it is
/// audited where it was needed. The account is answered as it was before.
///
/// # Errors
/// `NotYetKnown`, `NotActive`, `CreditLimitExceeded`.
pub(crate) async fn claim(
    tx: &mut Tx,
    customer: CustomerId,
    claim: Claim,
    reason: Option<&str>,
) -> Result<Account> {
    let account = store::lock(tx, customer).await?;
    match account.status.as_deref() {
        _ if matches!(claim, Claim::Happened(_)) => {}
        None => return Err(Fault::NotYetKnown("The customer".into()).into()),
        Some("inactive" | "merged" | "deleted") => return Err(Error::NotActive("The customer")),
        Some(_) => {}
    }
    let (dues, orders) = match claim {
        Claim::Order(amount) => (Money::ZERO, amount),
        Claim::Invoice {
            amount,
            from_orders,
        } => (amount, -from_orders),
        Claim::Happened(amount) => (amount, Money::ZERO),
    };
    let reason = match claim {
        Claim::Happened(_) => Some("sold while the till was away"),
        Claim::Order(_) | Claim::Invoice { .. } => reason,
    };
    if let Err(exceeded) = account.check(dues + orders) {
        let Some(reason) = reason else {
            return Err(Error::CreditLimitExceeded(exceeded));
        };
        let object = ("customer", customer.uuid());
        let details = json!(exceeded);
        tx.audit(
            "sales.credit.override",
            object,
            Some(reason.to_owned()),
            details,
        );
    }
    store::change(tx, customer, dues, orders, Money::ZERO).await?;
    Ok(account)
}

/// An order was cancelled, closed short or made smaller: so much of it will not be invoiced.
pub(crate) async fn release_order(tx: &mut Tx, customer: CustomerId, amount: Money) -> Result<()> {
    store::lock(tx, customer).await?;
    Ok(store::change(tx, customer, Money::ZERO, -amount, Money::ZERO).await?)
}

/// Writes entries and changes the sums of `customer`, whose account is locked. Not for what [`claim`] has raised.
pub(crate) async fn book(
    tx: &mut Tx,
    customer: Option<CustomerId>,
    entries: &[Entry],
) -> Result<()> {
    let sum = |f: fn(&Entry) -> Money| entries.iter().map(f).sum::<Money>();
    if let Some(customer) = customer {
        let (dues, advances) = (sum(|e| e.dues), sum(|e| e.advances));
        store::change(tx, customer, dues, Money::ZERO, advances).await?;
    }
    store::record(tx, entries).await?;
    Ok(())
}
