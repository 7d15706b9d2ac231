//! Whatever is sold on credit, paid, taken back, noted and cancelled in whatever order: accounts, invoices and dues are what
//! a plain model says, on every day.

use std::collections::BTreeMap;

use bahi_events::ProductKind;
use bahi_types::{CustomerId, ProductId};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::support::Shop;

/// Paise of one piece.
const PRICE: i64 = 11_800;
/// Paise that each of the two customers may owe.
const LIMITS: [i64; 2] = [300_000, 150_000];
/// Of a customer, as [`crate::support::customer`] has them.
const CREDIT_DAYS: i64 = 30;

#[derive(Clone, Debug)]
enum Step {
    Sell {
        customer: usize,
        qty: i64,
        upi: i64,
    },
    Receive {
        customer: usize,
        paise: i64,
        how: u8,
    },
    Allocate {
        receipt: usize,
        paise: Option<i64>,
    },
    Refund {
        receipt: usize,
        paise: i64,
    },
    Reverse {
        receipt: usize,
    },
    Return {
        invoice: usize,
        qty: i64,
    },
    Credit {
        invoice: usize,
        paise: i64,
    },
    Debit {
        invoice: usize,
        paise: i64,
    },
    Cancel {
        invoice: usize,
    },
    Days {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (any_one, customer, paise) = (0..40usize, 0..2usize, 1..90_000i64);
    prop_oneof![
        5 => (customer.clone(), 1..6i64, 0..3i64)
            .prop_map(|(customer, qty, upi)| Step::Sell { customer, qty, upi }),
        4 => (customer, paise.clone(), 0..4u8)
            .prop_map(|(customer, paise, how)| Step::Receive { customer, paise, how }),
        2 => (any_one.clone(), proptest::option::of(paise.clone()))
            .prop_map(|(receipt, paise)| Step::Allocate { receipt, paise }),
        1 => (any_one.clone(), paise.clone())
            .prop_map(|(receipt, paise)| Step::Refund { receipt, paise }),
        1 => any_one.clone().prop_map(|receipt| Step::Reverse { receipt }),
        3 => (any_one.clone(), 1..4i64).prop_map(|(invoice, qty)| Step::Return { invoice, qty }),
        2 => (any_one.clone(), 1..30_000i64)
            .prop_map(|(invoice, paise)| Step::Credit { invoice, paise }),
        1 => (any_one.clone(), 1..30_000i64)
            .prop_map(|(invoice, paise)| Step::Debit { invoice, paise }),
        2 => any_one.prop_map(|invoice| Step::Cancel { invoice }),
        2 => (1..25i64).prop_map(|days| Step::Days { days }),
    ]
}

fn rupees(paise: i64) -> String {
    let sign = if paise < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", paise.abs() / 100, paise.abs() % 100)
}

/// An invoice, in paise.
#[derive(Clone, Debug)]
struct Invoice {
    id: String,
    customer: usize,
    day: i64,
    due: i64,
    total: i64,
    /// Value and pieces that may still be given back.
    left: (i64, i64),
    touched: bool,
    cancelled: bool,
    /// What the buyer has given and not got back.
    given: i64,
    open: i64,
}

/// A receipt, in paise.
#[derive(Clone, Debug)]
struct Receipt {
    id: String,
    customer: usize,
    amount: i64,
    left: i64,
    refunded: bool,
    reversed: bool,
    paid: BTreeMap<usize, i64>,
}

/// Invoice, open amount and due day of each; the advances.
type Past = (Vec<(usize, i64, i64)>, [i64; 2]);

#[derive(Default)]
struct Model {
    day: i64,
    invoices: Vec<Invoice>,
    receipts: Vec<Receipt>,
    /// At the end of each day that is over: open amount and due day of each invoice, and the advances.
    past: BTreeMap<i64, Past>,
}

impl Model {
    fn dues(&self, customer: usize) -> i64 {
        let of = self.invoices.iter().filter(|i| i.customer == customer);
        of.map(|i| i.open).sum()
    }

    fn advances(&self, customer: usize) -> i64 {
        let of = self.receipts.iter().filter(|r| r.customer == customer);
        of.map(|r| r.left).sum()
    }

    fn may_owe(&self, customer: usize, more: i64) -> bool {
        more <= 0 || self.dues(customer) - self.advances(customer) + more <= LIMITS[customer]
    }

    fn snapshot(&self) -> (Vec<(usize, i64, i64)>, [i64; 2]) {
        let open = self.invoices.iter().filter(|i| i.open != 0);
        (
            open.map(|i| (i.customer, i.open, i.due)).collect(),
            [self.advances(0), self.advances(1)],
        )
    }

