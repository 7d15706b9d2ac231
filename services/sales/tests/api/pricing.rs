//! Price lists, promotions and coupons at the till.

use std::sync::Arc;

use bahi_events::{
    CATEGORY_CREATED, COUPON_CREATED, COUPON_DELETED, COUPON_UPDATED, Category, Coupon, Envelope,
    ListPrice, Outgoing, PRICE_LIST_CREATED, PRICE_LIST_DELETED, PRICE_LIST_PRICES_CHANGED,
    PRICE_LIST_UPDATED, PRODUCT_CREATED, PRODUCT_UPDATED, PROMOTION_CREATED, PROMOTION_DELETED,
    PROMOTION_UPDATED, PriceList, PriceListPrices, Product, ProductKind, ProductPrices, Promotion,
    PromotionRule, PromotionScope, TAX_RATE_CHANGED,
};
use bahi_testkit::{Client, Reply, TestApp};
use bahi_types::{
    BranchId, CategoryId, CouponId, CustomerGroupId, CustomerId, PriceEntryId, PriceListId,
    ProductId, PromotionId, TaxProfileId, UnitId,
};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{Shop, product, tax_profile};

/// A shop that sells services, so that stock plays no part.
struct Counter {
    shop: Shop,
    session: String,
    profile: TaxProfileId,
}

impl Counter {
    async fn open() -> Self {
        let shop = Shop::without_stock().await;
        let session = shop.session().await;
        let profile = TaxProfileId::new();
        let tax = tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]);
        shop.hear([TAX_RATE_CHANGED.of(profile.uuid(), 1, &tax)])
            .await;
        Self {
            shop,
            session,
            profile,
        }
    }

    /// A service at a price with 18 % inside.
    async fn service(&self, sku: &str, price: &str) -> Product {
        let mut service = product(sku, price, true, self.profile);
        service.kind = ProductKind::Service;
        self.shop
            .hear([PRODUCT_CREATED.of(service.product_id.uuid(), 1, &service)])
            .await;
        service
    }

    /// A sale paid with more than enough cash.
    fn basket(&self, lines: Value, other: Value) -> Value {
        let mut body = json!({ "session_id": self.session, "lines": lines,
            "tenders": [{ "method": "cash", "amount": "1000000" }] });
        merge(&mut body, other);
        body
    }

    async fn sell(&self, lines: Value, other: Value) -> Reply {
        self.shop.sell(self.basket(lines, other)).await
    }
}

fn merge(body: &mut Value, other: Value) {
    for (field, value) in other.as_object().unwrap() {
        body[field] = value.clone();
    }
}

fn qty(product: &Product, qty: &str) -> Value {
    json!({ "product_id": product.product_id, "qty": qty })
}

fn a_list(priority: i32) -> PriceList {
    PriceList {
        price_list_id: PriceListId::new(),
        name: "List".into(),
        priority,
        price_includes_tax: true,
        branch_id: None,
        customer_group_id: None,
        valid_from: None,
        valid_to: None,
    }
}

/// From a quantity, a price.
fn prices_of(product: &Product, breaks: &[(&str, &str)]) -> ProductPrices {
    let price = |(min_qty, price): &(&str, &str)| ListPrice {
        entry_id: PriceEntryId::new(),
        unit_id: product.stock_unit_id,
        min_qty: min_qty.parse().unwrap(),
        price: price.parse().unwrap(),
        valid_from: None,
        valid_to: None,
    };
    ProductPrices {
        product_id: product.product_id,
        prices: breaks.iter().map(price).collect(),
    }
}

fn priced(list: &PriceList, version: i64, products: Vec<ProductPrices>) -> Outgoing {
    let prices = PriceListPrices {
        price_list_id: list.price_list_id,
        products,
    };
    PRICE_LIST_PRICES_CHANGED.of(list.price_list_id.uuid(), version, &prices)
}

fn created(list: &PriceList) -> Outgoing {
    PRICE_LIST_CREATED.of(list.price_list_id.uuid(), 1, list)
}

fn a_promotion(name: &str, rule: PromotionRule) -> Promotion {
    Promotion {
        promotion_id: PromotionId::new(),
        name: name.into(),
        status: "active".into(),
        priority: 0,
        stackable: false,
        needs_coupon: false,
        branch_id: None,
        customer_group_id: None,
        valid_from: None,
        valid_to: None,
        scope: PromotionScope::default(),
        min_qty: None,
        min_amount: None,
        rule,
    }
}

fn percent(percent: &str) -> PromotionRule {
    PromotionRule::Percent {
        percent: percent.parse().unwrap(),
    }
}

fn active(promotion: &Promotion) -> Outgoing {
    PROMOTION_UPDATED.of(promotion.promotion_id.uuid(), 2, promotion)
}

fn a_coupon(promotion: &Promotion, code: &str) -> Coupon {
    Coupon {
        coupon_id: CouponId::new(),
        promotion_id: promotion.promotion_id,
        code: code.into(),
        enabled: true,
        limit: None,
        limit_per_customer: None,
        valid_from: None,
        valid_to: None,
    }
}

fn given(coupon: &Coupon) -> Outgoing {
    COUPON_CREATED.of(coupon.coupon_id.uuid(), 1, coupon)
}

