//! Kits: what there is of them, and holds that take their components.

use std::collections::BTreeMap;

use bahi_events::{KitComponent, Tracking};
use bahi_proto::inventory::v1::{AvailabilityRequest, SummaryRequest};
use bahi_types::{InvoiceId, ProductId, Quantity};
use futures::future::join_all;
use inventory::consumers;
use serde_json::{Value, json};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::support::{Got, Shop, product, q};

/// A product copy with these components, at a version.
async fn kit_at(shop: &Shop, id: ProductId, version: i64, of: &[(ProductId, &str)]) {
    let mut kit = product(id, Tracking::default());
    kit.components = of
        .iter()
        .map(|(id, qty)| KitComponent {
            product_id: *id,
            qty: q(qty),
        })
        .collect();
    shop.hear(
        consumers::product,
        &[shop.envelope(id.uuid(), version, kit)],
    )
    .await;
}

pub async fn kit(shop: &Shop, of: &[(ProductId, &str)]) -> ProductId {
    let id = ProductId::new();
    kit_at(shop, id, 1, of).await;
    id
}

async fn availability(shop: &Shop, items: &str) -> Value {
    let path = format!(
        "/api/v1/inventory/availability?location={}&items={items}",
        shop.location
    );
    shop.owner.get(&path).await.expect(200).body
}

