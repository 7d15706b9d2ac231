//! Reorder levels: when to buy, how much, and that low stock is said when it becomes so.

use bahi_types::{InvoiceId, LocationId, ProductId};
use futures::future::join_all;
use inventory::jobs;
use serde_json::{Value, json};

use crate::support::Shop;

const LEVELS: &str = "/api/v1/inventory/reorder-levels";

async fn put(shop: &Shop, product: ProductId, version: i64, more: Value) -> bahi_testkit::Reply {
    let mut body = json!({ "location_id": shop.location, "product_id": product, "lead_days": "7" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    shop.owner.put(LEVELS, body, version).await
}

fn example(shelf_life: Value) -> Value {
    json!({ "lead_sigma": "2", "service_z": "1.65", "demand_mean": "12", "demand_sigma": "4", "moq": "50", "pack": "24",
            "on_order": "24", "shelf_life_days": shelf_life })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_suggests_144() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "60", "5").await;
    shop.hold(&[(tea, "10")], 600).await.expect(201);
    let level = put(&shop, tea, 0, example(json!(null))).await.expect(200);
    assert_eq!(
        (
            level.text_at("safety_stock"),
            level.text_at("reorder_point"),
            level.text_at("available")
        ),
        ("43.28".into(), "128".into(), "50".into())
    );
    let path = format!("/api/v1/inventory/reorder-suggestions?product={tea}");
    let row = shop.owner.get(&path).await.expect(200).body["items"][0].clone();
    for (field, expected) in [
        ("position", "74"),
        ("safety_stock", "43.28"),
        ("reorder_point_exact", "127.28"),
        ("reorder_point", "128"),
        ("order_up_to", "212"),
        ("need", "138"),
        ("suggested_qty", "144"),
    ] {
        assert_eq!(row[field], expected, "{field}");
    }
    let low = shop.said("inventory.low_stock").await;
    assert_eq!(low.len(), 1);
    let told = json!({ "product_id": tea, "location_id": shop.location, "available": "50", "reorder_point": "128",
        "suggested_qty": "144", "uom": "NOS" });
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(&low[0][name], value, "{name}");
    }
    let key = format!("{}|{}|{tea}", shop.tenant(), shop.location);
    let keyed: i64 = shop
        .app
        .admin()
        .await
        .query_one("select count(*) from outbox.event where event_type = 'inventory.low_stock' and key = $1", &[&key])
        .await
        .unwrap()
        .get(0);
    assert_eq!(keyed, 1);
    // With a shelf life of eight days no more than 96 sell, and the reason says so.
    put(&shop, tea, 1, example(json!(8))).await.expect(200);
    let row = shop.owner.get(&path).await.expect(200).body["items"][0].clone();
    assert_eq!(
        (&row["suggested_qty"], &row["shelf_life_cap"]),
        (&json!("96"), &json!("96"))
    );
    assert!(
        row["reason"]
            .as_str()
            .unwrap()
            .contains("shelf life of 8 days"),
        "{row}"
    );
    assert_eq!(
        shop.said("inventory.low_stock").await.len(),
        1,
        "it was low before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn demand_is_the_ledgers_without_the_days_on_which_there_was_nothing_to_sell() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let day = async || shop.later(86_400);
    shop.receive(tea, "30", "5").await;
    day().await;
    // Ten, then twenty and sold out, then two days of nothing, then more, then two and four.
    for (qty, comes) in [
        ("10", ""),
        ("20", ""),
        ("", ""),
        ("", "100"),
        ("2", ""),
        ("4", ""),
    ] {
        if !qty.is_empty() {
            shop.sell(&[(tea, qty)]).await;
        }
        if !comes.is_empty() {
            shop.receive(tea, comes, "5").await;
        }
        day().await;
    }
    let level = put(&shop, tea, 0, json!({ "window_days": 7, "lead_days": "1" }))
        .await
        .expect(200);
    // 10, 2 and 4 count.
    assert_eq!(
        (
            level.text_at("demand_mean"),
            level.text_at("demand_sigma"),
            level.body["demand_days"].as_i64()
        ),
        ("5.3333".into(), "4.1633".into(), Some(3))
    );
    assert_eq!(level.body["demand_stated"], false);
    // The next day but one the job plans it anew: the window has moved on.
    day().await;
    shop.sell(&[(tea, "6")]).await;
    day().await;
    jobs::replan_levels(shop.state()).await.unwrap();
    let path = format!("{LEVELS}?product={tea}");
    let level = shop.owner.get(&path).await.expect(200).body["items"][0].clone();
    assert_eq!(
        (&level["demand_mean"], &level["version"]),
        (&json!("3"), &json!(2))
    );
    jobs::replan_levels(shop.state()).await.unwrap();
    let level = shop.owner.get(&path).await.expect(200).body["items"][0].clone();
    assert_eq!(level["version"], 2, "once a day");
}

async fn sales_around_the_point(shop: &Shop, tea: ProductId) {
    for _ in 0..25 {
        shop.sell(&[(tea, "1")]).await;
    }
    for _ in 0..25 {
        let invoice = shop.sell(&[(tea, "1")]).await;
        shop.give_back(Some(invoice), &[(1, tea, "1", "quarantine")])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_sales_around_the_point_say_it_once_and_a_rise_makes_it_ready_again() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "60", "5").await;
    put(
        &shop,
        tea,
        0,
        json!({ "min_qty": "50", "demand_mean": "1" }),
    )
    .await
    .expect(200);
    let said = async || shop.said("inventory.low_stock").await.len();
    assert_eq!(said().await, 0);
    sales_around_the_point(&shop, tea).await;
    assert_eq!(said().await, 1);
    let event = &shop.said("inventory.low_stock").await[0];
    assert_eq!(
        (&event["available"], &event["reorder_point"]),
        (&json!("49"), &json!("50"))
    );
    // Forty of the fifty sales ended below the point: who says it on each sale says it forty times.
    assert_eq!(
        shop.owner
            .get(&format!("{LEVELS}?low=true"))
            .await
            .expect(200)
            .body["total"],
        1
    );
    shop.receive(tea, "41", "5").await;
    assert_eq!(
        shop.owner
            .get(&format!("{LEVELS}?low=true"))
            .await
            .expect(200)
            .body["total"],
        0
    );
    shop.sell(&[(tea, "1")]).await;
    assert_eq!(said().await, 1, "at the point is not below it");
    shop.sell(&[(tea, "1")]).await;
    assert_eq!(said().await, 2);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_memory_it_would_be_said_on_every_sale() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "60", "5").await;
    put(
        &shop,
        tea,
        0,
        json!({ "min_qty": "50", "demand_mean": "1" }),
    )
    .await
    .expect(200);
    shop.app
        .admin()
        .await
        .batch_execute(
            "create function forget() returns trigger language plpgsql as $$ begin
               update reorder_level set low = false where low; return null; end $$;
             create trigger forget after insert on movement for each statement execute function forget();
             create trigger forget_first before insert on movement_header for each statement execute function forget()",
        )
        .await
        .unwrap();
    sales_around_the_point(&shop, tea).await;
    assert!(shop.said("inventory.low_stock").await.len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_at_once_say_it_once() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.product().await);
    for product in [tea, milk] {
        shop.receive(product, "40", "5").await;
        put(
            &shop,
            product,
            0,
            json!({ "min_qty": "30", "demand_mean": "1" }),
        )
        .await
        .expect(200);
    }
    let sell = async |n: usize| {
        let mut lines = [(tea, "1"), (milk, "1")];
        if n % 2 == 1 {
            lines.reverse();
        }
        shop.issue(InvoiceId::new(), 1, &lines).await;
    };
    join_all((0..20).map(sell)).await;
    let said = shop.said("inventory.low_stock").await;
    assert_eq!(said.len(), 2, "one for each product");
    shop.assert_stock(tea, ("20", "0", "20")).await;
    // Two that cross upwards and down at once: the side is the one that the balance has.
    let receive = async || {
        shop.receive(tea, "20", "5").await;
    };
    join_all((0..4).map(|_| receive())).await;
    let level = shop
        .owner
        .get(&format!("{LEVELS}?product={tea}"))
        .await
        .expect(200);
    assert_eq!(
        (
            &level.body["items"][0]["low"],
            &level.body["items"][0]["available"]
        ),
        (&json!(false), &json!("100"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_a_batch_and_breaking_a_hold_count_as_well() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "10", "5").await;
    shop.receive_batch(milk, "B2", None, "3", "5").await;
    put(
        &shop,
        milk,
        0,
        json!({ "min_qty": "5", "demand_mean": "1" }),
    )
    .await
    .expect(200);
    let act = async |verb: &str| {
        let path = format!("/api/v1/inventory/batches/{batch}:{verb}");
        shop.owner
            .post(&path, json!({ "reason": "x" }))
            .await
            .expect(200);
    };
    act("block").await;
    assert_eq!(shop.said("inventory.low_stock").await[0]["available"], "3");
    act("unblock").await;
    act("recall").await;
    assert_eq!(shop.said("inventory.low_stock").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_expire_make_stock_low_without_a_movement() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    shop.receive_batch(milk, "B1", Some("2026-11-22"), "10", "5")
        .await;
    shop.receive_batch(milk, "B2", None, "3", "5").await;
    put(
        &shop,
        milk,
        0,
        json!({ "min_qty": "5", "demand_mean": "1" }),
    )
    .await
    .expect(200);
    let warn = async || jobs::warn_expiring(shop.state()).await.unwrap();
    shop.later(86_400);
    warn().await;
    assert_eq!(shop.said("inventory.low_stock").await, [] as [Value; 0]);
    shop.later(86_400);
    warn().await;
    warn().await;
    let said = shop.said("inventory.low_stock").await;
    assert_eq!((said.len(), &said[0]["available"]), (1, &json!("3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_stated_under_the_version_seen_and_by_those_who_may() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    put(&shop, tea, 3, json!({ "min_qty": "5" }))
        .await
        .expect(412);
    let made = put(&shop, tea, 0, json!({ "min_qty": "5", "max_qty": "20" }))
        .await
        .expect(200);
    assert_eq!(made.header("etag"), Some("\"1\""));
    put(&shop, tea, 0, json!({ "min_qty": "5" }))
        .await
        .expect(412);
    for bad in [
        json!({ "min_qty": "5", "max_qty": "4" }),
        json!({ "min_qty": "-1" }),
        json!({ "pack": "0" }),
        json!({ "max_qty": "0" }),
        json!({ "lead_days": "-1" }),
        json!({ "lead_days": "3651" }),
        json!({ "service_z": "10.1" }),
        json!({ "demand_sigma": "1" }),
        json!({ "demand_mean": "1000000001" }),
        json!({ "window_days": 6 }),
        json!({ "shelf_life_days": 0 }),
        json!({ "surprise": 1 }),
    ] {
        let reply = put(&shop, tea, 1, bad.clone()).await;
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text);
    }
    // The largest figures are worked out, not refused by an overflow.
    let most = json!({ "demand_mean": "1000000000", "demand_sigma": "1000000000", "lead_days": "3650",
        "lead_sigma": "3650", "service_z": "10", "pack": "0.001", "moq": "1000000000", "shelf_life_days": 36500 });
    put(&shop, tea, 1, most).await.expect(200);
    shop.owner
        .get("/api/v1/inventory/reorder-suggestions")
        .await
        .expect(200);
    assert_eq!(
        put(&shop, ProductId::new(), 0, json!({}))
            .await
            .expect(409)
            .code(),
        "NOT_YET_KNOWN"
    );
    let mut nowhere = shop.clone();
    nowhere.location = LocationId::new();
    put(&nowhere, tea, 0, json!({})).await.expect(409);
    let reader = shop.owner.with_permissions(&["inventory.stock.read"]);
    reader.get(LEVELS).await.expect(200);
    let body = json!({ "location_id": shop.location, "product_id": tea, "lead_days": "1" });
    let refused = reader.put(LEVELS, body, 2).await.expect(403);
    assert_eq!(refused.body["permission"], "inventory.planning.write");
    shop.owner
        .with_permissions(&[])
        .get(LEVELS)
        .await
        .expect(403);
    let stranger = shop.next_tenant().await;
    assert_eq!(
        stranger.owner.get(LEVELS).await.expect(200).body["total"],
        0
    );
    for bad in ["cursor=zzz", "sort=low", "low=maybe"] {
        shop.owner.get(&format!("{LEVELS}?{bad}")).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_takes_stock_away_makes_it_low_and_whatever_brings_it_back_forgets_that() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    shop.receive(tea, "20", "5").await;
    let point = json!({ "min_qty": "10", "demand_mean": "1" });
    put(&shop, tea, 0, point).await.expect(200);
    let said = async || {
        let events = shop.said("inventory.low_stock").await.into_iter();
        let available = events.map(|e| e["available"].as_str().unwrap().to_owned());
        available.collect::<Vec<_>>()
    };
    shop.restate((tea, None), "12", ("sellable", "damaged"))
        .await
        .expect(201);
    assert_eq!(said().await, ["8"]);
    shop.restate((tea, None), "12", ("damaged", "sellable"))
        .await
        .expect(201);
    shop.ship(branch.location, tea, "13").await;
    assert_eq!(said().await, ["8", "7"]);
    // A count finds some, and the next one less again.
    let found = shop.submitted(tea, "11").await;
    shop.approve(&found).await;
    shop.assert_stock(tea, ("11", "0", "11")).await;
    let lost = shop.submitted(tea, "6").await;
    shop.approve(&lost).await;
    assert_eq!(said().await, ["8", "7", "6"]);
    // What is on its way makes nothing available before it is there.
    let back = branch_sends_back(&shop, &branch, tea).await;
    shop.restate((tea, None), "1", ("sellable", "quarantine"))
        .await
        .expect(201);
    assert_eq!(said().await.len(), 3, "it was low all the time");
    shop.transfer(&back, "receive", json!({})).await.expect(200);
    shop.restate((tea, None), "10", ("sellable", "damaged"))
        .await
        .expect(201);
    assert_eq!(said().await, ["8", "7", "6", "5"]);
    shop.assert_sound().await;
}

/// Ten from the branch to the shop, still under way.
async fn branch_sends_back(shop: &Shop, branch: &Shop, product: ProductId) -> String {
    branch.receive(product, "10", "5").await;
    branch.ship(shop.location, product, "10").await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_level_that_cannot_be_planned_stops_nobody_elses() {
    let shop = Shop::open().await;
    let other = shop.next_tenant().await;
    let (tea, soap) = (shop.product().await, other.product().await);
    for (shop, product) in [(&shop, tea), (&other, soap)] {
        shop.receive(product, "30", "5").await;
        put(
            shop,
            product,
            0,
            json!({ "window_days": 7, "lead_days": "1" }),
        )
        .await
        .expect(200);
        shop.later(1);
    }
    shop.later(2 * 86_400);
    let text = format!(
        "create function spoil() returns trigger language plpgsql as $$ begin raise exception 'spoilt'; end $$;
         create trigger spoil before update on reorder_level for each row when (old.product_id = '{tea}')
         execute function spoil()"
    );
    let admin = shop.app.admin().await;
    admin.batch_execute(&text).await.unwrap();
    assert!(
        jobs::replan_levels(shop.state()).await.is_err(),
        "it ends, and says so"
    );
    let version = async |shop: &Shop, product: ProductId| {
        let path = format!("{LEVELS}?product={product}");
        shop.owner.get(&path).await.expect(200).body["items"][0]["version"].clone()
    };
    assert_eq!(version(&shop, tea).await, 1);
    assert_eq!(version(&other, soap).await, 2);
    admin
        .batch_execute("drop trigger spoil on reorder_level")
        .await
        .unwrap();
    jobs::replan_levels(shop.state()).await.unwrap();
    assert_eq!(version(&shop, tea).await, 2);
}
