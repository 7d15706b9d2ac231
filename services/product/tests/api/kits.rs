//! Kits: what they may consist of, and how that is told.

use futures::join;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

fn kit(components: &[(&str, &str)]) -> Value {
    let one = |(id, qty): &(&str, &str)| json!({ "product_id": id, "qty": qty });
    json!({ "kind": "kit", "components": components.iter().map(one).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_is_told_with_its_components() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let soap = shop.add("SOAP", json!({})).await.expect(201).text_at("id");
    let towel = shop.add("TOWEL", json!({})).await.expect(201).text_at("id");
    let made = shop
        .add("HAMPER", kit(&[(&soap, "3"), (&towel, "1")]))
        .await
        .expect(201);
    let said = json!([{ "product_id": soap, "qty": "3" }, { "product_id": towel, "qty": "1" }]);
    assert_eq!(
        (&made.body["components"], &made.body["kind"]),
        (&said, &json!("kit"))
    );
    let told = events(&app, "product.created").await.pop().unwrap().payload;
    assert_eq!(
        (&told["components"], &told["kind"]),
        (&said, &json!("goods")),
        "goods that nobody has in stock"
    );
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    let more = json!({ "components": [{ "product_id": soap, "qty": "4" }] });
    shop.owner.patch(&path, more, 1).await.expect(200);
    let told = events(&app, "product.updated").await.pop().unwrap().payload;
    assert_eq!(told["changed_fields"], json!(["components"]));
    assert_eq!(
        told["components"],
        json!([{ "product_id": soap, "qty": "4" }])
    );
    // What it consists of cannot be deleted; what it does not any more, can.
    assert_eq!(
        shop.owner
            .delete(&format!("/api/v1/products/{soap}"), 1)
            .await
            .expect(409)
            .code(),
        "IN_USE"
    );
    shop.owner
        .delete(&format!("/api/v1/products/{towel}"), 1)
        .await
        .expect(204);
    assert_eq!(
        column(&shop.owner.get("/api/v1/products?kind=kit").await, "sku"),
        ["HAMPER"]
    );
    // It becomes goods again, when it says so without components.
    let both = shop
        .owner
        .patch(&path, json!({ "kind": "goods" }), 2)
        .await
        .expect(422);
    assert_eq!(both.code(), "COMPONENTS_OF_NO_KIT");
    shop.owner
        .patch(&path, json!({ "kind": "goods", "components": null }), 2)
        .await
        .expect(200);
    shop.owner
        .delete(&format!("/api/v1/products/{soap}"), 1)
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn kits_do_not_lie_in_each_other_and_consist_of_goods() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let kilo = json!({ "code": "KG", "name": "Kilogram", "uqc": "KGS", "decimals": 3 });
    let kilo = shop
        .owner
        .post("/api/v1/units", kilo)
        .await
        .expect(201)
        .text_at("id");
    let soap = shop.add("SOAP", json!({})).await.expect(201).text_at("id");
    let rice = shop
        .add("RICE", json!({ "unit_id": kilo }))
        .await
        .expect(201)
        .text_at("id");
    let hamper = shop
        .add("HAMPER", kit(&[(&soap, "1"), (&rice, "0.250")]))
        .await
        .expect(201)
        .text_at("id");
    let sac = shop
        .owner
        .post("/api/v1/tax-profiles", profile("Wrapping", "9985", "18"))
        .await
        .expect(201)
        .text_at("id");
    let wrapping = shop
        .add("WRAP", json!({ "kind": "service", "tax_profile_id": sac }))
        .await
        .expect(201)
        .text_at("id");
    let old = shop
        .add("OLD", json!({ "status": "active" }))
        .await
        .expect(201)
        .text_at("id");
    shop.step(&old, "archive").await.expect(200);
    let (size, _) = shop.attribute("Size", &["S"]).await;
    let shirt = shop.add("SHIRT", json!({})).await.expect(201).text_at("id");
    shop.generate(
        &shirt,
        json!({ "attributes": [{ "attribute_id": size }] }),
        false,
    )
    .await
    .expect(200);
    let nobody = Uuid::now_v7().to_string();
    for component in [&hamper, &wrapping, &old, &shirt, &nobody] {
        let refused = shop
            .add("X", kit(&[(&soap, "1"), (component, "1")]))
            .await
            .expect(422);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("COMPONENT_REFUSED", &json!("components[1]")),
            "{}",
            refused.text
        );
    }
    for components in [
        vec![(soap.as_str(), "1.5")],
        vec![(soap.as_str(), "1"), (&soap, "2")],
    ] {
        assert_eq!(
            shop.add("X", kit(&components)).await.expect(422).code(),
            "COMPONENT_REFUSED"
        );
    }
    assert_eq!(
        shop.add("X", kit(&[])).await.expect(422).code(),
        "KIT_WITHOUT_COMPONENTS"
    );
    let mut tracked = kit(&[(&soap, "1")]);
    tracked["tracking"] = json!({ "batch": true });
    assert_eq!(
        shop.add("X", tracked).await.expect(422).code(),
        "TRACKED_SERVICE"
    );
    // Itself, and what consists of it.
    let path = format!("/api/v1/products/{hamper}");
    let own = json!({ "components": [{ "product_id": hamper, "qty": "1" }] });
    assert_eq!(
        shop.owner.patch(&path, own, 1).await.expect(422).code(),
        "COMPONENT_REFUSED"
    );
    // A component stays goods, by hand and by import.
    let soap_path = format!("/api/v1/products/{soap}");
    let turned = shop
        .owner
        .patch(&soap_path, kit(&[(&rice, "1")]), 1)
        .await
        .expect(409);
    assert_eq!(turned.code(), "COMPONENT_OF_KIT");
    let job = shop
        .import("", "sku,kind,hsn\nSOAP,service,9985\nRICE,,854442\n")
        .await;
    assert_eq!(
        (&job["refused"], &job["status"]),
        (&json!(1), &json!("completed_with_errors")),
        "{job}"
    );
    // Nor has another tenant anything to put into it.
    let stranger = Shop::open(&app).await;
    assert_eq!(
        stranger
            .add("X", kit(&[(&soap, "1")]))
            .await
            .expect(422)
            .code(),
        "COMPONENT_REFUSED"
    );
}

/// Each change by itself is right; together they would lie in each other.
#[tokio::test(flavor = "multi_thread")]
async fn two_products_cannot_become_kits_of_each_other() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for round in 0..10 {
        let a = shop
            .add(&format!("A{round}"), json!({}))
            .await
            .expect(201)
            .text_at("id");
        let b = shop
            .add(&format!("B{round}"), json!({}))
            .await
            .expect(201)
            .text_at("id");
        let turn = async |id: &str, of: &str| {
            shop.owner
                .patch(&format!("/api/v1/products/{id}"), kit(&[(of, "1")]), 1)
                .await
        };
        let (first, second) = join!(turn(&a, &b), turn(&b, &a));
        let mut both = [first.status, second.status];
        both.sort_unstable();
        assert!(
            both == [200, 409] || both == [200, 422],
            "{} {}",
            first.text,
            second.text
        );
    }
}
