//! Reports: their sums are those of the books.

use bahi_types::{Money, ProductId};
use serde_json::{Value, json};

use crate::support::Shop;

const DAY: i64 = 86_400;

async fn report(shop: &Shop, path: &str) -> Value {
    shop.owner
        .get(&format!("/api/v1/inventory/{path}"))
        .await
        .expect(200)
        .body
}

fn money(value: &Value) -> Money {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_stock_is_what_nothing_has_left() {
    let shop = Shop::open().await;
    let [tea, salt, rice, oil] = [
        shop.product().await,
        shop.product().await,
        shop.product().await,
        shop.product().await,
    ];
    for (product, cost) in [(tea, "5"), (salt, "2"), (rice, "3")] {
        shop.receive(product, "10", cost).await;
    }
    shop.sell(&[(rice, "1")]).await;
    let sold = shop.now();
    shop.later(60 * DAY);
    shop.sell(&[(tea, "1")]).await;
    shop.receive(oil, "10", "9").await;
    shop.later(10 * DAY);
    // Salt was never sold, rice seventy days ago; tea sells, and oil is new.
    let found = report(&shop, "dead-stock?days=30").await;
    let rows: Vec<_> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (
                r["product_id"].clone(),
                r["qty"].clone(),
                r["value"].clone(),
                r["last_sale_at"].is_null(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (json!(rice), json!("9"), json!("27.00"), false),
            (json!(salt), json!("10"), json!("20.00"), true)
        ]
    );
    let last: chrono::DateTime<chrono::Utc> = found["items"][0]["last_sale_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(last, sold);
    assert_eq!(
        (&found["total"], &found["total_value"]),
        (&json!(2), &json!("47.00"))
    );
    let first = report(&shop, "dead-stock?days=30&limit=1").await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = report(&shop, &format!("dead-stock?days=30&limit=1&cursor={next}")).await;
    assert_eq!(second["items"][0]["product_id"], json!(salt));
    assert_eq!(report(&shop, "dead-stock?days=71").await["total"], 0);
    for bad in ["days=0", "days=3651", "days=x", "cursor=zz", "sort=name"] {
        let path = format!("/api/v1/inventory/dead-stock?{bad}");
        shop.owner.get(&path).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buckets_of_age_add_up_to_the_valuation() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    // Layers of 400, 200, 120, 70, 31 and 0 days, at odd costs; some of the oldest is sold.
    let mut age = 400;
    for (next, qty, cost) in [
        (200, "7", "3.3333"),
        (120, "5", "1.01"),
        (70, "3", "0.0099"),
        (31, "11", "2.5"),
        (0, "13", "7.77"),
        (0, "1", "1"),
    ] {
        shop.receive(tea, qty, cost).await;
        shop.receive_batch(milk, &format!("B{age}"), None, qty, cost)
            .await;
        shop.later((age - next) * DAY);
        age = next;
    }
    shop.sell(&[(tea, "2.5"), (milk, "1")]).await;
    let found = report(&shop, "ageing").await;
    let valuation = shop.value().await;
    assert_eq!(found["total_value"], valuation);
    let totals = found["totals"].as_array().unwrap();
    let sum: Money = totals.iter().map(|b| money(&b["value"])).sum();
    assert_eq!(sum.to_string(), valuation);
    let bounds: Vec<_> = totals
        .iter()
        .map(|b| (b["from_days"].as_i64().unwrap(), b["to_days"].as_i64()))
        .collect();
    assert_eq!(
        bounds,
        [
            (0, Some(30)),
            (31, Some(60)),
            (61, Some(90)),
            (91, Some(180)),
            (181, Some(365)),
            (366, None)
        ]
    );
    let rows = found["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let mut whole = Money::ZERO;
    for row in rows {
        let buckets = row["buckets"].as_array().unwrap();
        let sum: Money = buckets.iter().map(|b| money(&b["value"])).sum();
        assert_eq!(sum, money(&row["value"]));
        whole += sum;
    }
    assert_eq!(whole.to_string(), valuation);
    let of_tea = rows.iter().find(|r| r["product_id"] == json!(tea)).unwrap();
    let qtys: Vec<_> = of_tea["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["qty"].as_str().unwrap())
        .collect();
    assert_eq!(qtys, ["1", "13", "11", "3", "5", "4.5"]);
    let one = report(&shop, &format!("ageing?product={milk}&limit=1")).await;
    assert_eq!(one["total"], 1);
    let next = one["next_cursor"].as_str().unwrap();
    assert_eq!(
        report(
            &shop,
            &format!("ageing?product={milk}&limit=1&cursor={next}")
        )
        .await["items"],
        json!([])
    );
    // Nothing at all is a report too.
    let empty = shop.next_tenant().await;
    assert_eq!(report(&empty, "ageing").await["total_value"], "0.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_go_by_the_value_issued_and_the_steadiness_of_demand() {
    let shop = Shop::at("2026-06-01T06:00:00Z").await;
    let products: Vec<ProductId> = {
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(shop.product().await);
        }
        ids
    };
    for product in &products {
        shop.receive(*product, "1000", "1").await;
    }
    // Four weeks: steady 200 a week, 30 a week but for one, one burst of 80, and one of 10.
    let weeks = [
        ["200", "30", "80", ""],
        ["200", "50", "", ""],
        ["200", "10", "", "10"],
        ["200", "30", "", ""],
    ];
    for week in weeks {
        let lines: Vec<_> = products
            .iter()
            .zip(week)
            .filter(|(_, qty)| !qty.is_empty())
            .map(|(p, qty)| (*p, qty))
            .collect();
        shop.sell(&lines).await;
        shop.later(7 * DAY);
    }
    let found = report(&shop, "abc?from=2026-06-01&to=2026-06-28").await;
    assert_eq!(
        (&found["periods"], &found["total_value"]),
        (&json!(4), &json!("1010.00"))
    );
    let rows: Vec<_> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let text = |name: &str| r[name].as_str().unwrap_or("-").to_owned();
            (
                text("product_id"),
                text("value"),
                text("abc") + &text("xyz"),
                text("variation"),
            )
        })
        .collect();
    let row = |n: usize, value: &str, class: &str, cv: &str| {
        (
            products[n].to_string(),
            value.to_owned(),
            class.to_owned(),
            cv.to_owned(),
        )
    };
    // Before them come 0, 79.2, 91.1 and 99.0 per cent.
    assert_eq!(
        rows,
        [
            row(0, "800.00", "AX", "0.0000"),
            row(1, "120.00", "AX", "0.4714"),
            row(2, "80.00", "BZ", "1.7321"),
            row(3, "10.00", "CZ", "1.7321")
        ]
    );
    let sum: Money = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| money(&r["value"]))
        .sum();
    assert_eq!(sum, money(&found["total_value"]));
    let issued: Money = {
        let ledger = report(&shop, "ledger?limit=200").await;
        let entries = ledger["items"].as_array().unwrap();
        entries
            .iter()
            .filter(|e| e["kind"] == "issue")
            .map(|e| -money(&e["value"]))
            .sum()
    };
    assert_eq!(sum, issued, "the ledger's own issues");
    let first = report(&shop, "abc?from=2026-06-01&to=2026-06-28&limit=3").await;
    let next = first["next_cursor"].as_str().unwrap();
    let rest = report(
        &shop,
        &format!("abc?from=2026-06-01&to=2026-06-28&limit=3&cursor={next}"),
    )
    .await;
    assert_eq!(
        (
            rest["items"].as_array().unwrap().len(),
            &rest["items"][0]["abc"]
        ),
        (1, &json!("C"))
    );
    assert_eq!(
        report(&shop, "abc?from=2026-07-01&to=2026-07-28").await["total"],
        0
    );
    for bad in [
        "from=2026-06-02&to=2026-06-01",
        "from=2020-01-01&to=2026-06-01",
        "from=2026-06-01",
        "from=2026-06-01&to=2026-06-02&period=year",
        "from=-262143-01-01&to=+262142-12-31",
    ] {
        shop.owner
            .get(&format!("/api/v1/inventory/abc?{bad}"))
            .await
            .expect(400);
    }
    let reader = shop.owner.with_permissions(&["inventory.stock.read"]);
    for path in ["dead-stock", "ageing", "abc?from=2026-06-01&to=2026-06-28"] {
        reader
            .get(&format!("/api/v1/inventory/{path}"))
            .await
            .expect(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_selling_is_said_once_and_again_only_after_something_left() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let other = shop.next_tenant().await;
    let [tea, salt] = [shop.product().await, shop.product().await];
    let theirs = other.product().await;
    shop.receive(tea, "10", "5").await;
    branch.receive(tea, "3", "4").await;
    shop.receive(salt, "10", "2").await;
    other.receive(theirs, "1", "9").await;
    let look = async || {
        inventory::jobs::find_dead_stock(shop.state())
            .await
            .unwrap();
        shop.said("inventory.dead_stock").await.len()
    };
    shop.later(60 * DAY);
    shop.sell(&[(salt, "1")]).await;
    assert_eq!(look().await, 0);
    shop.later(31 * DAY);
    // Ninety-one days: the tea of both places. Salt was sold a month ago.
    assert_eq!(look().await, 2);
    let said = shop.said("inventory.dead_stock").await;
    let here = said
        .iter()
        .find(|e| e["location_id"] == json!(shop.location))
        .unwrap();
    assert_eq!(
        (
            &here["product_id"],
            &here["qty"],
            &here["value"],
            &here["days"]
        ),
        (&json!(tea), &json!("10"), &json!("50.00"), &json!(90))
    );
    assert_eq!(
        (&here["uom"], &here["gstin"], &here["last_sale_at"]),
        (&json!("NOS"), &json!("27AAPFU0939F1ZV"), &Value::Null)
    );
    assert_eq!(other.said("inventory.dead_stock").await.len(), 1);
    // Not twice a day, and not on the next either.
    assert_eq!(look().await, 2);
    shop.later(DAY);
    assert_eq!(look().await, 2);
    // One is sold and the rest lies again for ninety days; meanwhile the salt has died as well.
    shop.sell(&[(tea, "1")]).await;
    shop.later(DAY);
    assert_eq!(look().await, 2);
    shop.later(91 * DAY);
    assert_eq!(look().await, 4);
    let again = shop.said("inventory.dead_stock").await;
    let last: Vec<_> = again[2..]
        .iter()
        .map(|e| (e["product_id"].clone(), e["qty"].clone()))
        .collect();
    assert!(last.contains(&(json!(tea), json!("9"))), "{last:?}");
    assert!(last.contains(&(json!(salt), json!("9"))), "{last:?}");
}
