//! The same steps done twice: by the service, and by a plain model in whole paise that shares no code with it. After
//! every step, quantities, cost layers and the value of each movement are equal, for all three methods.

use std::collections::{BTreeMap, VecDeque};

use bahi_types::{InvoiceId, ProductId};
use inventory::jobs;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::support::Shop;

#[derive(Clone, Debug)]
enum Step {
    Receive {
        product: usize,
        qty: i128,
        unit: i128,
        back: i64,
    },
    Sell {
        product: usize,
        qty: i128,
    },
    Return {
        sale: usize,
        part: i128,
        shelf: bool,
    },
    Adjust {
        product: usize,
        qty: i128,
        unit: i128,
        back: i64,
    },
    Price {
        product: usize,
        unit: i128,
    },
    Method {
        product: usize,
        method: usize,
        unit: i128,
    },
    Land {
        receipt: usize,
        paise: i128,
    },
    Later {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let product = 0..3usize;
    let unit = 0..200_000i128;
    prop_oneof![
        6 => (product.clone(), 1..9_000i128, unit.clone(), 0..70i64)
            .prop_map(|(product, qty, unit, back)| Step::Receive { product, qty, unit, back: (back - 40).max(0) }),
        7 => (product.clone(), 1..6_000i128).prop_map(|(product, qty)| Step::Sell { product, qty }),
        3 => (any::<usize>(), 1..100i128, any::<bool>()).prop_map(|(sale, part, shelf)| Step::Return { sale, part, shelf }),
        3 => (product.clone(), -4_000..3_000i128, unit.clone(), 0..40i64)
            .prop_map(|(product, qty, unit, back)| Step::Adjust { product, qty, unit, back: (back - 25).max(0) }),
        3 => (product.clone(), unit.clone()).prop_map(|(product, unit)| Step::Price { product, unit }),
        2 => (product, 0..3usize, unit).prop_map(|(product, method, unit)| Step::Method { product, method, unit }),
        2 => (any::<usize>(), 1..90_000i128).prop_map(|(receipt, paise)| Step::Land { receipt, paise }),
        1 => (1..25i64).prop_map(|days| Step::Later { days }),
    ]
}

/// Quantities in thousandths, unit costs in ten-thousandths of a rupee, values in paise.
fn divided(a: i128, b: i128) -> i128 {
    // Half away from zero; nothing here is negative.
    (2 * a + b) / (2 * b)
}
fn worth(qty: i128, unit: i128) -> i128 {
    divided(qty * unit, 100_000)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Fifo,
    Average,
    Standard(i128),
}

/// Ways in which the model, or the service, could be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    AverageInLayers,
    StandardRoundedByReceipt,
    ReturnAtCostOfToday,
    LateCostOverAllGoods,
    PriceByLayer,
}

/// Goods in one state: cost layers, and which receipt the goods came with, in the order they came.
#[derive(Clone, Debug, Default)]
struct Heap {
    wrong: Option<Wrong>,
    layers: VecDeque<(i128, i128)>,
    came: VecDeque<(Option<usize>, i128)>,
}

impl Heap {
    fn qty(&self) -> i128 {
        self.layers.iter().map(|l| l.0).sum()
    }
    fn value(&self) -> i128 {
        self.layers.iter().map(|l| l.1).sum()
    }

    fn put(&mut self, method: Method, qty: i128, value: i128, receipt: Option<usize>) -> i128 {
        self.came.push_back((receipt, qty));
        let value = match method {
            Method::Standard(unit) if self.wrong == Some(Wrong::StandardRoundedByReceipt) => {
                worth(qty, unit)
            }
            Method::Standard(unit) => (worth(self.qty() + qty, unit) - self.value()).max(0),
            _ => value,
        };
        let layered = method == Method::Fifo
            || (method == Method::Average && self.wrong == Some(Wrong::AverageInLayers));
        match self.layers.back_mut() {
            Some(layer) if !layered => *layer = (layer.0 + qty, layer.1 + value),
            _ => self.layers.push_back((qty, value)),
        }
        value
    }

    fn take(&mut self, method: Method, qty: i128) -> i128 {
        let (mut left, mut out) = (qty, 0);
        while left > 0 {
            let (there, value) = self.layers.pop_front().unwrap();
            if there <= left {
                left -= there;
                out += value;
                continue;
            }
            let part = match method {
                Method::Standard(unit) => (value - worth(there - left, unit)).clamp(0, value),
                _ => divided(value * left, there),
            };
            self.layers.push_front((there - left, value - part));
            out += part;
            left = 0;
        }
        let mut left = qty;
        while left > 0 {
            let (receipt, there) = self.came.pop_front().unwrap();
            let part = there.min(left);
            left -= part;
            if there > part {
                self.came.push_front((receipt, there - part));
            }
        }
        out
    }

