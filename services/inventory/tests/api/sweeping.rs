//! Holds at their deadline: only sales knows what became of a till's; the API's lapse by the clock.

use bahi_proto::reservation_id;
use bahi_types::InvoiceId;
use inventory::jobs;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn at_its_deadline_a_tills_hold_is_released_only_when_sales_says_void() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let (void, closed, issued) = (InvoiceId::new(), InvoiceId::new(), InvoiceId::new());
    for invoice in [void, closed, issued] {
        shop.reserve(invoice, 1, &[(tea, "2")]).await.granted();
    }
    shop.sales_issued_as(issued, 1, &[(tea, "2")]);
    shop.sales
        .ledger
        .lock()
        .unwrap()
        .closed
        .push(reservation_id(closed, 1).to_string());
    jobs::ask(shop.state()).await.unwrap();
    assert!(
        shop.sales.ledger.lock().unwrap().asked.is_empty(),
        "not before the deadline"
    );
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "2", "8")).await;
    assert_eq!(shop.hold_state(reservation_id(void, 1)).await, "released");
    assert_eq!(shop.hold_state(reservation_id(closed, 1)).await, "released");
    assert_eq!(shop.hold_state(reservation_id(issued, 1)).await, "pending");
    // An issued one is remembered: nobody is asked again.
    jobs::ask(shop.state()).await.unwrap();
    assert_eq!(shop.sales.ledger.lock().unwrap().asked.len(), 3);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_every_hold_stays() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "2")]).await.granted();
    shop.sales.ledger.lock().unwrap().down = true;
    shop.later(3600);
    jobs::ask(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "2", "8")).await;
    shop.sales.ledger.lock().unwrap().down = false;
    jobs::ask(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "0", "10")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_sale_whose_event_does_not_come_is_issued_from_the_answer_and_once() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = InvoiceId::new();
    shop.reserve(invoice, 1, &[(tea, "2")]).await.granted();
    shop.sales_issued_as(invoice, 1, &[(tea, "2")]);
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    shop.later(899);
    jobs::issue_unheard(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "2", "8")).await;
    shop.later(2);
    for _ in 0..2 {
        jobs::issue_unheard(shop.state()).await.unwrap();
    }
    shop.assert_stock(tea, ("8", "0", "8")).await;
    // The event comes after all.
    shop.issue(invoice, 1, &[(tea, "2")]).await;
    shop.assert_stock(tea, ("8", "0", "8")).await;
    assert_eq!(shop.said("stock.issued").await.len(), 1);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_released_hold_frees_serves_whoever_waits() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    shop.reserve(InvoiceId::new(), 1, &[(tea, "3")])
        .await
        .granted();
    shop.issue(InvoiceId::new(), 1, &[(tea, "2")]).await;
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("1", "0", "1")).await;
    assert!(shop.shortages().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_reach_every_tenant() {
    let shop = Shop::open().await;
    let other = shop.next_tenant().await;
    for shop in [&shop, &other] {
        let tea = shop.product().await;
        shop.receive(tea, "3", "5").await;
        shop.reserve(InvoiceId::new(), 1, &[(tea, "1")])
            .await
            .granted();
        shop.hold(&[(tea, "1")], 20).await.expect(201);
    }
    shop.later(31);
    jobs::lapse(shop.state()).await.unwrap();
    jobs::ask(shop.state()).await.unwrap();
    for shop in [&shop, &other] {
        let stock = shop.owner.get("/api/v1/inventory/stock").await.expect(200);
        assert_eq!(stock.body["items"][0]["reserved"], "0");
        shop.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_of_the_api_lapse_by_the_clock() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let id = shop.hold(&[(tea, "4")], 1).await.expect(201).text_at("id");
    shop.assert_stock(tea, ("10", "4", "6")).await;
    shop.later(1);
    // Its time is over also where the sweep has not come by.
    let commit = format!("/api/v1/inventory/reservations/{id}:commit");
    assert_eq!(
        shop.owner
            .post(&commit, serde_json::json!({}))
            .await
            .expect(409)
            .code(),
        "RESERVATION_EXPIRED"
    );
    jobs::lapse(shop.state()).await.unwrap();
    shop.assert_stock(tea, ("10", "0", "10")).await;
    assert_eq!(
        shop.owner
            .post(&commit, serde_json::json!({}))
            .await
            .expect(409)
            .code(),
        "RESERVATION_EXPIRED"
    );
    let said = shop.said("stock.expired").await;
    assert_eq!(said[0]["reservation_id"], id);
    assert!(shop.sales.ledger.lock().unwrap().asked.is_empty());
}
