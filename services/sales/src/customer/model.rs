//! A customer's copy, its account, and what it may owe (S6).

use std::collections::BTreeSet;

use bahi_events::CustomerAddress;
use bahi_http::search::score;
use bahi_types::{CustomerGroupId, CustomerId, InvoiceId, Money, ReceiptId, words};
use chrono::{Days, NaiveDate};
use diesel::{
    QueryableByName,
    sql_types::{Integer, Jsonb, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use serde::Serialize;
use uuid::Uuid;

/// What is known of a customer.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Customer {
    #[diesel(sql_type = SqlUuid)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub phone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin: Option<String>,
    /// As [`CustomerAddress`]es.
    #[diesel(sql_type = Jsonb)]
    pub addresses: serde_json::Value,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub customer_group_id: Option<CustomerGroupId>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub credit_limit: Option<Money>,
    #[diesel(sql_type = Integer)]
    pub credit_days: i32,
    #[diesel(sql_type = Text)]
    pub status: String,
}

impl Customer {
    /// Its addresses.
    pub fn addresses(&self) -> Vec<CustomerAddress> {
        serde_json::from_value(self.addresses.clone()).unwrap_or_default()
    }

    /// The address on its bills: the billing one, else the first.
    pub fn billing(&self) -> Option<CustomerAddress> {
        let addresses = self.addresses();
        let billing = addresses.iter().find(|a| a.kind == "billing");
        billing.or(addresses.first()).cloned()
    }
}

/// Most words of a text that count.
const WORDS: usize = 8;

/// The country's code, which most leave away.
const COUNTRY: &str = "91";

/// What a customer is found by: words of the name, and of `told`: telephone number, address of mail, GSTIN.
pub(super) fn found_by(name: &str, told: [Option<&str>; 3]) -> BTreeSet<String> {
    let texts = told.into_iter().flatten().chain([name]);
    let mut found: BTreeSet<String> = texts.flat_map(words).collect();
    let local = told[0].and_then(|phone| phone.strip_prefix('+')?.strip_prefix(COUNTRY));
    found.extend(local.map(str::to_owned).filter(|local| !local.is_empty()));
    found
}

/// The words of a text that is looked for. A telephone number is one, however it is spaced.
pub(super) fn asked(text: &str) -> Vec<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number = text
        .chars()
        .all(|c| c.is_ascii_digit() || " +-()".contains(c));
    if number && digits.len() >= 4 {
        return vec![digits.trim_start_matches('0').to_owned()];
    }
    let mut asked = words(text);
    asked.sort_unstable();
    asked.dedup();
    asked.truncate(WORDS);
    asked
}

/// How well a customer fits a text in lower case that consists of `asked`.
pub(super) fn fits(customer: &Customer, text: &str, asked: &[String]) -> u8 {
    let name = customer.name.to_lowercase();
    let phone = customer.phone.as_deref().unwrap_or_default();
    let phone = phone.trim_start_matches('+');
    let codes = [customer.gstin.as_deref(), customer.email.as_deref()];
    let called = |word: &String| {
        !word.is_empty() && (phone == word || phone.strip_prefix(COUNTRY) == Some(word))
    };
    let written = codes
        .into_iter()
        .flatten()
        .any(|code| code.to_lowercase() == text);
    if written || (asked.len() == 1 && asked.iter().any(called)) {
        score::CODE
    } else if name == text {
        score::WHOLE
    } else if name.starts_with(text) {
        score::BEGINS
    } else {
        score::WORDS
    }
}

/// An account with what is known of its customer, locked.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Account {
    #[diesel(sql_type = SqlUuid)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Numeric)]
    pub dues: Money,
    #[diesel(sql_type = Numeric)]
    pub orders: Money,
    #[diesel(sql_type = Numeric)]
    pub advances: Money,
    /// `None`: the customer is not known yet.
    #[diesel(sql_type = Nullable<Text>)]
    pub status: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    pub credit_limit: Option<Money>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub credit_days: Option<i32>,
}

/// By how much a request goes beyond a credit limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Exceeded {
    pub customer_id: CustomerId,
    /// None: no credit is given.
    pub credit_limit: Option<Money>,
    /// The customer is on credit hold: its limit does not count.
    pub on_hold: bool,
    pub dues: Money,
    pub orders: Money,
    pub advances: Money,
    /// Before the request.
    pub exposure: Money,
    /// By how much the request would raise it.
    pub asked: Money,
    /// What it may be raised by, zero or more.
    pub available: Money,
}

impl Account {
    /// What the customer owes and will owe, less what it has paid in advance.
    pub fn exposure(&self) -> Money {
        self.dues + self.orders - self.advances
    }

    /// The credit that counts: none on hold.
    fn limit(&self) -> Money {
        match self.credit_limit {
            Some(limit) if !self.on_hold() => limit,
            _ => Money::ZERO,
        }
    }

    fn on_hold(&self) -> bool {
        self.status.as_deref() == Some("credit_hold")
    }

    /// What the exposure may still be raised by.
    pub fn available(&self) -> Money {
        let left = self.limit() - self.exposure();
        if left.is_negative() {
            Money::ZERO
        } else {
            left
        }
    }