    fn price(&mut self, unit: i128) {
        let (mut qty, mut value) = (0, 0);
        for layer in &mut self.layers {
            qty += layer.0;
            layer.1 = worth(qty, unit) - value;
            if self.wrong == Some(Wrong::PriceByLayer) {
                layer.1 = worth(layer.0, unit);
            }
            value += layer.1;
        }
    }

    fn merge(&mut self) {
        if !self.layers.is_empty() {
            self.layers = VecDeque::from([(self.qty(), self.value())]);
        }
    }

    /// Raises the goods of a receipt by their share of `amount`, which is for `whole` of them.
    fn land(&mut self, method: Method, receipt: usize, amount: i128, whole: i128) {
        let mine: i128 = self
            .came
            .iter()
            .filter(|c| c.0 == Some(receipt))
            .map(|c| c.1)
            .sum();
        if mine == 0 || matches!(method, Method::Standard(_)) {
            return;
        }
        let share = divided(amount * mine, whole);
        if self.wrong == Some(Wrong::LateCostOverAllGoods) {
            self.layers[0].1 += share;
            return;
        }
        // The goods lie together: from so many, to so many, counted from the oldest.
        let from: i128 = self
            .came
            .iter()
            .take_while(|c| c.0 != Some(receipt))
            .map(|c| c.1)
            .sum();
        let (mut at, total) = (self.qty(), share);
        let (mut done, mut given) = (0, 0);
        for layer in self.layers.iter_mut().rev() {
            let (low, high) = ((at - layer.0).max(from), at.min(from + mine));
            at -= layer.0;
            if high > low {
                done += high - low;
                let due = divided(total * done, mine);
                layer.1 += due - given;
                given = due;
            }
        }
        assert_eq!(given, share, "all of the goods were met");
    }
}

#[derive(Clone)]
struct Sold {
    invoice: InvoiceId,
    product: usize,
    qty: i128,
    cost: i128,
    back: (i128, i128),
}

struct World {
    shop: Shop,
    products: Vec<ProductId>,
    methods: Vec<Method>,
    /// By product: on the shelf, and in quarantine.
    heaps: Vec<[Heap; 2]>,
    /// Sold and not there.
    owed: Vec<VecDeque<i128>>,
    sales: Vec<Sold>,
    receipts: Vec<(usize, i128, Value)>,
    /// What each movement must be worth: by product, in order.
    moved: BTreeMap<usize, Vec<(i128, i128)>>,
    wrong: Option<Wrong>,
}

fn text(value: i128, scale: u32) -> String {
    rust_decimal::Decimal::from_i128_with_scale(value, scale).to_string()
}

impl World {
    async fn new(shop: Shop, methods: [Method; 3]) -> Self {
        let mut products = Vec::new();
        for method in methods {
            let product = shop.product().await;
            match method {
                Method::Fifo => {}
                Method::Average => drop(shop.method(product, "average", None).await.expect(201)),
                Method::Standard(unit) => {
                    shop.method(product, "standard", Some(&text(unit, 4)))
                        .await
                        .expect(201);
                }
            }
            products.push(product);
        }
        Self {
            shop,
            products,
            methods: methods.to_vec(),
            heaps: vec![Default::default(); 3],
            owed: vec![VecDeque::new(); 3],
            sales: Vec::new(),
            receipts: Vec::new(),
            moved: BTreeMap::new(),
            wrong: None,
        }
    }

    fn took(&mut self, product: usize, qty: i128) -> i128 {
        let cost = self.heaps[product][0].take(self.methods[product], qty);
        self.moved.entry(product).or_default().push((-qty, -cost));
        cost
    }

    fn put(&mut self, product: usize, heap: usize, qty: i128, value: i128, receipt: Option<usize>) {
        let value = self.heaps[product][heap].put(self.methods[product], qty, value, receipt);
        self.moved.entry(product).or_default().push((qty, value));
        while let Some(open) = self.owed[product].front().copied() {
            let part = open.min(self.heaps[product][0].qty());
            if part == 0 {
                break;
            }
            self.took(product, part);
            self.owed[product].pop_front();
            if open > part {
                self.owed[product].push_front(open - part);
            }
        }
    }

    fn revalued(&mut self, product: usize, change: impl Fn(&mut Heap)) {
        // By state, as the primary key orders them: quarantine before the shelf.
        for heap in [1, 0] {
            let before = self.heaps[product][heap].value();
            change(&mut self.heaps[product][heap]);
            let delta = self.heaps[product][heap].value() - before;
            if delta != 0 {
                self.moved.entry(product).or_default().push((0, delta));
            }
        }
    }