    /// Oldest first, as far as it goes.
    fn deal(&self, customer: usize, mut left: i64) -> Vec<(usize, i64)> {
        let mut dealt = Vec::new();
        for (at, invoice) in self.invoices.iter().enumerate() {
            let amount = left.min(invoice.open);
            if invoice.customer == customer && amount > 0 {
                dealt.push((at, amount));
                left -= amount;
            }
        }
        dealt
    }

    fn pay(&mut self, receipt: usize, paid: &[(usize, i64)]) {
        for (at, amount) in paid {
            self.invoices[*at].open -= amount;
            self.invoices[*at].given += amount;
            self.receipts[receipt].left -= amount;
            *self.receipts[receipt].paid.entry(*at).or_default() += amount;
        }
    }
}

struct Play {
    shop: Shop,
    service: ProductId,
    customers: [CustomerId; 2],
    model: Model,
    /// How often each kind of step was carried out.
    done: BTreeMap<&'static str, u32>,
}

impl Play {
    async fn post(&self, path: &str, body: Value) -> bahi_testkit::Reply {
        let reply = self
            .shop
            .owner
            .post(&format!("/api/v1/sales/{path}"), body)
            .await;
        assert!(reply.status < 500, "{path}: {reply:?}");
        reply
    }

    fn tenders(credit: i64, upi: i64) -> Value {
        let of =
            |(method, amount): (&str, i64)| json!({ "method": method, "amount": rupees(amount) });
        let both = [("credit", credit), ("upi", upi)];
        both.into_iter()
            .filter(|(_, amount)| *amount > 0)
            .map(of)
            .collect()
    }

    #[track_caller]
    fn agree(&mut self, what: &'static str, reply: &bahi_testkit::Reply, expected: bool) -> bool {
        let carried_out = reply.status < 300;
        assert_eq!(carried_out, expected, "{what}: {reply:?}");
        if carried_out {
            *self.done.entry(what).or_default() += 1;
        }
        carried_out
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Sell { customer, qty, upi } => self.sell(customer, qty, upi).await,
            Step::Receive {
                customer,
                paise,
                how,
            } => self.receive(customer, paise, how).await,
            Step::Allocate { receipt, paise } if !self.model.receipts.is_empty() => {
                self.allocate(receipt % self.model.receipts.len(), paise)
                    .await;
            }
            Step::Refund { receipt, paise } if !self.model.receipts.is_empty() => {
                self.refund(receipt % self.model.receipts.len(), paise)
                    .await;
            }
            Step::Reverse { receipt } if !self.model.receipts.is_empty() => {
                self.reverse(receipt % self.model.receipts.len()).await;
            }
            Step::Return { invoice, qty } if !self.model.invoices.is_empty() => {
                self.take_back(invoice % self.model.invoices.len(), qty)
                    .await;
            }
            Step::Credit { invoice, paise } if !self.model.invoices.is_empty() => {
                self.credit(invoice % self.model.invoices.len(), paise)
                    .await;
            }
            Step::Debit { invoice, paise } if !self.model.invoices.is_empty() => {
                self.debit(invoice % self.model.invoices.len(), paise).await;
            }
            Step::Cancel { invoice } if !self.model.invoices.is_empty() => {
                self.cancel(invoice % self.model.invoices.len()).await;
            }
            Step::Days { days } => {
                for _ in 0..days {
                    let now = self.model.snapshot();
                    self.model.past.insert(self.model.day, now);
                    self.model.day += 1;
                }
                self.shop.later(days * 86_400);
            }
            _ => {}
        }
    }

    async fn sell(&mut self, customer: usize, qty: i64, upi: i64) {
        let total = qty * PRICE;
        let upi = upi * total / 4;
        let credit = total - upi;
        let body = json!({ "customer_id": self.customers[customer], "round_to_rupee": false,
            "lines": [{ "product_id": self.service, "qty": qty.to_string() }], "tenders": Self::tenders(credit, upi) });
        let reply = self.shop.sell_from_office(body).await;
        let expected = self.model.may_owe(customer, credit);
        if self.agree("sell", &reply, expected) {
            self.model.invoices.push(Invoice {
                id: reply.text_at("invoice_id"),
                customer,
                day: self.model.day,
                due: self.model.day + CREDIT_DAYS,
                total,
                left: (total, qty),
                touched: false,
                cancelled: false,
                given: upi,
                open: credit,
            });
        } else {
            assert_eq!(reply.code(), "CREDIT_LIMIT_EXCEEDED");
        }
    }