/// Prices of one unit, line by line.
fn unit_prices(sold: &Reply) -> Vec<&str> {
    let lines = sold.body["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|l| l["unit_price"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_prices_by_branch_group_day_and_quantity() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let group = CustomerGroupId::new();
    let all = a_list(0);
    let here = PriceList {
        branch_id: Some(till.shop.branch),
        ..a_list(0)
    };
    let elsewhere = PriceList {
        branch_id: Some(BranchId::new()),
        ..a_list(900)
    };
    let trade = PriceList {
        customer_group_id: Some(group),
        price_includes_tax: false,
        ..a_list(0)
    };
    let over = PriceList {
        valid_to: Some("2026-11-05".parse().unwrap()),
        ..a_list(900)
    };
    let begun = PriceList {
        valid_from: Some("2026-11-06".parse().unwrap()),
        ..a_list(800)
    };
    let mut in_tens = prices_of(&cut, &[("0", "60")]);
    in_tens.prices[0].unit_id = UnitId::new();
    let events = [
        created(&all),
        priced(&all, 2, vec![prices_of(&cut, &[("0", "90"), ("10", "80")])]),
    ];
    till.shop.hear(events).await;
    let one = till
        .sell(json!([qty(&cut, "1")]), json!({}))
        .await
        .expect(201);
    let line = &one.body["lines"][0];
    assert_eq!(
        (
            &line["unit_price"],
            &line["price_list_id"],
            &line["list_price"]
        ),
        (&json!("90"), &json!(all.price_list_id), &Value::Null)
    );
    // The break looks at the whole basket.
    let parted = json!([qty(&cut, "6"), qty(&cut, "4")]);
    let ten = till.sell(parted, json!({})).await.expect(201);
    assert_eq!(unit_prices(&ten), ["80", "80"]);
    assert_eq!(ten.text_at("total"), "800.00");
    let others = [&here, &elsewhere, &trade, &over, &begun];
    till.shop.hear(others.map(created)).await;
    till.shop
        .hear([
            priced(&here, 2, vec![prices_of(&cut, &[("0", "85")])]),
            priced(&elsewhere, 2, vec![prices_of(&cut, &[("0", "1")])]),
            priced(&trade, 2, vec![prices_of(&cut, &[("0", "50")])]),
            priced(&over, 2, vec![prices_of(&cut, &[("0", "2")])]),
            priced(&begun, 2, vec![prices_of(&cut, &[("0", "70")])]),
        ])
        .await;
    let price = async |other: Value| {
        let sold = till.sell(json!([qty(&cut, "1")]), other).await.expect(201);
        (
            sold.body["lines"][0]["unit_price"].clone(),
            sold.text_at("total"),
        )
    };
    assert_eq!(price(json!({})).await, (json!("85"), "85.00".into()));
    let member = json!({ "customer_group_id": group });
    assert_eq!(price(member.clone()).await, (json!("50"), "59.00".into()));
    // A sale from the office is that of its location's branch, and says whose prices it has.
    let series =
        json!({ "registration_id": till.shop.registration, "purpose": "invoice", "prefix": "OF" });
    till.shop
        .owner
        .post("/api/v1/sales/series", series)
        .await
        .expect(201);
    let office = json!({ "location_id": till.shop.location, "lines": [qty(&cut, "1")],
        "buyer": { "name": "A", "phone": "9820098200" }, "customer_group_id": group });
    let sent = till
        .shop
        .owner
        .post_with_key("/api/v1/sales/invoices", office, "o")
        .await
        .expect(201);
    assert_eq!(sent.body["customer_group_id"], json!(group));
    assert_eq!(unit_prices(&sent), ["50"]);
    // A price in another unit than the stock's is none of the till's.
    till.shop.hear([priced(&begun, 3, vec![in_tens])]).await;
    till.shop.later(24 * 3600);
    assert_eq!(price(json!({})).await.0, json!("85"));
    till.shop
        .hear([priced(&begun, 4, vec![prices_of(&cut, &[("0", "70")])])])
        .await;
    assert_eq!(price(member).await.0, json!("70"));
    let told = till.shop.said("invoice.issued").await;
    let line = &told[0]["lines"][0]["pricing"];
    assert_eq!(line["price_list_id"], json!(all.price_list_id));
    assert!(line["price_entry_id"].is_string());
    till.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_lists_go_forward_only_and_what_is_deleted_stays_so() {
    let till = Counter::open().await;
    let (cut, wash) = (
        till.service("CUT", "100").await,
        till.service("WASH", "50").await,
    );
    let list = a_list(0);
    let both = async || {
        let sold = till
            .sell(json!([qty(&cut, "1"), qty(&wash, "1")]), json!({}))
            .await
            .expect(201);
        unit_prices(&sold).join(" ")
    };
    // Prices that come before their list hold for nobody; one change may come in parts of one version.
    let (first, second) = (
        priced(&list, 2, vec![prices_of(&cut, &[("0", "90")])]),
        priced(&list, 2, vec![prices_of(&wash, &[("0", "45")])]),
    );
    till.shop.hear([first, second]).await;
    assert_eq!(both().await, "100 50");
    till.shop.hear([created(&list)]).await;
    assert_eq!(both().await, "90 45");
    // Newer than what is there, product by product; older is nothing.
    till.shop
        .hear([
            priced(&list, 4, vec![prices_of(&cut, &[("0", "92")])]),
            priced(
                &list,
                3,
                vec![
                    prices_of(&cut, &[("0", "91")]),
                    prices_of(&wash, &[("0", "46")]),
                ],
            ),
        ])
        .await;
    assert_eq!(both().await, "92 46");
    till.shop
        .hear([priced(&list, 5, vec![prices_of(&wash, &[])])])
        .await;
    assert_eq!(both().await, "92 50");
    // The list itself.
    let raised = PriceList {
        valid_to: Some("2026-11-05".parse().unwrap()),
        ..list.clone()
    };
    let of =
        |list: &PriceList, version| PRICE_LIST_UPDATED.of(list.price_list_id.uuid(), version, list);
    till.shop.hear([of(&raised, 7), of(&list, 6)]).await;
    assert_eq!(both().await, "100 50");
    till.shop.hear([of(&list, 8)]).await;
    assert_eq!(both().await, "92 50");
    till.shop
        .hear([PRICE_LIST_DELETED.of(list.price_list_id.uuid(), 9, &list)])
        .await;
    till.shop
        .hear([
            of(&list, 8),
            priced(&list, 8, vec![prices_of(&cut, &[("0", "1")])]),
        ])
        .await;
    assert_eq!(both().await, "100 50");
    let kept =
        "select (select count(*) from price_entry) + (select count(*) from price_list_product)";
    let kept: i64 = till
        .shop
        .sales
        .admin()
        .await
        .query_one(kept, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 0);
    // A restored product starts over at a lower version, in a higher epoch.
    let again = [
        of(&list, 2),
        priced(&list, 3, vec![prices_of(&cut, &[("0", "88")])]),
    ];
    let again: Vec<_> = again
        .into_iter()
        .map(|event| Envelope {
            epoch: 2,
            ..till.shop.envelope(event)
        })
        .collect();
    till.shop.hear_enveloped(&again).await;
    assert_eq!(both().await, "88 50");
    // Another tenant has none of it.
    let other = till.shop.next_tenant().await;
    let session = other.session().await;
    other
        .hear([PRODUCT_CREATED.of(cut.product_id.uuid(), 1, &cut)])
        .await;
    let tax = tax_profile(till.profile, "taxable", &[("2017-07-01", None, "18")]);
    other
        .hear([TAX_RATE_CHANGED.of(till.profile.uuid(), 1, &tax)])
        .await;
    let sold = other
        .sell(other.basket(&session, &[(cut.product_id, "1")], "100"))
        .await;
    assert_eq!(unit_prices(&sold.expect(201)), ["100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_from_before_units_were_kept_takes_them_when_its_event_is_read_again() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let forget = "update product set stock_unit_id = null, category_id = null, brand_id = null";
    till.shop
        .sales
        .admin()
        .await
        .batch_execute(forget)
        .await
        .unwrap();
    let list = a_list(0);
    till.shop
        .hear([
            created(&list),
            priced(&list, 2, vec![prices_of(&cut, &[("0", "90")])]),
        ])
        .await;
    let price = async || {
        let sold = till
            .sell(json!([qty(&cut, "1")]), json!({}))
            .await
            .expect(201);
        sold.body["lines"][0]["unit_price"].clone()
    };
    assert_eq!(price().await, "100");
    till.shop
        .hear([PRODUCT_CREATED.of(cut.product_id.uuid(), 1, &cut)])
        .await;
    assert_eq!(price().await, "90");
    // From then on the same version is nothing new.
    let other = Product {
        price: "7".parse().unwrap(),
        stock_unit_id: UnitId::new(),
        ..cut.clone()
    };
    till.shop
        .hear([PRODUCT_UPDATED.of(cut.product_id.uuid(), 1, &other)])
        .await;
    assert_eq!(price().await, "90");
}

#[tokio::test(flavor = "multi_thread")]
async fn promotions_are_taken_off_and_told_and_the_cashier_comes_after_them() {
    let till = Counter::open().await;
    let (top, below) = (CategoryId::new(), CategoryId::new());
    let category = |id: CategoryId, parent_id| {
        let category = Category {
            category_id: id,
            parent_id,
            name: "C".into(),
        };
        CATEGORY_CREATED.of(id.uuid(), 1, &category)
    };
    let cut = till.service("CUT", "100").await;
    let mut care = till.service("CARE", "200").await;
    care.category_id = Some(below);
    let tenth = Promotion {
        scope: PromotionScope {
            categories: vec![top],
            ..PromotionScope::default()
        },
        stackable: true,
        ..a_promotion("Care week", percent("10"))
    };
    let bill = Promotion {
        stackable: true,
        min_amount: Some("250".parse().unwrap()),
        ..a_promotion(
            "Round",
            PromotionRule::BillAmount {
                amount: "28".parse().unwrap(),
            },
        )
    };
    till.shop
        .hear([
            category(top, None),
            category(below, Some(top)),
            PRODUCT_UPDATED.of(care.product_id.uuid(), 2, &care),
            // Active at once or only a draft so far: its latest event counts.
            PROMOTION_CREATED.of(
                tenth.promotion_id.uuid(),
                1,
                &Promotion {
                    status: "draft".into(),
                    ..tenth.clone()
                },
            ),
            active(&tenth),
            active(&bill),
        ])
        .await;
    let lines = json!([qty(&cut, "1"), qty(&care, "1")]);
    let sold = till.sell(lines.clone(), json!({})).await.expect(201);
    // 100 and 180 are left; 28 of them is a tenth.
    let of = |line: usize| {
        let line = &sold.body["lines"][line];
        [
            &line["gross"],
            &line["discount"],
            &line["bill_discount"],
            &line["total"],
        ]
        .map(|v| v.as_str().unwrap().to_owned())
    };
    assert_eq!(of(0), ["100.00", "0.00", "10.00", "90.00"]);
    assert_eq!(of(1), ["200.00", "20.00", "18.00", "162.00"]);
    let share = |promotion: &Promotion, amount: &str, of_bill| json!({ "promotion_id": promotion.promotion_id, "name": promotion.name, "amount": amount, "of_bill": of_bill });
    assert_eq!(
        sold.body["lines"][1]["promotions"],
        json!([share(&tenth, "20.00", false), share(&bill, "18.00", true)])
    );
    let whole = |promotion: &Promotion, amount: &str| {
        json!({ "promotion_id": promotion.promotion_id, "name": promotion.name, "amount": amount,
                "coupon_id": null, "coupon_code": null })
    };
    assert_eq!(
        sold.body["promotions"],
        json!([whole(&tenth, "20.00"), whole(&bill, "28.00")])
    );
    assert_eq!(
        (sold.text_at("discount"), sold.text_at("total")),
        ("48.00".into(), "252.00".into())
    );
    let told = till.shop.said("invoice.issued").await;
    assert_eq!(told[0]["pricing"]["promotions"], sold.body["promotions"]);
    assert_eq!(told[0]["lines"][1]["discount"], "38.00");
    assert_eq!(
        told[0]["lines"][1]["pricing"]["promotions"],
        sold.body["lines"][1]["promotions"]
    );
    // It stands as it was issued.
    let again = till
        .shop
        .owner
        .get(&format!(
            "/api/v1/sales/invoices/{}",
            sold.text_at("invoice_id")
        ))
        .await
        .expect(200);
    assert_eq!(again.body, sold.body);
    // Half of what is left of the care, and then 26 off the bill: of 90 and 81.
    let cashier = till.shop.cashier(&["sales.pos.use"]);
    let mut more = till.basket(
        lines.clone(),
        json!({ "bill_discount": { "amount": "17.10" } }),
    );
    more["lines"][1]["discount"] = json!({ "percent": "50" });
    let refused = cashier
        .post_with_key("/api/v1/pos/invoice", more.clone(), "d")
        .await
        .expect(403);
    assert_eq!(refused.text_at("permission"), "sales.discount.give");
    let less = till.shop.sell(more.clone()).await.expect(201);
    assert_eq!(less.text_at("total"), "153.90");
    assert_eq!(less.body["lines"][1]["discount"], "101.00");
    assert_eq!(less.body["lines"][1]["bill_discount"], "26.10");
    // Never below zero: there are 162 left of the care.
    more["lines"][1]["discount"] = json!({ "amount": "162.01" });
    assert_eq!(
        till.shop.sell(more.clone()).await.expect(422).code(),
        "UNCOMPUTABLE"
    );
    more["lines"][1]["discount"] = json!({ "amount": "162" });
    assert_eq!(
        till.shop.sell(more).await.expect(201).body["lines"][1]["total"],
        "0.00"
    );
    // Without the permission promotions are had all the same.
    let body = till.basket(lines.clone(), json!({}));
    let sold = cashier
        .post_with_key("/api/v1/pos/invoice", body, "p")
        .await
        .expect(201);
    assert_eq!(sold.text_at("total"), "252.00");
    // What is over or deleted takes nothing off, whatever comes late.
    let ended = Promotion {
        status: "ended".into(),
        ..tenth.clone()
    };
    till.shop
        .hear([
            PROMOTION_UPDATED.of(tenth.promotion_id.uuid(), 3, &ended),
            PROMOTION_DELETED.of(bill.promotion_id.uuid(), 3, &bill),
        ])
        .await;
    till.shop.hear([active(&tenth), active(&bill)]).await;
    let full = till.sell(lines, json!({})).await.expect(201);
    assert_eq!(
        (full.text_at("total"), &full.body["promotions"]),
        ("300.00".into(), &json!([]))
    );
    till.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_price_stands_outside_of_lists_and_promotions() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let list = a_list(0);
    let fifth = a_promotion("Fifth", percent("20"));
    till.shop
        .hear([
            created(&list),
            priced(&list, 2, vec![prices_of(&cut, &[("0", "90"), ("3", "80")])]),
            active(&fifth),
        ])
        .await;
    let line = |price: &str, reason: Option<&str>| json!({ "product_id": cut.product_id, "qty": "1", "unit_price": price, "reason": reason });
    // The list's price is no other price, the product's own is.
    let cashier = till.shop.cashier(&["sales.pos.use"]);
    let body = |lines: Value| till.basket(lines, json!({}));
    let named = cashier
        .post_with_key("/api/v1/pos/invoice", body(json!([line("90", None)])), "a")
        .await
        .expect(201);
    assert_eq!(named.text_at("total"), "72.00");
    let own = cashier
        .post_with_key("/api/v1/pos/invoice", body(json!([line("100", None)])), "b")
        .await
        .expect(403);
    assert_eq!(own.text_at("permission"), "sales.price.override");
    // It counts for the break, has no part in the promotion, and the audit names the list's price.
    let lines = json!([line("75", Some("torn")), qty(&cut, "2")]);
    let sold = till.shop.sell(body(lines)).await.expect(201);
    assert_eq!(unit_prices(&sold), ["75", "80"]);
    assert_eq!(sold.text_at("total"), "203.00");
    let torn = &sold.body["lines"][0];
    assert_eq!(
        (
            &torn["list_price"],
            &torn["price_list_id"],
            &torn["promotions"]
        ),
        (&json!("80"), &Value::Null, &json!([]))
    );
    assert_eq!(
        sold.body["lines"][1]["price_list_id"],
        json!(list.price_list_id)
    );
    let audited = till.shop.said("audit.recorded").await;
    assert_eq!(audited[0]["details"]["lines"][0]["list_price"], "80");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_price_of_the_copies_is_above_the_mrp_of_the_batch() {
    let till = Counter::open().await;
    let mut cut = till.service("CUT", "100").await;
    cut.mrp = Some("120".parse().unwrap());
    let list = a_list(0);
    till.shop
        .hear([
            PRODUCT_UPDATED.of(cut.product_id.uuid(), 2, &cut),
            created(&list),
            priced(&list, 2, vec![prices_of(&cut, &[("0", "130")])]),
        ])
        .await;
    let with = |other: Value| {
        let mut line = qty(&cut, "1");
        merge(&mut line, other);
        json!([line])
    };
    let price = async |line: Value| {
        till.sell(line, json!({}))
            .await
            .expect(201)
            .text_at("total")
    };
    assert_eq!(price(with(json!({}))).await, "120.00");
    assert_eq!(price(with(json!({ "batch_mrp": "95" }))).await, "95.00");
    assert_eq!(price(with(json!({ "batch_mrp": "140" }))).await, "130.00");
    // Without tax: 80.52 is 95.01 with it, so it is charged inside.
    let net = PriceList {
        price_includes_tax: false,
        ..a_list(1)
    };
    till.shop
        .hear([
            created(&net),
            priced(&net, 2, vec![prices_of(&cut, &[("0", "80.52")])]),
        ])
        .await;
    let capped = till
        .sell(with(json!({ "batch_mrp": "95" })), json!({}))
        .await
        .expect(201);
    let line = &capped.body["lines"][0];
    assert_eq!(
        (
            &line["total"],
            &line["price_includes_tax"],
            &line["batch_mrp"]
        ),
        (&json!("95.00"), &json!(true), &json!("95.00"))
    );
    let dear = with(
        json!({ "batch_mrp": "95", "unit_price": "95.01", "price_includes_tax": true, "reason": "rare" }),
    );
    assert_eq!(
        till.sell(dear, json!({})).await.expect(422).code(),
        "ABOVE_MRP"
    );
    let zero = with(json!({ "batch_mrp": "0" }));
    let refused = till.sell(zero, json!({})).await.expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "lines[0].batch_mrp");
}

/// A promotion of 10 % with a coupon of this code.
async fn tenth_by(
    till: &Counter,
    code: &str,
    limit: Option<u32>,
    of_one: Option<u32>,
) -> (Promotion, Coupon) {
    let promotion = Promotion {
        needs_coupon: true,
        ..a_promotion("Tenth", percent("10"))
    };
    let coupon = Coupon {
        limit,
        limit_per_customer: of_one,
        ..a_coupon(&promotion, code)
    };
    till.shop.hear([active(&promotion), given(&coupon)]).await;
    (promotion, coupon)
}

/// Uses that are counted and noted, of all and of one customer.
async fn used(till: &Counter, coupon: &Coupon, customer: Option<CustomerId>) -> (i64, i64) {
    let admin = till.shop.sales.admin().await;
    let who = customer.map_or(Uuid::nil(), |c| c.uuid());
    let counted = "select coalesce((select used from coupon_counter where coupon_id = $1 and customer_id = $2), 0),
                          (select count(*) from coupon_use where coupon_id = $1 and ($2 = '00000000-0000-0000-0000-000000000000' or customer_id = $2))";
    let row = admin
        .query_one(counted, &[&coupon.coupon_id.uuid(), &who])
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_is_not_used_beyond_its_limit_however_many_try() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let (_, coupon) = tenth_by(&till, "TEN", Some(10), Some(2)).await;
    let lines = json!([qty(&cut, "1")]);
    // Four customers, who may use it twice each, and many more who may once in all.
    let four: Vec<CustomerId> = (0..4).map(|_| CustomerId::new()).collect();
    let tries = (0..100).map(|n| {
        let customer = if n % 2 == 0 {
            four[n / 2 % 4]
        } else {
            CustomerId::new()
        };
        till.sell(
            lines.clone(),
            json!({ "coupons": ["ten"], "customer_id": customer }),
        )
    });
    let replies = join_all(tries).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 10);
    for refused in replies.iter().filter(|r| r.status != 201) {
        assert_eq!(
            (refused.status, refused.code(), refused.text_at("coupon")),
            (409, "COUPON_USED_UP", "TEN".into())
        );
    }
    assert_eq!(used(&till, &coupon, None).await, (10, 10));
    for customer in four {
        let (counted, noted) = used(&till, &coupon, Some(customer)).await;
        assert!(counted == noted && counted <= 2, "{counted} {noted}");
    }
    till.shop.assert_sound().await;

    // By one customer alone.
    let (_, mine) = tenth_by(&till, "MINE", None, Some(3)).await;
    let me = CustomerId::new();
    let tries = (0..100).map(|_| {
        till.sell(
            lines.clone(),
            json!({ "coupons": ["MINE"], "customer_id": me }),
        )
    });
    let replies = join_all(tries).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 3);
    let refused = replies.iter().find(|r| r.status != 201).unwrap();
    assert_eq!(
        (refused.code(), &refused.body["by_customer"]),
        ("COUPON_USED_UP", &json!(true))
    );
    assert_eq!(used(&till, &mine, Some(me)).await, (3, 3));
    till.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_lost_the_last_use_frees_its_goods() {
    let shop = Shop::open().await;
    let goods = shop.goods("100").await;
    let session = shop.session().await;
    let till = Counter {
        shop,
        session,
        profile: TaxProfileId::new(),
    };
    let (_, coupon) = tenth_by(&till, "FIVE", Some(5), None).await;
    let lines = json!([{ "product_id": goods, "qty": "1" }]);
    let replies =
        join_all((0..40).map(|_| till.sell(lines.clone(), json!({ "coupons": ["FIVE"] })))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 5);
    assert_eq!(used(&till, &coupon, None).await, (5, 5));
    till.shop.relay().await;
    // What a release did not reach in time is asked about at its deadline.
    till.shop.later(31);
    till.shop.ask_sales().await;
    till.shop.assert_stock(goods, ("95", "0", "95")).await;
    till.shop.assert_sound().await;
}

/// The wrong way: counting the rows and adding one. All have counted before anybody adds.
#[tokio::test(flavor = "multi_thread")]
async fn counting_before_adding_lets_too_many_through() {
    let till = Counter::open().await;
    let admin = till.shop.sales.admin().await;
    admin
        .batch_execute("create table naive (n int)")
        .await
        .unwrap();
    let counted = Arc::new(Barrier::new(10));
    let tries = (0..10).map(|n| {
        let (counted, shop) = (counted.clone(), till.shop.clone());
        async move {
            let mut conn = shop.sales.admin().await;
            let tx = conn.transaction().await.unwrap();
            let seen: i64 = tx
                .query_one("select count(*) from naive", &[])
                .await
                .unwrap()
                .get(0);
            counted.wait().await;
            if seen < 3 {
                tx.execute("insert into naive values ($1)", &[&n])
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
        }
    });
    join_all(tries).await;
    let through: i64 = admin
        .query_one("select count(*) from naive", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(through, 10, "the limit was 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_counts_once_with_its_sale_and_never_without() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let (promotion, coupon) = tenth_by(&till, "ONCE-1", Some(1), None).await;
    let lines = json!([qty(&cut, "1")]);
    let with = |other: Value| {
        let mut all = json!({ "coupons": [" once-1 ", "ONCE-1"] });
        merge(&mut all, other);
        till.basket(lines.clone(), all)
    };
    // Refused, given up, or never sent again: not counted.
    let short = with(json!({ "tenders": [{ "method": "cash", "amount": "89.99" }] }));
    assert_eq!(
        till.shop.sell(short).await.expect(422).code(),
        "TENDER_SHORT"
    );
    let id = bahi_types::InvoiceId::new();
    till.shop.abandon(id).await.expect(200);
    assert_eq!(
        till.shop
            .sell(with(json!({ "invoice_id": id })))
            .await
            .expect(409)
            .code(),
        "ABANDONED"
    );
    // Everything was written, and then the session turned out to be closed.
    let late = "create function late() returns trigger language plpgsql as $$ begin return null; end $$;
                create trigger late before update on pos_session for each row execute function late()";
    let admin = till.shop.sales.admin().await;
    admin.batch_execute(late).await.unwrap();
    assert_eq!(
        till.shop.sell(with(json!({}))).await.expect(409).code(),
        "SESSION_CLOSED"
    );
    admin
        .batch_execute("drop trigger late on pos_session")
        .await
        .unwrap();
    assert_eq!(used(&till, &coupon, None).await, (0, 0));
    // Sold and asked for again, also all at once.
    let body = with(json!({ "invoice_id": bahi_types::InvoiceId::new() }));
    let replies = join_all((0..10).map(|_| till.shop.sell(body.clone()))).await;
    for reply in &replies {
        assert_eq!((reply.status, &reply.body), (201, &replies[0].body));
    }
    assert_eq!(used(&till, &coupon, None).await, (1, 1));
    let sold = &replies[0].body;
    assert_eq!(
        sold["promotions"],
        json!([{ "promotion_id": promotion.promotion_id, "name": "Tenth", "amount": "10.00",
                 "coupon_id": coupon.coupon_id, "coupon_code": "ONCE-1" }])
    );
    // What comes back brings what was paid, and not the coupon.
    let back = json!({ "original_invoice_id": sold["invoice_id"], "lines": [{ "original_line": 1, "qty": "1" }],
        "session_id": till.session, "refund_tenders": [{ "method": "cash", "amount": "90.00" }] });
    till.shop
        .owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201);
    assert_eq!(used(&till, &coupon, None).await, (1, 1));
    // Without a bill it brings what it would cost today, without coupons.
    let fifth = a_promotion("Fifth", percent("20"));
    till.shop.hear([active(&fifth)]).await;
    let unbilled = json!({ "lines": [qty(&cut, "1")], "session_id": till.session,
        "refund_tenders": [{ "method": "cash", "amount": "80.00" }] });
    till.shop
        .owner
        .post("/api/v1/sales/returns", unbilled)
        .await
        .expect(201);
    till.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_that_takes_nothing_off_refuses_the_sale_and_says_why() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let lines = json!([qty(&cut, "1")]);
    let why = async |code: &str| {
        let refused = till
            .sell(lines.clone(), json!({ "coupons": [code] }))
            .await
            .expect(422);
        assert_eq!(
            (refused.code(), refused.text_at("coupon")),
            ("COUPON_REFUSED", code.to_owned())
        );
        refused.text_at("why")
    };
    assert_eq!(why("NOBODYS").await, "coupon_unknown");
    let (promotion, coupon) = tenth_by(&till, "A-1", None, None).await;
    let of = |coupon: &Coupon, version| COUPON_UPDATED.of(coupon.coupon_id.uuid(), version, coupon);
    let off = Coupon {
        enabled: false,
        ..coupon.clone()
    };
    till.shop.hear([of(&off, 2)]).await;
    assert_eq!(why("A-1").await, "coupon_disabled");
    let over = Coupon {
        valid_to: Some("2026-11-05".parse().unwrap()),
        ..coupon.clone()
    };
    till.shop.hear([of(&over, 3)]).await;
    assert_eq!(why("A-1").await, "not_in_date");
    till.shop.hear([of(&coupon, 4)]).await;
    let few = Promotion {
        min_amount: Some("500".parse().unwrap()),
        ..promotion.clone()
    };
    let changed = |p: &Promotion, version| PROMOTION_UPDATED.of(p.promotion_id.uuid(), version, p);
    till.shop.hear([changed(&few, 3)]).await;
    assert_eq!(why("A-1").await, "amount_not_reached");
    let elsewhere = Promotion {
        branch_id: Some(BranchId::new()),
        ..promotion.clone()
    };
    till.shop.hear([changed(&elsewhere, 4)]).await;
    assert_eq!(why("A-1").await, "other_branch");
    till.shop.hear([changed(&promotion, 5)]).await;
    // One of a promotion's coupons is enough.
    let second = a_coupon(&promotion, "A-2");
    till.shop.hear([given(&second)]).await;
    let both = till
        .sell(lines.clone(), json!({ "coupons": ["A-1", "A-2"] }))
        .await
        .expect(422);
    assert_eq!(
        (both.text_at("coupon"), both.text_at("why")),
        ("A-2".into(), "another_coupon".into())
    );
    till.sell(lines.clone(), json!({ "coupons": ["a-2"] }))
        .await
        .expect(201);
    // Deleted, and its code another's: of a coupon, and with a promotion.
    till.shop
        .hear([COUPON_DELETED.of(second.coupon_id.uuid(), 2, &second)])
        .await;
    assert_eq!(why("A-2").await, "coupon_unknown");
    till.shop
        .hear([PROMOTION_DELETED.of(promotion.promotion_id.uuid(), 6, &promotion)])
        .await;
    assert_eq!(why("A-1").await, "coupon_unknown");
    tenth_by(&till, "A-1", None, None).await;
    till.sell(lines.clone(), json!({ "coupons": ["A-1"] }))
        .await
        .expect(201);
    // A limit of one customer needs the customer; over the limit its code is named before anything is asked of the stock.
    let (_, own) = tenth_by(&till, "OWN", None, Some(1)).await;
    let nobody = till
        .sell(lines.clone(), json!({ "coupons": ["OWN"] }))
        .await
        .expect(422);
    assert_eq!(
        (nobody.code(), nobody.text_at("coupon")),
        ("COUPON_NEEDS_CUSTOMER", "OWN".into())
    );
    let me = CustomerId::new();
    let mine = json!({ "coupons": ["OWN"], "customer_id": me });
    till.sell(lines.clone(), mine.clone()).await.expect(201);
    let twice = till.sell(lines.clone(), mine).await.expect(409);
    assert_eq!(
        (
            twice.code(),
            twice.text_at("coupon"),
            &twice.body["by_customer"]
        ),
        ("COUPON_USED_UP", "OWN".into(), &json!(true))
    );
    assert_eq!(used(&till, &own, Some(me)).await, (1, 1));
    // A limit that is lowered below what was used lets nobody through, one that is raised does.
    till.shop
        .hear([of(
            &Coupon {
                limit: Some(1),
                limit_per_customer: None,
                ..own.clone()
            },
            2,
        )])
        .await;
    let refused = till
        .sell(lines.clone(), json!({ "coupons": ["OWN"] }))
        .await
        .expect(409);
    assert_eq!(refused.body["by_customer"], false);
    till.shop
        .hear([of(
            &Coupon {
                limit: Some(2),
                limit_per_customer: None,
                ..own.clone()
            },
            3,
        )])
        .await;
    till.sell(lines, json!({ "coupons": ["OWN"] }))
        .await
        .expect(201);
    till.shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_bill_keeps_its_group_and_its_coupons() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let basket = json!({ "lines": [qty(&cut, "1")], "customer_group_id": CustomerGroupId::new(), "coupons": ["A"] });
    let body = json!({ "session_id": till.session, "basket": basket });
    let held = till
        .shop
        .owner
        .post("/api/v1/pos/hold", body)
        .await
        .expect(201);
    assert_eq!(held.body["basket"], basket);
}

/// Small numbers by chance, the same ones in each run.
struct Dice(u64);
impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Product itself, whose events the shop hears.
struct Office {
    app: TestApp<product::State>,
    owner: Client,
}

impl Office {
    async fn made(&self, path: &str, body: Value) -> String {
        self.owner.post(path, body).await.expect(201).text_at("id")
    }

    async fn promote(&self, body: Value) -> String {
        let id = self.made("/api/v1/promotions", body).await;
        let activate = format!("/api/v1/promotions/{id}:activate");
        self.owner.post(&activate, json!({})).await.expect(200);
        id
    }

    async fn list(&self, body: Value, entries: Value) {
        let id = self.made("/api/v1/price-lists", body).await;
        let path = format!("/api/v1/price-lists/{id}/entries");
        self.owner
            .post(&path, json!({ "entries": entries }))
            .await
            .expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_costs_what_product_quotes() {
    let shop = Shop::open().await;
    let app = TestApp::start_with(product::app(), &[], shop.clock.clone()).await;
    let owner = app.client(shop.tenant(), &["*"]);
    let office = Office { app, owner };
    let unit = json!({ "code": "PCS", "name": "Piece", "uqc": "PCS" });
    let unit = office.made("/api/v1/units", unit).await;
    let mut taxes = Vec::new();
    for (name, hsn, rate) in [
        (
            "GST 18",
            "854442",
            json!({ "valid_from": "2017-07-01", "rate": "18" }),
        ),
        (
            "GST 5",
            "210690",
            json!({ "valid_from": "2017-07-01", "rate": "5" }),
        ),
        (
            "Shoes",
            "640399",
            json!({ "valid_from": "2025-09-22", "rate": "5", "above": { "price": "2500", "rate": "18" } }),
        ),
    ] {
        let body = json!({ "name": name, "hsn": hsn, "rates": [rate] });
        taxes.push(office.made("/api/v1/tax-profiles", body).await);
    }
    let food = office
        .made("/api/v1/categories", json!({ "name": "Food" }))
        .await;
    let snacks = office
        .made(
            "/api/v1/categories",
            json!({ "name": "Snacks", "parent_id": food }),
        )
        .await;
    let brand = office
        .made("/api/v1/brands", json!({ "name": "Acme" }))
        .await;
    let mut products = Vec::new();
    for (sku, tax, other) in [
        ("CABLE", 0, json!({ "price": "299", "mrp": "299" })),
        (
            "PLUG",
            0,
            json!({ "price": "83.3333", "price_includes_tax": false, "brand_id": brand }),
        ),
        (
            "CHIPS",
            1,
            json!({ "price": "19.95", "category_id": snacks }),
        ),
        (
            "RUSK",
            1,
            json!({ "price": "47.619", "price_includes_tax": false, "category_id": food, "mrp": "50" }),
        ),
        ("SHOES", 2, json!({ "price": "2700", "brand_id": brand })),
        ("TEA", 1, json!({ "price": "145.50" })),
    ] {
        let mut body = json!({ "sku": sku, "name": sku, "unit_id": unit, "tax_profile_id": taxes[tax], "status": "active" });
        merge(&mut body, other);
        products.push(office.made("/api/v1/products", body).await);
    }
    let entry = |at: usize, price: &str, min_qty: &str| json!({ "product_id": products[at], "price": price, "min_qty": min_qty });
    let group = Uuid::now_v7();
    office
        .list(
            json!({ "name": "Retail" }),
            json!([
                entry(2, "18.50", "5"),
                entry(5, "139.99", "0"),
                entry(5, "131.11", "3")
            ]),
        )
        .await;
    office
        .list(
            json!({ "name": "Here", "branch_id": shop.branch }),
            json!([entry(0, "289.50", "0")]),
        )
        .await;
    let trade = json!({ "name": "Trade", "customer_group_id": group, "price_includes_tax": false });
    office
        .list(
            trade,
            json!([
                entry(0, "230.1234", "0"),
                entry(3, "47.62", "2"),
                entry(4, "2400", "0")
            ]),
        )
        .await;
    let coupon_of = office
        .promote(
            json!({ "name": "Welcome", "needs_coupon": true, "stackable": true, "priority": -1,
            "rule": { "kind": "bill_amount", "amount": "33.33" } }),
        )
        .await;
    office
        .made(
            &format!("/api/v1/promotions/{coupon_of}/coupons"),
            json!({ "code": "WELCOME" }),
        )
        .await;
    for body in [
        json!({ "name": "Food", "stackable": true, "scope": { "categories": [food] }, "rule": { "kind": "percent", "percent": "7.5" } }),
        json!({ "name": "Acme", "scope": { "brands": [brand] }, "rule": { "kind": "buy_get", "buy_qty": 2, "get_qty": 1, "percent": "100" } }),
        json!({ "name": "Mix", "stackable": true, "priority": 5, "scope": { "products": [products[2], products[5]] },
            "rule": { "kind": "set_price", "qty": 3, "price": "99", "max_times": 4 } }),
        json!({ "name": "Cables", "scope": { "products": [products[0]] }, "min_qty": "2", "rule": { "kind": "amount_per_unit", "amount": "12.35" } }),
        json!({ "name": "Bill", "stackable": true, "min_amount": "1000", "rule": { "kind": "bill_percent", "percent": "3", "max_discount": "60" } }),
    ] {
        office.promote(body).await;
    }
    shop.hear_enveloped(&office.app.events().await).await;
    for id in &products {
        shop.receive(
            id.parse::<Uuid>().map(ProductId::from_uuid).unwrap(),
            "100000",
            "1",
        )
        .await;
    }
    let session = shop.session().await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut promoted, mut with_coupon) = (0, 0);
    for round in 0..40 {
        let lines: Vec<Value> = (0..=dice.below(6))
            .map(|_| {
                let at = usize::try_from(dice.below(6)).unwrap();
                let qty = match dice.below(4) {
                    0 => format!("{}.{:03}", dice.below(4), 1 + dice.below(999)),
                    _ => (1 + dice.below(7)).to_string(),
                };
                let mut line = json!({ "product_id": products[at], "qty": qty });
                if at == 0 && dice.below(3) == 0 {
                    line["batch_mrp"] = json!("279.00");
                }
                line
            })
            .collect();
        let mut asked = json!({ "date": "2026-11-05", "branch_id": shop.branch, "explain": false, "lines": lines });
        let mut body = json!({ "session_id": session, "lines": lines, "tenders": [{ "method": "cash", "amount": "1000000" }] });
        if dice.below(3) == 0 {
            asked["customer_group_id"] = json!(group);
            body["customer_group_id"] = json!(group);
        }
        if dice.below(3) == 0 {
            asked["coupon_codes"] = json!(["welcome"]);
            body["coupons"] = json!(["welcome"]);
        }
        let quote = async |asked: &Value| {
            let reply = office
                .owner
                .post("/api/v1/price-quotes", asked.clone())
                .await;
            reply.expect(200).body
        };
        let mut quoted = quote(&asked).await;
        let refused = quoted["coupons"][0]["why"].clone();
        if refused.is_string() {
            // The same coupon for the same reason.
            let reply = shop.sell(body.clone()).await.expect(422);
            assert_eq!(
                (reply.code(), &reply.body["why"]),
                ("COUPON_REFUSED", &refused)
            );
            asked["coupon_codes"] = json!([]);
            body["coupons"] = json!([]);
            quoted = quote(&asked).await;
        }
        let quote = quoted;
        let sold = shop.sell(body).await.expect(201).body;
        let context = format!("round {round}: {asked}\n{quote}\n{sold}");
        for (quoted, sold) in quote["lines"]
            .as_array()
            .unwrap()
            .iter()
            .zip(sold["lines"].as_array().unwrap())
        {
            for same in [
                "unit_price",
                "price_includes_tax",
                "gross",
                "discount",
                "bill_discount",
            ] {
                assert_eq!(quoted[same], sold[same], "{same} {context}");
            }
            assert_eq!(quoted["tax"]["taxable"], sold["taxable"], "{context}");
            assert_eq!(quoted["tax"]["rate"], sold["rate"], "{context}");
            assert_eq!(quoted["tax"]["total"], sold["total"], "{context}");
            for tax in ["cgst", "sgst", "igst", "cess"] {
                assert_eq!(quoted["tax"][tax], sold["tax"][tax], "{tax} {context}");
            }
            let ids = |line: &Value| -> Vec<(Value, Value)> {
                let shares = line["promotions"].as_array().unwrap().iter();
                shares
                    .map(|s| (s["promotion_id"].clone(), s["amount"].clone()))
                    .collect()
            };
            assert_eq!(ids(quoted), ids(sold), "{context}");
        }
        assert_eq!(quote["totals"]["tax"]["total"], sold["total"], "{context}");
        promoted += sold["promotions"].as_array().unwrap().len();
        with_coupon += usize::from(sold["promotions"].to_string().contains("WELCOME"));
    }
    // The rules did take part.
    assert!(promoted > 40 && with_coupon > 5, "{promoted} {with_coupon}");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sale_gives_its_coupon_back_and_a_return_does_not() {
    let till = Counter::open().await;
    let cut = till.service("CUT", "100").await;
    let (_, coupon) = tenth_by(&till, "TWO", Some(2), Some(1)).await;
    let (me, you) = (CustomerId::new(), CustomerId::new());
    let sell = |customer: CustomerId| {
        let more = json!({ "coupons": ["TWO"], "customer_id": customer });
        till.sell(json!([qty(&cut, "1")]), more)
    };
    let cancel = async |sold: &Value| {
        let id = sold["invoice_id"].as_str().unwrap();
        let body = json!({ "reason_code": "data_entry",
            "refund_tenders": [{ "method": "cash", "amount": sold["total"] }] });
        let path = format!("/api/v1/sales/invoices/{id}:cancel");
        till.shop.owner.post(&path, body).await.expect(200);
    };
    let mine = sell(me).await.expect(201).body;
    let yours = sell(you).await.expect(201).body;
    assert_eq!(sell(me).await.expect(409).code(), "COUPON_USED_UP");
    cancel(&mine).await;
    assert_eq!(used(&till, &coupon, None).await, (1, 2));
    assert_eq!(used(&till, &coupon, Some(me)).await, (0, 1));
    sell(me).await.expect(201);
    let back = json!({ "original_invoice_id": yours["invoice_id"], "session_id": till.session,
        "lines": [{ "original_line": 1, "qty": "1" }],
        "refund_tenders": [{ "method": "cash", "amount": yours["total"] }] });
    till.shop
        .owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201);
    assert_eq!(sell(you).await.expect(409).code(), "COUPON_USED_UP");
    till.shop.assert_sound().await;
}