    fn day(&self, back: i64) -> String {
        bahi_types::business_date(self.shop.now() - chrono::Duration::days(back)).to_string()
    }

    async fn run(&mut self, step: Step) {
        let shop = self.shop.clone();
        match step {
            Step::Receive {
                product,
                qty,
                unit,
                back,
            } => {
                let body = json!({ "location_id": shop.location, "posting_date": self.day(back), "lines": [
                    { "product_id": self.products[product], "qty": text(qty, 3), "unit_cost": text(unit, 4) }] });
                let made = shop
                    .owner
                    .post("/api/v1/inventory/receipts", body)
                    .await
                    .expect(201);
                self.receipts.push((product, qty, made.body["id"].clone()));
                let receipt = Some(self.receipts.len() - 1);
                self.put(product, 0, qty, worth(qty, unit), receipt);
            }
            Step::Sell { product, qty } => {
                let invoice = InvoiceId::new();
                shop.issue(invoice, 1, &[(self.products[product], &text(qty, 3))])
                    .await;
                let there = qty.min(self.heaps[product][0].qty());
                if there > 0 {
                    let cost = self.took(product, there);
                    if there == qty {
                        self.sales.push(Sold {
                            invoice,
                            product,
                            qty,
                            cost,
                            back: (0, 0),
                        });
                    }
                }
                if qty > there {
                    self.owed[product].push_back(qty - there);
                }
            }
            Step::Return { sale, part, shelf } => {
                if self.sales.is_empty() {
                    return;
                }
                let at = sale % self.sales.len();
                let sold = &mut self.sales[at];
                let qty = (sold.qty - sold.back.0) * part / 100;
                if qty == 0 {
                    return;
                }
                let mut due = divided(sold.cost * (sold.back.0 + qty), sold.qty) - sold.back.1;
                let there = &self.heaps[sold.product][0];
                if self.wrong == Some(Wrong::ReturnAtCostOfToday) && there.qty() > 0 {
                    due = divided(there.value() * qty, there.qty());
                }
                sold.back = (sold.back.0 + qty, sold.back.1 + due);
                let (invoice, product) = (sold.invoice, sold.product);
                let to = if shelf { "restock" } else { "quarantine" };
                shop.give_back(
                    Some(invoice),
                    &[(1, self.products[product], &text(qty, 3), to)],
                )
                .await;
                self.put(product, usize::from(!shelf), qty, due, None);
            }
            Step::Adjust {
                product,
                qty,
                unit,
                back,
            } => {
                if qty == 0 {
                    return;
                }
                let body = json!({ "location_id": shop.location, "reason": "random", "posting_date": self.day(back),
                    "lines": [{ "product_id": self.products[product], "qty_delta": text(qty, 3), "unit_cost": text(unit, 4) }] });
                let reply = shop.owner.post("/api/v1/inventory/adjust", body).await;
                let gone = (-qty).min(self.heaps[product][0].qty());
                if qty > 0 {
                    self.put(product, 0, qty, worth(qty, unit), None);
                } else if gone > 0 {
                    self.took(product, gone);
                }
                assert_eq!(
                    reply.status,
                    if qty < 0 && gone == 0 { 422 } else { 201 },
                    "{}",
                    reply.text
                );
            }
            Step::Price { product, unit } => {
                let line =
                    json!({ "product_id": self.products[product], "unit_cost": text(unit, 4) });
                let reply = shop.revalue(line).await;
                let nothing = self.heaps[product].iter().all(|h| h.qty() == 0);
                if matches!(self.methods[product], Method::Standard(_)) || nothing {
                    reply.expect(422);
                    return;
                }
                reply.expect(201);
                self.revalued(product, |heap| heap.price(unit));
            }
            Step::Method {
                product,
                method,
                unit,
            } => {
                let (name, standard) = [
                    ("fifo", None),
                    ("average", None),
                    ("standard", Some(text(unit, 4))),
                ][method]
                    .clone();
                shop.method(self.products[product], name, standard.as_deref())
                    .await
                    .expect(201);
                self.methods[product] =
                    [Method::Fifo, Method::Average, Method::Standard(unit)][method];
                match self.methods[product] {
                    Method::Fifo => {}
                    Method::Average => self.revalued(product, Heap::merge),
                    Method::Standard(unit) => self.revalued(product, |heap| {
                        heap.merge();
                        heap.price(unit);
                    }),
                }
            }
            Step::Land { receipt, paise } => {
                if self.receipts.is_empty() {
                    return;
                }
                let at = receipt % self.receipts.len();
                let (product, whole, id) = self.receipts[at].clone();
                let body = json!({ "amount": text(paise, 2), "basis": "quantity", "receipts": [{ "receipt_id": id }] });
                shop.owner
                    .post("/api/v1/inventory/landed-costs", body)
                    .await
                    .expect(201);
                let method = self.methods[product];
                self.revalued(product, |heap| heap.land(method, at, paise, whole));
            }
            Step::Later { days } => {
                shop.later(days * 86_400);
                jobs::take_snapshots(shop.state()).await.unwrap();
            }
        }
    }

