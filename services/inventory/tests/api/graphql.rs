//! Inventory in the graph: the same data, rights, refusals and idempotency as in REST, and no query per row.

use bahi_types::{ProductId, TenantId};
use serde_json::{Value, json};

use crate::{kits::kit, support::Shop};

/// What a query answers, which must be without errors.
async fn ask(shop: &Shop, query: &str, variables: Value) -> Value {
    let reply = shop.owner.graphql(query, variables).await.expect(200);
    assert_eq!(reply.body["errors"], Value::Null, "{}", reply.text);
    reply.body["data"].clone()
}

/// The extensions of the first error.
async fn refused(client: &bahi_testkit::Client, query: &str, variables: Value) -> Value {
    let reply = client.graphql(query, variables).await.expect(200);
    reply.body["errors"][0]["extensions"].clone()
}

/// A shop with so many products followed by batch, each with two batches.
async fn stocked(count: usize) -> (Shop, Vec<ProductId>) {
    let shop = Shop::open().await;
    let mut products = Vec::new();
    for _ in 0..count {
        let milk = shop.batched().await;
        shop.receive_batch(milk, "B1", None, "5", "9").await;
        shop.receive_batch(milk, "B2", Some("2026-11-10"), "2", "9")
            .await;
        products.push(milk);
    }
    (shop, products)
}

