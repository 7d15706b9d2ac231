//! Price lists, promotions, coupons and quotes.

use bahi_testkit::{Client, Reply};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

const LISTS: &str = "/api/v1/price-lists";
const PROMOTIONS: &str = "/api/v1/promotions";

/// A product on sale.
async fn on_sale(shop: &Shop, sku: &str, other: Value) -> String {
    let mut all = json!({ "status": "active" });
    merge(&mut all, other);
    shop.add(sku, all).await.expect(201).text_at("id")
}

async fn list(owner: &Client, body: Value) -> String {
    owner.post(LISTS, body).await.expect(201).text_at("id")
}

async fn entries(owner: &Client, list: &str, entries: Value) -> Reply {
    let path = format!("{LISTS}/{list}/entries");
    owner.post(&path, json!({ "entries": entries })).await
}

async fn promotion(owner: &Client, body: Value) -> String {
    owner.post(PROMOTIONS, body).await.expect(201).text_at("id")
}

async fn active(owner: &Client, body: Value) -> String {
    let id = promotion(owner, body).await;
    let path = format!("{PROMOTIONS}/{id}:activate");
    owner.post(&path, json!({})).await.expect(200);
    id
}

async fn quote(owner: &Client, body: Value) -> Reply {
    owner.post("/api/v1/price-quotes", body).await
}

