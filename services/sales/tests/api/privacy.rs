//! The archive of a tenant; the erasure of a customer, what the law keeps of it and for how long; and events that come late.

use bahi_events::{CUSTOMER_CREATED, CUSTOMER_UPDATED, Customer, ProductKind, SubjectKind};
use bahi_testkit::{TestStore, assert_left_out, erase, export, mentions, run};
use bahi_types::{CustomerId, ProductId};
use chrono::TimeDelta;
use sales::privacy::HOLDINGS;
use serde_json::json;

use crate::support::{Shop, customer};

const WORDS: [&str; 4] = [
    "Meera Iyer",
    "+919812312312",
    "meera@iyer.example",
    "Lotus Lane",
];

fn meera() -> Customer {
    Customer {
        name: "Meera Iyer".into(),
        phone: Some("+919812312312".into()),
        email: Some("meera@iyer.example".into()),
        addresses: vec![bahi_events::CustomerAddress {
            kind: "billing".into(),
            text: "4 Lotus Lane".into(),
            state_code: "27".into(),
        }],
        ..customer(Some("90000"))
    }
}

async fn service(shop: &Shop) -> ProductId {
    shop.product_of_kind("SVC", "1000", true, ProductKind::Service)
        .await
}

/// A customer that has bought, has a quotation, an order and a bill put aside, and about whom much was noted.
async fn busy(shop: &Shop, told: &Customer) -> (CustomerId, String) {
    let id = told.customer_id;
    shop.hear([CUSTOMER_CREATED.of(id.uuid(), 1, told)]).await;
    let service = service(shop).await;
    let lines = json!([{ "product_id": service, "qty": "1" }]);
    let sale = json!({ "customer_id": id, "lines": lines });
    let invoice = shop
        .sell_from_office(sale)
        .await
        .expect(201)
        .text_at("invoice_id");
    let path = format!("/api/v1/sales/invoices/{invoice}");
    let words = json!({ "note": format!("ring {}", told.name), "delivery_contact": told.phone });
    let patch = shop
        .owner
        .request(reqwest::Method::PATCH, &path)
        .header("if-match", "\"1\"")
        .header("content-type", "application/merge-patch+json")
        .body(words.to_string());
    shop.owner.send(patch).await.expect(200);
    let wish = json!({ "customer_id": id, "location_id": shop.location, "lines": lines, "note": told.name });
    shop.owner
        .post("/api/v1/quotations", wish.clone())
        .await
        .expect(201);
    shop.owner
        .post("/api/v1/sales/orders", wish)
        .await
        .expect(201);
    let receipt = json!({ "customer_id": id, "location_id": shop.location, "method": "upi", "amount": "10", "note": told.name });
    shop.owner
        .post("/api/v1/sales/receipts", receipt)
        .await
        .expect(201);
    (id, invoice)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_holds_all_of_the_tenant_and_nothing_of_another() {
    let store = TestStore::of_env();
    let shop = Shop::without_stock_with(&store.settings_of("invoices")).await;
    let other = shop.next_tenant().await;
    busy(&shop, &meera()).await;
    let theirs = Customer {
        name: "Theirs Alone".into(),
        ..customer(Some("90000"))
    };
    busy(&other, &theirs).await;
    let privacy = &shop.sales.running.state.privacy;
    let archive = export(&shop.sales, privacy, &HOLDINGS, shop.tenant()).await;
    assert!(archive.text.contains("Meera Iyer") && !archive.text.contains("Theirs Alone"));
    assert!(archive.tables["public.invoice"][0]["total"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_there_and_nothing_else_looks_like_a_secret() {
    let shop = Shop::without_stock().await;
    let harmless = [
        "public.invoice.demand_hash",
        "public.fulfilment.request_hash",
        "public.reservation_decision.request_hash",
        "public.offline_number.request_hash",
    ];
    assert_left_out(&shop.sales, &HOLDINGS, &harmless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_gone_but_for_what_the_law_keeps_and_that_goes_when_its_time_is_over() {
    let shop = Shop::without_stock().await;
    let told = meera();
    let (id, invoice) = busy(&shop, &told).await;
    let neighbour = Customer {
        name: "Nina Neighbour".into(),
        phone: Some("+919800000009".into()),
        ..customer(Some("90000"))
    };
    shop.hear([CUSTOMER_CREATED.of(neighbour.customer_id.uuid(), 1, &neighbour)])
        .await;
    let before = shop.account(id).await;
    let privacy = &shop.sales.running.state.privacy;
    // The mutant: asked for by another tenant, nothing of this one's is touched.
    let other = shop.next_tenant().await;
    let foreign = erase(
        &shop.sales,
        privacy,
        other.tenant(),
        SubjectKind::Customer,
        id.uuid(),
    )
    .await;
    assert_eq!(foreign.erased, []);
    assert!(mentions(&shop.sales, &WORDS).await.len() > 5);
    let said = erase(
        &shop.sales,
        privacy,
        shop.tenant(),
        SubjectKind::Customer,
        id.uuid(),
    )
    .await;
    let tables: Vec<&str> = said.erased.iter().map(|e| e.table.as_str()).collect();
    for table in [
        "customer",
        "customer_word",
        "invoice",
        "invoice_edit",
        "receipt",
        "quotation",
        "sales_order",
    ] {
        assert!(tables.contains(&table), "{tables:?}");
    }
    // 72 months from the 31st of December after a year that ends in March 2027.
    let kept = said
        .kept
        .iter()
        .find(|kept| kept.table == "invoice")
        .unwrap();
    assert_eq!(
        (kept.rows, kept.until),
        (Some(1), "2033-12-31".parse().ok())
    );
    let fiscal = [
        "public.invoice.buyer_address",
        "public.invoice.buyer_name",
        "public.invoice.buyer_phone",
    ];
    assert_eq!(mentions(&shop.sales, &WORDS).await, fiscal);
    // Money and numbers are as they were, and so is everybody else.
    assert_eq!(shop.account(id).await, before);
    assert_eq!(
        mentions(&shop.sales, &["Nina Neighbour"]).await,
        ["public.customer.name"]
    );
    shop.assert_sound().await;
    // What comes late brings nothing back: neither an older event nor a newer one, known or not.
    let late = Customer {
        name: "Meera Iyer".into(),
        ..told.clone()
    };
    shop.hear([CUSTOMER_UPDATED.of(id.uuid(), 7, &late)]).await;
    assert_eq!(mentions(&shop.sales, &WORDS).await, fiscal);
    run(privacy, "erase_what_may_go").await;
    assert_eq!(
        mentions(&shop.sales, &WORDS).await,
        fiscal,
        "the law still asks for it"
    );
    shop.sales.clock.advance(TimeDelta::days(366 * 7 + 60));
    run(privacy, "erase_what_may_go").await;
    assert_eq!(mentions(&shop.sales, &WORDS).await, Vec::<String>::new());
    let admin = shop.sales.admin().await;
    let total: String = admin
        .query_one(
            "select total::text from invoice where invoice_id = $1::text::uuid",
            &[&invoice],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(total, "1000.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_comes_before_the_customer_holds() {
    let shop = Shop::without_stock().await;
    let told = meera();
    let privacy = &shop.sales.running.state.privacy;
    let id = told.customer_id.uuid();
    erase(
        &shop.sales,
        privacy,
        shop.tenant(),
        SubjectKind::Customer,
        id,
    )
    .await;
    shop.hear([CUSTOMER_CREATED.of(id, 1, &told)]).await;
    assert_eq!(mentions(&shop.sales, &WORDS).await, Vec::<String>::new());
    // Without the tombstone, which is the mutant, it would be there.
    shop.sales
        .admin()
        .await
        .batch_execute("delete from privacy.erased")
        .await
        .unwrap();
    shop.hear([CUSTOMER_CREATED.of(id, 1, &told)]).await;
    assert!(!mentions(&shop.sales, &WORDS).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_takes_words_away_and_nothing_else_from_an_invoice() {
    let shop = Shop::without_stock().await;
    let (_, invoice) = busy(&shop, &meera()).await;
    let admin = shop.sales.admin().await;
    let tries = async |how: &str, set: &str| {
        let text = format!(
            "begin; set local privacy.erasing = '{how}'; update invoice set {set} where invoice_id = '{invoice}'; rollback"
        );
        let done = admin.batch_execute(&text).await.is_ok();
        admin.batch_execute("rollback").await.ok();
        done
    };
    assert!(tries("on", "buyer_name = null").await);
    for set in [
        "buyer_name = 'Somebody else'",
        "buyer_name = null, total = total + 1",
        "number = 'X'",
        "gstin_buyer = 'X'",
    ] {
        assert!(!tries("on", set).await, "{set}");
    }
    assert!(!tries("off", "buyer_name = null").await);
}
