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
    // The till that has it gets it again, the other is told who has it.
    assert_eq!(got.len(), 5);
    let has = got[0].body["ended_till"].clone();
    assert!(got.iter().all(|r| r.body["ended_till"] == has));
    assert_eq!(got[0].body["basket"]["lines"][0]["qty"], "1.5");
    assert_eq!(
        got[0].body["basket"]["bill_discount"],
        json!({ "percent": "5" })
    );
    assert!(replies.iter().filter(|r| r.status != 200).all(|r| (
        r.code(),
        &r.body["till_id"],
        &r.body["user_id"]
    ) == (
        "BILL_TAKEN",
        &has,
        &json!(shop.owner.user)
    )));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_was_taken_up_is_given_back_taken_over_or_sold() {
    let shop = Shop::open().await;
    let other = TillId::new();
    shop.add_till(other, "P2", false).await;
    let (here, there) = (shop.session().await, shop.open_till(other, "0").await);
    let goods = shop.goods("3").await;
    let body =
        json!({ "session_id": here, "basket": { "lines": [{ "product_id": goods, "qty": "2" }] } });
    let held = shop.owner.post("/api/v1/pos/hold", body).await.expect(201);
    assert_eq!(held.text_at("held_total"), "20.00");
    let bill = held.text_at("held_bill_id");
    let path = |verb: &str| format!("/api/v1/pos/held-bills/{bill}:{verb}");
    // Price and stock are looked at again.
    shop.sell(shop.basket(&there, &[(goods, "2")], "20"))
        .await
        .expect(201);
    let resumed = resume(&shop, &bill, &here).await.expect(200);
    assert_eq!(
        resumed.body["now"],
        json!({ "total": "20.00", "problem": null, "lines": [{ "line": 1, "product_id": goods,
            "unit_price": "10", "total": "20.00", "available": "1" }] })
    );
    assert_eq!(
        resume(&shop, &bill, &there).await.expect(409).code(),
        "BILL_TAKEN"
    );
    let back = shop
        .owner
        .post(&path("release"), json!({}))
        .await
        .expect(200);
    assert_eq!(
        (back.text_at("state"), &back.body["ended_till"]),
        ("held".into(), &json!(null))
    );
    assert_eq!(
        shop.owner
            .post(&path("release"), json!({}))
            .await
            .expect(409)
            .code(),
        "NOT_HELD"
    );
    resume(&shop, &bill, &there).await.expect(200);
    // Taken over by permission, and audited; or after a quarter of an hour.
    let over = json!({ "session_id": here, "take_over": true });
    let clerk = shop.cashier(&["sales.pos.use"]);
    clerk.post(&path("resume"), over.clone()).await.expect(403);
    shop.owner.post(&path("resume"), over).await.expect(200);
    let audits = shop.said("audit.recorded").await.into_iter();
    let taken: Vec<_> = audits
        .filter(|a| a["action"] == "sales.held_bill.take_over")
        .collect();
    assert_eq!(
        (taken.len(), &taken[0]["details"]["from_till"]),
        (1, &json!(other))
    );
    shop.later(14 * 60);
    resume(&shop, &bill, &there).await.expect(409);
    shop.later(60);
    resume(&shop, &bill, &there).await.expect(200);
    // Only who has it sells it, and then it is gone; a refused sale leaves it.
    let sale = |session: &str, qty: &str, paid: &str| {
        let mut body = shop.basket(session, &[(goods, qty)], paid);
        body["held_bill_id"] = json!(bill);
        body
    };
    assert_eq!(
        shop.sell(sale(&here, "1", "10")).await.expect(409).code(),
        "BILL_TAKEN"
    );
    assert_eq!(
        shop.sell(sale(&there, "2", "20")).await.expect(409).code(),
        "INSUFFICIENT_STOCK"
    );
    let sales = futures::future::join_all((0..2).map(|_| shop.sell(sale(&there, "1", "10")))).await;
    let mut statuses: Vec<_> = sales.iter().map(|r| r.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "one bill is one sale");
    let sold = shop
        .owner
        .get("/api/v1/pos/held-bills?state=sold")
        .await
        .expect(200)
        .body;
    let invoice = sales
        .iter()
        .find(|r| r.status == 201)
        .unwrap()
        .text_at("invoice_id");
    assert_eq!(sold["items"][0]["invoice_id"], json!(invoice));
    assert_eq!(
        resume(&shop, &bill, &there).await.expect(409).code(),
        "NOT_HELD"
    );
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_tells_of_each_bill_that_expired() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let stranger = shop.next_tenant().await;
    let theirs = stranger.session().await;
    let gone = hold(&shop, &session, 1).await;
    let lies = hold(&shop, &session, 1).await;
    resume(&shop, &lies, &session).await.expect(200);
    hold(&stranger, &theirs, 1).await;
    shop.later(60);
    shop.expire_held_bills().await;
    shop.expire_held_bills().await;
    let said = async || {
        let said = shop.said("pos.bill_expired").await.into_iter();
        said.map(|b| b["held_bill_id"].clone()).collect::<Vec<_>>()
    };
    // A till that has taken one up keeps it for its quarter of an hour.
    assert_eq!(said().await, [json!(gone)]);
    assert_eq!(stranger.said("pos.bill_expired").await.len(), 1);
    shop.later(15 * 60);
    assert_eq!(
        resume(&shop, &lies, &session).await.expect(409).code(),
        "NOT_HELD"
    );
    shop.expire_held_bills().await;
    assert_eq!(said().await, [json!(gone), json!(lies)]);
}
