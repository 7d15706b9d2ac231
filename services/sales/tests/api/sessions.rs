//! POS sessions.

use bahi_types::TillId;
use futures::future::join_all;
use serde_json::json;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_till_has_one_open_session() {
    let shop = Shop::without_stock().await;
    let body = json!({ "till_id": shop.till, "opening_float": "100" });
    let replies =
        join_all((0..10).map(|_| shop.owner.post("/api/v1/pos/sessions:open", body.clone()))).await;
    let opened: Vec<_> = replies.iter().filter(|r| r.status == 201).collect();
    assert_eq!(opened.len(), 1);
    for refused in replies.iter().filter(|r| r.status != 201) {
        assert_eq!((refused.status, refused.code()), (409, "TILL_IN_USE"));
        assert_eq!(refused.body["session_id"], opened[0].body["session_id"]);
    }
    assert_eq!(shop.said("pos.session_opened").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_retired_till_is_not_opened() {
    let shop = Shop::without_stock().await;
    let open = |till| {
        shop.owner.post(
            "/api/v1/pos/sessions:open",
            json!({ "till_id": till, "opening_float": "0" }),
        )
    };
    assert_eq!(
        open(TillId::new()).await.expect(409).code(),
        "NOT_YET_KNOWN"
    );
    let mut till = shop.till_of(shop.till, "P1", false);
    till.active = false;
    shop.hear([bahi_events::TILL_UPDATED.of(shop.till.uuid(), 2, &till)])
        .await;
    assert_eq!(open(shop.till).await.expect(409).code(), "NOT_ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_moves_only_in_an_open_drawer_that_holds_it() {
    let shop = Shop::without_stock().await;
    let session = shop.open_till(shop.till, "50").await;
    let cash = |direction: &str, amount: &str| {
        let body = json!({ "session_id": session, "direction": direction, "amount": amount, "reason": "petty" });
        shop.owner.post("/api/v1/pos/cash-movements", body)
    };
    cash("in", "25").await.expect(201);
    assert_eq!(
        cash("out", "75.01").await.expect(422).code(),
        "DRAWER_SHORT"
    );
    cash("out", "75").await.expect(201);
    let report = shop
        .owner
        .get(&format!("/api/v1/pos/sessions/{session}/x-report"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (
            &report["expected_cash"],
            &report["cash_in"],
            &report["cash_out"]
        ),
        (&json!("0.00"), &json!("25.00"), &json!("75.00"))
    );
    assert_eq!(report["cash_movements"].as_array().unwrap().len(), 2);
    let audited = shop.said("audit.recorded").await;
    assert_eq!(audited[0]["action"], "sales.cash.in");
    assert_eq!(audited[1]["reason"], "petty");
    let close = json!({ "counted": [{ "method": "cash", "amount": "0" }], "retained": "0" });
    shop.owner
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(200);
    assert_eq!(cash("in", "1").await.expect(409).code(), "SESSION_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_is_blind_and_whole() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.open_till(shop.till, "0").await;
    let body = json!({ "session_id": session, "lines": [{ "product_id": service, "qty": "1" }],
        "tenders": [{ "method": "card", "amount": "118" }] });
    shop.sell(body).await.expect(201);
    let cashier = shop.cashier(&["sales.pos.use", "sales.pos.read"]);
    let path = format!("/api/v1/pos/sessions/{session}");
    let seen = cashier.get(&path).await.expect(200);
    // Ids and times may hold the digits by chance.
    let by_chance = |name: &str| ["_id", "_by", "_at"].iter().any(|end| name.ends_with(end));
    for (name, value) in seen.body.as_object().unwrap() {
        assert!(
            by_chance(name) || !value.to_string().contains("118"),
            "{name}: {value}"
        );
    }
    assert!(!seen.text.contains("expected"));
    cashier.get(&format!("{path}/x-report")).await.expect(403);
    assert_eq!(
        shop.owner
            .get(&format!("{path}/z-report"))
            .await
            .expect(409)
            .code(),
        "TILL_IN_USE"
    );
    let close = async |counted| {
        cashier
            .post(
                &format!("{path}:close"),
                json!({ "counted": counted, "retained": "0" }),
            )
            .await
    };
    let missing = close(json!([{ "method": "cash", "amount": "0" }]))
        .await
        .expect(422);
    assert_eq!(
        (missing.code(), &missing.body["methods"]),
        ("COUNT_MISSING", &json!(["card"]))
    );
    let all = json!([{ "method": "cash", "amount": "0" }, { "method": "card", "amount": "100" }]);
    close(all.clone()).await.expect(200);
    assert_eq!(close(all).await.expect(409).code(), "SESSION_CLOSED");
    let report = shop
        .owner
        .get(&format!("{path}/z-report"))
        .await
        .expect(200)
        .body;
    assert_eq!(report["counts"][1]["variance"], "-18.00");
    assert_eq!(
        (&report["sales"], &report["sold"], &report["sold_tax"]),
        (&json!(1), &json!("118.00"), &json!("18.00"))
    );
    // The till is free again.
    shop.open_till(shop.till, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_retained_than_was_counted() {
    let shop = Shop::without_stock().await;
    let session = shop.open_till(shop.till, "10").await;
    let close = json!({ "counted": [{ "method": "cash", "amount": "10" }], "retained": "10.01" });
    let refused = shop
        .owner
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(422);
    assert_eq!(refused.code(), "RETAINED_TOO_MUCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_sells_nothing() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.open_till(shop.till, "0").await;
    let close = json!({ "counted": [{ "method": "cash", "amount": "0" }], "retained": "0" });
    shop.owner
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(200);
    let refused = shop
        .sell(shop.basket(&session, &[(service, "1")], "118"))
        .await
        .expect(409);
    assert_eq!(refused.code(), "SESSION_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_racing_with_the_close_are_all_in_it_or_refused() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.open_till(shop.till, "0").await;
    let close = json!({ "counted": [{ "method": "cash", "amount": "0" }], "retained": "0" });
    let sales =
        join_all((0..20).map(|_| shop.sell(shop.basket(&session, &[(service, "1")], "118"))));
    let path = format!("/api/v1/pos/sessions/{session}:close");
    let (replies, closed) = futures::join!(sales, shop.owner.post(&path, close));
    let sold = replies.iter().filter(|r| r.status == 201).count();
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 || r.code() == "SESSION_CLOSED")
    );
    let expected: bahi_types::Money = closed.expect(200).text_at("expected_cash").parse().unwrap();
    assert_eq!(
        expected,
        (0..sold)
            .map(|_| "118".parse::<bahi_types::Money>().unwrap())
            .sum()
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_by_till_and_state() {
    let shop = Shop::without_stock().await;
    let other = TillId::new();
    shop.add_till(other, "P2", false).await;
    let (first, second) = (
        shop.open_till(shop.till, "0").await,
        shop.open_till(other, "0").await,
    );
    let all = shop
        .owner
        .get("/api/v1/pos/sessions?limit=1")
        .await
        .expect(200)
        .body;
    assert_eq!(all["total"], 2);
    let next = shop
        .owner
        .get(&format!(
            "/api/v1/pos/sessions?limit=1&cursor={}",
            all["next_cursor"].as_str().unwrap()
        ))
        .await;
    let seen = [
        &all["items"][0]["session_id"],
        &next.body["items"][0]["session_id"],
    ];
    assert!(seen.contains(&&json!(first)) && seen.contains(&&json!(second)));
    let of_till = shop
        .owner
        .get(&format!("/api/v1/pos/sessions?till_id={other}&state=open"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&of_till["total"], &of_till["items"][0]["session_id"]),
        (&json!(1), &json!(second))
    );
    assert_eq!(
        shop.owner
            .get("/api/v1/pos/sessions?sort=till_id")
            .await
            .status,
        400
    );
    assert_eq!(
        shop.owner
            .get("/api/v1/pos/sessions?cursor=nonsense")
            .await
            .status,
        400
    );
}
