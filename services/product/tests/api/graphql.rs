//! Product in the graph: the same data, rights, refusals and idempotency as in REST, and no query per row.

use bahi_testkit::assert_flat;
use bahi_types::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

const PRODUCTS: &str = "query($first: Int!, $after: String) {
    products(first: $first, after: $after, sort: \"sku\") {
        edges { cursor node { id sku price category { name parent { name } } brand { name } unit { code } taxProfile { hsn rates { rate } } } }
        pageInfo { hasNextPage hasPreviousPage endCursor }
        totalCount
    }
}";

async fn category(shop: &Shop, name: &str, parent: Option<&str>) -> String {
    let body = json!({ "name": name, "parent_id": parent });
    let made = shop.owner.post("/api/v1/categories", body).await;
    made.expect(201).text_at("id")
}

/// A shop with so many products, each of a category of its own.
async fn stocked(app: &App, count: usize) -> Shop {
    let shop = Shop::open(app).await;
    let top = category(&shop, "All", None).await;
    for at in 0..count {
        let own = category(&shop, &format!("C{at}"), Some(&top)).await;
        let said = json!({ "category_id": own });
        shop.add(&format!("SKU-{at:03}"), said).await.expect(201);
    }
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_walked_as_a_connection() {
    let app = start().await;
    let shop = stocked(&app, 5).await;
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for (more, before) in [(true, false), (true, true), (false, true)] {
        let reply = shop
            .owner
            .graphql(PRODUCTS, json!({ "first": 2, "after": after }))
            .await
            .expect(200);
        assert_eq!(reply.body["errors"], Value::Null, "{}", reply.text);
        let list = &reply.body["data"]["products"];
        assert_eq!(list["totalCount"], 5);
        assert_eq!(list["pageInfo"]["hasNextPage"], more);
        assert_eq!(list["pageInfo"]["hasPreviousPage"], before);
        for edge in list["edges"].as_array().unwrap() {
            let node = &edge["node"];
            seen.push(node["sku"].as_str().unwrap().to_owned());
            assert_eq!(node["category"]["parent"]["name"], "All");
            assert_eq!(node["unit"]["code"], "PCS");
        }
        after = list["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(
        seen,
        ["SKU-000", "SKU-001", "SKU-002", "SKU-003", "SKU-004"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_products_need_no_more_statements_than_two() {
    let app = start().await;
    let shop = stocked(&app, 50).await;
    let ask = async |rows: usize| {
        let variables = json!({ "first": rows, "after": null });
        let reply = shop.owner.graphql(PRODUCTS, variables).await.expect(200);
        let edges = &reply.body["data"]["products"]["edges"];
        assert_eq!(edges.as_array().unwrap().len(), rows);
    };
    assert_flat(&app.db, ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_entities_are_one_query() {
    let app = start().await;
    let shop = stocked(&app, 50).await;
    let list = shop
        .owner
        .get("/api/v1/products?limit=50")
        .await
        .expect(200);
    let ids: Vec<&str> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    let query = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Product { sku } } }";
    let ask = async |count: usize| {
        let asked: Vec<Value> = ids[..count]
            .iter()
            .map(|id| json!({ "__typename": "Product", "id": id }))
            .collect();
        let reply = shop.owner.graphql(query, json!({ "r": asked })).await;
        let found = reply.expect(200).body["data"]["_entities"].clone();
        assert_eq!(found.as_array().unwrap().len(), count);
        assert!(found[count - 1]["sku"].is_string());
    };
    assert_flat(&app.db, ask).await;
    // What is not there, or another tenant's, is null and no error; the others are found all the same.
    let asked = [ids[0], &Uuid::now_v7().to_string()]
        .map(|id| json!({ "__typename": "Product", "id": id }));
    let reply = shop.owner.graphql(query, json!({ "r": asked })).await;
    assert_eq!(reply.body["data"]["_entities"][1], Value::Null);
    assert!(reply.body["data"]["_entities"][0]["sku"].is_string());
    let stranger = app.client(TenantId::new(), &["*"]);
    let reply = stranger.graphql(query, json!({ "r": asked })).await;
    assert_eq!(reply.body["data"]["_entities"], json!([null, null]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_for_by_each_field() {
    let app = start().await;
    let shop = stocked(&app, 1).await;
    let reader = shop.owner.with_permissions(&["product.product.read"]);
    let query = "{ products { edges { node { sku category { name } } } } }";
    let reply = reader.graphql(query, json!({})).await.expect(200);
    let node = &reply.body["data"]["products"]["edges"][0]["node"];
    assert_eq!(node["sku"], "SKU-000");
    assert_eq!(node["category"], Value::Null);
    let error = &reply.body["errors"][0];
    assert_eq!(error["extensions"]["code"], "FORBIDDEN");
    assert_eq!(
        error["path"],
        json!(["products", "edges", 0, "node", "category"])
    );
    let nobody = shop.owner.with_permissions(&[]);
    let reply = nobody.graphql(query, json!({})).await;
    assert_eq!(reply.body["data"], Value::Null);
    nobody
        .with_token("forged")
        .graphql(query, json!({}))
        .await
        .expect(401);
}

const CREATE: &str =
    "mutation($input: CategoryInput!) { createCategory(input: $input) { id version name } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_is_the_command_with_its_rules() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let made = shop
        .owner
        .graphql(CREATE, json!({ "input": { "name": "Tea" } }))
        .await;
    let made = made.expect(200).body["data"]["createCategory"].clone();
    assert_eq!(made["version"], 1);
    // The same rule refuses the same thing with the same code.
    let twice = shop
        .owner
        .graphql(CREATE, json!({ "input": { "name": "tea" } }))
        .await;
    assert_eq!(twice.body["errors"][0]["extensions"]["code"], "NAME_TAKEN");
    assert_eq!(twice.body["errors"][0]["extensions"]["status"], 409);
    assert!(twice.body["errors"][0]["extensions"]["request_id"].is_string());
    let empty = shop
        .owner
        .graphql(CREATE, json!({ "input": { "name": " " } }))
        .await;
    assert_eq!(
        empty.body["errors"][0]["extensions"]["errors"][0]["field"], "name",
        "{}",
        empty.text
    );
    let update = "mutation($id: ID!, $v: Int!) { updateCategory(id: $id, version: $v, input: { name: \"Chai\" }) { version name } }";
    let stale = shop
        .owner
        .graphql(update, json!({ "id": made["id"], "v": 7 }))
        .await;
    assert_eq!(
        stale.body["errors"][0]["extensions"]["code"],
        "STALE_VERSION"
    );
    let done = shop
        .owner
        .graphql(update, json!({ "id": made["id"], "v": 1 }))
        .await;
    assert_eq!(
        done.body["data"]["updateCategory"]["version"], 2,
        "{}",
        done.text
    );
    let reader = shop.owner.with_permissions(&["product.category.read"]);
    let refused = reader
        .graphql(CREATE, json!({ "input": { "name": "Salt" } }))
        .await;
    assert_eq!(refused.body["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_the_one_that_is_composed() {
    let app = start().await;
    let told = app.tenant().get("/graphql").await.expect(200);
    let kept = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../proto/graphql/product.graphql"
    );
    assert_eq!(
        told.text.trim(),
        std::fs::read_to_string(kept).unwrap().trim()
    );
    app.tenant()
        .with_token("forged")
        .get("/graphql")
        .await
        .expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_code() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for query in [
        "{ nothing }",
        "{ product(id: \"no\") { id } }",
        "{ products(first: 0) { totalCount } }",
        "{ products(after: \"no\") { totalCount } }",
        "{",
    ] {
        let reply = shop.owner.graphql(query, json!({})).await.expect(200);
        let extensions = &reply.body["errors"][0]["extensions"];
        assert_eq!(extensions["status"], 400, "{query}: {}", reply.text);
    }
    let nul = shop
        .owner
        .graphql(CREATE, json!({ "input": { "name": "a\u{0}b" } }))
        .await;
    nul.expect(400);
    let inline = "mutation { createCategory(input: { name: \"a\\u0000b\" }) { id } }";
    shop.owner.graphql(inline, json!({})).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_for_each_field_of_a_mutation() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let both = "mutation($a: CategoryInput!, $b: CategoryInput!) {
        a: createCategory(input: $a) { id } b: createCategory(input: $b) { id } }";
    let send = async |b: &str| {
        let variables = json!({ "a": { "name": "A" }, "b": { "name": b } });
        let body = json!({ "query": both, "variables": variables });
        shop.owner
            .post_with_key("/graphql", body, "k")
            .await
            .expect(200)
    };
    let first = send("B").await;
    assert_ne!(first.body["data"]["a"]["id"], first.body["data"]["b"]["id"]);
    // Said again, nothing is made again; said otherwise, it is refused and the other is answered as before.
    assert_eq!(send("B").await.body, first.body);
    let other = send("C").await;
    assert_eq!(
        other.body["errors"][0]["extensions"]["code"], "IDEMPOTENCY_KEY_REUSED",
        "{}",
        other.text
    );
    let made = shop.owner.get("/api/v1/categories").await;
    assert_eq!(made.body["total"], 2);
}