/// Runs a query of so many rows three times, and asserts that many need no more statements than two.
async fn assert_flat(shop: &Shop, query: &str, variables: impl Fn(usize) -> Value) {
    let ask = async |rows: usize| {
        ask(shop, query, variables(rows)).await;
    };
    bahi_testkit::assert_flat(&shop.app.db, ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_walked_as_a_connection() {
    let (shop, _) = stocked(3).await;
    let query = "query($after: String) { stockLevels(first: 4, after: $after) {
        edges { node { productId status onHand available batch { no status } location { id } } }
        pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }";
    let first = ask(&shop, query, json!({})).await["stockLevels"].clone();
    assert_eq!(first["totalCount"], 6);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let after = json!({ "after": first["pageInfo"]["endCursor"] });
    let second = ask(&shop, query, after).await["stockLevels"].clone();
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    assert_eq!(second["pageInfo"]["hasPreviousPage"], true);
    let nodes: Vec<Value> = [&first, &second]
        .iter()
        .flat_map(|part| part["edges"].as_array().unwrap())
        .map(|edge| edge["node"].clone())
        .collect();
    assert_eq!(nodes.len(), 6);
    for node in &nodes {
        assert_eq!(node["status"], "SELLABLE");
        assert_eq!(node["location"]["id"], json!(shop.location));
        let expired = node["batch"]["no"] == "B2";
        let state = if expired { "EXPIRED" } else { "ACTIVE" };
        assert_eq!(node["batch"]["status"], state);
        assert_eq!(node["available"], if expired { "0" } else { "5" });
    }
    let filtered =
        "query($p: ID!) { stockLevels(filter: { product: $p, status: SELLABLE }) { totalCount } }";
    let of_one = ask(&shop, filtered, json!({ "p": nodes[0]["productId"] })).await;
    assert_eq!(of_one["stockLevels"]["totalCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_need_no_more_statements_than_two() {
    let (shop, products) = stocked(50).await;
    let list = "query($n: Int!) { stockLevels(first: $n) { edges { node {
        batch { no stock { onHand } } product { available } } } } }";
    assert_flat(&shop, list, |rows| json!({ "n": rows })).await;
    let receipts = "query($n: Int!) { stockReceipts(first: $n) { edges { node {
        value lines { qty batch { no } } } } } }";
    assert_flat(&shop, receipts, |rows| json!({ "n": rows })).await;
    let entities = "query($r: [_Any!]!, $l: ID) { _entities(representations: $r) { ... on Product {
        stock(location: $l) { onHand batch { no } } available(location: $l) all: available
        batches(first: 1) { totalCount edges { node { no } } pageInfo { hasNextPage endCursor } } } } }";
    let asked = |rows: usize| {
        let of = products[..rows].iter();
        let r: Vec<Value> = of
            .map(|id| json!({ "__typename": "Product", "id": id }))
            .collect();
        json!({ "r": r, "l": shop.location })
    };
    assert_flat(&shop, entities, asked).await;
    let found = ask(&shop, entities, asked(50)).await["_entities"].clone();
    for product in found.as_array().unwrap() {
        assert_eq!(product["stock"].as_array().unwrap().len(), 2);
        assert_eq!(product["available"], "5");
        assert_eq!(product["all"], "5");
        let batches = &product["batches"];
        assert_eq!(batches["totalCount"], 2);
        assert_eq!(batches["edges"].as_array().unwrap().len(), 1);
        assert_eq!(batches["edges"][0]["node"]["no"], "B1");
        assert_eq!(batches["pageInfo"]["hasNextPage"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_refer_to_is_found_by_its_key() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "7", "5").await;
    let batch = shop.receive_batch(milk, "B1", None, "5", "9").await;
    let level = |product: ProductId, batch: Value| {
        json!({ "__typename": "StockLevel", "productId": product, "locationId": shop.location,
                "batchId": batch, "status": "SELLABLE" })
    };
    let query = "query($r: [_Any!]!) { _entities(representations: $r) {
        ... on StockLevel { onHand } ... on Batch { no product { id } stock { onHand } } } }";
    let asked = json!([
        level(tea, Value::Null),
        level(milk, json!(batch)),
        level(tea, json!(batch)),
        { "__typename": "Batch", "id": batch },
        { "__typename": "Batch", "id": tea },
    ]);
    let found = ask(&shop, query, json!({ "r": asked })).await;
    let expected = json!([
        { "onHand": "7" },
        { "onHand": "5" },
        null,
        { "no": "B1", "product": { "id": milk }, "stock": [{ "onHand": "5" }] },
        null,
    ]);
    assert_eq!(found["_entities"], expected);
    // Another tenant finds nothing by the same keys.
    let stranger = shop.app.client(TenantId::new(), &["*"]);
    let reply = stranger.graphql(query, json!({ "r": asked })).await;
    assert_eq!(
        reply.body["data"]["_entities"],
        json!([null, null, null, null, null])
    );
    let product = "query($r: [_Any!]!) { _entities(representations: $r) {
        ... on Product { stock { onHand } available batches { totalCount } } } }";
    let asked = json!({ "r": [{ "__typename": "Product", "id": tea }] });
    let nothing = stranger.graphql(product, asked).await;
    assert_eq!(
        nothing.body["data"]["_entities"],
        json!([{ "stock": [], "available": "0", "batches": { "totalCount": 0 } }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_kit_there_is_what_its_components_make_at_a_location() {
    let shop = Shop::open().await;
    let soap = shop.product().await;
    shop.receive(soap, "7", "5").await;
    let hamper = kit(&shop, &[(soap, "3")]).await;
    let query = "query($r: [_Any!]!, $l: ID) { _entities(representations: $r) {
        ... on Product { here: available(location: $l) all: available } } }";
    let asked = [soap, hamper].map(|id| json!({ "__typename": "Product", "id": id }));
    let found = ask(&shop, query, json!({ "r": asked, "l": shop.location })).await;
    assert_eq!(
        found["_entities"],
        json!([{ "here": "7", "all": "7" }, { "here": "2", "all": null }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_for_by_each_field() {
    let (shop, products) = stocked(1).await;
    let nobody = shop.owner.with_permissions(&["inventory.batch.write"]);
    let batch = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Product {
        id batches { totalCount } } } }";
    let asked = json!({ "r": [{ "__typename": "Product", "id": products[0] }] });
    for query in [
        "{ stockLevels { totalCount } }",
        "{ stockMovements { totalCount } }",
        "{ batches { totalCount } }",
        "{ stockReceipts { totalCount } }",
        "{ stockAdjustments { totalCount } }",
        "{ stockStatusChanges { totalCount } }",
        "{ stockTransfers { totalCount } }",
        batch,
    ] {
        let code = refused(&nobody, query, asked.clone()).await["code"].clone();
        assert_eq!(code, "FORBIDDEN", "{query}");
    }
    let reader = shop.owner.with_permissions(&["inventory.stock.read"]);
    let receive = "mutation($i: StockReceiptInput!) { receiveStock(input: $i) { id } }";
    let input = json!({ "locationId": shop.location,
        "lines": [{ "productId": products[0], "qty": "1", "unitCost": "1", "batchNo": "B9" }] });
    let code = refused(&reader, receive, json!({ "i": input })).await["code"].clone();
    assert_eq!(code, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_are_received_once_under_a_key_and_corrected_and_set_apart() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let receive = "mutation($i: StockReceiptInput!) { receiveStock(input: $i) {
        id value location { id } lines { line qty product { id } batch { id } } } }";
    let input = json!({ "locationId": shop.location,
        "lines": [{ "productId": tea, "qty": "10", "unitCost": "2.5" }] });
    let body = json!({ "query": receive, "variables": { "i": input } });
    let first = shop
        .owner
        .post_with_key("/graphql", body.clone(), "k")
        .await
        .expect(200);
    let again = shop.owner.post_with_key("/graphql", body, "k").await;
    assert_eq!(first.body, again.body);
    let receipt = first.body["data"]["receiveStock"].clone();
    assert_eq!(receipt["value"], "25.00", "{}", first.text);
    assert_eq!(
        receipt["lines"],
        json!([{ "line": 1, "qty": "10", "product": { "id": tea }, "batch": null }])
    );
    shop.assert_stock(tea, ("10", "0", "10")).await;
    // A list gives its lines too.
    let read = "query($id: ID!) { stockReceipt(id: $id) { value lines { qty } }
        stockReceipts { edges { node { id lines { qty } } } } }";
    let found = ask(&shop, read, json!({ "id": receipt["id"] })).await;
    assert_eq!(found["stockReceipt"]["lines"], json!([{ "qty": "10" }]));
    assert_eq!(
        found["stockReceipts"]["edges"],
        json!([{ "node": { "id": receipt["id"], "lines": [{ "qty": "10" }] } }])
    );
    let adjust = "mutation($i: StockAdjustmentInput!) { adjustStock(input: $i) {
        reason lines { qtyDelta onHandAfter status } } }";
    let input = |delta: &str, reason: &str| {
        json!({ "i": { "locationId": shop.location, "reason": reason,
                       "lines": [{ "productId": tea, "qtyDelta": delta }] } })
    };
    let done = ask(&shop, adjust, input("-4", "spilt")).await;
    assert_eq!(
        done["adjustStock"]["lines"],
        json!([{ "qtyDelta": "-4", "onHandAfter": "6", "status": "SELLABLE" }])
    );
    let wrong = refused(&shop.owner, adjust, input("0", "nothing")).await;
    assert_eq!(wrong["errors"][0]["field"], "lines[0].qty_delta");
    assert_eq!(wrong["status"], 400);
    let change = "mutation($i: StockStatusChangeInput!) { changeStockStatus(input: $i) {
        lines { from to qty } } }";
    let input = |qty: &str| {
        json!({ "i": { "locationId": shop.location, "reason": "wet", "lines": [
            { "productId": tea, "from": "SELLABLE", "to": "QUARANTINE", "qty": qty }] } })
    };
    ask(&shop, change, input("2")).await;
    shop.assert_stock(tea, ("6", "0", "4")).await;
    let short = refused(&shop.owner, change, input("5")).await;
    assert_eq!(short["code"], "INSUFFICIENT_STOCK");
    let moves = ask(
        &shop,
        "{ stockMovements { totalCount edges { node { kind qty sourceId product { id } } } } }",
        json!({}),
    );
    let moves = moves.await["stockMovements"].clone();
    assert_eq!(moves["totalCount"], 4);
    assert_eq!(
        moves["edges"][0]["node"],
        json!({ "kind": "receipt", "qty": "10", "sourceId": receipt["id"], "product": { "id": tea } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_its_steps() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "2").await;
    let other = shop.new_location().await;
    let create =
        "mutation($i: StockTransferInput!) { createStockTransfer(input: $i) { id state } }";
    let input = json!({ "fromLocationId": shop.location, "toLocationId": other,
        "lines": [{ "productId": tea, "qty": "6" }] });
    let made = ask(&shop, create, json!({ "i": input })).await["createStockTransfer"].clone();
    assert_eq!(made["state"], "DRAFT");
    let id = json!({ "id": made["id"] });
    let ship = "mutation($id: ID!) { shipStockTransfer(id: $id) { state valueInTransit } }";
    let early = refused(&shop.owner, ship, id.clone()).await;
    let path = format!(
        "/api/v1/inventory/transfers/{}:ship",
        made["id"].as_str().unwrap()
    );
    let in_rest = shop.owner.post(&path, json!({})).await;
    assert_eq!(early["code"], in_rest.code(), "the same refusal");
    let approve = "mutation($id: ID!) { approveStockTransfer(id: $id) { state } }";
    ask(&shop, approve, id.clone()).await;
    let shipped = ask(&shop, ship, id.clone()).await["shipStockTransfer"].clone();
    assert_eq!(
        shipped,
        json!({ "state": "SHIPPED", "valueInTransit": "12.00" })
    );
    let receive =
        "mutation($id: ID!, $i: ReceiveStockInput) { receiveStockTransfer(id: $id, input: $i) {
        state lines { product { id } parts { received inTransit batch { id } } } } }";
    let some = json!({ "id": made["id"], "i": { "lines": [{ "line": 1, "qty": "4" }] } });
    let arrived = ask(&shop, receive, some).await["receiveStockTransfer"].clone();
    assert_eq!(arrived["state"], "PARTIALLY_RECEIVED");
    assert_eq!(
        arrived["lines"],
        json!([{ "product": { "id": tea },
                 "parts": [{ "received": "4", "inTransit": "2", "batch": null }] }])
    );
    let close = "mutation($id: ID!, $why: String!) { closeStockTransferShort(id: $id, reason: $why) { state reason } }";
    let no_reason = json!({ "id": made["id"], "why": " " });
    let refusal = refused(&shop.owner, close, no_reason).await;
    assert_eq!(refusal["errors"][0]["field"], "reason");
    let closed = ask(&shop, close, json!({ "id": made["id"], "why": "fell off" })).await;
    assert_eq!(closed["closeStockTransferShort"]["state"], "CLOSED_SHORT");
    let read =
        "query($id: ID!) { stockTransfer(id: $id) { state fromLocation { id } toLocation { id } }
        stockTransfers(filter: { state: CLOSED_SHORT }) { totalCount } }";
    let found = ask(&shop, read, id).await;
    assert_eq!(found["stockTransfer"]["toLocation"]["id"], json!(other));
    assert_eq!(found["stockTransfers"]["totalCount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_blocked_and_freed_under_the_rules_of_rest() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop.receive_batch(milk, "B1", None, "5", "9").await;
    let block = "mutation($id: ID!) { blockBatch(id: $id, reason: \"smell\") { status blockReason stock { available } } }";
    let unblock = "mutation($id: ID!) { unblockBatch(id: $id, reason: \"fine\") { status } }";
    let id = json!({ "id": batch });
    let done = ask(&shop, block, id.clone()).await["blockBatch"].clone();
    assert_eq!(
        done,
        json!({ "status": "BLOCKED", "blockReason": "smell", "stock": [{ "available": "0" }] })
    );
    let path = format!("/api/v1/inventory/batches/{batch}:recall");
    let recall = json!({ "reason": "glass" });
    shop.owner.post(&path, recall).await.expect(200);
    let writer = shop
        .owner
        .with_permissions(&["inventory.batch.write", "inventory.stock.read"]);
    let refusal = refused(&writer, unblock, id.clone()).await;
    assert_eq!(refusal["code"], "BATCH_RECALLED");
    let freed = ask(&shop, unblock, id.clone()).await;
    assert_eq!(freed["unblockBatch"]["status"], "ACTIVE");
    let unknown = refused(&shop.owner, block, json!({ "id": milk })).await;
    assert_eq!(unknown["code"], "NOT_FOUND");
    let stranger = shop.app.client(TenantId::new(), &["*"]);
    assert_eq!(refused(&stranger, block, id).await["code"], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_code() {
    let shop = Shop::open().await;
    for query in [
        "{ stockLevels(first: 101) { totalCount } }",
        "{ stockLevels(after: \"no\") { totalCount } }",
        "{ stockLevels(filter: { asOf: \"yesterday\" }) { totalCount } }",
        "{ stockMovements(after: \"no\") { totalCount } }",
        "{ batches(after: \"no\") { totalCount } }",
        "{ batch(id: \"no\") { no } }",
        "{ stockTransfers(first: 0) { totalCount } }",
        "{ stockReceipts(after: \"no\") { totalCount } }",
    ] {
        let status = refused(&shop.owner, query, json!({})).await["status"].clone();
        assert_eq!(status, 400, "{query}");
    }
}