    /// Nothing, or what differs.
    async fn differs(&self, admin: &tokio_postgres::Client) -> Option<String> {
        let layers =
            "select status, (qty_left * 1000)::bigint, (value_left * 100)::bigint from cost_layer
            where tenant_id = $1 and product_id = $2 order by seq";
        let moves = "select (qty * 1000)::bigint, (value * 100)::bigint from movement
            where tenant_id = $1 and product_id = $2 order by seq";
        let tenant = self.shop.tenant().uuid();
        for (n, product) in self.products.iter().enumerate() {
            let id = product.uuid();
            let rows = admin.query(layers, &[&tenant, &id]).await.unwrap();
            for (heap, status) in ["sellable", "quarantine"].into_iter().enumerate() {
                let found: Vec<(i128, i128)> = rows
                    .iter()
                    .filter(|r| r.get::<_, &str>(0) == status)
                    .map(|r| (r.get::<_, i64>(1).into(), r.get::<_, i64>(2).into()))
                    .collect();
                let expected: Vec<_> = self.heaps[n][heap].layers.iter().copied().collect();
                if found != expected {
                    let method = self.methods[n];
                    return Some(format!(
                        "layers of {n}, {status}, {method:?}: {found:?}, not {expected:?}"
                    ));
                }
            }
            let rows = admin.query(moves, &[&tenant, &id]).await.unwrap();
            let found: Vec<(i128, i128)> = rows
                .iter()
                .map(|r| (r.get::<_, i64>(0).into(), r.get::<_, i64>(1).into()))
                .collect();
            let expected = self.moved.get(&n).cloned().unwrap_or_default();
            if found != expected {
                return Some(format!("movements of {n}: {found:?}, not {expected:?}"));
            }
        }
        None
    }
}

fn cases() -> impl Iterator<Item = Vec<Step>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"a second book kept by a second h");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    std::iter::repeat_with(move || {
        prop::collection::vec(step(), 45)
            .new_tree(&mut runner)
            .unwrap()
            .current()
    })
}

const METHODS: [Method; 3] = [Method::Fifo, Method::Average, Method::Standard(34_567)];

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_model_comes_to_the_same_by_every_method() {
    let shop = Shop::at("2026-05-15T06:00:00Z").await;
    let admin = shop.app.admin().await;
    for (case, steps) in cases().take(12).enumerate() {
        let mut world = World::new(shop.next_tenant().await, METHODS).await;
        for (n, step) in steps.iter().enumerate() {
            world.run(step.clone()).await;
            let differs = world.differs(&admin).await;
            assert_eq!(
                differs,
                None,
                "case {case}, after step {n} of {:#?}",
                &steps[..=n]
            );
            world.shop.assert_sound().await;
        }
        // And every past day is what the ledger says it was.
        let days = "select d::text, coalesce((select sum(value) from movement where tenant_id = $1 and posting_date <= d), 0)::text
            from (select distinct posting_date as d from movement where tenant_id = $1) d";
        for row in admin
            .query(days, &[&world.shop.tenant().uuid()])
            .await
            .unwrap()
        {
            let path = format!(
                "/api/v1/inventory/valuation?as_of={}",
                row.get::<_, &str>(0)
            );
            let value = world
                .shop
                .owner
                .get(&path)
                .await
                .expect(200)
                .text_at("total_value");
            let found: rust_decimal::Decimal = value.parse().unwrap();
            let expected: rust_decimal::Decimal = row.get::<_, &str>(1).parse().unwrap();
            assert_eq!(found, expected, "case {case}, {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_model_notices_every_wrong_way() {
    let shop = Shop::at("2026-05-15T06:00:00Z").await;
    let admin = shop.app.admin().await;
    for wrong in [
        Wrong::AverageInLayers,
        Wrong::StandardRoundedByReceipt,
        Wrong::ReturnAtCostOfToday,
        Wrong::LateCostOverAllGoods,
        Wrong::PriceByLayer,
    ] {
        let mut caught = false;
        for steps in cases().take(12) {
            let mut world = World::new(shop.next_tenant().await, METHODS).await;
            world.wrong = Some(wrong);
            for heap in world.heaps.iter_mut().flatten() {
                heap.wrong = Some(wrong);
            }
            for step in steps {
                world.run(step).await;
                caught |= world.differs(&admin).await.is_some();
                if caught {
                    break;
                }
            }
            if caught {
                break;
            }
        }
        assert!(caught, "{wrong:?}");
    }
}
