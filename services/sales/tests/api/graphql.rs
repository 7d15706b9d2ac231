//! Sales in the graph: the same data, rights, refusals and idempotency as in REST, and no query per row.

use bahi_testkit::Client;
use bahi_types::{ProductId, TenantId};
use serde_json::{Value, json};

use crate::support::Shop;

/// What a query answers, which must be without errors.
async fn ask(shop: &Shop, query: &str, variables: Value) -> Value {
    let reply = shop.owner.graphql(query, variables).await.expect(200);
    assert_eq!(reply.body["errors"], Value::Null, "{}", reply.text);
    reply.body["data"].clone()
}

/// The extensions of the first error.
async fn refused(client: &Client, query: &str, variables: Value) -> Value {
    let reply = client.graphql(query, variables).await.expect(200);
    reply.body["errors"][0]["extensions"].clone()
}

/// Runs a query of so many rows three times, and asserts that many need no more statements than two.
async fn assert_flat(shop: &Shop, query: &str, variables: impl Fn(usize) -> Value) {
    let ask = async |rows: usize| {
        ask(shop, query, variables(rows)).await;
    };
    bahi_testkit::assert_flat(&shop.sales.db, ask).await;
}

/// A sale of some goods at the till; the invoice as REST answered it.
async fn sold(shop: &Shop, session: &str, goods: ProductId, qty: &str) -> Value {
    let cash = (qty.parse::<i64>().unwrap() * 10).to_string();
    let basket = shop.basket(session, &[(goods, qty)], &cash);
    shop.sell(basket).await.expect(201).body
}

async fn takes_back(shop: &Shop, session: &str, invoice: &Value, qty: &str) -> Value {
    let cash = format!("{qty}0");
    let body = json!({ "original_invoice_id": invoice["invoice_id"], "session_id": session,
        "lines": [{ "original_line": 1, "qty": qty }],
        "refund_tenders": [{ "method": "cash", "amount": cash }] });
    let made = shop.owner.post("/api/v1/sales/returns", body).await;
    made.expect(201).body
}

const INVOICES: &str = "query($n: Int!, $after: String, $sort: String, $of: InvoiceFilter) {
    invoices(first: $n, after: $after, sort: $sort, filter: $of) {
        edges { node { id number type total branch { id } till { id } cashier { id } customer { name account { dues } }
            lines { qty product { id } batches { qty batch { id } } } payments { method amount } warnings { code }
            returns { id total lines { qty product { id } } refunds { amount } originalInvoice { number } } } }
        pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }";

