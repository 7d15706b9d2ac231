//! Step 2 of a sale: stock is promised before the customer hears yes.

use bahi_proto::{
    inventory::v1::{AvailabilityRequest, HoldState},
    reservation_id,
};
use bahi_types::{InvoiceId, ProductId};
use futures::future::join_all;
use serde_json::json;
use tonic::Code;
use uuid::Uuid;

use crate::support::{Got, Shop, q};

#[tokio::test(flavor = "multi_thread")]
async fn fault_5_a_hundred_sales_at_once_of_ten_pieces_sell_exactly_ten() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoices: Vec<_> = (0..100).map(|_| InvoiceId::new()).collect();
    let one = [(tea, "1")];
    let got = join_all(invoices.iter().map(|i| shop.reserve(*i, 1, &one))).await;
    let sold: Vec<_> = invoices
        .iter()
        .zip(&got)
        .filter(|(_, g)| g.is_granted())
        .map(|(i, _)| *i)
        .collect();
    assert_eq!(sold.len(), 10);
    for refused in got.iter().filter(|g| !g.is_granted()) {
        let Got::Refused(short) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (short[0].asked.as_str(), short[0].available.as_str()),
            ("1", "0")
        );
    }
    // Available falls before the answer, on hand with the event.
    shop.assert_stock(tea, ("10", "10", "0")).await;
    let events: Vec<_> = sold
        .iter()
        .map(|i| shop.invoice(*i, 1, &[(tea, "1")]))
        .collect();
    shop.hear(inventory::consumers::issued, &events).await;
    shop.assert_stock(tea, ("0", "0", "0")).await;
    let ledger = shop
        .owner
        .get(&format!("/api/v1/inventory/ledger?product={tea}"))
        .await
        .expect(200);
    assert_eq!(ledger.body["total"], 11);
    assert_eq!(shop.said("stock.issued").await.len(), 10);
    assert!(
        shop.said("stock.reserved").await.is_empty(),
        "holds of tills are not announced"
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_4_two_lines_of_one_product_are_checked_together_and_refused_whole() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    let Got::Refused(short) = shop.reserve(invoice, 1, &[(tea, "6"), (tea, "6")]).await else {
        panic!("granted")
    };
    assert_eq!(
        (short[0].asked.as_str(), short[0].available.as_str()),
        ("12", "10")
    );
    shop.assert_stock(tea, ("10", "0", "10")).await;
    shop.owner
        .get(&format!(
            "/api/v1/inventory/reservations/{}",
            reservation_id(invoice, 1)
        ))
        .await
        .expect(404);
    // The same id may be granted later: nothing of the refusal was kept.
    assert!(
        shop.reserve(invoice, 1, &[(tea, "6"), (tea, "4")])
            .await
            .is_granted()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn baskets_in_opposite_order_never_deadlock() {
    let shop = Shop::open().await;
    let (a, b) = (shop.product().await, shop.product().await);
    shop.receive(a, "150", "1").await;
    shop.receive(b, "150", "1").await;
    let baskets: Vec<[(ProductId, &str); 2]> = (0..200)
        .map(|n| {
            if n % 2 == 0 {
                [(a, "1"), (b, "1")]
            } else {
                [(b, "1"), (a, "1")]
            }
        })
        .collect();
    let calls = baskets
        .iter()
        .map(|lines| async { shop.reserve(InvoiceId::new(), 1, lines).await });
    let got = join_all(calls).await;
    assert_eq!(got.iter().filter(|g| g.is_granted()).count(), 150);
    assert_eq!(
        got.iter().filter(|g| matches!(g, Got::Refused(_))).count(),
        50
    );
    shop.assert_stock(a, ("150", "150", "0")).await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let count: i64 = shop
        .app
        .admin()
        .await
        .query_one(deadlocks, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_grant_and_another_basket_is_refused() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    let calls = (0..20).map(|_| async { shop.reserve(invoice, 1, &[(tea, "3")]).await });
    let got = join_all(calls).await;
    assert!(
        got.iter().all(|g| *g == got[0] && g.is_granted()),
        "{got:?}"
    );
    shop.assert_stock(tea, ("10", "3", "7")).await;
    let other = shop.reserve(invoice, 1, &[(tea, "4")]).await;
    assert_eq!(
        other,
        Got::Error(Code::FailedPrecondition, "OTHER_BASKET".into())
    );
    // The same demand cut into other lines is the same basket, and dealt to the lines that ask.
    let cut = shop
        .reserve(invoice, 1, &[(tea, "1"), (tea, "2")])
        .await
        .granted();
    assert_eq!(
        cut.iter()
            .map(|a| (a.line, a.qty.as_str()))
            .collect::<Vec<_>>(),
        [(1, "1"), (2, "2")]
    );
    shop.assert_stock(tea, ("10", "3", "7")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lower_attempt_is_released_and_its_late_request_not_granted() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "4")]).await.granted();
    // Attempt 2 never arrived; attempt 3 releases 1 and closes the door on 2.
    shop.reserve(invoice, 3, &[(tea, "8")]).await.granted();
    shop.assert_stock(tea, ("10", "8", "2")).await;
    assert_eq!(
        shop.reserve(invoice, 2, &[(tea, "1")]).await,
        Got::Terminal(HoldState::Released.into())
    );
    assert_eq!(
        shop.reserve(invoice, 1, &[(tea, "4")]).await,
        Got::Terminal(HoldState::Released.into())
    );
    shop.assert_stock(tea, ("10", "8", "2")).await;
    // Were only the attempt just below released, attempt 1 would still hold its four and 8 could not be had.
    assert!(q("10") - q("4") < q("8"));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_one_invoice_that_come_at_once_leave_at_most_the_highest() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    for _ in 0..10 {
        let invoice = InvoiceId::new();
        let basket = [(tea, "3")];
        let attempts = (1..=6).map(|attempt| shop.reserve(invoice, attempt, &basket));
        let got = join_all(attempts).await;
        assert!(
            got.iter()
                .all(|g| matches!(g, Got::Granted(_) | Got::Terminal(_))),
            "{got:?}"
        );
        assert!(got[5].is_granted());
        shop.assert_stock(tea, ("10", "3", "7")).await;
        shop.release(invoice, 6).await;
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let count: i64 = shop
        .app
        .admin()
        .await
        .query_one(deadlocks, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_attempt_keeps_the_releases_of_the_lower_ones() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "4")]).await.granted();
    assert!(matches!(
        shop.reserve(invoice, 2, &[(tea, "11")]).await,
        Got::Refused(_)
    ));
    shop.assert_stock(tea, ("10", "0", "10")).await;
    assert_eq!(
        shop.hold_state(reservation_id(invoice, 1)).await,
        "released"
    );
    assert_eq!(
        shop.reserve(invoice, 1, &[(tea, "4")]).await,
        Got::Terminal(HoldState::Released.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shortages_are_served_from_what_was_freed_only_after_this_sale_took_its_part() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "5")]).await.granted();
    // An offline sale finds nothing available and is owed three.
    let offline = InvoiceId::new();
    shop.issue(offline, 1, &[(tea, "3")]).await;
    assert_eq!(shop.shortages().await[0]["open"], "3");
    // Were the shortage served first, only two would be left and this attempt refused.
    shop.reserve(invoice, 2, &[(tea, "4")]).await.granted();
    shop.assert_stock(tea, ("4", "4", "0")).await;
    assert_eq!(shop.shortages().await[0]["open"], "2");
    let settled = shop.said("stock.issued").await;
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0]["source"]["type"], "shortage_settlement");
    assert_eq!(settled[0]["invoice_id"], offline.to_string());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releasing_an_unknown_attempt_is_remembered() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    let released = i32::from(HoldState::Released);
    assert_eq!(shop.release(invoice, 1).await, released);
    assert_eq!(
        shop.reserve(invoice, 1, &[(tea, "1")]).await,
        Got::Terminal(released)
    );
    shop.reserve(invoice, 2, &[(tea, "1")]).await.granted();
    assert_eq!(shop.release(invoice, 2).await, released);
    assert_eq!(shop.release(invoice, 2).await, released);
    shop.assert_stock(tea, ("10", "0", "10")).await;
    shop.issue(invoice, 3, &[(tea, "1")]).await;
    assert_eq!(
        shop.release(invoice, 3).await,
        i32::from(HoldState::Committed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_sale_takes_what_there_is() {
    let shop = Shop::open().await;
    let (tea, milk) = (shop.product().await, shop.product().await);
    shop.receive(tea, "2", "5").await;
    let invoice = InvoiceId::new();
    let mut request = shop.demand(invoice, 1, &[(tea, "3"), (milk, "1")]);
    request.allow_short = true;
    let got = shop.send(request).await.granted();
    assert_eq!(
        got.iter()
            .map(|a| (a.line, a.qty.as_str()))
            .collect::<Vec<_>>(),
        [(1, "2")]
    );
    shop.issue(invoice, 1, &[(tea, "3"), (milk, "1")]).await;
    let owed = shop.shortages().await;
    assert_eq!(owed.len(), 2);
    assert!(owed.iter().all(|s| s["open"] == "1"));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_batches_first_expired_first_out_and_never_expired_or_blocked_ones() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let old = shop
        .receive_batch(milk, "B1", Some("2026-11-10"), "5", "9")
        .await;
    let soon = shop
        .receive_batch(milk, "B2", Some("2026-12-05"), "4", "11")
        .await;
    let late = shop
        .receive_batch(milk, "B3", Some("2027-01-31"), "10", "12")
        .await;
    let never = shop.receive_batch(milk, "B4", None, "3", "12.50").await;
    let got = shop
        .reserve(InvoiceId::new(), 1, &[(milk, "5"), (milk, "7")])
        .await
        .granted();
    let got: Vec<_> = got
        .iter()
        .map(|a| (a.line, a.batch_id.clone().unwrap(), a.qty.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            (1, soon.to_string(), "4"),
            (1, late.to_string(), "1"),
            (2, late.to_string(), "7")
        ]
    );
    let Got::Refused(short) = shop.reserve(InvoiceId::new(), 1, &[(milk, "6")]).await else {
        panic!("granted")
    };
    assert_eq!(short[0].available, "5");
    let block = format!("/api/v1/inventory/batches/{late}:block");
    shop.owner
        .post(&block, serde_json::json!({ "reason": "recall" }))
        .await
        .expect(200);
    let got = shop
        .reserve(InvoiceId::new(), 1, &[(milk, "3")])
        .await
        .granted();
    assert_eq!(got[0].batch_id.as_deref(), Some(never.to_string().as_str()));
    assert!(matches!(
        shop.reserve(InvoiceId::new(), 1, &[(milk, "1")]).await,
        Got::Refused(_)
    ));
    let stock = shop
        .owner
        .get(&format!("/api/v1/inventory/stock?batch={old}"))
        .await
        .expect(200);
    assert_eq!(stock.body["items"][0]["available"], "0");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_sales_may_reserve_and_only_for_its_tenant() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let request = || shop.demand(InvoiceId::new(), 1, &[(tea, "1")]);
    let call = async |token: Option<String>| {
        let mut request = tonic::Request::new(request());
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        shop.grpc().reserve(request).await.map_err(|s| s.code())
    };
    assert_eq!(call(None).await.unwrap_err(), Code::Unauthenticated);
    assert_eq!(
        call(Some("x.y.z".into())).await.unwrap_err(),
        Code::Unauthenticated
    );
    let user = shop.owner.token().to_owned();
    assert_eq!(call(Some(user)).await.unwrap_err(), Code::PermissionDenied);
    let product = shop.app.service_token("product", shop.tenant());
    assert_eq!(
        call(Some(product)).await.unwrap_err(),
        Code::PermissionDenied
    );
    assert!(
        call(Some(shop.app.service_token("sales", shop.tenant())))
            .await
            .is_ok()
    );
    // Another tenant's stock does not exist.
    let stranger = shop.next_tenant().await;
    let mut elsewhere = stranger.demand(InvoiceId::new(), 1, &[(tea, "1")]);
    elsewhere.location_id = shop.location.to_string();
    assert!(matches!(stranger.send(elsewhere).await, Got::Refused(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_demands_are_invalid_arguments() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let good = || shop.demand(InvoiceId::new(), 1, &[(tea, "1")]);
    let mut bad = vec![good(); 8];
    bad[0].invoice_id = "x".into();
    bad[1].attempt = 0;
    bad[2].attempt = u32::MAX;
    bad[3].location_id.clear();
    bad[4].lines[0].qty = "0".into();
    bad[5].lines[0].qty = "NaN".into();
    bad[6].demand_hash = "a\0b".into();
    bad[7].lines = vec![bad[7].lines[0].clone(); 501];
    for request in bad {
        let got = shop.send(request.clone()).await;
        assert_eq!(
            got,
            Got::Error(Code::InvalidArgument, "INVALID".into()),
            "{request:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_answers_in_the_order_asked() {
    let shop = Shop::open().await;
    let (a, b) = (shop.product().await, ProductId::new());
    shop.receive(a, "2.5", "5").await;
    let ask = AvailabilityRequest {
        location_id: shop.location.to_string(),
        product_ids: vec![b.to_string(), a.to_string()],
        with_batches: false,
    };
    let items = shop
        .grpc()
        .availability(shop.signed(ask))
        .await
        .unwrap()
        .into_inner()
        .items;
    assert_eq!(
        items
            .iter()
            .map(|i| i.available.as_str())
            .collect::<Vec<_>>(),
        ["0", "2.5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_is_promised_until_the_events_are_read() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.app
        .admin()
        .await
        .batch_execute("update outbox.epoch set epoch = 2")
        .await
        .unwrap();
    // This process hears nothing (no Kafka), so it can never know that it has caught up.
    let got = shop.reserve(InvoiceId::new(), 1, &[(tea, "1")]).await;
    assert_eq!(got, Got::Error(Code::Unavailable, "RESTORING".into()));
    let id = Uuid::now_v7();
    let line = json!({ "product_id": tea, "qty": "1", "qty_delta": "-1", "unit_cost": "1", "from": "sellable",
        "to": "damaged" });
    let body = |keys: &[&str]| {
        let line: serde_json::Map<_, _> = keys
            .iter()
            .map(|key| ((*key).to_owned(), line[*key].clone()))
            .collect();
        json!({ "location_id": shop.location, "reason": "x", "lines": [line] })
    };
    let plain = |mut body: serde_json::Value| {
        body.as_object_mut().unwrap().remove("reason");
        body
    };
    for (path, body) in [
        (
            "reservations".to_owned(),
            plain(body(&["product_id", "qty"])),
        ),
        (format!("reservations/{id}:commit"), json!({})),
        (
            "receipts".to_owned(),
            plain(body(&["product_id", "qty", "unit_cost"])),
        ),
        ("adjust".to_owned(), body(&["product_id", "qty_delta"])),
        (
            "status-changes".to_owned(),
            body(&["product_id", "from", "to", "qty"]),
        ),
        (format!("batches/{id}:dispose"), json!({ "reason": "x" })),
    ] {
        let path = format!("/api/v1/inventory/{path}");
        let refused = shop.owner.post(&path, body).await.expect(503);
        assert_eq!(refused.code(), "RESTORING", "{path}");
        assert!(refused.header("retry-after").is_some());
    }
    // A count is approved, and posted when everything has been heard.
    let count = shop.submitted(tea, "0").await;
    assert_eq!(shop.approve(&count).await["state"], "approved");
    shop.app
        .admin()
        .await
        .batch_execute("update inbox.caught_up set epoch = 2")
        .await
        .unwrap();
    shop.receive(tea, "1", "5").await;
    assert!(
        shop.reserve(InvoiceId::new(), 1, &[(tea, "1")])
            .await
            .is_granted()
    );
}