/// The text members of one name of a quote's lines.
fn of_lines(quote: &Reply, name: &str) -> Vec<String> {
    let lines = quote.body["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| line[name].as_str().unwrap().to_owned())
        .collect()
}

/// Why a rule lost on a line of a quote; null when it won.
fn why<'a>(quote: &'a Reply, line: usize, id: &str) -> &'a Value {
    let considered = quote.body["lines"][line]["considered"].as_array().unwrap();
    let of = considered
        .iter()
        .find(|c| c["id"] == id || c["entry_id"] == id);
    &of.unwrap_or_else(|| panic!("{id} was not considered: {considered:?}"))["why"]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lists_never_compete_by_chance() {
    let app = start().await;
    let owner = app.tenant();
    let branch = Uuid::now_v7();
    let base = json!({ "name": "Retail", "valid_from": "2026-01-01", "valid_to": "2026-07-01" });
    let retail = list(&owner, base.clone()).await;
    let with = |other: Value| {
        let mut body = base.clone();
        body["name"] = json!("Other");
        merge(&mut body, other);
        body
    };
    // Another day of the same half-year is one too many.
    for overlap in [
        json!({}),
        json!({ "valid_from": "2026-06-30", "valid_to": null }),
        json!({ "valid_from": null, "valid_to": "2026-01-02" }),
        json!({ "valid_from": null, "valid_to": null }),
    ] {
        let refused = owner.post(LISTS, with(overlap)).await.expect(409);
        assert_eq!(refused.code(), "PRICE_LISTS_AMBIGUOUS");
        assert_eq!(refused.body["price_list_id"], retail);
        assert_eq!(refused.body["name"], "Retail");
    }
    // Another audience, priority or time is not.
    for (name, apart) in [
        ("Priority", json!({ "priority": 1 })),
        ("Branch", json!({ "branch_id": branch })),
        ("Group", json!({ "customer_group_id": branch })),
        (
            "Both",
            json!({ "branch_id": branch, "customer_group_id": branch }),
        ),
        (
            "Later",
            json!({ "valid_from": "2026-07-01", "valid_to": null }),
        ),
    ] {
        let mut body = with(apart);
        body["name"] = json!(name);
        owner.post(LISTS, body).await.expect(201);
    }
    // Nor can a list be moved onto another.
    let later = owner.get(&format!("{LISTS}?name=later")).await.body["items"][0]["id"].clone();
    let path = format!("{LISTS}/{}", later.as_str().unwrap());
    let mut back = base.clone();
    back["name"] = json!("Later");
    assert_eq!(
        owner.put(&path, back, 1).await.expect(409).code(),
        "PRICE_LISTS_AMBIGUOUS"
    );
    let upside_down =
        with(json!({ "priority": 9, "valid_from": "2026-07-02", "valid_to": "2026-07-01" }));
    let refused = owner.post(LISTS, upside_down).await.expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "valid_to");
    for day in ["-5000-01-01", "+10000-01-01"] {
        let refused = owner
            .post(LISTS, with(json!({ "valid_from": day })))
            .await
            .expect(400);
        assert_eq!(refused.body["errors"][0]["field"], "valid_from");
        let asked = json!({ "date": day, "lines": [{ "sku": "A", "qty": "1" }] });
        let refused = quote(&owner, asked).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], "date");
    }
    // Of two that come at once one is refused.
    let rivals = join_all((0..5).map(|n| {
        let body = json!({ "name": format!("Rival {n}"), "priority": 7 });
        owner.post(LISTS, body)
    }))
    .await;
    assert_eq!(rivals.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        rivals
            .iter()
            .all(|r| r.status == 201 || r.code() == "PRICE_LISTS_AMBIGUOUS")
    );
    assert_eq!(
        column(
            &owner
                .get(&format!("{LISTS}?sort=priority:desc&limit=2"))
                .await,
            "name"
        )[1],
        "Priority"
    );
    owner
        .delete(&format!("{LISTS}/{retail}"), 1)
        .await
        .expect(204);
    owner.get(&format!("{LISTS}/{retail}")).await.expect(404);
    let said = app.events().await;
    let of = |name: &str| said.iter().filter(|e| e.event_type == name).count();
    assert_eq!((of("price_list.created"), of("price_list.deleted")), (7, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_holds_one_price_for_a_product_unit_quantity_and_day() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let product = on_sale(&shop, "A", json!({ "price": "100", "mrp": "120" })).await;
    let other = on_sale(&shop, "B", json!({})).await;
    let carton = json!({ "code": "CTN", "name": "Carton", "uqc": "CTN" });
    let carton = owner
        .post("/api/v1/units", carton)
        .await
        .expect(201)
        .text_at("id");
    let retail = list(owner, json!({ "name": "Retail" })).await;
    let made = entries(
        owner,
        &retail,
        json!([
            { "product_id": product, "price": "95" },
            { "product_id": product, "price": "90", "min_qty": "10" },
            { "product_id": product, "price": "80", "min_qty": "20", "valid_to": "2026-06-01" },
            { "product_id": product, "price": "85", "min_qty": "20", "valid_from": "2026-06-01" },
            { "product_id": product, "price": "1000", "unit_id": carton },
            { "product_id": other, "price": "7.1234" },
        ]),
    )
    .await
    .expect(201);
    assert_eq!(made.header("etag"), Some("\"2\""));
    assert_eq!(made.body["entries"][0]["unit_id"], json!(shop.unit));
    let first = made.body["entries"][0]["id"].as_str().unwrap().to_owned();
    let last = made.body["entries"][3]["id"].as_str().unwrap().to_owned();
    let absent = Uuid::now_v7();
    // Refused by field and rule, and nothing of the request is written.
    for (status, code, field, bad) in [
        (
            409,
            "PRICE_RULES_OVERLAP",
            "entries[1]",
            json!({ "product_id": product, "price": "1" }),
        ),
        (
            409,
            "PRICE_RULES_OVERLAP",
            "entries[1]",
            json!({ "product_id": product, "price": "1", "min_qty": "20.000", "valid_from": "2030-01-01" }),
        ),
        (
            409,
            "PRICE_RULES_OVERLAP",
            "entries[1]",
            json!({ "product_id": other, "price": "9", "min_qty": "99" }),
        ),
        (
            422,
            "UNKNOWN_REFERENCE",
            "entries[1].product_id",
            json!({ "product_id": absent, "price": "1" }),
        ),
        (
            422,
            "UNKNOWN_REFERENCE",
            "entries[1].unit_id",
            json!({ "product_id": product, "price": "1", "unit_id": absent }),
        ),
        (
            422,
            "PRICE_ABOVE_MRP",
            "entries[1].price",
            json!({ "product_id": product, "price": "120.01", "min_qty": "5" }),
        ),
        (
            400,
            "INVALID",
            "entries[1].price",
            json!({ "product_id": product, "price": "-1" }),
        ),
        (
            400,
            "INVALID",
            "entries[1].min_qty",
            json!({ "product_id": product, "price": "1", "min_qty": "-1" }),
        ),
        (
            400,
            "INVALID",
            "entries[1].price",
            json!({ "product_id": product, "price": "1000000000000000" }),
        ),
        (
            400,
            "INVALID",
            "entries[1].valid_to",
            json!({ "product_id": product, "price": "1", "min_qty": "5",
                    "valid_from": "2026-01-01", "valid_to": "2026-01-01" }),
        ),
    ] {
        let good = json!({ "product_id": other, "price": "9", "min_qty": "99" });
        let refused = entries(owner, &retail, json!([good, bad])).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{bad}: {}",
            refused.text
        );
        let named = refused
            .body
            .get("field")
            .unwrap_or(&refused.body["errors"][0]["field"]);
        assert_eq!(named, field, "{bad}");
    }
    let refused = entries(
        owner,
        &retail,
        json!([{ "product_id": product, "price": "1" }]),
    )
    .await
    .expect(409);
    assert_eq!(refused.body["other"], first);
    // Ten thousand at once are too many, and so are more of one product than anybody could read.
    let many = |count: usize| -> Value {
        let entry =
            |n: usize| json!({ "product_id": other, "price": "1", "min_qty": (n + 1).to_string() });
        (0..count).map(entry).collect()
    };
    entries(owner, &retail, many(10_000)).await.expect(413);
    let refused = entries(owner, &retail, many(1001)).await.expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "entries");
    let refused = entries(owner, &retail, many(101)).await.expect(422);
    assert_eq!(refused.code(), "TOO_MANY_PRICES");
    let path = format!("{LISTS}/{retail}/entries");
    assert_eq!(owner.get(&path).await.expect(200).body["total"], 6);
    assert_eq!(owner.get(LISTS).await.body["items"][0]["version"], 2);
    assert_eq!(
        owner
            .get(&format!("{path}?product={product}&limit=3"))
            .await
            .expect(200)
            .body["total"],
        5
    );
    // A price changes and goes at the version of its list.
    let entry = format!("{path}/{last}");
    let body = json!({ "product_id": product, "price": "84", "min_qty": "20", "valid_from": "2026-06-01" });
    assert_eq!(
        owner.put(&entry, body.clone(), 1).await.expect(412).code(),
        "STALE_VERSION"
    );
    let changed = owner.put(&entry, body.clone(), 2).await.expect(200);
    assert_eq!(
        (
            &changed.body["version"],
            &changed.body["entries"][0]["price"]
        ),
        (&json!(3), &json!("84"))
    );
    assert_eq!(
        owner.put(&entry, body, 3).await.expect(200).body["version"],
        3,
        "nothing has changed"
    );
    let clash = json!({ "product_id": product, "price": "84", "min_qty": "20", "valid_from": "2026-05-31" });
    assert_eq!(
        owner.put(&entry, clash, 3).await.expect(409).code(),
        "PRICE_RULES_OVERLAP"
    );
    owner
        .delete(&format!("{path}/{first}"), 3)
        .await
        .expect(204);
    owner
        .delete(&format!("{path}/{first}"), 4)
        .await
        .expect(404);
    // Each change is told with all prices of the products that it touches, under the list's version.
    let said = events(&app, "price_list.prices_changed").await;
    let told: Vec<(i64, Vec<usize>)> = said
        .iter()
        .map(|e| {
            let products = e.payload["products"].as_array().unwrap();
            let prices = products
                .iter()
                .map(|p| p["prices"].as_array().unwrap().len());
            (e.aggregate_version, prices.collect())
        })
        .collect();
    assert_eq!(told, [(2, vec![5, 1]), (3, vec![5]), (4, vec![4])]);
    // The database itself refuses what overlaps.
    let text = format!(
        "insert into price_entry values ('{}', '{}', '{retail}', '{other}', '{}', 0, 1, null, null)",
        owner.tenant,
        Uuid::now_v7(),
        shop.unit
    );
    let error = app.admin().await.batch_execute(&text).await.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().constraint(),
        Some("price_entry_overlap")
    );
    // A unit that has a price stays; a product that goes takes its prices along.
    assert_eq!(
        owner
            .delete(&format!("/api/v1/units/{carton}"), 1)
            .await
            .expect(409)
            .code(),
        "IN_USE"
    );
    owner
        .delete(&format!("/api/v1/products/{other}"), 1)
        .await
        .expect(204);
    assert_eq!(owner.get(&path).await.expect(200).body["total"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_which_price_won_and_why_the_others_did_not() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let product = on_sale(&shop, "CABLE", json!({ "price": "299", "mrp": "299" })).await;
    let (branch, group) = (Uuid::now_v7(), Uuid::now_v7());
    let retail = list(owner, json!({ "name": "Retail" })).await;
    let trade = list(
        owner,
        json!({ "name": "Trade", "customer_group_id": group, "price_includes_tax": false }),
    )
    .await;
    let city = list(owner, json!({ "name": "City", "branch_id": branch })).await;
    let old = list(
        owner,
        json!({ "name": "Old", "priority": 5, "valid_to": "2026-01-01" }),
    )
    .await;
    let price = async |list: &str, price: &str, min_qty: &str| {
        let entry = json!([{ "product_id": product, "price": price, "min_qty": min_qty }]);
        let made = entries(owner, list, entry).await.expect(201);
        made.body["entries"][0]["id"].as_str().unwrap().to_owned()
    };
    let (one, ten) = (
        price(&retail, "280", "0").await,
        price(&retail, "270", "10").await,
    );
    price(&trade, "200", "0").await;
    price(&city, "260", "0").await;
    price(&old, "1", "0").await;
    let ask = async |qty: &str, other: Value| {
        let mut body = json!({ "date": "2026-11-21", "lines": [{ "sku": "cable", "qty": qty }] });
        merge(&mut body, other);
        quote(owner, body).await.expect(200)
    };
    let few = ask("9", json!({})).await;
    assert_eq!(of_lines(&few, "unit_price"), ["280"]);
    assert_eq!(why(&few, 0, &one), &Value::Null);
    assert_eq!(why(&few, 0, &ten), "quantity_not_reached");
    assert_eq!(why(&few, 0, &trade), "other_customer_group");
    assert_eq!(why(&few, 0, &city), "other_branch");
    assert_eq!(why(&few, 0, &old), "not_in_date");
    let many = ask("10", json!({})).await;
    assert_eq!(of_lines(&many, "unit_price"), ["270"]);
    assert_eq!(why(&many, 0, &one), "smaller_break");
    // Two lines of the same product reach the break together.
    let lines = json!([{ "sku": "CABLE", "qty": "4" }, { "product_id": product, "qty": "6" }]);
    let split = ask("1", json!({ "lines": lines })).await;
    assert_eq!(of_lines(&split, "net"), ["1080.00", "1620.00"]);
    let city_price = ask("10", json!({ "branch_id": branch })).await;
    assert_eq!(of_lines(&city_price, "unit_price"), ["260"]);
    assert_eq!(why(&city_price, 0, &ten), "wider_audience");
    let dealer = ask(
        "1",
        json!({ "branch_id": branch, "customer_group_id": group }),
    )
    .await;
    assert_eq!(of_lines(&dealer, "unit_price"), ["200"]);
    assert_eq!(dealer.body["totals"]["tax"]["total"], "236.00");
    let before = ask("1", json!({ "date": "2025-12-31" })).await;
    assert_eq!(of_lines(&before, "unit_price"), ["1"]);
    let plain = ask("1", json!({ "explain": false })).await;
    assert!(plain.body["lines"][0].get("considered").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn tax_leaves_the_shelf_price_exact_and_the_mrp_unexceeded() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let five = owner
        .post("/api/v1/tax-profiles", profile("GST 5", "190531", "5"))
        .await
        .expect(201);
    let biscuit = json!({ "price": "30", "tax_profile_id": five.text_at("id") });
    on_sale(&shop, "BISCUIT", biscuit).await;
    on_sale(&shop, "CABLE", json!({ "price": "299", "mrp": "299" })).await;
    on_sale(
        &shop,
        "NET",
        json!({ "price": "253.3897", "price_includes_tax": false, "mrp": "299" }),
    )
    .await;
    let basket = |lines: Value| json!({ "date": "2026-11-21", "lines": lines });
    // Lines of the worked point-of-sale example: 299 / 1.18 would make 299.01 of the cable.
    let asked = json!([{ "sku": "BISCUIT", "qty": "2" }, { "sku": "CABLE", "qty": "1" }]);
    let told = quote(owner, basket(asked.clone())).await.expect(200);
    let tax = |at: usize| told.body["lines"][at]["tax"].clone();
    let amounts = |at: usize| {
        ["taxable", "cgst", "sgst", "total"].map(|name| tax(at)[name].as_str().unwrap().to_owned())
    };
    assert_eq!(amounts(0), ["57.14", "1.43", "1.43", "60.00"]);
    assert_eq!(amounts(1), ["253.38", "22.81", "22.81", "299.00"]);
    assert_eq!(told.body["totals"]["tax"]["total"], "359.00");
    let mut across = basket(asked);
    across["inter_state"] = json!(true);
    let across = quote(owner, across).await.expect(200);
    assert_eq!(across.body["lines"][1]["tax"]["igst"], "45.61");
    assert_eq!(across.body["lines"][1]["tax"]["cgst"], "0.00");
    // A price without tax that would come to 299.01 on the bill.
    let net = quote(owner, basket(json!([{ "sku": "NET", "qty": "1" }])))
        .await
        .expect(200);
    assert_eq!(net.body["totals"]["tax"]["total"], "299.00");
    // The batch on the shelf has the older, lower MRP; another one the newer, higher.
    let shelf = json!([
        { "sku": "CABLE", "qty": "1", "batch_mrp": "280" },
        { "sku": "CABLE", "qty": "1", "batch_mrp": "320" },
    ]);
    let shelf = quote(owner, basket(shelf)).await.expect(200);
    assert_eq!(of_lines(&shelf, "net"), ["280.00", "299.00"]);
    let considered = shelf.body["lines"][0]["considered"].as_array().unwrap();
    assert!(
        considered
            .iter()
            .any(|c| c["rule"] == "mrp" && c["won"] == true)
    );
    // Before the profile's first rate there is no tax to split.
    let mut early = basket(json!([{ "sku": "CABLE", "qty": "1" }]));
    early["date"] = json!("2017-06-30");
    let early = quote(owner, early).await.expect(200);
    assert_eq!(
        (&early.body["lines"][0]["tax"], &early.body["totals"]["tax"]),
        (&json!(null), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn promotions_take_off_what_they_say() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let food = owner
        .post("/api/v1/categories", json!({ "name": "Food" }))
        .await
        .expect(201)
        .text_at("id");
    let sweets = json!({ "name": "Sweets", "parent_id": food });
    let sweets = owner
        .post("/api/v1/categories", sweets)
        .await
        .expect(201)
        .text_at("id");
    for (sku, price) in [("A", "100"), ("B", "60"), ("C", "40")] {
        on_sale(&shop, sku, json!({ "price": price, "category_id": sweets })).await;
    }
    let soap = on_sale(&shop, "SOAP", json!({ "price": "30" })).await;
    let scope = json!({ "categories": [food] });
    for (rule, nets) in [
        (
            json!({ "kind": "percent", "percent": "10" }),
            ["180.00", "54.00", "36.00", "60.00"],
        ),
        (
            json!({ "kind": "amount_per_unit", "amount": "50" }),
            ["100.00", "10.00", "0.00", "60.00"],
        ),
        // 100 100 60: any three for 200; the 40 is no set by itself.
        (
            json!({ "kind": "set_price", "qty": 3, "price": "200" }),
            ["153.85", "46.15", "40.00", "60.00"],
        ),
        (
            json!({ "kind": "set_free", "qty": 4, "free": 1 }),
            ["200.00", "60.00", "0.00", "60.00"],
        ),
        (
            json!({ "kind": "buy_get", "buy_qty": 1, "get_qty": 1, "percent": "50", "max_times": 1 }),
            ["150.00", "60.00", "40.00", "60.00"],
        ),
        (
            json!({ "kind": "buy_get", "buy_qty": 2, "get_qty": 1, "percent": "100", "get": { "products": [soap] } }),
            ["200.00", "60.00", "40.00", "0.00"],
        ),
        (
            json!({ "kind": "bill_amount", "amount": "30" }),
            ["180.00", "54.00", "36.00", "60.00"],
        ),
        (
            json!({ "kind": "bill_percent", "percent": "50", "max_discount": "30" }),
            ["180.00", "54.00", "36.00", "60.00"],
        ),
        (
            json!({ "kind": "bill_amount", "amount": "9999" }),
            ["0.00", "0.00", "0.00", "60.00"],
        ),
    ] {
        let body = json!({ "name": "P", "scope": scope, "rule": rule, "min_qty": "4", "min_amount": "300" });
        let id = active(owner, body).await;
        let line = |sku: &str, qty: &str| json!({ "sku": sku, "qty": qty });
        let lines = json!([
            line("A", "2"),
            line("B", "1"),
            line("C", "1"),
            line("SOAP", "2")
        ]);
        let told = quote(owner, json!({ "lines": lines })).await.expect(200);
        assert_eq!(of_lines(&told, "net"), nets, "{rule}");
        assert_eq!(told.body["names"][&id], "P");
        let few = quote(owner, json!({ "lines": [line("A", "3")] }))
            .await
            .expect(200);
        assert_eq!(why(&few, 0, &id), "quantity_not_reached", "{rule}");
        owner
            .post(&format!("{PROMOTIONS}/{id}:end"), json!({}))
            .await
            .expect(200);
        let over = quote(owner, json!({ "lines": [line("A", "4")] }))
            .await
            .expect(200);
        assert_eq!(of_lines(&over, "net"), ["400.00"], "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_fixed_once_customers_have_seen_it() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let percent = |percent: &str| json!({ "name": "Diwali", "rule": { "kind": "percent", "percent": percent } });
    let id = promotion(owner, percent("10")).await;
    let path = format!("{PROMOTIONS}/{id}");
    let step = async |verb: &str| owner.post(&format!("{path}:{verb}"), json!({})).await;
    assert_eq!(step("end").await.expect(409).code(), "INVALID_TRANSITION");
    assert_eq!(
        owner.put(&path, percent("15"), 1).await.expect(200).body["version"],
        2
    );
    assert_eq!(step("activate").await.expect(200).body["status"], "active");
    let refused = owner.put(&path, percent("20"), 3).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("FIXED_WHEN_ACTIVE", &json!("rule"))
    );
    let mut longer = percent("15");
    longer["valid_to"] = json!("2026-12-01");
    assert_eq!(
        owner.put(&path, longer, 3).await.expect(200).body["version"],
        4
    );
    assert_eq!(
        owner.delete(&path, 4).await.expect(409).code(),
        "INVALID_TRANSITION"
    );
    assert_eq!(step("end").await.expect(200).body["status"], "ended");
    assert_eq!(
        owner.put(&path, percent("15"), 5).await.expect(409).code(),
        "PROMOTION_ENDED"
    );
    let draft = promotion(owner, percent("1")).await;
    owner
        .delete(&format!("{PROMOTIONS}/{draft}"), 1)
        .await
        .expect(204);
    let said: Vec<String> = app
        .events()
        .await
        .iter()
        .filter(|e| e.aggregate_type == "promotion")
        .map(|e| {
            format!(
                "{} v{} {}",
                e.event_type,
                e.aggregate_version,
                e.payload["status"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "promotion.created v1 draft",
            "promotion.updated v2 draft",
            "promotion.updated v3 active",
            "promotion.updated v4 active",
            "promotion.updated v5 ended",
            "promotion.created v1 draft",
            "promotion.deleted v2 draft",
        ]
    );
    assert_eq!(
        column(
            &owner.get(&format!("{PROMOTIONS}?status=ended")).await,
            "id"
        ),
        [id]
    );
    // Rules that make no sense, and goods that are not there.
    let absent = Uuid::now_v7();
    for (status, field, rule, other) in [
        (
            400,
            "rule.percent",
            json!({ "kind": "percent", "percent": "0" }),
            json!({}),
        ),
        (
            400,
            "rule.percent",
            json!({ "kind": "percent", "percent": "101" }),
            json!({}),
        ),
        (
            400,
            "rule.amount",
            json!({ "kind": "bill_amount", "amount": "-5" }),
            json!({}),
        ),
        (
            400,
            "rule.free",
            json!({ "kind": "set_free", "qty": 3, "free": 3 }),
            json!({}),
        ),
        (
            400,
            "rule.get",
            json!({ "kind": "buy_get", "buy_qty": 1, "get_qty": 1, "percent": "5", "get": {} }),
            json!({}),
        ),
        (
            400,
            "min_qty",
            json!({ "kind": "percent", "percent": "5" }),
            json!({ "min_qty": "-1" }),
        ),
        (
            400,
            "priority",
            json!({ "kind": "percent", "percent": "5" }),
            json!({ "priority": 1001 }),
        ),
        (
            422,
            "scope.brands",
            json!({ "kind": "percent", "percent": "5" }),
            json!({ "scope": { "brands": [absent] } }),
        ),
        (
            422,
            "rule.get.products",
            json!({ "kind": "buy_get", "buy_qty": 1, "get_qty": 1, "percent": "5", "get": { "products": [absent] } }),
            json!({}),
        ),
    ] {
        let mut body = json!({ "name": "P", "rule": rule });
        merge(&mut body, other);
        let refused = owner.post(PROMOTIONS, body).await;
        let named = refused
            .body
            .get("field")
            .unwrap_or(&refused.body["errors"][0]["field"]);
        assert_eq!(
            (refused.status, named),
            (status, &json!(field)),
            "{}",
            refused.text
        );
    }
    owner
        .post(
            PROMOTIONS,
            json!({ "name": "P", "rule": { "kind": "gift" } }),
        )
        .await
        .expect(400);
    assert_eq!(owner.get(PROMOTIONS).await.expect(200).body["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_opens_its_promotion_and_its_code_is_never_used_twice() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    on_sale(&shop, "A", json!({ "price": "100" })).await;
    let body = json!({ "name": "Welcome", "needs_coupon": true, "rule": { "kind": "percent", "percent": "10" } });
    let id = promotion(owner, body).await;
    let open = promotion(
        owner,
        json!({ "name": "Open", "rule": { "kind": "percent", "percent": "1" } }),
    )
    .await;
    let path = format!("{PROMOTIONS}/{id}/coupons");
    let coupon = |code: &str| json!({ "code": code, "limit": 100, "limit_per_customer": 1 });
    let made = owner.post(&path, coupon("welcome-10")).await.expect(201);
    assert_eq!(made.body["code"], "WELCOME-10");
    let first = format!("{path}/{}", made.text_at("id"));
    let replies = join_all((0..5).map(|_| owner.post(&path, coupon("Rush-1")))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201
                || (r.code() == "COUPON_CODE_TAKEN" && r.body["field"] == "code"))
    );
    for (status, code, field, body) in [
        (
            409,
            "COUPON_CODE_TAKEN",
            json!("code"),
            coupon("WELCOME-10"),
        ),
        (400, "INVALID", json!(null), coupon("A")),
        (400, "INVALID", json!(null), coupon("-AB")),
        (400, "INVALID", json!(null), coupon("DISCOUNT!")),
        (
            400,
            "INVALID",
            json!(null),
            json!({ "code": "ABC", "limit": 0 }),
        ),
        (
            400,
            "INVALID",
            json!(null),
            json!({ "code": "ABC", "valid_from": "2026-01-02", "valid_to": "2026-01-01" }),
        ),
    ] {
        let refused = owner.post(&path, body.clone()).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{body}");
        assert_eq!(refused.body["field"], field);
    }
    let refused = owner
        .post(&format!("{PROMOTIONS}/{open}/coupons"), coupon("OPEN"))
        .await
        .expect(422);
    assert_eq!(refused.code(), "COUPONS_NOT_NEEDED");
    let ask = async |codes: Value| {
        let body = json!({ "lines": [{ "sku": "A", "qty": "1" }], "coupon_codes": codes });
        quote(owner, body).await.expect(200)
    };
    let draft = ask(json!(["WELCOME-10"])).await;
    assert_eq!(draft.body["coupons"][0]["why"], "promotion_not_active");
    owner
        .post(&format!("{PROMOTIONS}/{id}:activate"), json!({}))
        .await
        .expect(200);
    let without = ask(json!([])).await;
    assert_eq!(of_lines(&without, "net"), ["100.00"]);
    assert_eq!(why(&without, 0, &id), "coupon_needed");
    let with = ask(json!(["nonsense", " welcome-10 "])).await;
    assert_eq!(of_lines(&with, "net"), ["90.00"]);
    assert_eq!(with.body["coupons"][0]["why"], "coupon_unknown");
    assert_eq!(with.body["coupons"][1]["applied"], true);
    assert_eq!(with.body["promotions"][0]["coupon_id"], made.body["id"]);
    // What customers have seen is disabled, not deleted or given another code.
    assert_eq!(
        owner.delete(&first, 1).await.expect(409).code(),
        "INVALID_TRANSITION"
    );
    let refused = owner.put(&first, coupon("OTHER"), 1).await.expect(409);
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("FIXED_WHEN_ACTIVE", &json!("code"))
    );
    let mut disabled = coupon("welcome-10");
    disabled["enabled"] = json!(false);
    assert_eq!(
        owner.put(&first, disabled, 1).await.expect(200).body["version"],
        2
    );
    assert_eq!(
        ask(json!(["WELCOME-10"])).await.body["coupons"][0]["why"],
        "coupon_disabled"
    );
    assert_eq!(
        column(&owner.get(&path).await, "code"),
        ["RUSH-1", "WELCOME-10"]
    );
    let said = events(&app, "coupon.updated").await;
    let told = &said[0].payload;
    assert_eq!(
        told,
        &json!({ "coupon_id": made.body["id"], "promotion_id": id, "code": "WELCOME-10", "enabled": false,
                 "limit": 100, "limit_per_customer": 1, "valid_from": null, "valid_to": null })
    );
    // Another tenant's codes are its own.
    let stranger = Shop::open(&app).await;
    let body = json!({ "name": "W", "needs_coupon": true, "rule": { "kind": "percent", "percent": "10" } });
    let theirs = promotion(&stranger.owner, body).await;
    let path = format!("{PROMOTIONS}/{theirs}/coupons");
    stranger
        .owner
        .post(&path, coupon("WELCOME-10"))
        .await
        .expect(201);
    stranger.owner.get(&first).await.expect(404);
    stranger
        .owner
        .put(&first, coupon("WELCOME-10"), 2)
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_writes_nothing_and_refuses_what_it_cannot_price() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let product = on_sale(&shop, "A", json!({})).await;
    shop.add("DRAFT", json!({})).await.expect(201);
    let carton = json!({ "code": "CTN", "name": "Carton", "uqc": "CTN" });
    let carton = owner
        .post("/api/v1/units", carton)
        .await
        .expect(201)
        .text_at("id");
    let absent = Uuid::now_v7();
    let before = app.events().await.len();
    for (status, code, field, line) in [
        (
            422,
            "UNKNOWN_REFERENCE",
            "lines[1].product_id",
            json!({ "product_id": absent, "qty": "1" }),
        ),
        (
            422,
            "UNKNOWN_REFERENCE",
            "lines[1].sku",
            json!({ "sku": "NOPE", "qty": "1" }),
        ),
        (
            422,
            "UNKNOWN_REFERENCE",
            "lines[1].unit_id",
            json!({ "sku": "A", "qty": "1", "unit_id": absent }),
        ),
        (
            422,
            "NO_PRICE",
            "lines[1].unit_id",
            json!({ "sku": "A", "qty": "1", "unit_id": carton }),
        ),
        (
            422,
            "NOT_FOR_SALE",
            "lines[1]",
            json!({ "sku": "DRAFT", "qty": "1" }),
        ),
        (
            400,
            "INVALID",
            "lines[1].qty",
            json!({ "sku": "A", "qty": "0" }),
        ),
        (
            400,
            "INVALID",
            "lines[1].qty",
            json!({ "sku": "A", "qty": "-1" }),
        ),
        (
            400,
            "INVALID",
            "lines[1].qty",
            json!({ "sku": "A", "qty": "1.0001" }),
        ),
        (
            400,
            "INVALID",
            "lines[1].qty",
            json!({ "sku": "A", "qty": "999999999999999" }),
        ),
        (
            400,
            "INVALID",
            "lines[1].batch_mrp",
            json!({ "sku": "A", "qty": "1", "batch_mrp": "0" }),
        ),
        (400, "INVALID", "lines[1].product_id", json!({ "qty": "1" })),
        (
            400,
            "INVALID",
            "lines[1].product_id",
            json!({ "qty": "1", "sku": "A", "product_id": product }),
        ),
    ] {
        let lines = json!([{ "sku": "A", "qty": "1" }, line]);
        let refused = quote(owner, json!({ "lines": lines })).await;
        let named = refused
            .body
            .get("field")
            .unwrap_or(&refused.body["errors"][0]["field"]);
        assert_eq!(
            (refused.status, refused.code(), named),
            (status, code, &json!(field)),
            "{line}: {}",
            refused.text
        );
    }
    let lines = |count: usize| -> Value { vec![json!({ "sku": "A", "qty": "1" }); count].into() };
    let refused = quote(owner, json!({ "lines": lines(201) }))
        .await
        .expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "lines");
    let most = quote(owner, json!({ "lines": lines(200) }))
        .await
        .expect(200);
    assert_eq!(most.body["totals"]["net"], "20000.00");
    // Whoever may read products may ask, and nothing is written.
    let cashier = owner.with_permissions(&["product.product.read"]);
    quote(&cashier, json!({ "lines": lines(1) }))
        .await
        .expect(200);
    assert_eq!(app.events().await.len(), before);
    // The product is another tenant's.
    let stranger = Shop::open(&app).await;
    let line = json!([{ "product_id": product, "qty": "1" }]);
    quote(&stranger.owner, json!({ "lines": line }))
        .await
        .expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_in_dozens_follows_the_pieces() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = &shop.owner;
    let mut units = Vec::new();
    for (code, uqc) in [("DOZ", "DOZ"), ("CTN", "CTN"), ("THR", "PCS")] {
        let unit = json!({ "code": code, "name": code, "uqc": uqc });
        let unit = owner.post("/api/v1/units", unit).await.expect(201);
        units.push(unit.text_at("id"));
    }
    let (dozen, carton, third) = (&units[0], &units[1], &units[2]);
    let packs = json!([
        { "unit_id": dozen, "numerator": 12 },
        { "unit_id": carton, "numerator": 144, "price": "1300" },
        { "unit_id": third, "numerator": 1, "denominator": 3 },
    ]);
    let own = json!({ "price": "10", "mrp": "10.01", "price_includes_tax": true, "units": packs });
    let product = on_sale(&shop, "A", own).await;
    let in_unit = |unit: &str, qty: &str| json!([{ "sku": "A", "unit_id": unit, "qty": qty }]);
    let prices = async |lines: Value| {
        let quoted = quote(owner, json!({ "lines": lines })).await.expect(200);
        of_lines(&quoted, "unit_price")
    };
    // The stock unit's price times the factor, or the unit's own.
    assert_eq!(prices(in_unit(dozen, "1")).await, ["120"]);
    assert_eq!(prices(in_unit(carton, "1")).await, ["1300"]);
    // A third of 10.01 is the most that a third may cost.
    assert_eq!(prices(in_unit(third, "1")).await, ["3.33"]);
    // A list for pieces from 24 on holds for two dozens, not for one.
    let whole = list(
        owner,
        json!({ "name": "Wholesale", "price_includes_tax": true }),
    )
    .await;
    let rows = json!([{ "product_id": product, "price": "9", "min_qty": "24" }]);
    entries(owner, &whole, rows).await.expect(201);
    assert_eq!(prices(in_unit(dozen, "1")).await, ["120"]);
    assert_eq!(prices(in_unit(dozen, "1.999")).await, ["120"]);
    assert_eq!(prices(in_unit(dozen, "2")).await, ["108"]);
    // What the list says for the dozen itself goes before.
    let rows = json!([{ "product_id": product, "unit_id": dozen, "price": "100" }]);
    entries(owner, &whole, rows).await.expect(201);
    assert_eq!(prices(in_unit(dozen, "2")).await, ["100"]);
    // And the MRP of a dozen is that of twelve pieces.
    // Below the list's own break in dozens its price for pieces still holds.
    let broken = list(
        owner,
        json!({ "name": "Breaks", "price_includes_tax": true, "priority": 5 }),
    )
    .await;
    let rows = json!([
        { "product_id": product, "price": "8" },
        { "product_id": product, "unit_id": dozen, "min_qty": "10", "price": "90" },
    ]);
    entries(owner, &broken, rows).await.expect(201);
    assert_eq!(prices(in_unit(dozen, "9")).await, ["96"]);
    assert_eq!(prices(in_unit(dozen, "10")).await, ["90"]);
    let dear = list(
        owner,
        json!({ "name": "Dear", "price_includes_tax": true, "priority": 9 }),
    )
    .await;
    let rows = json!([{ "product_id": product, "unit_id": dozen, "price": "150" }]);
    entries(owner, &dear, rows).await.expect(201);
    assert_eq!(prices(in_unit(dozen, "1")).await, ["120.12"]);
    // So is that of a batch, which is for a piece.
    let of_batch = json!([{ "sku": "A", "unit_id": dozen, "qty": "1", "batch_mrp": "9.99" }]);
    assert_eq!(prices(of_batch).await, ["119.88"]);
}
