//! Whatever is done in whatever order, the books agree: I1 to I7, I9 and I10, and nothing sold is lost or doubled.

use std::collections::BTreeMap;

use bahi_types::{BatchId, InvoiceId, ProductId, Quantity, ReservationId};
use inventory::{consumers, count, jobs};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;

use crate::support::{Shop, q};

#[derive(Clone, Debug)]
enum Step {
    Receive {
        product: usize,
        qty: u32,
        cost: u32,
    },
    Reserve {
        product: usize,
        qty: u32,
        both: bool,
    },
    /// The next attempt at an earlier sale, perhaps with another basket.
    Again {
        sale: usize,
        qty: u32,
    },
    Release {
        sale: usize,
    },
    Issue {
        sale: usize,
        other_basket: bool,
    },
    Offline {
        product: usize,
        qty: u32,
    },
    Return {
        sale: usize,
        qty: u32,
        disposition: usize,
    },
    Adjust {
        product: usize,
        qty: i32,
    },
    Hold {
        product: usize,
        qty: u32,
    },
    Commit {
        hold: usize,
        part: bool,
    },
    Block {
        batch: usize,
        blocked: bool,
    },
    /// Another value, or another way to value.
    Revalue {
        product: usize,
        way: usize,
        cost: u32,
    },
    /// A cost that comes late.
    Land {
        receipt: usize,
        paise: u32,
    },
    Sweep {
        seconds: u32,
    },
    /// To the other location.
    Transfer {
        product: usize,
        qty: u32,
    },
    Arrive {
        transfer: usize,
        qty: u32,
        lost: bool,
    },
    Restate {
        product: usize,
        qty: u32,
        way: usize,
    },
    Count {
        product: usize,
        qty: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let product = 0..3usize;
    prop_oneof![
        4 => (product.clone(), 1..12u32, 1..2000u32).prop_map(|(product, qty, cost)| Step::Receive { product, qty, cost }),
        5 => (product.clone(), 1..6u32, any::<bool>()).prop_map(|(product, qty, both)| Step::Reserve { product, qty, both }),
        2 => (any::<usize>(), 1..6u32).prop_map(|(sale, qty)| Step::Again { sale, qty }),
        1 => any::<usize>().prop_map(|sale| Step::Release { sale }),
        5 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(sale, other_basket)| Step::Issue { sale, other_basket }),
        2 => (product.clone(), 1..6u32).prop_map(|(product, qty)| Step::Offline { product, qty }),
        3 => (any::<usize>(), 1..5u32, 0..3usize).prop_map(|(sale, qty, disposition)| Step::Return { sale, qty, disposition }),
        3 => (product.clone(), prop_oneof![-8..0i32, 1..4i32]).prop_map(|(product, qty)| Step::Adjust { product, qty }),
        2 => (product.clone(), 1..5u32).prop_map(|(product, qty)| Step::Hold { product, qty }),
        3 => (product.clone(), 1..6u32).prop_map(|(product, qty)| Step::Transfer { product, qty }),
        3 => (any::<usize>(), 1..5u32, prop::bool::weighted(0.3)).prop_map(|(transfer, qty, lost)| Step::Arrive { transfer, qty, lost }),
        2 => (product.clone(), 1..4u32, 0..4usize).prop_map(|(product, qty, way)| Step::Restate { product, qty, way }),
        2 => (product, 0..9u32).prop_map(|(product, qty)| Step::Count { product, qty }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(hold, part)| Step::Commit { hold, part }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(batch, blocked)| Step::Block { batch, blocked }),
        2 => (0..3usize, 0..6usize, 1..2000u32).prop_map(|(product, way, cost)| Step::Revalue { product, way, cost }),
        2 => (any::<usize>(), 1..5000u32).prop_map(|(receipt, paise)| Step::Land { receipt, paise }),
        2 => (1..40u32).prop_map(|seconds| Step::Sweep { seconds }),
    ]
}

#[derive(Clone)]
struct Sale {
    invoice: InvoiceId,
    attempt: u32,
    lines: Vec<(ProductId, String)>,
    issued: bool,
    returned: u32,
}

struct World {
    shop: Shop,
    products: [ProductId; 3],
    batches: Vec<BatchId>,
    receipts: Vec<String>,
    sales: Vec<Sale>,
    branch: Shop,
    transfers: Vec<String>,
    holds: Vec<ReservationId>,
    /// Of each product: sold less given back.
    owed: BTreeMap<ProductId, Quantity>,
}

