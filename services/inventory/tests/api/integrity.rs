//! The proof of the books: it finds what was tampered with, in pages, and blocks nobody.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::Shop;

impl Shop {
    async fn rules(&self) -> Vec<String> {
        let reply = self
            .owner
            .get("/api/v1/inventory/integrity")
            .await
            .expect(200);
        let rule = |d: &Value| d["rule"].as_str().unwrap().to_owned();
        let mut rules: Vec<String> = reply.body["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(rule)
            .collect();
        rules.sort();
        rules.dedup();
        rules
    }
}

/// Past the triggers, as somebody with the keys of the database could.
async fn tamper(admin: &Client, text: &str) {
    let text = format!(
        "set session_replication_role = replica; {text}; set session_replication_role = origin"
    );
    admin.batch_execute(&text).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_i7_movements_and_documents_are_never_changed() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receipt = shop.receive(tea, "5", "2").await;
    shop.revalue(json!({ "product_id": tea, "unit_cost": "3" }))
        .await
        .expect(201);
    let body = json!({ "amount": "1", "basis": "value", "receipts": [{ "receipt_id": receipt.body["id"] }] });
    shop.owner
        .post("/api/v1/inventory/landed-costs", body)
        .await
        .expect(201);
    let admin = shop.app.admin().await;
    for table in [
        "movement",
        "revaluation",
        "revaluation_line",
        "landed_cost",
        "landed_cost_line",
        "landed_cost_part",
    ] {
        // The runtime role may not; the operator and the owner are stopped by the trigger.
        for verb in ["update", "delete", "truncate"] {
            let right =
                format!("select has_table_privilege('bahi_inventory_app', '{table}', '{verb}')");
            let may: bool = admin.query_one(&right, &[]).await.unwrap().get(0);
            assert!(!may, "{verb} {table}");
        }
        let update = format!("update {table} set tenant_id = tenant_id");
        assert!(admin.batch_execute(&update).await.is_err(), "{update}");
        assert!(
            admin
                .batch_execute(&format!("delete from {table}"))
                .await
                .is_err(),
            "{table}"
        );
    }
    assert!(admin.batch_execute("truncate movement").await.is_err());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_tampering_is_found_by_name() {
    let layers = "(select id from cost_layer order by seq limit 1)";
    let next = "(select id from cost_layer order by seq offset 1 limit 1)";
    let swap = format!(
        "update cost_layer set value_left = value_left + 1 where id = {layers};
         update cost_layer set value_left = value_left - 1 where id = {next}"
    );
    for (text, expected) in [
        ("update stock_item set on_hand = on_hand + 1 where on_hand > 0", vec!["I1 ", "I4 quantity"]),
        ("update stock_item set reserved = 1 where on_hand > 0", vec!["I2 reserved"]),
        ("update movement set value = value - 1 where kind = 'issue'", vec!["I4 value", "I9 value of a movement", "a snapshot"]),
        // The sums agree in both of these; only the replay sees them.
        (&swap, vec!["I9 layers"]),
        (
            "update movement set value = value - 1 where kind = 'issue' and seq = (select min(seq) from movement where kind = 'issue');
             update movement set value = value + 1 where kind = 'issue' and seq = (select max(seq) from movement where kind = 'issue')",
            vec!["I9 value of a movement"],
        ),
        ("update costing set method = 'average', standard_cost = null where method = 'standard'", vec!["I9 method"]),
        ("update movement set value = value + 1 where kind = 'revalue'", vec!["I4 value", "I9 change of value", "a snapshot"]),
        ("update landed_cost_part set behind = behind + 2", vec!["I9 "]),
        ("update stock_snapshot_line set value = value + 1", vec!["a snapshot"]),
        ("update stock_snapshot_line set qty = qty + 1", vec!["a snapshot"]),
    ] {
        let shop = Shop::at("2026-10-20T06:00:00Z").await;
    shop.breaks_the_books();
        let (tea, salt) = (shop.product().await, shop.product().await);
        let receipt = shop.receive(tea, "4", "2").await;
        shop.receive(tea, "4", "3").await;
        shop.sell(&[(tea, "2")]).await;
        shop.sell(&[(tea, "1")]).await;
        let body = json!({ "amount": "4", "basis": "value", "receipts": [{ "receipt_id": receipt.body["id"] }] });
        shop.owner.post("/api/v1/inventory/landed-costs", body).await.expect(201);
        shop.method(salt, "standard", Some("3")).await.expect(201);
        shop.receive(salt, "2", "2").await;
        shop.later(20 * 86_400);
        inventory::jobs::take_snapshots(shop.state()).await.unwrap();
        shop.assert_sound().await;
        tamper(&shop.app.admin().await, text).await;
        let found = shop.rules().await;
        for rule in expected {
            assert!(found.iter().any(|f| f.starts_with(rule)), "{text}: {found:?} lacks {rule}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_goes_in_pages_and_waits_for_nobody() {
    let shop = Shop::open().await;
    shop.breaks_the_books();
    let mut products = Vec::new();
    for _ in 0..5 {
        let product = shop.product().await;
        shop.receive(product, "3", "2").await;
        products.push(product);
    }
    products.sort();
    let wrong = format!(
        "update stock_item set on_hand = 4 where product_id = '{}'",
        products[3]
    );
    tamper(&shop.app.admin().await, &wrong).await;
    // Somebody sells and holds every row there is.
    let mut admin = shop.app.admin().await;
    let held = admin.transaction().await.unwrap();
    held.batch_execute(
        "lock table stock_item, movement, cost_layer, costing in row exclusive mode",
    )
    .await
    .unwrap();
    held.batch_execute("select 1 from stock_item for update; select 1 from cost_layer for update")
        .await
        .unwrap();
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = shop
            .owner
            .get(&format!("/api/v1/inventory/integrity?limit=2{cursor}"))
            .await
            .expect(200);
        pages += 1;
        for difference in page.body["differences"].as_array().unwrap() {
            found.push((pages, difference["product_id"].as_str().unwrap().to_owned()));
        }
        let Some(next) = page.body["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, 3);
    assert!(
        found.iter().all(|f| *f == (2, products[3].to_string())) && !found.is_empty(),
        "{found:?}"
    );
    held.rollback().await.unwrap();
    shop.owner
        .get("/api/v1/inventory/integrity?cursor=%21")
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_taken_while_tills_sell_finds_nothing() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "100", "3.3333").await;
    let selling = async {
        for _ in 0..30 {
            shop.sell(&[(tea, "1")]).await;
        }
    };
    let proving = async {
        for _ in 0..30 {
            shop.assert_sound().await;
        }
    };
    tokio::join!(selling, proving);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_product_and_no_balance_is_looked_at_too() {
    let shop = Shop::open().await;
    shop.breaks_the_books();
    let mut products = [shop.product().await, shop.product().await];
    products.sort();
    for product in products {
        shop.receive(product, "3", "2").await;
    }
    shop.assert_sound().await;
    let last = products[1];
    let lost = format!(
        "delete from stock_item where product_id = '{last}'; delete from product where product_id = '{last}'"
    );
    tamper(&shop.app.admin().await, &lost).await;
    let found = shop.rules().await;
    assert!(
        found.iter().any(|f| f.starts_with("I1 "))
            && found.iter().any(|f| f.starts_with("I4 quantity")),
        "{found:?}"
    );
}