    /// S6: whether the exposure may be raised by `asked`. What does not raise it is never refused.
    pub fn check(&self, asked: Money) -> Result<(), Box<Exceeded>> {
        if !asked.is_positive() || self.exposure() + asked <= self.limit() {
            return Ok(());
        }
        Err(Box::new(Exceeded {
            customer_id: self.customer_id,
            credit_limit: self.credit_limit,
            on_hold: self.on_hold(),
            dues: self.dues,
            orders: self.orders,
            advances: self.advances,
            exposure: self.exposure(),
            asked,
            available: self.available(),
        }))
    }

    /// The day on which what is posted on `date` is due.
    pub fn due(&self, date: NaiveDate) -> NaiveDate {
        let days = u64::try_from(self.credit_days.unwrap_or_default()).unwrap_or_default();
        date.checked_add_days(Days::new(days)).unwrap_or(date)
    }
}

/// What an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// An invoice on credit.
    Invoice,
    /// Goods that came back.
    Return,
    /// A note that lowers a price.
    CreditNote,
    /// A note that raises a price.
    DebitNote,
    /// A cancelled invoice.
    Cancel,
    /// Money that came in.
    Receipt,
    /// Part of a receipt against an invoice.
    Allocation,
    /// An advance that was given back.
    Refund,
    /// A receipt that turned out to be none.
    Reversal,
}

impl EntryKind {
    /// As it is stored and said.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Return => "return",
            Self::CreditNote => "credit_note",
            Self::DebitNote => "debit_note",
            Self::Cancel => "cancel",
            Self::Receipt => "receipt",
            Self::Allocation => "allocation",
            Self::Refund => "refund",
            Self::Reversal => "reversal",
        }
    }
}

/// A change of dues or advances.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub kind: EntryKind,
    pub customer: Option<CustomerId>,
    /// Whose open amount it changes.
    pub invoice: Option<InvoiceId>,
    /// Whose unallocated amount it changes.
    pub receipt: Option<ReceiptId>,
    /// The document that did it.
    pub document: Uuid,
    pub date: NaiveDate,
    /// Where dues are raised.
    pub due: Option<NaiveDate>,
    pub dues: Money,
    pub advances: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Customer {
        Customer {
            customer_id: CustomerId::new(),
            name: name.into(),
            phone: Some("+919820098200".into()),
            email: Some("Jain@Example.com".into()),
            gstin: Some("27AAPFU0939F1ZV".into()),
            addresses: serde_json::Value::Null,
            customer_group_id: None,
            credit_limit: None,
            credit_days: 0,
            status: "active".into(),
        }
    }

    #[test]
    fn a_customer_is_found_by_words_and_by_the_number_with_and_without_its_country() {
        let told = [Some("+919820098200"), None, Some("27AAPFU0939F1ZV")];
        let found: Vec<String> = found_by("Jain  Stores, Pune", told).into_iter().collect();
        let wanted = [
            "27aapfu0939f1zv",
            "919820098200",
            "9820098200",
            "jain",
            "pune",
            "stores",
        ];
        assert_eq!(found, wanted);
        for typed in ["+91 98200-98200", "919820098200"] {
            assert_eq!(asked(typed), ["919820098200"]);
        }
        assert_eq!(asked("098200 98200"), ["9820098200"]);
        assert_eq!(asked("Stores jain stores"), ["jain", "stores"]);
        assert!(asked("%&").is_empty());
    }

    #[test]
    fn codes_come_before_names_and_names_before_words() {
        let score = |q: &str| fits(&known("Jain Stores"), &q.to_lowercase(), &asked(q));
        for code in [
            "98200 98200",
            "+919820098200",
            "27aapfu0939f1zv",
            "jain@example.com",
        ] {
            assert_eq!(score(code), score::CODE, "{code}");
        }
        assert_eq!(score("JAIN stores"), score::WHOLE);
        assert_eq!(score("jain"), score::BEGINS);
        assert_eq!(score("stores"), score::WORDS);
        assert_eq!(score("9820"), score::WORDS);
    }

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn account(limit: Option<&str>) -> Account {
        Account {
            customer_id: CustomerId::new(),
            dues: money("40000"),
            orders: money("7000"),
            advances: money("2000"),
            status: Some("active".into()),
            credit_limit: limit.map(money),
            credit_days: Some(30),
        }
    }

    #[test]
    fn exposure_may_rise_to_the_limit_and_not_beyond() {
        let account = account(Some("50000"));
        assert_eq!(account.exposure(), money("45000"));
        assert!(account.check(money("5000")).is_ok());
        let beyond = account.check(money("5000.01")).unwrap_err();
        assert_eq!(beyond.available, money("5000"));
    }

    #[test]
    fn what_does_not_raise_the_exposure_is_not_refused() {
        assert!(account(None).check(money("0")).is_ok());
        assert!(account(None).check(money("-1")).is_ok());
    }

    #[test]
    fn without_a_limit_or_on_hold_only_advances_are_used_up() {
        let none = Account {
            dues: Money::ZERO,
            orders: Money::ZERO,
            ..account(None)
        };
        let held = Account {
            status: Some("credit_hold".into()),
            credit_limit: Some(money("50000")),
            ..none.clone()
        };
        for account in [none, held] {
            assert!(account.check(money("2000")).is_ok());
            assert!(account.check(money("2000.01")).is_err());
        }
    }

    #[test]
    fn it_is_due_after_the_days_of_credit() {
        let date = "2026-11-05".parse().unwrap();
        assert_eq!(account(None).due(date), "2026-12-05".parse().unwrap());
    }
}