fn pick<T>(list: &[T], at: usize) -> Option<usize> {
    (!list.is_empty()).then(|| at % list.len())
}

impl World {
    async fn new(shop: Shop) -> Self {
        // The first is followed by batch.
        let products = [
            shop.batched().await,
            shop.product().await,
            shop.product().await,
        ];
        Self {
            branch: shop.branch().await,
            transfers: Vec::new(),
            shop,
            products,
            batches: Vec::new(),
            receipts: Vec::new(),
            sales: Vec::new(),
            holds: Vec::new(),
            owed: BTreeMap::new(),
        }
    }

    async fn issue(&mut self, at: usize, lines: Vec<(ProductId, String)>) {
        let sale = &mut self.sales[at];
        sale.issued = true;
        sale.lines = lines;
        let lines: Vec<(ProductId, &str)> =
            sale.lines.iter().map(|(p, n)| (*p, n.as_str())).collect();
        for (product, qty) in &lines {
            *self.owed.entry(*product).or_default() += q(qty);
        }
        let (invoice, attempt) = (sale.invoice, sale.attempt);
        self.shop.sales_issued_as(invoice, attempt, &lines);
        self.shop.issue(invoice, attempt, &lines).await;
    }

    async fn run(&mut self, step: &Step) {
        let shop = self.shop.clone();
        match step.clone() {
            Step::Receive {
                product: 0,
                qty,
                cost,
            } => {
                let (no, expiry) = (
                    format!("B{}", cost % 4),
                    format!("202{}-12-0{}", 5 + cost % 4, 1 + cost % 4),
                );
                let cost = format!("{}.{:04}", cost / 100, cost);
                let batch = shop
                    .receive_batch(
                        self.products[0],
                        &no,
                        Some(&expiry),
                        &qty.to_string(),
                        &cost,
                    )
                    .await;
                self.batches.push(batch);
            }
            Step::Receive { product, qty, cost } => {
                let price = format!("{}.{:04}", cost / 100, cost);
                let day = shop.now() - chrono::Duration::days(i64::from(cost % 50));
                let body = json!({ "location_id": shop.location, "posting_date": day.date_naive(),
                    "lines": [{ "product_id": self.products[product], "qty": format!("{qty}.{}5", qty % 10), "unit_cost": price }] });
                let made = shop
                    .owner
                    .post("/api/v1/inventory/receipts", body)
                    .await
                    .expect(201);
                self.receipts.push(made.text_at("id"));
            }
            Step::Revalue { product, way, cost } => {
                let product = self.products[product];
                let cost = format!("{}.{:04}", cost / 100, cost);
                let line = match way {
                    0 => json!({ "product_id": product, "method": "fifo" }),
                    1 => json!({ "product_id": product, "method": "average" }),
                    2 => {
                        json!({ "product_id": product, "method": "standard", "standard_cost": cost })
                    }
                    3 => json!({ "product_id": product, "standard_cost": cost }),
                    4 => json!({ "product_id": product, "unit_cost": cost }),
                    _ => {
                        json!({ "product_id": product, "unit_cost": cost, "location_id": shop.location })
                    }
                };
                let reply = shop.revalue(line).await;
                let expected = [201, 422].contains(&reply.status) || reply.code() == "IN_TRANSIT";
                assert!(expected, "{}", reply.text);
            }
            Step::Land { receipt, paise } => {
                let Some(at) = pick(&self.receipts, receipt) else {
                    return;
                };
                let amount = format!("{}.{:02}", paise / 100, paise % 100);
                let body = json!({ "amount": amount, "basis": "quantity", "receipts": [{ "receipt_id": self.receipts[at] }] });
                let reply = shop
                    .owner
                    .post("/api/v1/inventory/landed-costs", body)
                    .await;
                let expected = reply.status == 201 || reply.code() == "IN_TRANSIT";
                assert!(expected, "{}", reply.text);
            }
            Step::Reserve { product, qty, both } => {
                let mut lines = vec![(self.products[product], qty.to_string())];
                if both {
                    lines.push((self.products[(product + 1) % 3], "1".into()));
                    lines.push((self.products[product], "0.5".into()));
                }
                let asked: Vec<(ProductId, &str)> =
                    lines.iter().map(|(p, n)| (*p, n.as_str())).collect();
                let invoice = InvoiceId::new();
                shop.reserve(invoice, 1, &asked).await;
                self.sales.push(Sale {
                    invoice,
                    attempt: 1,
                    lines,
                    issued: false,
                    returned: 0,
                });
            }
            Step::Again { sale, qty } => {
                let Some(at) = pick(&self.sales, sale).filter(|at| !self.sales[*at].issued) else {
                    return;
                };
                let sale = &mut self.sales[at];
                sale.attempt += 1 + qty % 2;
                sale.lines = vec![(self.products[qty as usize % 3], qty.to_string())];
                shop.reserve(
                    sale.invoice,
                    sale.attempt,
                    &[(sale.lines[0].0, &sale.lines[0].1)],
                )
                .await;
            }
            Step::Release { sale } => {
                let Some(at) = pick(&self.sales, sale) else {
                    return;
                };
                shop.release(self.sales[at].invoice, self.sales[at].attempt)
                    .await;
            }
            Step::Issue { sale, other_basket } => {
                let Some(at) = pick(&self.sales, sale).filter(|at| !self.sales[*at].issued) else {
                    return;
                };
                let mut lines = self.sales[at].lines.clone();
                if other_basket {
                    lines.push((self.products[2], "2".into()));
                }
                self.issue(at, lines).await;
            }
            Step::Offline { product, qty } => {
                self.sales.push(Sale {
                    invoice: InvoiceId::new(),
                    attempt: 1,
                    lines: Vec::new(),
                    issued: false,
                    returned: 0,
                });
                let lines = vec![(self.products[product], qty.to_string())];
                self.issue(self.sales.len() - 1, lines).await;
            }
            Step::Return {
                sale,
                qty,
                disposition,
            } => {
                let Some(at) = pick(&self.sales, sale).filter(|at| self.sales[*at].issued) else {
                    return;
                };
                let sale = &mut self.sales[at];
                let (product, sold) =
                    (sale.lines[0].0, sale.lines[0].1.parse::<u32>().unwrap_or(0));
                if sale.returned + qty > sold {
                    return;
                }
                sale.returned += qty;
                *self.owed.entry(product).or_default() -= Quantity::from(i64::from(qty));
                let disposition = ["restock", "quarantine", "scrap"][disposition];
                shop.give_back(
                    Some(sale.invoice),
                    &[(1, product, &qty.to_string(), disposition)],
                )
                .await;
            }
            Step::Adjust { product, qty } => {
                let product = self.products[product];
                let batch = self.batches.last().filter(|_| product == self.products[0]);
                let body = json!({ "location_id": shop.location, "reason": "random",
                    "lines": [{ "product_id": product, "batch_id": batch, "qty_delta": qty.to_string() }] });
                let reply = shop.owner.post("/api/v1/inventory/adjust", body).await;
                assert!([201, 422].contains(&reply.status), "{}", reply.text);
            }
            Step::Hold { product, qty } => {
                let reply = shop
                    .hold(&[(self.products[product], &qty.to_string())], 20)
                    .await;
                if reply.status == 201 {
                    self.holds.push(reply.text_at("id").parse().unwrap());
                }
            }
            Step::Commit { hold, part } => {
                let Some(at) = pick(&self.holds, hold) else {
                    return;
                };
                let path = format!("/api/v1/inventory/reservations/{}", self.holds[at]);
                let body = if part {
                    json!({ "lines": [{ "line": 1, "qty": "1" }] })
                } else {
                    json!({})
                };
                let reply = shop.owner.post(&format!("{path}:commit"), body).await;
                assert!([200, 409].contains(&reply.status), "{}", reply.text);
            }
            Step::Block { batch, blocked } => {
                let Some(at) = pick(&self.batches, batch) else {
                    return;
                };
                let verb = if blocked { "block" } else { "unblock" };
                let path = format!("/api/v1/inventory/batches/{}:{verb}", self.batches[at]);
                shop.owner
                    .post(&path, json!({ "reason": "random" }))
                    .await
                    .expect(200);
            }
            Step::Sweep { seconds } => {
                shop.later(seconds.into());
                jobs::lapse(shop.state()).await.unwrap();
                jobs::ask(shop.state()).await.unwrap();
                jobs::issue_unheard(shop.state()).await.unwrap();
                count::post_approved(shop.state()).await.unwrap();
            }
            Step::Transfer { product, qty } => {
                // Back and forth.
                let (from, to) = if qty.is_multiple_of(2) {
                    (self.branch.location, shop.location)
                } else {
                    (shop.location, self.branch.location)
                };
                let body = json!({ "from_location_id": from, "to_location_id": to,
                    "lines": [{ "product_id": self.products[product], "qty": format!("{qty}.5") }] });
                let reply = shop.owner.post("/api/v1/inventory/transfer", body).await;
                assert!([201, 409].contains(&reply.status), "{}", reply.text);
                if reply.status == 201 {
                    self.transfers.push(reply.text_at("id"));
                }
            }
            Step::Arrive {
                transfer,
                qty,
                lost,
            } => {
                let Some(at) = pick(&self.transfers, transfer) else {
                    return;
                };
                let path = format!("/api/v1/inventory/transfers/{}", self.transfers[at]);
                let reply = if lost {
                    let body = json!({ "reason": "random" });
                    shop.owner.post(&format!("{path}:close-short"), body).await
                } else {
                    let body = json!({ "lines": [{ "line": 1, "qty": qty.to_string() }] });
                    shop.owner.post(&format!("{path}:receive"), body).await
                };
                assert!([200, 409, 422].contains(&reply.status), "{}", reply.text);
            }
            Step::Restate { product, qty, way } => {
                let product = self.products[product];
                let batch = self.batches.last().filter(|_| product == self.products[0]);
                let way = [
                    ("sellable", "damaged"),
                    ("sellable", "quarantine"),
                    ("quarantine", "sellable"),
                    ("damaged", "scrap"),
                ][way];
                let reply = shop
                    .restate((product, batch.copied()), &qty.to_string(), way)
                    .await;
                assert!([201, 409, 422].contains(&reply.status), "{}", reply.text);
            }
            Step::Count { product, qty } => {
                let product = self.products[product];
                let batch = self.batches.last().filter(|_| product == self.products[0]);
                let body = json!({ "location_id": shop.location, "lines": [
                    { "product_id": product, "batch_id": batch, "qty": qty.to_string(), "unit_cost": "1.5" }] });
                let path = "/api/v1/inventory/reconcile";
                let reply = shop.owner.post(path, body).await;
                if reply.status == 422 && batch.is_none() {
                    assert_eq!(reply.code(), "BATCH_REQUIRED");
                    return;
                }
                let id = reply.expect(201).text_at("id");
                let path = format!("/api/v1/inventory/counts/{id}:approve");
                let other = shop.app.client(shop.tenant(), &["*"]);
                let posted = other.post(&path, json!({})).await.expect(200);
                assert_eq!(posted.body["state"], "posted");
            }
        }
    }