async fn available(shop: &Shop, id: ProductId) -> String {
    availability(shop, &id.to_string()).await["items"][0]["available"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_kit_there_is_what_its_scarcest_component_makes() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let hamper = kit(&shop, &[(soap, "3"), (towel, "0.5")]).await;
    assert_eq!(available(&shop, hamper).await, "0", "there is nothing");
    shop.receive(soap, "10", "5").await;
    shop.receive(towel, "100", "5").await;
    assert_eq!(available(&shop, hamper).await, "3");
    // What is held is not available for kits either.
    shop.hold(&[(soap, "2")], 60).await.expect(201);
    assert_eq!(available(&shop, hamper).await, "2");
    // A component that is named twice counts twice.
    let pair = kit(&shop, &[(towel, "30"), (towel, "20.5")]).await;
    assert_eq!(available(&shop, pair).await, "1");
    // A kit and its components, in the order asked for.
    let all = availability(&shop, &format!("{towel},{hamper},{soap}")).await;
    let shown: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["available"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["100", "2", "8"]);
    assert_eq!((&all["enough"], &all["short"]), (&json!(null), &json!([])));
    // Product says that the kit consists of something else now; what is older comes too late.
    kit_at(&shop, hamper, 3, &[(soap, "8")]).await;
    kit_at(&shop, hamper, 2, &[(soap, "1")]).await;
    assert_eq!(available(&shop, hamper).await, "1");
    // And then that it is no kit any more.
    kit_at(&shop, hamper, 4, &[]).await;
    assert_eq!(available(&shop, hamper).await, "0");
    shop.receive(hamper, "7", "1").await;
    assert_eq!(available(&shop, hamper).await, "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn kits_that_share_a_component_are_checked_together() {
    let shop = Shop::open().await;
    let (soap, towel, salt) = (
        shop.product().await,
        shop.product().await,
        shop.product().await,
    );
    let bath = kit(&shop, &[(soap, "2"), (towel, "1")]).await;
    let spa = kit(&shop, &[(soap, "2"), (salt, "1")]).await;
    for goods in [towel, salt] {
        shop.receive(goods, "100", "1").await;
    }
    shop.receive(soap, "6", "1").await;
    // Two of each need eight soaps; there are six. Each kit by itself could be had.
    let both = [(bath, "2"), (spa, "2")];
    let asked = availability(&shop, &format!("{bath}:2,{spa}:2")).await;
    assert_eq!(
        (
            &asked["items"][0]["available"],
            &asked["items"][1]["available"]
        ),
        (&json!("3"), &json!("3"))
    );
    assert_eq!(asked["enough"], false);
    assert_eq!(
        asked["short"],
        json!([{ "product_id": soap, "asked": "8", "available": "6", "excluded": [] }])
    );
    let refused = shop.hold(&both, 60).await.expect(409);
    assert_eq!(refused.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        refused.body["lines"],
        json!([{ "product_id": soap, "asked": "8", "available": "6", "excluded": [] }])
    );
    for goods in [soap, towel, salt] {
        assert_eq!(shop.stock(goods).await.1, Quantity::ZERO, "nothing is held");
    }
    // The wrong way, line by line, which the refusal above would not let pass: each line alone is covered.
    let there_is: BTreeMap<ProductId, Quantity> =
        [(soap, q("6")), (towel, q("100")), (salt, q("100"))]
            .into_iter()
            .collect();
    let line_by_line = [[(soap, "4"), (towel, "2")], [(soap, "4"), (salt, "2")]]
        .iter()
        .all(|line| line.iter().all(|(goods, qty)| there_is[goods] >= q(qty)));
    assert!(line_by_line, "each line alone would have been granted");
    // A kit and its own component in one demand, too.
    let short = shop.hold(&[(bath, "2"), (soap, "3")], 60).await.expect(409);
    assert_eq!(short.body["lines"][0]["asked"], "7");
    let enough = availability(&shop, &format!("{bath}:2,{soap}:2")).await;
    assert_eq!(enough["enough"], true);
    shop.hold(&[(bath, "2"), (soap, "2")], 60).await.expect(201);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_kits_holds_components_and_is_issued_in_whole_kits() {
    let shop = Shop::open().await;
    let (soap, milk) = (shop.product().await, shop.batched().await);
    let hamper = kit(&shop, &[(soap, "3"), (milk, "0.5")]).await;
    shop.receive(soap, "20", "5").await;
    let soon = shop
        .receive_batch(milk, "B1", Some("2026-12-01"), "1", "10")
        .await;
    let late = shop
        .receive_batch(milk, "B2", Some("2027-12-01"), "9", "10")
        .await;
    let made = shop
        .hold(&[(hamper, "4"), (soap, "1")], 60)
        .await
        .expect(201);
    assert_eq!(
        made.body["kits"],
        json!([{ "line": 1, "product_id": hamper, "qty": "4" }])
    );
    let held = |product: ProductId, line: i64| -> Vec<(Option<&str>, &str)> {
        let all = made.body["allocations"].as_array().unwrap().iter();
        all.filter(|a| a["product_id"] == product.to_string() && a["line"] == line)
            .map(|a| (a["batch_id"].as_str(), a["qty"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(
        (held(soap, 1), held(soap, 2)),
        (vec![(None, "12")], vec![(None, "1")])
    );
    let (soon, late) = (soon.to_string(), late.to_string());
    assert_eq!(
        held(milk, 1),
        [(Some(soon.as_str()), "1"), (Some(late.as_str()), "1")],
        "first expired, first out"
    );
    shop.assert_stock(soap, ("20", "13", "7")).await;
    let path = format!(
        "/api/v1/inventory/reservations/{}:commit",
        made.text_at("id")
    );
    let commit = async |qty: &str| {
        shop.owner
            .post(&path, json!({ "lines": [{ "line": 1, "qty": qty }] }))
            .await
    };
    assert_eq!(commit("5").await.expect(422).code(), "MORE_THAN_RESERVED");
    assert_eq!(commit("1.5").await.expect(422).code(), "PART_OF_A_KIT");
    // Three of four kits go, the fourth and the other line come back.
    assert_eq!(commit("3").await.expect(200).text_at("state"), "committed");
    shop.assert_stock(soap, ("11", "0", "11")).await;
    assert_eq!(shop.stock(milk).await.0, q("8.5"));
    let issued = shop.said("stock.issued").await;
    let products: Vec<&Value> = issued[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["product_id"])
        .collect();
    assert!(
        !products.contains(&&json!(hamper)),
        "the ledger knows components only"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_want_the_last_kits_at_once_as_many_get_one_as_there_are() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let bath = kit(&shop, &[(soap, "2"), (towel, "1")]).await;
    let spa = kit(&shop, &[(towel, "1"), (soap, "1")]).await;
    shop.receive(soap, "15", "1").await;
    shop.receive(towel, "100", "1").await;
    let replies = join_all((0..20).map(|n| {
        let (shop, kit) = (&shop, if n % 2 == 0 { bath } else { spa });
        async move { (n % 2, shop.hold(&[(kit, "1")], 60).await) }
    }))
    .await;
    let soaps: i64 = replies
        .iter()
        .filter(|(_, r)| r.status == 201)
        .map(|(odd, _)| 2 - odd)
        .sum();
    assert!(
        replies
            .iter()
            .all(|(_, r)| r.status == 201 || r.code() == "INSUFFICIENT_STOCK"),
        "{replies:#?}"
    );
    let reserved = shop.stock(soap).await.1;
    assert_eq!(reserved, Quantity::from(soaps));
    assert!(reserved >= q("14") && reserved <= q("15"), "{reserved}");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kits_and_templates_are_not_stocked() {
    let shop = Shop::open().await;
    let soap = shop.product().await;
    let hamper = kit(&shop, &[(soap, "3")]).await;
    let template = ProductId::new();
    let mut copy = product(template, Tracking::default());
    copy.template = true;
    shop.hear(
        consumers::product,
        &[shop.envelope(template.uuid(), 1, copy)],
    )
    .await;
    for id in [hamper, template] {
        let body = json!({ "location_id": shop.location, "lines": [{ "product_id": id, "qty": "1", "unit_cost": "1" }] });
        let refused = shop
            .owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(422);
        assert_eq!(refused.code(), "NOT_STOCKED");
        assert_eq!(shop.adjust(id, "1").await.expect(422).code(), "NOT_STOCKED");
    }
    shop.receive(soap, "30", "1").await;
    // Of a template there is nothing, also for a till.
    let till = shop.reserve(InvoiceId::new(), 1, &[(template, "1")]).await;
    assert!(matches!(till, Got::Refused(_)), "{till:?}");
    let half = shop.reserve(InvoiceId::new(), 1, &[(hamper, "1.5")]).await;
    assert!(
        matches!(half, Got::Error(Code::InvalidArgument, _)),
        "{half:?}"
    );
    let half = shop
        .hold(&[(soap, "1"), (hamper, "1.5")], 60)
        .await
        .expect(400);
    assert_eq!(half.body["errors"][0]["field"], "lines[1].qty");
    for items in [
        format!("{hamper}:1.5"),
        format!("{hamper}:0"),
        format!("{hamper}:x"),
        format!("{hamper}:999999999999999"),
    ] {
        let path = format!(
            "/api/v1/inventory/availability?location={}&items={items}",
            shop.location
        );
        shop.owner.get(&path).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_business_has_its_own_kits() {
    let shop = Shop::open().await;
    let other = shop.next_tenant().await;
    let soap = shop.product().await;
    shop.receive(soap, "30", "1").await;
    let hamper = kit(&shop, &[(soap, "3")]).await;
    kit_at(&other, hamper, 9, &[(soap, "1")]).await;
    assert_eq!(available(&shop, hamper).await, "10");
    assert_eq!(available(&other, hamper).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_everything_that_is_anywhere() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let mut elsewhere = shop.clone();
    elsewhere.location = shop.new_location().await;
    shop.receive(soap, "10", "1").await;
    elsewhere.receive(soap, "2.5", "1").await;
    shop.hold(&[(soap, "4")], 60).await.expect(201);
    // Sold without a hold, and without stock.
    shop.issue(InvoiceId::new(), 1, &[(towel, "3")]).await;
    let ask = async |service: Option<&str>| {
        let mut request = Request::new(SummaryRequest {
            product_ids: vec![
                towel.to_string(),
                soap.to_string(),
                ProductId::new().to_string(),
            ],
        });
        if let Some(service) = service {
            let token = format!("Bearer {}", shop.app.service_token(service, shop.tenant()));
            request
                .metadata_mut()
                .insert("authorization", token.parse().unwrap());
        }
        shop.grpc().summary(request).await
    };
    let items = ask(Some("product")).await.unwrap().into_inner().items;
    let seen: Vec<(&str, &str, &str)> = items
        .iter()
        .map(|i| (i.on_hand.as_str(), i.reserved.as_str(), i.owed.as_str()))
        .collect();
    assert_eq!(seen, [("0", "0", "3"), ("12.5", "4", "0"), ("0", "0", "0")]);
    assert_eq!(
        ask(Some("sales")).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(ask(None).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_kits_is_delivered_and_recalled_in_whole_kits() {
    let shop = Shop::open().await;
    let (milk, towel) = (shop.batched().await, shop.product().await);
    let old = shop
        .receive_batch(milk, "B1", Some("2026-12-31"), "5", "1")
        .await;
    shop.receive_batch(milk, "B2", Some("2027-03-31"), "7", "1")
        .await;
    shop.receive(towel, "10", "1").await;
    let hamper = kit(&shop, &[(milk, "3"), (towel, "0.5")]).await;
    let order = async |batch: Option<bahi_types::BatchId>| {
        let body = json!({ "location_id": shop.location, "order_id": Uuid::now_v7(),
            "lines": [{ "product_id": hamper, "qty": "4", "batch_id": batch }] });
        shop.owner
            .post("/api/v1/inventory/reservations", body)
            .await
    };
    let refused = order(Some(old)).await.expect(400);
    assert_eq!(refused.body["errors"][0]["field"], "lines[0].batch_id");
    let id = order(None).await.expect(201).text_at("id");
    let deliver = async |lines: Value| {
        let body = json!({ "fulfilment_id": Uuid::now_v7(), "lines": lines });
        let path = format!("/api/v1/inventory/reservations/{id}:commit");
        shop.owner.post(&path, body).await
    };
    let kits = |qty: &str| json!([{ "line": 1, "product_id": hamper, "qty": qty }]);
    let done = deliver(json!([{ "line": 1, "qty": "1" }]))
        .await
        .expect(200);
    assert_eq!(done.body["kits"], kits("3"));
    shop.assert_stock(milk, ("9", "9", "0")).await;
    shop.assert_stock(towel, ("9.5", "1.5", "8")).await;
    let half = deliver(json!([{ "line": 1, "qty": "0.5" }]))
        .await
        .expect(422);
    assert_eq!(half.code(), "PART_OF_A_KIT");

    // Two of the nine held are recalled: seven make two kits, and what makes no whole one is free again.
    let path = format!("/api/v1/inventory/batches/{old}:recall");
    let recalled = shop
        .owner
        .post(&path, json!({ "reason": "sour" }))
        .await
        .expect(200);
    assert_eq!(recalled.body["broken_reservations"][0]["qty"], "3.5");
    shop.assert_stock(milk, ("9", "6", "1")).await;
    shop.assert_stock(towel, ("9.5", "1", "8.5")).await;
    let path = format!("/api/v1/inventory/reservations/{id}");
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["kits"],
        kits("2")
    );
    let more = deliver(json!([{ "line": 1, "qty": "3" }]))
        .await
        .expect(422);
    assert_eq!(more.code(), "MORE_THAN_RESERVED");
    let done = deliver(json!(null)).await.expect(200);
    assert_eq!(
        (&done.body["state"], &done.body["kits"]),
        (&json!("committed"), &json!([]))
    );
    shop.assert_stock(milk, ("3", "0", "1")).await;
    shop.assert_stock(towel, ("8.5", "0", "8.5")).await;
    shop.assert_sound().await;
}

/// What a till was granted: line, component (none for the line's own product), quantity.
fn shown(got: &Got) -> Vec<(i32, Option<&str>, &str)> {
    let Got::Granted(all) = got else {
        panic!("not granted: {got:?}")
    };
    let mut all: Vec<_> = all
        .iter()
        .map(|a| (a.line, a.product_id.as_deref(), a.qty.as_str()))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_sells_a_kit_and_a_return_brings_its_components_back() {
    let shop = Shop::open().await;
    let (milk, towel) = (shop.batched().await, shop.product().await);
    let soon = shop
        .receive_batch(milk, "B1", Some("2026-12-01"), "5", "10")
        .await;
    let late = shop
        .receive_batch(milk, "B2", Some("2027-12-01"), "20", "12")
        .await;
    shop.receive(towel, "10", "4").await;
    let hamper = kit(&shop, &[(milk, "3"), (towel, "0.5")]).await;
    let request = AvailabilityRequest {
        location_id: shop.location.to_string(),
        product_ids: vec![hamper.to_string(), towel.to_string()],
        with_batches: true,
    };
    let answer = shop.grpc().availability(shop.signed(request)).await;
    let items = answer.unwrap().into_inner().items;
    let there_is: Vec<_> = items.iter().map(|i| i.available.as_str()).collect();
    assert_eq!(there_is, ["8", "10"]);
    assert!(items[0].batches.is_empty());

    let (invoice, basket) = (InvoiceId::new(), [(hamper, "4"), (towel, "1")]);
    let got = shop.reserve(invoice, 1, &basket).await;
    let (milk_id, towel_id) = (milk.to_string(), towel.to_string());
    let mut expected = vec![
        (1, Some(milk_id.as_str()), "5"),
        (1, Some(milk_id.as_str()), "7"),
        (1, Some(towel_id.as_str()), "2"),
        (2, None, "1"),
    ];
    expected.sort();
    assert_eq!(shown(&got), expected);
    let again = shop.reserve(invoice, 1, &basket).await;
    assert_eq!(got, again, "the same grant");
    // The same basket in another order.
    let turned = shop
        .reserve(invoice, 1, &[(towel, "1"), (hamper, "4")])
        .await;
    let mut sums: BTreeMap<_, Quantity> = BTreeMap::new();
    for (line, component, qty) in shown(&turned) {
        *sums
            .entry((line, component.map(str::to_owned)))
            .or_default() += q(qty);
    }
    let expected = [
        ((1, None), q("1")),
        ((2, Some(milk_id.clone())), q("12")),
        ((2, Some(towel_id.clone())), q("2")),
    ];
    assert_eq!(sums, BTreeMap::from(expected));
    shop.assert_stock(milk, ("25", "12", "13")).await;
    shop.assert_stock(towel, ("10", "3", "7")).await;
    // The next attempt gives back what the first one held.
    let got = shop.reserve(invoice, 2, &basket).await;
    assert!(got.is_granted(), "{got:?}");
    shop.assert_stock(milk, ("25", "12", "13")).await;

    // Meanwhile the kit becomes another: what was promised is what leaves.
    kit_at(&shop, hamper, 2, &[(milk, "1")]).await;
    shop.issue(invoice, 2, &basket).await;
    shop.assert_stock(milk, ("13", "0", "13")).await;
    shop.assert_stock(towel, ("7", "0", "7")).await;
    let said = shop.said("stock.issued").await;
    let lines = said[0]["lines"].as_array().unwrap();
    let of = |product: ProductId, line: i64| -> Vec<(&Value, &Value)> {
        let own = lines
            .iter()
            .filter(|l| l["product_id"] == json!(product) && l["line"] == line);
        own.map(|l| (&l["qty"], &l["cost_value"])).collect()
    };
    assert_eq!(
        of(milk, 1),
        [
            (&json!("5"), &json!("50.00")),
            (&json!("7"), &json!("84.00"))
        ]
    );
    assert_eq!(of(towel, 1), [(&json!("2"), &json!("8.00"))]);
    assert_eq!(of(towel, 2), [(&json!("1"), &json!("4.00"))]);
    assert!(shop.shortages().await.is_empty());
    shop.assert_sound().await;

    // One of four comes back to the shelf, two are broken, the last one comes back too.
    for (qty, disposition, milk_left, towel_left) in [
        ("1", "restock", "16", "7.5"),
        ("2", "scrap", "16", "7.5"),
        ("1", "restock", "19", "8"),
    ] {
        shop.give_back(Some(invoice), &[(1, hamper, qty, disposition)])
            .await;
        assert_eq!(
            shop.stock(milk).await.0,
            q(milk_left),
            "{qty} {disposition}"
        );
        assert_eq!(shop.stock(towel).await.0, q(towel_left));
    }
    shop.assert_sound().await;
    // All of the earlier batch and the last three of the later one, at what they cost.
    let cost: Vec<Value> = shop
        .said("stock.returned")
        .await
        .iter()
        .flat_map(|e| e["lines"].as_array().unwrap().clone())
        .filter(|l| l["product_id"] == json!(milk))
        .map(|l| l["batch_id"].clone())
        .collect();
    assert_eq!(
        cost,
        [json!(soon), json!(soon), json!(late), json!(late)],
        "three, then two and four, then three"
    );
    let path = format!("/api/v1/inventory/batches/{soon}/trace?kind=invoice");
    let trace = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&trace["items"][0]["qty"], &trace["items"][0]["returned"]),
        (&json!("-5"), &json!("5"))
    );
    // History refers to the kit, although it never lay anywhere.
    let mut request = Request::new(SummaryRequest {
        product_ids: vec![hamper.to_string(), ProductId::new().to_string()],
    });
    let token = format!(
        "Bearer {}",
        shop.app.service_token("product", shop.tenant())
    );
    request
        .metadata_mut()
        .insert("authorization", token.parse().unwrap());
    let summary = shop.grpc().summary(request).await.unwrap().into_inner();
    let moved: Vec<bool> = summary.items.iter().map(|i| i.moved).collect();
    assert_eq!(moved, [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_is_refused_by_what_all_lines_need_of_a_component() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let bath = kit(&shop, &[(soap, "2"), (towel, "1")]).await;
    shop.receive(soap, "6", "1").await;
    shop.receive(towel, "100", "1").await;
    let basket = [(bath, "2"), (towel, "1"), (soap, "3")];
    let Got::Refused(short) = shop.reserve(InvoiceId::new(), 1, &basket).await else {
        panic!("granted")
    };
    let short: Vec<_> = short
        .iter()
        .map(|s| (&s.product_id, &s.asked, &s.available, &s.lines))
        .collect();
    assert_eq!(
        short,
        [(
            &soap.to_string(),
            &"7".to_owned(),
            &"6".to_owned(),
            &vec![1, 3]
        )]
    );
    for goods in [soap, towel] {
        assert_eq!(shop.stock(goods).await.1, Quantity::ZERO, "nothing is held");
    }
    let enough = [(bath, "2"), (soap, "2")];
    assert!(
        shop.reserve(InvoiceId::new(), 1, &enough)
            .await
            .is_granted()
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kits_sold_without_stock_are_owed_by_component_and_settled_so() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let bath = kit(&shop, &[(soap, "2"), (towel, "1")]).await;
    shop.receive(towel, "1", "3").await;
    // Sold away from the network, and issued from the event.
    let invoice = InvoiceId::new();
    shop.issue(invoice, 1, &[(bath, "3"), (soap, "1")]).await;
    let owed = |all: &[Value]| -> Vec<(ProductId, i64, String)> {
        let mut owed: Vec<_> = all
            .iter()
            .map(|s| {
                (
                    s["product_id"].as_str().unwrap().parse().unwrap(),
                    s["line"].as_i64().unwrap(),
                    s["open"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        owed.sort();
        owed
    };
    let sorted = |mut list: Vec<(ProductId, i64, String)>| {
        list.sort();
        list
    };
    assert_eq!(
        owed(&shop.shortages().await),
        sorted(vec![
            (soap, 1, "6".into()),
            (towel, 1, "2".into()),
            (soap, 2, "1".into())
        ])
    );
    shop.assert_sound().await;
    // A page may end between two components of a line.
    let (mut cursor, mut paged) = (String::new(), Vec::new());
    loop {
        let path = format!("/api/v1/inventory/shortages?limit=1{cursor}");
        let page = shop.owner.get(&path).await.expect(200).body;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(owed(&paged), owed(&shop.shortages().await));
    // One kit comes back before anything else: it closes what is owed of both, and no goods come.
    shop.give_back(Some(invoice), &[(1, bath, "1", "restock")])
        .await;
    assert_eq!(
        owed(&shop.shortages().await),
        sorted(vec![
            (soap, 1, "4".into()),
            (towel, 1, "1".into()),
            (soap, 2, "1".into())
        ])
    );
    shop.assert_stock(towel, ("0", "0", "0")).await;
    shop.receive(soap, "10", "1").await;
    shop.receive(towel, "10", "3").await;
    assert!(shop.shortages().await.is_empty());
    shop.assert_stock(soap, ("5", "0", "5")).await;
    shop.assert_stock(towel, ("9", "0", "9")).await;
    shop.assert_sound().await;
    // What was settled later comes back at its cost.
    shop.give_back(Some(invoice), &[(1, bath, "2", "restock")])
        .await;
    shop.assert_stock(soap, ("9", "0", "9")).await;
    shop.assert_stock(towel, ("11", "0", "11")).await;
    assert_eq!(shop.value().await, "42.00");
    // Without a bill a kit is what it consists of now.
    shop.give_back(None, &[(1, bath, "1", "restock")]).await;
    shop.assert_stock(soap, ("11", "0", "11")).await;
    shop.assert_stock(towel, ("12", "0", "12")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tills_that_want_the_last_kits_at_once_get_as_many_as_there_are() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    let bath = kit(&shop, &[(soap, "2"), (towel, "1")]).await;
    let spa = kit(&shop, &[(towel, "1"), (soap, "1")]).await;
    shop.receive(soap, "15", "1").await;
    shop.receive(towel, "100", "1").await;
    let sales = join_all((0..30).map(|n| {
        let shop = &shop;
        let line = [[(bath, "1")], [(spa, "1")], [(soap, "1")]][n % 3];
        async move {
            let invoice = InvoiceId::new();
            let got = shop.reserve(invoice, 1, &line).await;
            if got.is_granted() {
                shop.issue(invoice, 1, &line).await;
            }
            (n % 3, got)
        }
    }))
    .await;
    let granted = sales.iter().filter(|(_, got)| got.is_granted());
    let soaps: i64 = granted.map(|(n, _)| if *n == 0 { 2 } else { 1 }).sum();
    assert!((14..=15).contains(&soaps), "{soaps}");
    assert_eq!(shop.stock(soap).await.0, Quantity::from(15 - soaps));
    assert!(shop.shortages().await.is_empty());
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let admin = shop.app.admin().await;
    let count: i64 = admin.query_one(deadlocks, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kits_of_an_order_that_lose_a_component_to_a_loss_give_the_others_back() {
    let shop = Shop::open().await;
    let (soap, towel) = (shop.product().await, shop.product().await);
    shop.receive(soap, "12", "1").await;
    shop.receive(towel, "2", "1").await;
    let hamper = kit(&shop, &[(soap, "3"), (towel, "0.5")]).await;
    let body = json!({ "location_id": shop.location, "order_id": Uuid::now_v7(),
        "lines": [{ "product_id": hamper, "qty": "4" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201);
    // One soap of twelve: three kits are left, and the fourth gives two soaps and half a towel back.
    shop.adjust(soap, "-1").await.expect(201);
    shop.assert_stock(soap, ("11", "9", "2")).await;
    shop.assert_stock(towel, ("2", "1.5", "0.5")).await;
    let path = format!("/api/v1/inventory/reservations/{}", made.text_at("id"));
    let kits = shop.owner.get(&path).await.expect(200).body["kits"].clone();
    assert_eq!(
        kits,
        json!([{ "line": 1, "product_id": hamper, "qty": "3" }])
    );
    let broken = shop.said("stock.reservation_broken").await;
    let lost: BTreeMap<String, &str> = broken[0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            let id = l["product_id"].as_str().unwrap().to_owned();
            (id, l["qty"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        lost,
        BTreeMap::from([(soap.to_string(), "3"), (towel.to_string(), "0.5")])
    );
    // The two free soaps go first.
    shop.adjust(soap, "-2").await.expect(201);
    shop.assert_stock(soap, ("9", "9", "0")).await;
    assert_eq!(shop.said("stock.reservation_broken").await.len(), 1);
    shop.assert_sound().await;
}