    async fn receive(&mut self, customer: usize, paise: i64, how: u8) {
        let mut body = json!({ "customer_id": self.customers[customer], "location_id": self.shop.location,
            "method": "cheque", "amount": rupees(paise) });
        let mut paid = Vec::new();
        match how {
            0 => body["allocate"] = json!("none"),
            // The newest, by choice.
            1 => {
                let mut own = self.model.invoices.iter().enumerate().rev();
                let newest = own.find(|(_, i)| i.customer == customer && i.open > 0);
                if let Some((at, invoice)) = newest {
                    let amount = paise.min(invoice.open);
                    body["allocations"] =
                        json!([{ "invoice_id": invoice.id, "amount": rupees(amount) }]);
                    paid.push((at, amount));
                } else {
                    body["allocate"] = json!("none");
                }
            }
            _ => paid = self.model.deal(customer, paise),
        }
        let reply = self.post("receipts", body).await;
        self.agree("receive", &reply, true);
        self.model.receipts.push(Receipt {
            id: reply.text_at("receipt_id"),
            customer,
            amount: paise,
            left: paise,
            refunded: false,
            reversed: false,
            paid: BTreeMap::new(),
        });
        self.model.pay(self.model.receipts.len() - 1, &paid);
    }

    async fn allocate(&mut self, at: usize, paise: Option<i64>) {
        let receipt = self.model.receipts[at].clone();
        let oldest = self.model.deal(receipt.customer, i64::MAX).first().copied();
        let (body, paid, fits) = match (paise, oldest) {
            (Some(paise), Some((invoice, open))) => {
                let id = &self.model.invoices[invoice].id;
                let body =
                    json!({ "allocations": [{ "invoice_id": id, "amount": rupees(paise) }] });
                (
                    body,
                    vec![(invoice, paise)],
                    paise <= open && paise <= receipt.left,
                )
            }
            _ => (
                json!({}),
                self.model.deal(receipt.customer, receipt.left),
                true,
            ),
        };
        let path = format!("receipts/{}/allocations", receipt.id);
        let reply = self.post(&path, body).await;
        if self.agree("allocate", &reply, fits && !receipt.reversed) {
            self.model.pay(at, &paid);
        }
    }

    async fn refund(&mut self, at: usize, paise: i64) {
        let receipt = self.model.receipts[at].clone();
        let body = json!({ "method": "upi", "amount": rupees(paise), "reason": "random" });
        let reply = self
            .post(&format!("receipts/{}:refund", receipt.id), body)
            .await;
        if self.agree("refund", &reply, paise <= receipt.left && !receipt.reversed) {
            self.model.receipts[at].left -= paise;
            self.model.receipts[at].refunded = true;
        }
    }

    async fn reverse(&mut self, at: usize) {
        let receipt = self.model.receipts[at].clone();
        let body = json!({ "reason": "bounced" });
        let reply = self
            .post(&format!("receipts/{}:reverse", receipt.id), body)
            .await;
        if self.agree("reverse", &reply, !receipt.reversed && !receipt.refunded) {
            for (invoice, amount) in &receipt.paid {
                self.model.invoices[*invoice].open += amount;
                self.model.invoices[*invoice].given -= amount;
            }
            self.model.receipts[at].left = 0;
            self.model.receipts[at].reversed = true;
            assert_eq!(
                receipt.paid.values().sum::<i64>() + receipt.left,
                receipt.amount
            );
        }
    }

    /// Gives `share` back: off what is owed as far as it goes, the rest in money.
    fn settle(&mut self, at: usize, share: i64) -> Value {
        let invoice = &mut self.model.invoices[at];
        let credit = share.min(invoice.open);
        invoice.open -= credit;
        invoice.given -= share - credit;
        invoice.left.0 -= share;
        invoice.touched = true;
        Self::tenders(credit, share - credit)
    }

    async fn take_back(&mut self, at: usize, qty: i64) {
        let invoice = self.model.invoices[at].clone();
        let (value, pieces) = invoice.left;
        let expected = qty <= pieces && !invoice.cancelled;
        // The share of what is left, half up.
        let share = if expected {
            (2 * value * qty + pieces) / (2 * pieces)
        } else {
            1
        };
        let mut tenders = Self::tenders(0, share);
        if expected {
            tenders = self.settle(at, share);
            self.model.invoices[at].left.1 -= qty;
        }
        let body = json!({ "original_invoice_id": invoice.id, "refund_tenders": tenders,
            "lines": [{ "original_line": 1, "qty": qty.to_string() }] });
        let reply = self.post("returns", body).await;
        self.agree("return", &reply, expected);
    }

    async fn credit(&mut self, at: usize, paise: i64) {
        let invoice = self.model.invoices[at].clone();
        let expected = paise <= invoice.left.0 && !invoice.cancelled;
        let mut tenders = Self::tenders(0, paise);
        if expected {
            tenders = self.settle(at, paise);
        }
        let body = json!({ "original_invoice_id": invoice.id, "refund_tenders": tenders, "reason": "random",
            "lines": [{ "original_line": 1, "amount": rupees(paise) }] });
        let reply = self.post("credit-notes", body).await;
        self.agree("credit", &reply, expected);
    }