    /// Σ issued for sales + Σ open shortage = Σ invoiced − Σ cancelled and returned.
    async fn nothing_is_lost_or_doubled(&self) {
        let sums = "select
              coalesce((select -sum(m.qty) from movement m where m.tenant_id = $1 and m.product_id = $2
                and (m.source_type in ('invoice', 'shortage_settlement') or m.kind = 'return_in')), 0)
            + coalesce((select sum(s.open) from shortage s where s.tenant_id = $1 and s.product_id = $2), 0)";
        let admin = self.shop.app.admin().await;
        for product in self.products {
            let row = admin
                .query_one(sums, &[&self.shop.tenant().uuid(), &product.uuid()])
                .await
                .unwrap();
            let found: rust_decimal::Decimal = row.get(0);
            let expected = self.owed.get(&product).copied().unwrap_or_default();
            assert_eq!(found, expected.decimal(), "product {product}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_agree_after_any_sequence_of_commands() {
    let shop = Shop::open().await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"the merchant's red ledger book..");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..12 {
        let steps = prop::collection::vec(step(), 40)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut world = World::new(shop.next_tenant().await).await;
        for (n, step) in steps.iter().enumerate() {
            world.run(step).await;
            let reply = world
                .shop
                .owner
                .get("/api/v1/inventory/integrity")
                .await
                .expect(200);
            assert_eq!(
                reply.body["differences"],
                json!([]),
                "case {case}, after step {n} of {:#?}",
                &steps[..=n]
            );
        }
        world.nothing_is_lost_or_doubled().await;
        // Telling every sale again changes nothing.
        let before: Vec<_> = world
            .products
            .map(|p| world.shop.stock(p))
            .into_iter()
            .collect();
        let before = futures::future::join_all(before).await;
        for sale in world.sales.iter().filter(|s| s.issued) {
            let lines: Vec<(ProductId, &str)> =
                sale.lines.iter().map(|(p, n)| (*p, n.as_str())).collect();
            let event = world.shop.invoice(sale.invoice, sale.attempt, &lines);
            world.shop.hear(consumers::issued, &[event]).await;
        }
        let after = futures::future::join_all(world.products.map(|p| world.shop.stock(p))).await;
        assert_eq!(before, after);
    }
}
