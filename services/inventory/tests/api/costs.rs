//! What goods cost: first in, first out, to the paisa; and who is told.

use bahi_testkit::Client;
use serde_json::{Value, json};

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

/// Puts null where these fields are, and gives how many of them told something.
fn hide(body: &mut Value, costs: &[&str]) -> usize {
    match body {
        Value::Array(items) => items.iter_mut().map(|item| hide(item, costs)).sum(),
        Value::Object(fields) => fields
            .iter_mut()
            .map(|(name, field)| {
                if costs.contains(&name.as_str()) {
                    usize::from(!field.take().is_null())
                } else {
                    hide(field, costs)
                }
            })
            .sum(),
        _ => 0,
    }
}

/// Whoever sees stock and may do everything with it, but for seeing what it cost.
const CLERK: [&str; 9] = [
    "inventory.stock.read",
    "inventory.stock.write",
    "inventory.stock.adjust",
    "inventory.supplier_return.write",
    "inventory.transfer.write",
    "inventory.transfer.approve",
    "inventory.count.write",
    "inventory.count.approve",
    "inventory.batch.dispose",
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_stock_is_not_told_what_it_cost() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    let (owner, clerk) = (&shop.owner, shop.owner.with_permissions(&CLERK));
    let path = |rest: &str| format!("/api/v1/inventory/{rest}");
    // The same answer as the owner's, without the costs, and he is told some.
    let same = async |rest: &str, costs: &[&str]| {
        let mut told = owner.get(&path(rest)).await.expect(200).body;
        assert!(hide(&mut told, costs) > 0, "{rest}");
        assert_eq!(clerk.get(&path(rest)).await.expect(200).body, told);
    };
    let at =
        |lines: Value| json!({ "location_id": shop.location, "reason": "why", "lines": lines });
    let received = json!({ "location_id": shop.location,
        "lines": [{ "product_id": tea, "qty": "10", "unit_cost": "5" }] });
    let sent = json!({ "from_location_id": shop.location, "to_location_id": branch.location,
        "lines": [{ "product_id": tea, "qty": "2" }] });
    let counted = json!({ "location_id": shop.location,
        "lines": [{ "product_id": tea, "qty": "4" }] });
    let on_its_way = [
        "value_in_transit",
        "shipped_value",
        "received_value",
        "short_value",
        "in_transit_value",
    ];
    let posts: [(&str, &str, Value, &[&str]); 6] = [
        (
            "receipts",
            "receipts",
            received,
            &["value", "unit_cost", "variance"],
        ),
        (
            "adjust",
            "adjustments",
            at(json!([{ "product_id": tea, "qty_delta": "-1" }])),
            &["value_delta"],
        ),
        (
            "status-changes",
            "status-changes",
            at(json!([{ "product_id": tea, "from": "sellable", "to": "damaged", "qty": "1" }])),
            &["cost_value"],
        ),
        (
            "supplier-returns",
            "supplier-returns",
            at(json!([{ "product_id": tea, "qty": "1" }])),
            &["cost_value"],
        ),
        ("transfer", "transfers", sent, &on_its_way),
        ("reconcile", "counts", counted, &["value_delta"]),
    ];
    for (verb, noun, body, costs) in posts {
        let mut made = clerk.post(&path(verb), body).await.expect(201);
        assert_eq!(hide(&mut made.body, costs), 0, "{verb}: {}", made.text);
        let one = format!("{noun}/{}", made.text_at("id"));
        if noun == "counts" {
            // Another person approves it, who is told no more.
            let other = shop.app.client(shop.tenant(), &CLERK);
            let verb = path(&format!("{one}:approve"));
            let mut posted = other.post(&verb, json!({})).await.expect(200);
            assert_eq!(posted.body["state"], "posted");
            assert_eq!(hide(&mut posted.body, costs), 0, "{}", posted.text);
        }
        same(&one, costs).await;
        // Of a change of status the list has no lines, and so no cost.
        if noun != "status-changes" {
            same(noun, costs).await;
        }
    }
    same("ledger", &["value"]).await;

    // What has no address to be read again.
    let ask = json!({ "location_id": shop.location, "product_id": tea, "qty": "2" });
    let batch = shop.receive_batch(milk, "B1", None, "3", "9").await;
    let block = path(&format!("batches/{batch}:block"));
    owner
        .post(&block, json!({ "reason": "smell" }))
        .await
        .expect(200);
    let dispose = format!("batches/{batch}:dispose");
    for (rest, body, status, costs) in [
        ("allocations:preview", ask, 200, ["cost_value"]),
        (&*dispose, json!({ "reason": "smell" }), 201, ["value"]),
    ] {
        let mut told = clerk.post(&path(rest), body).await.expect(status);
        assert_eq!(told.body[costs[0]], Value::Null, "{rest}");
        assert_eq!(hide(&mut told.body, &costs), 0, "{}", told.text);
    }
    // The event of it has what finance posts.
    let said = shop.said("inventory.adjusted").await;
    assert_eq!(said.last().unwrap()["value_delta"], "-27.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_tells_no_costs_either() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    let (owner, clerk) = (&shop.owner, shop.owner.with_permissions(&CLERK));
    let costs = [
        "value",
        "unitCost",
        "variance",
        "valueDelta",
        "costValue",
        "valueInTransit",
        "shippedValue",
        "receivedValue",
        "shortValue",
        "inTransitValue",
    ];
    let receipt = "value lines { qty unitCost value variance }";
    let adjustment = "valueDelta lines { qtyDelta valueDelta }";
    let change = "lines { qty costValue }";
    let transfer = "valueInTransit lines { qty parts { shipped shippedValue receivedValue shortValue inTransitValue } }";
    let answer = async |of: &Client, query: &str, variables: Value| {
        let reply = of.graphql(query, variables).await.expect(200);
        assert_eq!(reply.body["errors"], Value::Null, "{}", reply.text);
        reply.body["data"].clone()
    };
    let at = |lines: Value| json!({ "locationId": shop.location, "reason": "why", "lines": lines });
    let received = json!({ "locationId": shop.location,
        "lines": [{ "productId": tea, "qty": "10", "unitCost": "5" }] });
    let sent = json!({ "fromLocationId": shop.location, "toLocationId": branch.location,
        "lines": [{ "productId": tea, "qty": "2" }] });
    for (verb, input, one, list, fields, body) in [
        (
            "receiveStock",
            "StockReceiptInput",
            "stockReceipt",
            "stockReceipts",
            receipt,
            received,
        ),
        (
            "adjustStock",
            "StockAdjustmentInput",
            "stockAdjustment",
            "stockAdjustments",
            adjustment,
            at(json!([{ "productId": tea, "qtyDelta": "-1" }])),
        ),
        (
            "changeStockStatus",
            "StockStatusChangeInput",
            "stockStatusChange",
            "stockStatusChanges",
            change,
            at(json!([{ "productId": tea, "from": "SELLABLE", "to": "DAMAGED", "qty": "1" }])),
        ),
        (
            "sendStock",
            "StockTransferInput",
            "stockTransfer",
            "stockTransfers",
            transfer,
            sent,
        ),
    ] {
        let mutation = format!("mutation($i: {input}!) {{ {verb}(input: $i) {{ id {fields} }} }}");
        let mut made = answer(&clerk, &mutation, json!({ "i": body })).await;
        assert_eq!(hide(&mut made, &costs), 0, "{verb}: {made}");
        let by_id = format!("query($id: ID!) {{ {one}(id: $id) {{ {fields} }} }}");
        let all = format!("{{ {list}(first: 5) {{ edges {{ node {{ {fields} }} }} }} }}");
        for (query, variables) in [(by_id, json!({ "id": made[verb]["id"] })), (all, json!({}))] {
            let mut told = answer(owner, &query, variables.clone()).await;
            assert!(hide(&mut told, &costs) > 0, "{query}");
            assert_eq!(answer(&clerk, &query, variables).await, told, "{query}");
        }
    }
    let movements = "{ stockMovements(first: 50) { edges { node { qty value } } } }";
    let mut told = answer(owner, movements, json!({})).await;
    assert!(hide(&mut told, &costs) > 0);
    assert_eq!(answer(&clerk, movements, json!({})).await, told);
}
