//! Orders between two databases: what is asked of the stock is done once, whatever is lost on the way.

use bahi_types::Quantity;
use serde_json::{Value, json};

use crate::support::{Line, Shop, Wire};

impl Shop {
    /// Asks until the stock could be asked.
    async fn at_last(
        &self,
        order: &str,
        verb: &str,
        key: &str,
        body: Value,
    ) -> bahi_testkit::Reply {
        let path = format!("/api/v1/sales/orders/{order}:{verb}");
        for _ in 0..20 {
            let reply = self.owner.post_with_key(&path, body.clone(), key).await;
            if reply.status != 503 {
                return reply;
            }
        }
        panic!("{verb} never came through");
    }

    /// Steps that nobody has ended.
    async fn steps(&self) -> i64 {
        let admin = self.sales.admin().await;
        let text = "select count(*) from sales_order where step is not null";
        admin.query_one(text, &[]).await.unwrap().get(0)
    }

    /// The job's rounds until nothing is under way.
    async fn settle(&self) {
        for _ in 0..20 {
            self.later(60);
            self.tend().await;
            if self.steps().await == 0 {
                return;
            }
        }
        panic!("steps never end");
    }
}

/// Lets a request be lost on the way there or back, and then comes to it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// The client repeats it.
    Client,
    /// Nobody does, but the job.
    Job,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_between_the_databases_each_step_is_done_once() {
    let (shop, wire) = Shop::wired().await;
    let warm = shop.goods("1").await;
    for lost in [Line::Cut, Line::Deaf] {
        for again in [Again::Client, Again::Job] {
            let goods = shop.goods("10").await;
            // A connection that is there already, so that what is lost is an answer and not the greeting.
            let probe = shop.order(&[(warm, "5")]).await;
            let lose = async |order: &str, verb: &str, key: &str, body: Value| {
                shop.act(&probe, "confirm", json!({})).await;
                wire.set(lost);
                let path = format!("/api/v1/sales/orders/{order}:{verb}");
                let reply = shop.owner.post_with_key(&path, body.clone(), key).await;
                wire.set(Line::Open);
                if verb != "cancel" {
                    assert_eq!(
                        reply.status, 503,
                        "{lost:?} {again:?} {verb}: {}",
                        reply.text
                    );
                }
                match again {
                    Again::Client => {
                        let reply = shop.at_last(order, verb, key, body).await;
                        assert!(reply.status < 300, "{lost:?} {verb}: {}", reply.text);
                    }
                    Again::Job => shop.settle().await,
                }
            };
            let order = shop.order(&[(goods, "4")]).await;
            lose(&order, "confirm", "c", json!({})).await;
            assert_eq!(shop.shown(&order).await["status"], "confirmed");
            shop.assert_stock(goods, ("10", "4", "6")).await;
            let part = json!({ "lines": [{ "line": 1, "qty": "3" }] });
            let key = format!("f{lost:?}{again:?}");
            lose(&order, "fulfil", &key, part).await;
            shop.assert_stock(goods, ("7", "1", "6")).await;
            assert_eq!(shop.shown(&order).await["lines"][0]["delivered"], "3");
            let other = shop.order(&[(goods, "6")]).await;
            shop.at_last(&other, "confirm", "o", json!({}))
                .await
                .expect(200);
            shop.assert_stock(goods, ("7", "7", "0")).await;
            lose(&other, "cancel", "x", json!({})).await;
            shop.settle().await;
            shop.assert_stock(goods, ("7", "1", "6")).await;
        }
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_confirmed_by_an_answer_that_came_before_its_goods_were_lost() {
    let (shop, wire) = Shop::wired().await;
    let (goods, warm) = (shop.goods("5").await, shop.goods("1").await);
    let probe = shop.order(&[(warm, "5")]).await;
    shop.act(&probe, "confirm", json!({})).await;
    let order = shop.order(&[(goods, "5")]).await;
    wire.set(Line::Deaf);
    let unanswered = shop.act(&order, "confirm", json!({})).await;
    assert_eq!(
        (unanswered.status, unanswered.code()),
        (503, "INVENTORY_UNAVAILABLE")
    );
    shop.assert_stock(goods, ("5", "5", "0")).await;
    let loss = json!({ "location_id": shop.location, "reason": "broken",
        "lines": [{ "product_id": goods, "qty_delta": "-2" }] });
    shop.keeper()
        .post("/api/v1/inventory/adjust", loss)
        .await
        .expect(201);
    shop.tell().await;
    wire.set(Line::Open);
    shop.settle().await;
    let shown = shop.shown(&order).await;
    assert_eq!(
        (
            &shown["status"],
            &shown["lines"][0]["held"],
            &shown["lines"][0]["back_ordered"]
        ),
        (&json!("confirmed"), &json!("3"), &json!("2"))
    );
    shop.assert_sound().await;
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn wander(shop: &Shop, wire: &Wire, seed: u64) {
    let mut dice = Dice(seed);
    let goods = [shop.goods("12").await, shop.goods("7").await];
    let mut received = [12, 7];
    let mut orders = Vec::new();
    for n in 0..60 {
        wire.set(match dice.roll(12) {
            0 => Line::Cut,
            1 => Line::Deaf,
            _ => Line::Open,
        });
        let (a, b) = (1 + dice.roll(4), 1 + dice.roll(4));
        if orders.len() < 5 || dice.roll(8) == 0 {
            let (a, b) = (a.to_string(), b.to_string());
            let mut body = shop.order_of(&[(goods[0], a.as_str()), (goods[1], b.as_str())]);
            body["allow_back_order"] = json!(dice.roll(3) > 0);
            orders.push(shop.order_with(body).await);
        }
        let order = orders[dice.roll(orders.len() as u64) as usize].clone();
        let reply = match dice.roll(12) {
            0..3 => shop.act(&order, "confirm", json!({})).await,
            3 | 4 => shop.act(&order, "fulfil", json!({})).await,
            5 => {
                let body = json!({ "lines": [{ "line": 1 + dice.roll(2), "qty": a.to_string() }] });
                shop.act(&order, "fulfil", body).await
            }
            6 | 7 => shop.act(&order, "invoice", json!({})).await,
            8 => {
                let body = json!({ "before_delivery": true, "lines": [{ "line": 1, "qty": a.to_string() }] });
                shop.act(&order, "invoice", body).await
            }
            9 => shop.act(&order, "cancel", json!({})).await,
            10 => shop.act(&order, "close", json!({})).await,
            _ => {
                let which = dice.roll(2) as usize;
                shop.receive(goods[which], &a.to_string(), "6").await;
                received[which] += a;
                shop.tell().await;
                shop.act(&order, "allocate", json!({})).await
            }
        };
        let known = matches!(reply.status, 200 | 201 | 409 | 422 | 503);
        assert!(
            known,
            "seed {seed}, step {n}: {} {}",
            reply.status, reply.text
        );
    }
    wire.set(Line::Open);
    shop.settle().await;
    shop.relay().await;
    let (mut held, mut delivered) = ([Quantity::ZERO; 2], [Quantity::ZERO; 2]);
    for order in &orders {
        let shown = shop.shown(order).await;
        for (n, line) in shown["lines"].as_array().unwrap().iter().enumerate() {
            let of = |name: &str| line[name].as_str().unwrap().parse::<Quantity>().unwrap();
            assert!(
                of("held") + of("delivered") <= of("qty"),
                "seed {seed}: {line}"
            );
            assert!(of("invoiced") <= of("qty"), "seed {seed}: {line}");
            held[n] += of("held");
            delivered[n] += of("delivered");
        }
    }
    for n in 0..2 {
        let (on_hand, reserved, _) = shop.stock(goods[n]).await;
        let (on_hand, reserved): (Quantity, Quantity) =
            (on_hand.parse().unwrap(), reserved.parse().unwrap());
        assert_eq!(
            reserved, held[n],
            "seed {seed}: what is held of product {n}"
        );
        assert_eq!(
            on_hand,
            Quantity::from(i64::try_from(received[n]).unwrap()) - delivered[n],
            "seed {seed}: what is left of product {n}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_sequence_of_orders_keeps_both_books_in_step() {
    let (shop, wire) = Shop::wired().await;
    for seed in [3, 17, 2026] {
        wander(&shop, &wire, seed).await;
    }
    shop.assert_sound().await;
}
