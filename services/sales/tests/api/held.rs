//! Held bills.

use bahi_types::{ProductId, TillId};
use futures::future::join_all;
use serde_json::json;

use crate::support::Shop;

async fn hold(shop: &Shop, session: &str, minutes: i64) -> String {
    let body = json!({ "session_id": session, "label": "Mrs Rao", "expires_in_minutes": minutes,
        "basket": { "lines": [{ "product_id": ProductId::new(), "qty": "1.5" }], "bill_discount": { "percent": "5" } } });
    shop.owner
        .post("/api/v1/pos/hold", body)
        .await
        .expect(201)
        .text_at("held_bill_id")
}

async fn resume(shop: &Shop, bill: &str, session: &str) -> bahi_testkit::Reply {
    shop.owner
        .post(
            &format!("/api/v1/pos/held-bills/{bill}:resume"),
            json!({ "session_id": session }),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_bill_is_resumed_once_at_any_till_of_the_branch() {
    let shop = Shop::without_stock().await;
    let other = TillId::new();
    shop.add_till(other, "P2", false).await;
    let (here, there) = (shop.session().await, shop.open_till(other, "0").await);
    let bill = hold(&shop, &here, 60).await;
    let replies =
        join_all((0..10).map(|n| resume(&shop, &bill, if n % 2 == 0 { &here } else { &there })))
            .await;
    let got: Vec<_> = replies.iter().filter(|r| r.status == 200).collect();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].body["basket"]["lines"][0]["qty"], "1.5");
    assert_eq!(
        got[0].body["basket"]["bill_discount"],
        json!({ "percent": "5" })
    );
    assert!(
        replies
            .iter()
            .filter(|r| r.status != 200)
            .all(|r| r.code() == "NOT_HELD")
    );
    let held = shop
        .owner
        .get("/api/v1/pos/held-bills")
        .await
        .expect(200)
        .body;
    assert_eq!(held["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_expires_by_its_time_and_the_sweep_records_it() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let bill = hold(&shop, &session, 1).await;
    let kept = hold(&shop, &session, 60).await;
    shop.later(60);
    let held = shop
        .owner
        .get("/api/v1/pos/held-bills")
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&held["total"], &held["items"][0]["held_bill_id"]),
        (&json!(1), &json!(kept))
    );
    let refused = resume(&shop, &bill, &session).await.expect(409);
    assert_eq!(
        (refused.code(), refused.text_at("detail")),
        ("NOT_HELD", "The held bill is expired.".into())
    );
    let stored = "select state from held_bill where expires_at <= '2026-11-05T06:01:00Z'";
    let state = async || {
        shop.sales
            .admin()
            .await
            .query_one(stored, &[])
            .await
            .unwrap()
            .get::<_, String>(0)
    };
    assert_eq!(state().await, "held");
    shop.expire_held_bills().await;
    assert_eq!(state().await, "expired");
    let expired = shop
        .owner
        .get("/api/v1/pos/held-bills?state=expired")
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&expired["total"], &expired["items"][0]["state"]),
        (&json!(1), &json!("expired"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_bill_is_gone() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let bill = hold(&shop, &session, 60).await;
    let discard = async || {
        shop.owner
            .post(&format!("/api/v1/pos/held-bills/{bill}:discard"), json!({}))
            .await
    };
    assert_eq!(discard().await.expect(200).text_at("state"), "discarded");
    assert_eq!(discard().await.expect(409).code(), "NOT_HELD");
    assert_eq!(
        resume(&shop, &bill, &session).await.expect(409).code(),
        "NOT_HELD"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_of_another_branch_is_not_found() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let bill = hold(&shop, &session, 60).await;
    let other = Shop {
        branch: bahi_types::BranchId::new(),
        till: TillId::new(),
        ..shop.clone()
    };
    other
        .hear([bahi_events::BRANCH_CREATED.of(other.branch.uuid(), 1, &other.branch_of("Pune"))])
        .await;
    other.add_till(other.till, "Q1", false).await;
    let elsewhere = other.session().await;
    resume(&shop, &bill, &elsewhere).await.expect(404);
    resume(&shop, &bill, &session).await.expect(200);
}
