//! What goods cost: first in, first out, to the paisa.

use serde_json::json;

use crate::support::{Shop, q};

#[tokio::test(flavor = "multi_thread")]
async fn the_three_line_invoice_costs_what_the_accountant_says() {
    let shop = Shop::open().await;
    let (shampoo, charger, cola) = (
        shop.product().await,
        shop.product().await,
        shop.product().await,
    );
    for (product, qty, cost) in [
        (shampoo, "10", "120.00"),
        (shampoo, "20", "125.00"),
        (charger, "1", "210.00"),
        (charger, "5", "205.50"),
        (cola, "24", "24.60"),
        (cola, "24", "25.00"),
    ] {
        shop.receive(product, qty, cost).await;
    }
    shop.sell(&[(shampoo, "12"), (charger, "3"), (cola, "24")])
        .await;
    let said = shop.said("stock.issued").await;
    let costs: Vec<_> = said[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["cost_value"].as_str().unwrap())
        .collect();
    assert_eq!(costs, ["1450.00", "621.00", "590.40"]);
    let total: bahi_types::Money = costs
        .iter()
        .map(|c| c.parse::<bahi_types::Money>().unwrap())
        .sum();
    assert_eq!(total.to_string(), "2661.40");
    let layers =
        "select qty_left::text, unit_cost::text from cost_layer where product_id = $1 order by seq";
    let admin = shop.app.admin().await;
    for (product, left) in [
        (shampoo, ("18.000", "125.0000")),
        (charger, ("3.000", "205.5000")),
        (cola, ("24.000", "25.0000")),
    ] {
        let rows = admin.query(layers, &[&product.uuid()]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].get::<_, &str>(0), rows[0].get::<_, &str>(1)), left);
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_follow_the_published_steps() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "8", "10").await;
    assert_eq!(shop.value().await, "80.00");
    shop.receive(tea, "4", "16").await;
    assert_eq!(shop.value().await, "144.00");
    let before = shop.now();
    shop.later(1);
    shop.sell(&[(tea, "10")]).await;
    assert_eq!(shop.value().await, "32.00");
    assert_eq!(
        shop.said("stock.issued").await[0]["lines"][0]["cost_value"],
        "112.00"
    );
    shop.receive(tea, "2", "6").await;
    assert_eq!(shop.value().await, "44.00");
    let as_of = before.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let then = shop
        .owner
        .get(&format!("/api/v1/inventory/valuation?as_of={as_of}"))
        .await
        .expect(200);
    assert_eq!(then.text_at("total_value"), "144.00");
    assert_eq!(then.body["items"][0]["qty"], "12");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_batches_cost_and_what_was_left_out() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let b1 = shop
        .receive_batch(milk, "B1", Some("2026-11-10"), "5", "9.00")
        .await;
    let b2 = shop
        .receive_batch(milk, "B2", Some("2026-12-05"), "4", "11.00")
        .await;
    let b3 = shop
        .receive_batch(milk, "B3", Some("2027-01-31"), "10", "12.00")
        .await;
    let b4 = shop.receive_batch(milk, "B4", None, "3", "12.50").await;
    let preview = async |qty: &str, days: u32| {
        let body = json!({ "location_id": shop.location, "product_id": milk, "qty": qty, "min_shelf_life_days": days });
        shop.owner
            .post("/api/v1/inventory/allocations:preview", body)
            .await
    };
    let week = preview("12", 7).await.expect(200);
    assert_eq!(week.text_at("cost_value"), "140.00");
    assert_eq!(
        week.body["allocations"],
        json!([
        { "batch_id": b2, "qty": "4", "cost_value": "44.00" }, { "batch_id": b3, "qty": "8", "cost_value": "96.00" }])
    );
    let month = preview("12", 30).await.expect(200);
    let taken: Vec<_> = month.body["allocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["batch_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(taken, [b3.to_string(), b4.to_string()]);
    let refused = preview("25", 7).await.expect(409);
    assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    assert_eq!(refused.body["lines"][0]["available"], "17");
    assert_eq!(
        refused.body["lines"][0]["excluded"],
        json!([{ "batch_id": b1, "qty": "5", "reason": "expired" }])
    );
    let (on_hand, reserved, _) = shop.stock(milk).await;
    assert_eq!(
        (on_hand, reserved),
        (q("22"), q("0")),
        "a preview changes nothing"
    );
}
