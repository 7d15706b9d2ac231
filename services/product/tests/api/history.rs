//! Merge patches, and what they leave behind.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let full = json!({ "name": "Tea", "mrp": "120", "barcodes": [EAN], "tracking": { "batch": true, "expiry": true } });
    let made = shop.add("TEA", full).await.expect(201);
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    let patched = shop
        .owner
        .patch(
            &path,
            json!({ "name": "Green tea", "tracking": { "expiry": false } }),
            1,
        )
        .await
        .expect(200)
        .body;
    let mut expected = made.body.clone();
    merge(
        &mut expected,
        json!({ "name": "Green tea", "version": 2, "updated_at": patched["updated_at"],
        "tracking": { "batch": true, "serial": false, "expiry": false } }),
    );
    assert_eq!(patched, expected);
    // Null takes away what can be missing, and is refused where something must be said.
    let less = shop
        .owner
        .patch(&path, json!({ "mrp": null, "barcodes": null }), 2)
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&less["mrp"], &less["barcodes"]),
        (&Value::Null, &json!([]))
    );
    for (patch, field) in [
        (json!({ "price": "-1" }), "price"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "tracking": { "colour": true } }), "tracking.colour"),
        (json!({ "tracking": "batch" }), "tracking"),
        (json!({ "barcodes": ["1"] }), "barcodes[0]"),
        (json!({ "template": true }), "template"),
        (json!({ "variant_of": made.body["id"] }), "variant_of"),
    ] {
        let refused = shop.owner.patch(&path, patch.clone(), 3).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["field"]),
            (400, &json!(field)),
            "{patch}: {}",
            refused.text
        );
    }
    for patch in [json!({ "sku": null }), json!([]), json!("x")] {
        shop.owner.patch(&path, patch, 3).await.expect(400);
    }
    // Nothing to change is no change, and a media type of its own.
    let same = shop
        .owner
        .request(Method::PATCH, &path)
        .header("If-Match", "\"3\"");
    let same = same
        .header("content-type", "application/merge-patch+json")
        .body(r#"{"name":"Green tea"}"#);
    assert_eq!(shop.owner.send(same).await.expect(200).body["version"], 3);
    let blind = shop
        .owner
        .request(Method::PATCH, &path)
        .json(&json!({ "name": "X" }));
    assert_eq!(
        shop.owner.send(blind).await.expect(428).code(),
        "VERSION_REQUIRED"
    );
    assert_eq!(
        shop.owner
            .patch(&path, json!({ "name": "X" }), 2)
            .await
            .expect(412)
            .code(),
        "STALE_VERSION"
    );
    let replies = join_all((0..10).map(|n| {
        let (owner, path) = (&shop.owner, &path);
        async move {
            owner
                .patch(path, json!({ "name": format!("Tea {n}") }), 3)
                .await
        }
    }))
    .await;
    let count = |status| replies.iter().filter(|r| r.status == status).count();
    assert_eq!((count(200), count(412)), (1, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_says_who_changed_what_and_when() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .add("TEA", json!({ "name": "Tea" }))
        .await
        .expect(201)
        .text_at("id");
    let path = format!("/api/v1/products/{id}");
    let clerk = app.client(shop.owner.tenant, &["product.*"]);
    clerk
        .patch(&path, json!({ "price": "120", "name": "Green tea" }), 1)
        .await
        .expect(200);
    // What is refused, or changes nothing, leaves nothing.
    clerk
        .patch(&path, json!({ "price": "120" }), 2)
        .await
        .expect(200);
    clerk
        .patch(&path, json!({ "price": "120", "mrp": "100" }), 2)
        .await
        .expect(422);
    shop.step(&id, "activate").await.expect(200);
    let job = shop.import("", "sku,price\nTEA,130\n").await;
    assert_eq!(job["updated"], 1);
    let history = shop
        .owner
        .get(&format!("{path}/history"))
        .await
        .expect(200)
        .body;
    assert_eq!(history["total"], 4);
    let seen: Vec<(i64, &str, String)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let changes = e["changes"].as_array().unwrap().iter();
            let change = |c: &Value| {
                format!(
                    "{}: {} -> {}",
                    c["field"].as_str().unwrap(),
                    c["old"],
                    c["new"]
                )
            };
            let mut changes: Vec<String> = changes.map(change).collect();
            changes.sort_unstable();
            (
                e["version"].as_i64().unwrap(),
                e["action"].as_str().unwrap(),
                changes.join(", "),
            )
        })
        .collect();
    assert_eq!(
        seen[..3],
        [
            (4, "updated", r#"price: "120" -> "130""#.to_owned()),
            (3, "updated", r#"status: "draft" -> "active""#.to_owned()),
            (
                2,
                "updated",
                r#"name: "Tea" -> "Green tea", price: "100" -> "120""#.to_owned()
            ),
        ]
    );
    assert!(
        seen[3].2.contains(r#"sku: null -> "TEA""#) && seen[3].1 == "created",
        "{seen:?}"
    );
    assert_eq!(
        history["items"][2]["actor"],
        json!({ "type": "user", "id": clerk.user })
    );
    assert_eq!(
        history["items"][0]["actor"],
        json!({ "type": "user", "id": shop.owner.user }),
        "an import is its uploader's"
    );
    // By pages, and the other way round.
    let first = shop
        .owner
        .get(&format!("{path}/history?limit=3&sort=version"))
        .await
        .expect(200);
    let next = first.text_at("next_cursor");
    let rest = shop
        .owner
        .get(&format!(
            "{path}/history?limit=3&sort=version&cursor={next}"
        ))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (
            rest["items"].as_array().unwrap().len(),
            &rest["items"][0]["version"]
        ),
        (1, &json!(4))
    );
    // It outlives the product, and nobody changes it.
    shop.owner.delete(&path, 4).await.expect(204);
    let last = shop
        .owner
        .get(&format!("{path}/history?limit=1"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&last["items"][0]["action"], &last["items"][0]["version"]),
        (&json!("deleted"), &json!(5))
    );
    let admin = app.admin().await;
    for forgery in [
        "update product_change set action = 'updated'",
        "delete from product_change",
        "truncate product_change",
    ] {
        let refused = admin.batch_execute(forgery).await.unwrap_err();
        assert_eq!(
            refused.as_db_error().unwrap().message(),
            "what happened is never changed"
        );
    }
    shop.owner
        .get(&format!(
            "/api/v1/products/{}/history",
            uuid::Uuid::now_v7()
        ))
        .await
        .expect(404);
}