    async fn debit(&mut self, at: usize, paise: i64) {
        let invoice = self.model.invoices[at].clone();
        let body = json!({ "original_invoice_id": invoice.id, "reason": "random",
            "lines": [{ "original_line": 1, "amount": rupees(paise) }] });
        let reply = self.post("debit-notes", body).await;
        let fits = self.model.may_owe(invoice.customer, paise);
        if self.agree(
            "debit",
            &reply,
            fits && !invoice.cancelled && invoice.left.1 > 0,
        ) {
            // An invoice is due as it was; one that was paid at once is due from its first debit note.
            let now = &mut self.model.invoices[at];
            now.open += paise;
            now.left.0 += paise;
            now.touched = true;
        }
    }

    async fn cancel(&mut self, at: usize) {
        let invoice = self.model.invoices[at].clone();
        let body = json!({ "reason_code": "duplicate", "refund_tenders": Self::tenders(0, invoice.given) });
        let reply = self
            .post(&format!("invoices/{}:cancel", invoice.id), body)
            .await;
        let expected = !invoice.cancelled && !invoice.touched && invoice.day == self.model.day;
        if self.agree("cancel", &reply, expected) {
            assert_eq!(invoice.given + invoice.open, invoice.total);
            let now = &mut self.model.invoices[at];
            (now.open, now.given, now.cancelled) = (0, 0, true);
        }
    }

    /// Every account and invoice is what the model says.
    async fn compare(&self) {
        for (at, customer) in self.customers.iter().enumerate() {
            let (dues, _, advances) = self.shop.account(*customer).await;
            let expected = (self.model.dues(at), self.model.advances(at));
            assert_eq!((dues, advances), (rupees(expected.0), rupees(expected.1)));
        }
    }

    /// Every day is told as it was when it ended.
    async fn compare_past(&mut self) {
        let now = self.model.snapshot();
        self.model.past.insert(self.model.day, now);
        let first: chrono::NaiveDate = "2026-11-05".parse().unwrap();
        for (day, (open, advances)) in &self.model.past {
            let as_of = first + chrono::Duration::days(*day);
            for (at, customer) in self.customers.iter().enumerate() {
                let path = format!("/api/v1/sales/dues?as_of={as_of}&customer_id={customer}");
                let told = self.shop.owner.get(&path).await.expect(200).body;
                let mut ages = [0i64; 5];
                for (_, open, due) in open.iter().filter(|o| o.0 == at) {
                    let place = match day - due {
                        ..0 => 0,
                        0..=30 => 1,
                        31..=60 => 2,
                        61..=90 => 3,
                        _ => 4,
                    };
                    ages[place] += open;
                }
                let dues: i64 = ages.iter().sum();
                assert_eq!(told["totals"]["dues"], rupees(dues), "{as_of}");
                let names = ["not_due", "0-30", "31-60", "61-90", "90+"];
                for (name, amount) in names.iter().zip(ages) {
                    assert_eq!(
                        told["totals"]["ages"][name],
                        rupees(amount),
                        "{name} on {as_of}"
                    );
                }
                if dues > 0 {
                    assert_eq!(
                        told["items"][0]["advances"],
                        rupees(advances[at]),
                        "{as_of}"
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_what_a_plain_model_says() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let shop = Shop::without_stock().await;
    let mut done: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..4 {
        let shop = shop.next_tenant().await;
        let service = shop
            .product_of_kind("S", "118", true, ProductKind::Service)
            .await;
        let mut customers = [CustomerId::new(); 2];
        for (customer, limit) in customers.iter_mut().zip(LIMITS) {
            *customer = shop.customer(Some(&rupees(limit))).await;
        }
        // Each tenant begins on the day on which the last one ended.
        let tree = proptest::collection::vec(step(), 120)
            .new_tree(&mut runner)
            .unwrap();
        let today = bahi_types::business_date(shop.clock.now());
        let first: chrono::NaiveDate = "2026-11-05".parse().unwrap();
        let day = (today - first).num_days();
        let model = Model {
            day,
            ..Model::default()
        };
        let mut play = Play {
            shop,
            service,
            customers,
            model,
            done: BTreeMap::new(),
        };
        for step in tree.current() {
            // No two documents of one moment.
            play.shop.later(1);
            play.step(&step).await;
            play.compare().await;
        }
        play.compare_past().await;
        play.shop.assert_sound().await;
        for (what, times) in play.done {
            *done.entry(what).or_default() += times;
        }
    }
    // Every kind of step was carried out, or this proves little.
    assert_eq!(done.len(), 9, "{done:?}");
}