#[tokio::test(flavor = "multi_thread")]
async fn invoices_are_walked_as_a_connection() {
    let shop = Shop::open().await;
    let (goods, session) = (shop.goods("10").await, shop.session().await);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(sold(&shop, &session, goods, "2").await["number"].clone());
        shop.later(1);
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for more in [true, false] {
        let asked = json!({ "n": 2, "after": after, "sort": "issued_at:asc" });
        let list = ask(&shop, INVOICES, asked).await["invoices"].clone();
        assert_eq!(list["totalCount"], 3);
        assert_eq!(list["pageInfo"]["hasNextPage"], more);
        for edge in list["edges"].as_array().unwrap() {
            let node = &edge["node"];
            seen.push(node["number"].clone());
            assert_eq!(node["type"], "B2C");
            assert_eq!(node["branch"]["id"], json!(shop.branch));
            assert_eq!(node["till"]["id"], json!(shop.till));
            assert_eq!(node["cashier"]["id"], json!(shop.owner.user));
            assert_eq!(node["customer"], Value::Null);
            assert_eq!(node["lines"][0]["product"]["id"], json!(goods));
            assert_eq!(
                node["payments"],
                json!([{ "method": "cash", "amount": "20.00" }])
            );
        }
        after = list["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, numbers);
    let newest = ask(&shop, INVOICES, json!({ "n": 1 })).await;
    let first = &newest["invoices"]["edges"][0]["node"]["number"];
    assert_eq!(first, &numbers[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_need_no_more_statements_than_two() {
    let shop = Shop::open().await;
    let (goods, session) = (shop.goods("500").await, shop.session().await);
    let customer = shop.customer(Some("100000")).await;
    let (mut invoices, mut mixed) = (Vec::new(), Vec::new());
    for n in 0..50 {
        let mut basket = shop.basket(&session, &[(goods, "2")], "20");
        basket["customer_id"] = json!(customer);
        let invoice = shop.sell(basket).await.expect(201).body;
        takes_back(&shop, &session, &invoice, "1").await;
        invoices.push(invoice["invoice_id"].clone());
        if n % 2 == 0 {
            let sale = json!({ "lines": [{ "product_id": goods, "qty": "1" }],
                "buyer": { "name": "Jain Stores", "phone": "9820098200" } });
            let sold = shop.sell_from_office(sale).await.expect(201);
            mixed.extend([
                sold.body["invoice_id"].clone(),
                invoice["invoice_id"].clone(),
            ]);
        }
        let mut order = shop.order_of(&[(goods, "1")]);
        order["customer_id"] = json!(customer);
        shop.order_with(order).await;
    }
    let at_till = json!({ "sessionId": session });
    assert_flat(&shop, INVOICES, |n| json!({ "n": n, "of": at_till })).await;
    let orders = "query($n: Int!) { orders(first: $n) { edges { node { number total customer { name account { orders } }
        location { id } lines { qty held product { id } } salesperson { id } } } } }";
    assert_flat(&shop, orders, |rows| json!({ "n": rows })).await;
    let entities = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Invoice {
        number lines { qty } payments { amount } customer { name } returns { number } } } }";
    let asked = |rows: usize| {
        let of = invoices[..rows].iter();
        let r: Vec<Value> = of
            .map(|id| json!({ "__typename": "Invoice", "id": id }))
            .collect();
        json!({ "r": r })
    };
    assert_flat(&shop, entities, asked).await;
    let found = ask(&shop, entities, asked(50)).await["_entities"].clone();
    assert!(found[49]["customer"]["name"].is_string());
    assert_eq!(found[49]["returns"].as_array().unwrap().len(), 1);
    // Some with a customer and a return, some without.
    let whole = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Invoice { customer { account { dues } }
        lines { qty } payments { amount } returns { lines { qty } refunds { amount } originalInvoice { number } } } } }";
    let asked = |rows: usize| {
        let of = mixed[..rows].iter();
        let r: Vec<Value> = of
            .map(|id| json!({ "__typename": "Invoice", "id": id }))
            .collect();
        json!({ "r": r })
    };
    assert_flat(&shop, whole, asked).await;
    let returns = "query($n: Int!) { returns(first: $n) { edges { node { number lines { qty } refunds { amount }
        originalInvoice { number lines { qty } } } } } }";
    assert_flat(&shop, returns, |rows| json!({ "n": rows })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_refer_to_is_found_by_its_id_and_by_its_tenant_alone() {
    let shop = Shop::open().await;
    let (goods, session) = (shop.goods("10").await, shop.session().await);
    let customer = shop.customer(None).await;
    let invoice = sold(&shop, &session, goods, "2").await;
    let note = takes_back(&shop, &session, &invoice, "1").await;
    let order = shop.order(&[(goods, "1")]).await;
    let query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename
        ... on Invoice { id } ... on Order { id } ... on Return { id } ... on Customer { id } } }";
    let keys = json!([
        { "__typename": "Invoice", "id": invoice["invoice_id"] },
        { "__typename": "Order", "id": order },
        { "__typename": "Return", "id": note["credit_note_id"] },
        { "__typename": "Customer", "id": customer },
    ]);
    let found = ask(&shop, query, json!({ "r": keys })).await;
    assert_eq!(found["_entities"], keys);
    let stranger = shop.sales.client(TenantId::new(), &["*"]);
    let reply = stranger.graphql(query, json!({ "r": keys })).await;
    assert_eq!(
        reply.body["data"]["_entities"],
        json!([null, null, null, null])
    );
    let lists = "{ invoices { totalCount } orders { totalCount } returns { totalCount } customers { totalCount } }";
    let reply = stranger.graphql(lists, json!({})).await;
    let nothing = json!({ "totalCount": 0 });
    assert_eq!(
        reply.body["data"],
        json!({ "invoices": nothing, "orders": nothing, "returns": nothing, "customers": nothing })
    );
    let one = "query($i: ID!, $o: ID!, $r: ID!, $c: ID!) { invoice(id: $i) { returns { id } } order(id: $o) { status }
        return(id: $r) { originalInvoice { id } } customer(id: $c) { status } }";
    let ids = json!({ "i": invoice["invoice_id"], "o": order, "r": note["credit_note_id"], "c": customer });
    let found = ask(&shop, one, ids).await;
    assert_eq!(
        found["invoice"]["returns"],
        json!([{ "id": note["credit_note_id"] }])
    );
    assert_eq!(
        found["return"]["originalInvoice"]["id"],
        invoice["invoice_id"]
    );
    assert_eq!(found["order"]["status"], "draft");
    assert_eq!(found["customer"]["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_for_by_each_field() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let customer = shop.customer(Some("1000")).await;
    let sale = json!({ "customer_id": customer, "lines": [{ "product_id": goods, "qty": "1" }] });
    shop.sell_from_office(sale).await.expect(201);
    let reader = shop.owner.with_permissions(&["sales.invoice.read"]);
    let query = "{ invoices { edges { node { number customer { name } returns { id } } } } }";
    let reply = reader.graphql(query, json!({})).await.expect(200);
    let node = &reply.body["data"]["invoices"]["edges"][0]["node"];
    assert_eq!(
        (&node["customer"], &node["returns"]),
        (&Value::Null, &Value::Null)
    );
    assert!(node["number"].is_string());
    let codes = reply.body["errors"].as_array().unwrap().iter();
    let codes: Vec<_> = codes.map(|e| e["extensions"]["code"].clone()).collect();
    assert_eq!(codes, ["FORBIDDEN", "FORBIDDEN"]);
    let nobody = shop.owner.with_permissions(&[]);
    let id = goods;
    for query in [
        "{ invoices { totalCount } }".to_owned(),
        "{ orders { totalCount } }".to_owned(),
        "{ returns { totalCount } }".to_owned(),
        "{ customers { totalCount } }".to_owned(),
        format!(
            "mutation {{ cancelInvoice(id: \"{id}\", input: {{ reasonCode: DUPLICATE }}) {{ id }} }}"
        ),
        format!("mutation {{ confirmOrder(id: \"{id}\") {{ id }} }}"),
        format!("mutation {{ cancelOrder(id: \"{id}\") {{ id }} }}"),
        format!(
            "mutation {{ createReturn(input: {{ lines: [{{ productId: \"{id}\", qty: \"1\" }}] }}) {{ id }} }}"
        ),
    ] {
        let code = refused(&nobody, &query, json!({})).await["code"].clone();
        assert_eq!(code, "FORBIDDEN", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_under_a_key_confirmed_and_cancelled() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let create = "mutation($i: OrderInput!) { createOrder(input: $i) {
        id status version total buyer { name } creator { id } lines { qty discount product { id } } } }";
    let input = json!({ "locationId": shop.location, "roundToRupee": false,
        "buyer": { "name": "Jain Stores", "phone": "9820098200", "stateCode": "27" },
        "lines": [{ "productId": goods, "qty": "4", "discount": { "percent": "10" } }] });
    let body = json!({ "query": create, "variables": { "i": input } });
    let send = async || {
        let reply = shop
            .owner
            .post_with_key("/graphql", body.clone(), "k")
            .await;
        reply.expect(200).body
    };
    let first = send().await;
    assert_eq!(send().await, first);
    let order = first["data"]["createOrder"].clone();
    assert_eq!(order["status"], "draft", "{first}");
    assert_eq!(order["total"], "36.00");
    assert_eq!(order["creator"]["id"], json!(shop.owner.user));
    assert_eq!(
        order["lines"],
        json!([{ "qty": "4", "discount": "4.00", "product": { "id": goods } }])
    );
    let listed = shop.owner.get("/api/v1/sales/orders").await;
    assert_eq!(listed.body["total"], 1);
    let two = json!({ "percent": "10", "amount": "1" });
    let mut wrong = input.clone();
    wrong["lines"][0]["discount"] = two;
    let refusal = refused(&shop.owner, create, json!({ "i": wrong })).await;
    assert_eq!(refusal["status"], 400, "a discount is one or the other");
    wrong["lines"] = json!([{ "productId": goods, "qty": "-1" }]);
    let refusal = refused(&shop.owner, create, json!({ "i": wrong })).await;
    assert_eq!(refusal["errors"][0]["field"], "lines[0].qty");
    let update = "mutation($id: ID!, $v: Int!, $i: OrderInput!) { updateOrder(id: $id, version: $v, input: $i) { version total } }";
    let mut more = input.clone();
    more["lines"][0]["qty"] = json!("6");
    let asked = json!({ "id": order["id"], "v": 7, "i": more });
    let stale = refused(&shop.owner, update, asked).await;
    assert_eq!(stale["code"], "STALE_VERSION");
    let asked = json!({ "id": order["id"], "v": order["version"], "i": more });
    let now = ask(&shop, update, asked).await;
    assert_eq!(now["updateOrder"]["total"], "54.00");
    let id = json!({ "id": order["id"] });
    let confirm = "mutation($id: ID!, $why: String) { confirmOrder(id: $id, creditOverride: $why) { status lines { held } } }";
    let clerk = shop.owner.with_permissions(&["sales.order.write"]);
    let overriding = json!({ "id": order["id"], "why": "a friend" });
    let refusal = refused(&clerk, confirm, overriding).await;
    assert_eq!(refusal["code"], "FORBIDDEN");
    let done = ask(&shop, confirm, id.clone()).await;
    assert_eq!(
        done["confirmOrder"],
        json!({ "status": "confirmed", "lines": [{ "held": "6" }] })
    );
    shop.assert_stock(goods, ("10", "6", "4")).await;
    let close = "mutation($id: ID!) { closeOrder(id: $id) { status } }";
    let refusal = refused(&shop.owner, close, id.clone()).await;
    let in_rest = shop
        .act(order["id"].as_str().unwrap(), "close", json!({}))
        .await;
    assert_eq!(refusal["code"], in_rest.code(), "the same refusal");
    let cancel = "mutation($id: ID!) { cancelOrder(id: $id, reason: \"changed his mind\") { status reason } }";
    let done = ask(&shop, cancel, id.clone()).await;
    assert_eq!(
        done["cancelOrder"],
        json!({ "status": "cancelled", "reason": "changed his mind" })
    );
    shop.tend().await;
    shop.assert_stock(goods, ("10", "0", "10")).await;
    let stranger = shop.sales.client(TenantId::new(), &["*"]);
    assert_eq!(refused(&stranger, confirm, id).await["code"], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_come_back_and_an_invoice_is_cancelled_by_the_rules_of_rest() {
    let shop = Shop::open().await;
    let (goods, session) = (shop.goods("10").await, shop.session().await);
    let invoice = sold(&shop, &session, goods, "3").await;
    let back = "mutation($i: ReturnInput!) { createReturn(input: $i) { id total
        lines { qty disposition product { id } } refunds { method amount } originalInvoice { returned status } } }";
    let input = |qty: &str, cash: &str| {
        json!({ "i": { "originalInvoiceId": invoice["invoice_id"], "sessionId": session,
            "lines": [{ "originalLine": 1, "qty": qty, "disposition": "QUARANTINE" }],
            "refundTenders": [{ "method": "CASH", "amount": cash }] } })
    };
    let many = refused(&shop.owner, back, input("4", "40")).await;
    assert_eq!(
        (&many["code"], &many["left"]),
        (&json!("EXCEEDS_SOLD"), &json!("3"))
    );
    let body = json!({ "query": back, "variables": input("1", "10") });
    let first = shop
        .owner
        .post_with_key("/graphql", body.clone(), "k")
        .await;
    let again = shop.owner.post_with_key("/graphql", body, "k").await;
    let note = first.body["data"]["createReturn"].clone();
    assert_eq!(note["total"], "10.00", "{}", first.text);
    assert_eq!(
        note["lines"],
        json!([{ "qty": "1", "disposition": "quarantine", "product": { "id": goods } }])
    );
    assert_eq!(note["originalInvoice"]["returned"], "10.00");
    assert_eq!(again.body["data"]["createReturn"]["id"], note["id"]);
    let cancel = "mutation($id: ID!, $i: CancelInvoiceInput!) { cancelInvoice(id: $id, input: $i) { status version lines { qty } } }";
    let refund = |cash: &str| json!({ "reasonCode": "DATA_ENTRY", "refundTenders": [{ "method": "CASH", "amount": cash }] });
    let asked = json!({ "id": invoice["invoice_id"], "i": refund("20") });
    let credited = refused(&shop.owner, cancel, asked).await;
    assert_eq!(credited["code"], "INVOICE_CREDITED");
    let invoice = sold(&shop, &session, goods, "2").await;
    let asked = json!({ "id": invoice["invoice_id"], "i": refund("19") });
    let little = refused(&shop.owner, cancel, asked).await;
    assert_eq!(little["code"], "REFUND_MISMATCH");
    let asked = json!({ "id": invoice["invoice_id"], "i": { "reasonCode": "OTHER" } });
    let wordless = refused(&shop.owner, cancel, asked).await;
    assert_eq!(wordless["errors"][0]["field"], "note");
    let asked = json!({ "id": invoice["invoice_id"], "i": refund("20") });
    let done = ask(&shop, cancel, asked).await;
    assert_eq!(
        done["cancelInvoice"],
        json!({ "status": "cancelled", "version": 2, "lines": [{ "qty": "2" }] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_code() {
    let shop = Shop::without_stock().await;
    for query in [
        "{ invoices(first: 0) { totalCount } }",
        "{ invoices(after: \"no\") { totalCount } }",
        "{ invoices(sort: \"total\") { totalCount } }",
        "{ orders(after: \"no\") { totalCount } }",
        "{ returns(sort: \"issued_at:sideways\") { totalCount } }",
        "{ customers(after: \"no\") { totalCount } }",
        "{ invoice(id: \"no\") { number } }",
    ] {
        let status = refused(&shop.owner, query, json!({})).await["status"].clone();
        assert_eq!(status, 400, "{query}");
    }
}
