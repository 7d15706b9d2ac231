//! A product is archived when there is none of it.

use bahi_testkit::eventually;
use futures::join;
use serde_json::json;

use crate::{
    stock::{adjusted, found, issued, missing, received, returned, transferred},
    support::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_stock_is_not_archived() {
    let (app, inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .add("A", json!({ "status": "active" }))
        .await
        .expect(201)
        .text_at("id");
    app.feed(vec![received(&id)], shop.owner.tenant).await;
    let there = |held: [&'static str; 3]| inventory.there.lock().unwrap().insert(id.clone(), held);
    for held in [["5", "0", "0"], ["5", "5", "0"], ["0", "0", "2"]] {
        there(held);
        let refused = shop.step(&id, "archive").await.expect(409);
        assert_eq!(refused.code(), "STOCK_EXISTS");
        assert_eq!(
            (&refused.body["on_hand"], &refused.body["owed"]),
            (&json!(held[0]), &json!(held[2]))
        );
    }
    // By whatever way.
    let path = format!("/api/v1/products/{id}");
    let patched = shop
        .owner
        .patch(&path, json!({ "status": "archived" }), 1)
        .await
        .expect(409);
    assert_eq!(patched.code(), "STOCK_EXISTS");
    let put = shop
        .owner
        .put(&path, shop.product("A", json!({ "status": "archived" })), 1)
        .await
        .expect(409);
    assert_eq!(put.code(), "STOCK_EXISTS");
    let job = shop.import("", "sku,status\nA,archived\n").await;
    assert_eq!(job["refused"], 1, "{job}");
    // Without an answer nothing is archived, and other steps go on.
    *inventory.down.lock().unwrap() = true;
    let refused = shop.step(&id, "archive").await.expect(503);
    assert_eq!(
        (refused.code(), refused.header("retry-after")),
        ("INVENTORY_UNREACHABLE", Some("1"))
    );
    shop.step(&id, "discontinue").await.expect(200);
    *inventory.down.lock().unwrap() = false;
    there(["0", "0", "0"]);
    let verb = format!("{path}:archive");
    let first = shop
        .owner
        .post_with_key(&verb, json!({}), "k")
        .await
        .expect(200);
    assert_eq!(first.body["status"], "archived");
    // The first answer again, although there is stock now.
    there(["1", "0", "0"]);
    assert_eq!(
        shop.owner
            .post_with_key(&verb, json!({}), "k")
            .await
            .expect(200)
            .body,
        first.body
    );
    // What has never been in stock needs no answer.
    let asked = *inventory.asked.lock().unwrap();
    let fresh = shop
        .add("B", json!({ "status": "active" }))
        .await
        .expect(201)
        .text_at("id");
    shop.step(&fresh, "archive").await.expect(200);
    assert_eq!(*inventory.asked.lock().unwrap(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_come_in_open_an_archived_product_again() {
    let (app, _inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let status = async |id: &str| shop.get(id).await["status"].as_str().unwrap().to_owned();
    for (n, (news, opens)) in [
        (received as fn(&str) -> bahi_events::Outgoing, true),
        (returned, true),
        (adjusted, true),
        (found, true),
        (issued, false),
        (missing, false),
        // It was ours on the way as well.
        (transferred, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = shop
            .add(&format!("A{n}"), json!({ "status": "active" }))
            .await
            .expect(201)
            .text_at("id");
        app.feed(vec![received(&id)], shop.owner.tenant).await;
        shop.step(&id, "archive").await.expect(200);
        app.feed(vec![news(&id)], shop.owner.tenant).await;
        assert_eq!(
            status(&id).await,
            if opens { "discontinued" } else { "archived" }
        );
        assert_eq!(
            shop.get(&id).await["version"],
            if opens { 3 } else { 2 },
            "once, however often it is heard"
        );
    }
    let told = events(&app, "product.updated").await.pop().unwrap().payload;
    assert_eq!(told["changed_fields"], json!(["status"]));
    // Of its barcodes it keeps those that are still free.
    let (free, taken) = ("2900000000018", EAN);
    let id = shop
        .add(
            "B",
            json!({ "status": "active", "barcodes": [free, taken] }),
        )
        .await
        .expect(201)
        .text_at("id");
    shop.step(&id, "archive").await.expect(200);
    shop.add("C", json!({ "barcodes": [taken] }))
        .await
        .expect(201);
    app.feed(vec![received(&id)], shop.owner.tenant).await;
    let open = shop.get(&id).await;
    assert_eq!(
        (&open["status"], &open["barcodes"]),
        (&json!("discontinued"), &json!([free]))
    );
    let history = shop
        .owner
        .get(&format!("/api/v1/products/{id}/history?limit=1"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        history["items"][0]["actor"],
        json!({ "type": "service", "id": "product" })
    );
}

/// Inventory says that there is nothing; before the product is archived, goods come in, and their event is heard.
#[tokio::test(flavor = "multi_thread")]
async fn stock_received_while_it_is_being_archived_is_not_overlooked() {
    let (app, inventory) = start_with_inventory().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .add("A", json!({ "status": "active" }))
        .await
        .expect(201)
        .text_at("id");
    app.feed(vec![received(&id)], shop.owner.tenant).await;
    inventory.answers.forget_permits(1000);
    let meanwhile = async {
        eventually(async || (*inventory.asked.lock().unwrap() == 1).then_some(())).await;
        // The answer is made up and on its way: nothing there.
        inventory
            .there
            .lock()
            .unwrap()
            .insert(id.clone(), ["5", "0", "0"]);
        app.feed(vec![received(&id)], shop.owner.tenant).await;
        inventory.answers.add_permits(1000);
    };
    let (refused, ()) = join!(shop.step(&id, "archive"), meanwhile);
    // Who trusted the first answer would have archived five pieces, and nobody would have opened the product again:
    // their event had been heard before.
    assert_eq!(refused.expect(409).code(), "STOCK_EXISTS");
    assert_eq!(*inventory.asked.lock().unwrap(), 2);
    assert_eq!(shop.get(&id).await["status"], "active");
    // At once, in whatever order: what was received is never in an archived product.
    inventory.there.lock().unwrap().clear();
    for round in 0..10 {
        let id = shop
            .add(&format!("R{round}"), json!({ "status": "active" }))
            .await
            .expect(201)
            .text_at("id");
        app.feed(vec![received(&id)], shop.owner.tenant).await;
        let (archived, ()) = join!(
            shop.step(&id, "archive"),
            app.feed(vec![received(&id)], shop.owner.tenant)
        );
        assert!(matches!(archived.status, 200 | 503), "{}", archived.text);
        let status = shop.get(&id).await["status"].clone();
        let asked_after = archived.status == 200 && status == "archived";
        // Archived only when inventory was asked after the goods had been heard of.
        if asked_after {
            let history = shop
                .owner
                .get(&format!("/api/v1/products/{id}/history"))
                .await
                .expect(200)
                .body;
            assert_eq!(history["total"], 2);
        } else {
            assert!(
                status == "discontinued" || archived.status == 503,
                "{status}"
            );
        }
    }
}
