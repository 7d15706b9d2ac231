//! The protocol of a sale: scenario 5, repetitions, and every way an attempt can end.

use std::collections::HashSet;

use bahi_proto::sales::v1::Decision;
use bahi_types::InvoiceId;
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::Shop;

fn decided(rows: &[(i32, &str)]) -> Vec<(i32, String)> {
    rows.iter()
        .map(|(attempt, decision)| (*attempt, (*decision).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_sales_of_ten_pieces_ten_succeed_and_numbers_have_no_gap() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let replies =
        join_all((0..100).map(|_| shop.sell(shop.basket(&session, &[(goods, "1")], "10")))).await;
    let mut statuses: Vec<u16> = replies.iter().map(|r| r.status).collect();
    statuses.sort_unstable();
    let expected: Vec<u16> = [vec![201; 10], vec![409; 90]].concat();
    assert_eq!(statuses, expected);
    let short: Vec<_> = replies.iter().filter(|r| r.status == 409).collect();
    assert!(short.iter().all(|r| r.code() == "INSUFFICIENT_STOCK"));
    assert_eq!(
        short[0].body["shortages"],
        json!([
        { "product_id": goods, "lines": [1], "asked": "1", "available": "0" }])
    );
    let numbers: HashSet<String> = replies
        .iter()
        .filter(|r| r.status == 201)
        .map(|r| r.text_at("number"))
        .collect();
    let consecutive: HashSet<String> = (1..=10).map(|n| format!("P1/26-27/{n:04}")).collect();
    assert_eq!(numbers, consecutive);
    shop.assert_stock(goods, ("10", "10", "0")).await;
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_of_one_product_are_checked_together() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let reply = shop
        .sell(shop.basket(&session, &[(goods, "6"), (goods, "6")], "200"))
        .await
        .expect(409);
    assert_eq!(
        reply.body["shortages"],
        json!([
        { "product_id": goods, "lines": [1, 2], "asked": "12", "available": "10" }])
    );
    shop.assert_stock(goods, ("10", "0", "10")).await;
    assert!(shop.said("invoice.issued").await.is_empty());
    shop.sell(shop.basket(&session, &[(goods, "6"), (goods, "4")], "200"))
        .await
        .expect(201);
    shop.assert_stock(goods, ("10", "10", "0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baskets_in_opposite_order_never_deadlock() {
    let shop = Shop::open().await;
    let (a, b) = (shop.goods("100").await, shop.goods("100").await);
    let mut sessions = vec![shop.session().await];
    let other = bahi_types::TillId::new();
    shop.add_till(other, "P2", false).await;
    sessions.push(shop.open_till(other, "0").await);
    let sales = (0..60).map(|n| {
        let lines = if n % 2 == 0 {
            [(a, "1"), (b, "1")]
        } else {
            [(b, "1"), (a, "1")]
        };
        shop.sell(shop.basket(&sessions[n % 2], &lines, "20"))
    });
    for reply in join_all(sales).await {
        reply.expect(201);
    }
    shop.relay().await;
    shop.assert_stock(a, ("40", "0", "40")).await;
    shop.assert_stock(b, ("40", "0", "40")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_requests_under_one_key_are_one_sale() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let body = shop.basket(&session, &[(goods, "2")], "50");
    let replies = join_all((0..20).map(|_| {
        shop.owner
            .post_with_key("/api/v1/pos/invoice", body.clone(), "key")
    }))
    .await;
    for reply in &replies {
        assert_eq!(reply.status, 201, "{}", reply.text);
        assert_eq!(reply.body, replies[0].body);
    }
    assert_eq!(
        replies
            .iter()
            .filter(|r| r.header("idempotency-hit").is_none())
            .count(),
        1
    );
    shop.assert_stock(goods, ("10", "2", "8")).await;
    let other = shop.basket(&session, &[(goods, "3")], "50");
    let refused = shop
        .owner
        .post_with_key("/api/v1/pos/invoice", other, "key")
        .await
        .expect(422);
    assert_eq!(refused.code(), "IDEMPOTENCY_KEY_REUSED");
    shop.relay().await;
    shop.assert_stock(goods, ("8", "0", "8")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_sale_gets_its_invoice_even_when_it_would_be_refused_now() {
    let shop = Shop::open().await;
    let goods = shop.goods("1").await;
    let session = shop.session().await;
    let body = shop.basket(&session, &[(goods, "1")], "10");
    let first = shop
        .owner
        .post_with_key("/api/v1/pos/invoice", body.clone(), "k")
        .await
        .expect(201);
    let close = json!({ "counted": [{ "method": "cash", "amount": "1010" }], "retained": "1010" });
    shop.owner
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(200);
    let again = shop
        .owner
        .post_with_key("/api/v1/pos/invoice", body, "k")
        .await
        .expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotency-hit"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_id_is_bound_to_its_request_on_every_route() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    let id = Uuid::now_v7();
    let mut body = shop.basket(&session, &[(goods, "1")], "10");
    body["invoice_id"] = json!(id);
    let sold = shop
        .owner
        .post("/api/v1/pos/invoice", body.clone())
        .await
        .expect(201);
    assert_eq!(sold.text_at("invoice_id"), id.to_string());
    // Another spelling of the same request is the same request.
    let mut spelt = body.clone();
    spelt["lines"][0]["qty"] = json!("1.000");
    assert_eq!(
        shop.owner
            .post("/api/v1/pos/invoice", spelt)
            .await
            .expect(201)
            .body,
        sold.body
    );
    let office = json!({ "invoice_id": id, "location_id": shop.location,
        "lines": [{ "product_id": goods, "qty": "1" }], "buyer": { "name": "A", "phone": "9820098200" } });
    assert_eq!(
        shop.owner
            .post("/api/v1/sales/invoices", office)
            .await
            .expect(422)
            .code(),
        "IDEMPOTENCY_KEY_REUSED"
    );
    shop.assert_stock(goods, ("10", "1", "9")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_inventory_goods_are_not_sold_and_services_are() {
    let shop = Shop::without_stock().await;
    let goods = shop.product("G", "10", true, "taxable", "5").await;
    let service = shop.service().await;
    let session = shop.session().await;
    let body = shop.basket(&session, &[(goods, "1")], "10");
    let refused = shop
        .owner
        .post_with_key("/api/v1/pos/invoice", body, "k")
        .await
        .expect(503);
    assert_eq!(
        (refused.code(), refused.header("retry-after")),
        ("INVENTORY_UNAVAILABLE", Some("2"))
    );
    // Nothing is known of a grant, so nothing is decided.
    let rows = shop
        .sales
        .admin()
        .await
        .query("select 1 from reservation_decision", &[])
        .await
        .unwrap();
    assert!(rows.is_empty());
    let sold = shop
        .sell(shop.basket(&session, &[(service, "1")], "118"))
        .await
        .expect(201);
    assert_eq!(sold.text_at("total"), "118.00");
    let said = &shop.said("invoice.issued").await[0];
    assert_eq!(said["lines"][0]["stocked"], json!(false));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_id_is_never_sold() {
    let shop = Shop::open().await;
    let goods = shop.goods("5").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    shop.abandon(id).await.expect(200);
    shop.abandon(id).await.expect(200);
    let mut body = shop.basket(&session, &[(goods, "1")], "10");
    body["invoice_id"] = json!(id);
    assert_eq!(
        shop.owner
            .post("/api/v1/pos/invoice", body.clone())
            .await
            .expect(409)
            .code(),
        "ABANDONED"
    );
    assert_eq!(shop.decisions(id).await, decided(&[(0, "closed")]));
    body["invoice_id"] = json!(Uuid::now_v7());
    let sold = shop
        .owner
        .post("/api/v1/pos/invoice", body)
        .await
        .expect(201);
    let issued: InvoiceId = sold.text_at("invoice_id").parse().unwrap();
    let refused = shop.abandon(issued).await.expect(409);
    assert_eq!(
        (refused.code(), refused.text_at("number")),
        ("ALREADY_ISSUED", "P1/26-27/0001".into())
    );
}

/// Runs a sale whose step 3 waits, does `meanwhile` in the database that it waits for, and lets it go on.
async fn while_deciding(
    shop: &Shop,
    id: InvoiceId,
    goods: bahi_types::ProductId,
    session: &str,
    meanwhile: &str,
) -> bahi_testkit::Reply {
    let mut admin = shop.sales.admin().await;
    let tx = admin.transaction().await.unwrap();
    tx.batch_execute("lock table reservation_decision in exclusive mode")
        .await
        .unwrap();
    let mut body = shop.basket(session, &[(goods, "1")], "10");
    body["invoice_id"] = json!(id);
    let seller = shop.clone();
    let sale = tokio::spawn(async move { seller.owner.post("/api/v1/pos/invoice", body).await });
    bahi_testkit::eventually(|| async { (shop.stock(goods).await.1 == "1").then_some(()) }).await;
    bahi_testkit::eventually(|| async {
        let waiting = tx.query("select 1 from pg_locks where not granted and relation = 'reservation_decision'::regclass", &[]);
        (!waiting.await.unwrap().is_empty()).then_some(())
    })
    .await;
    tx.batch_execute(meanwhile).await.unwrap();
    tx.commit().await.unwrap();
    sale.await.unwrap()
}

fn decide(shop: &Shop, id: InvoiceId, attempt: u32, decision: &str) -> String {
    format!(
        "insert into reservation_decision (tenant_id, invoice_id, attempt, reservation_id, decision, decided_at)
         values ('{}', '{id}', {attempt}, '{}', '{decision}', now())",
        shop.tenant(),
        bahi_proto::reservation_id(id, attempt)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_slower_than_its_deadline_meets_void_and_takes_its_next_attempt() {
    let shop = Shop::open().await;
    let goods = shop.goods("1").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    let void = decide(&shop, id, 1, "void");
    let sold = while_deciding(&shop, id, goods, &session, &void)
        .await
        .expect(201);
    assert_eq!(sold.text_at("number"), "P1/26-27/0001");
    assert_eq!(
        shop.decisions(id).await,
        decided(&[(1, "void"), (2, "issued")])
    );
    // The last piece was freed for the second attempt and is held once.
    shop.assert_stock(goods, ("1", "1", "0")).await;
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_given_up_while_it_decides_ends_without_a_hold() {
    let shop = Shop::open().await;
    let goods = shop.goods("1").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    let closed = decide(&shop, id, 0, "closed");
    let refused = while_deciding(&shop, id, goods, &session, &closed)
        .await
        .expect(409);
    assert_eq!(refused.code(), "ABANDONED");
    assert_eq!(
        shop.decisions(id).await,
        decided(&[(0, "closed"), (1, "void")])
    );
    shop.assert_stock(goods, ("1", "0", "1")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_closed_after_the_grant_leaves_void_and_no_hold() {
    let shop = Shop::open().await;
    let goods = shop.goods("1").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    let close = format!(
        "update pos_session set state = 'closed', closed_at = now(), closed_by = opened_by, retained = 0, deposited = 0
          where session_id = '{session}'"
    );
    let refused = while_deciding(&shop, id, goods, &session, &close)
        .await
        .expect(409);
    assert_eq!(refused.code(), "SESSION_CLOSED");
    assert_eq!(shop.decisions(id).await, decided(&[(1, "void")]));
    shop.assert_stock(goods, ("1", "0", "1")).await;
    // No number was taken.
    let counters = shop
        .sales
        .admin()
        .await
        .query(
            "select 1 from number_counter where purpose = 'invoice'",
            &[],
        )
        .await
        .unwrap();
    assert!(counters.is_empty());
}

/// What was lost with the connection has not happened, so the same attempt goes on over another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_step_3_is_replaced_and_the_sale_is_made_once() {
    let shop = Shop::open().await;
    let goods = shop.goods("1").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    let kill = "do $$ begin
        perform pg_terminate_backend(pid) from pg_locks where not granted and relation = 'reservation_decision'::regclass;
      end $$";
    let sold = while_deciding(&shop, id, goods, &session, kill)
        .await
        .expect(201);
    assert_eq!(shop.decisions(id).await, decided(&[(1, "issued")]));
    let mut body = shop.basket(&session, &[(goods, "1")], "10");
    body["invoice_id"] = json!(id);
    let again = shop
        .owner
        .post("/api/v1/pos/invoice", body)
        .await
        .expect(201);
    assert_eq!(again.text_at("number"), sold.text_at("number"));
    assert_eq!(shop.decisions(id).await, decided(&[(1, "issued")]));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_about_an_undecided_attempt_sales_writes_void_first() {
    let shop = Shop::open().await;
    let goods = shop.goods("2").await;
    let session = shop.session().await;
    let (never, id) = (InvoiceId::new(), InvoiceId::new());
    let mut body = shop.basket(&session, &[(goods, "1"), (goods, "1")], "20");
    body["invoice_id"] = json!(id);
    shop.owner
        .post("/api/v1/pos/invoice", body)
        .await
        .expect(201);
    let closed = InvoiceId::new();
    shop.abandon(closed).await.expect(200);
    let states = shop
        .states(&[(never, 3), (id, 1), (id, 2), (closed, 1)])
        .await
        .unwrap();
    let decisions: Vec<_> = states.iter().map(|s| s.decision()).collect();
    assert_eq!(
        decisions,
        [
            Decision::Void,
            Decision::Issued,
            Decision::Void,
            Decision::Void
        ]
    );
    assert_eq!(shop.decisions(never).await, decided(&[(3, "void")]));
    let issued = states[1].issued.as_ref().unwrap();
    assert_eq!(issued.number, "P1/26-27/0001");
    assert_eq!(issued.occurred_at, "2026-11-05T06:00:00.000000Z");
    assert_eq!(
        issued.demand_hash,
        shop.said("invoice.issued").await[0]["demand_hash"]
    );
    let lines: Vec<_> = issued
        .lines
        .iter()
        .map(|l| (l.line, l.qty.as_str()))
        .collect();
    assert_eq!(lines, [(1, "1"), (2, "1")]);
    assert!(states[0].issued.is_none() && states[2].issued.is_none());
    // The same question has the same answer.
    assert_eq!(
        shop.states(&[(never, 3), (id, 1), (id, 2), (closed, 1)])
            .await
            .unwrap(),
        states
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_of_services_is_issued_to_whoever_asks() {
    let shop = Shop::open().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let sold = shop
        .sell(shop.basket(&session, &[(service, "1")], "118"))
        .await
        .expect(201);
    let id: InvoiceId = sold.text_at("invoice_id").parse().unwrap();
    let states = shop.states(&[(id, 1)]).await.unwrap();
    assert_eq!(states[0].decision(), Decision::Issued);
    assert!(states[0].issued.as_ref().unwrap().lines.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_inventory_may_ask_and_only_for_holds_that_are_ones() {
    let shop = Shop::without_stock().await;
    let id = InvoiceId::new();
    let code = |r: Result<Vec<_>, tonic::Status>| {
        r.map(|_: Vec<bahi_proto::sales::v1::ReservationState>| ())
            .unwrap_err()
            .code()
    };
    assert_eq!(
        code(shop.states_as("product", &[(id, 1)]).await),
        tonic::Code::PermissionDenied
    );
    assert_eq!(
        code(shop.states(&[(id, 0)]).await),
        tonic::Code::InvalidArgument
    );
    let many: Vec<_> = (1..=501).map(|n| (id, n)).collect();
    assert_eq!(code(shop.states(&many).await), tonic::Code::InvalidArgument);
    assert!(shop.decisions(id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_whose_sale_died_is_freed_after_its_deadline_and_an_issued_one_is_kept() {
    let shop = Shop::open().await;
    let goods = shop.goods("2").await;
    let session = shop.session().await;
    shop.sell(shop.basket(&session, &[(goods, "1")], "10"))
        .await
        .expect(201);
    // A sale that got its grant and died: nothing in sales, a hold in inventory.
    let dead = InvoiceId::new();
    reserve_as_sales(&shop, dead, goods).await;
    shop.assert_stock(goods, ("2", "2", "0")).await;
    shop.ask_sales().await;
    shop.assert_stock(goods, ("2", "2", "0")).await;
    shop.later(31);
    shop.ask_sales().await;
    shop.assert_stock(goods, ("2", "1", "1")).await;
    assert_eq!(shop.decisions(dead).await, decided(&[(1, "void")]));
    shop.relay().await;
    shop.assert_stock(goods, ("1", "0", "1")).await;
    shop.assert_sound().await;
}

async fn reserve_as_sales(shop: &Shop, invoice: InvoiceId, goods: bahi_types::ProductId) {
    use bahi_proto::inventory::v1::{DemandLine, ReserveRequest, stock_client::StockClient};
    let stock = shop.stock.as_ref().unwrap();
    let mut client = StockClient::connect(stock.grpc_url()).await.unwrap();
    let mut request = tonic::Request::new(ReserveRequest {
        invoice_id: invoice.to_string(),
        attempt: 1,
        location_id: shop.location.to_string(),
        lines: vec![DemandLine {
            line: 1,
            product_id: goods.to_string(),
            qty: "1".into(),
            batch_id: None,
            serials: Vec::new(),
        }],
        demand_hash: bahi_proto::demand_hash(shop.location, [(goods, "1".parse().unwrap())]),
        deadline_seconds: 0,
        allow_short: false,
        ..ReserveRequest::default()
    });
    let token = stock.service_token("sales", shop.tenant());
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    client.reserve(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_basket_than_the_held_one_voids_the_attempt_and_takes_the_next() {
    let shop = Shop::open().await;
    let goods = shop.goods("3").await;
    let session = shop.session().await;
    let id = InvoiceId::new();
    reserve_as_sales(&shop, id, goods).await;
    let mut body = shop.basket(&session, &[(goods, "3")], "30");
    body["invoice_id"] = json!(id);
    shop.owner
        .post("/api/v1/pos/invoice", body)
        .await
        .expect(201);
    assert_eq!(
        shop.decisions(id).await,
        decided(&[(1, "void"), (2, "issued")])
    );
    shop.assert_stock(goods, ("3", "3", "0")).await;
    shop.relay().await;
    shop.assert_stock(goods, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_baskets_racing_under_one_id_make_one_sale() {
    let shop = Shop::open().await;
    let goods = shop.goods("100").await;
    let session = shop.session().await;
    for _ in 0..10 {
        let id = InvoiceId::new();
        let body = |qty: &str| {
            let mut body = shop.basket(&session, &[(goods, qty)], "100");
            body["invoice_id"] = json!(id);
            body
        };
        let replies =
            join_all(["1", "2", "1", "2"].map(|q| shop.owner.post("/api/v1/pos/invoice", body(q))))
                .await;
        let mut sold = HashSet::new();
        for reply in &replies {
            match reply.status {
                201 => drop(sold.insert(reply.body.to_string())),
                422 => assert_eq!(reply.code(), "IDEMPOTENCY_KEY_REUSED"),
                503 => assert_eq!(reply.code(), "SALE_CONTENDED"),
                _ => panic!("{}", reply.text),
            }
        }
        assert!(sold.len() <= 1, "two sales under one id");
    }
    shop.relay().await;
    shop.later(31);
    shop.ask_sales().await;
    let (on_hand, reserved, available) = shop.stock(goods).await;
    assert_eq!((reserved.as_str(), &on_hand), ("0", &available));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_product_is_not_yet_known_whoever_does_not_know_it() {
    let shop = Shop::open().await;
    let session = shop.session().await;
    let reply = shop
        .sell(shop.basket(&session, &[(bahi_types::ProductId::new(), "1")], "10"))
        .await
        .expect(409);
    assert_eq!(
        (reply.code(), reply.header("retry-after")),
        ("NOT_YET_KNOWN", Some("1"))
    );
}
