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

#[tokio::test(flavor = "multi_thread")]
async fn one_hold_that_cannot_be_ended_stops_nobody_elses() {
    let shop = Shop::open().await;
    let other = shop.next_tenant().await;
    let (tea, soap) = (shop.product().await, other.product().await);
    shop.receive(tea, "10", "5").await;
    other.receive(soap, "10", "5").await;
    let hold = async |shop: &Shop, product| {
        let made = shop.hold(&[(product, "2")], 60).await.expect(201);
        shop.later(1);
        made.text_at("id").parse().unwrap()
    };
    let bad: bahi_types::ReservationId = hold(&shop, tea).await;
    let (same, elsewhere) = (hold(&shop, tea).await, hold(&other, soap).await);
    let admin = shop.app.admin().await;
    let nobody =
        "select set_config('app.tenant_id', '00000000-0000-0000-0000-000000000000', false)";
    admin.batch_execute(nobody).await.unwrap();
    let text = format!(
        "create function spoil() returns trigger language plpgsql as $$ begin raise exception 'spoilt'; end $$;
         create trigger spoil before update of state on reservation for each row when (old.id = '{bad}')
         execute function spoil()"
    );
    admin.batch_execute(&text).await.unwrap();
    shop.later(120);
    assert!(jobs::lapse(shop.state()).await.is_err(), "it is reported");
    assert_eq!(shop.hold_state(bad).await, "pending");
    assert_eq!(shop.hold_state(same).await, "expired");
    assert_eq!(other.hold_state(elsewhere).await, "expired");
    // It waits behind those that have not had their turn, although its deadline is the oldest.
    let next = hold(&shop, tea).await;
    shop.later(61);
    let id: uuid::Uuid = admin
        .query_one(&first_due(&shop), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(id, bad.uuid(), "tried before the other was due");
    let _ = jobs::lapse(shop.state()).await;
    assert_eq!(shop.hold_state(next).await, "expired");
    let late = hold(&shop, tea).await;
    let tried = "update reservation set tried_at = deadline + interval '1 day' where id = $1";
    admin.execute(tried, &[&bad.uuid()]).await.unwrap();
    shop.later(61);
    let id: uuid::Uuid = admin
        .query_one(&first_due(&shop), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(id, late.uuid());
    admin
        .batch_execute("drop trigger spoil on reservation")
        .await
        .unwrap();
    jobs::lapse(shop.state()).await.unwrap();
    assert_eq!(shop.hold_state(bad).await, "expired");
    shop.assert_sound().await;
}

fn first_due(shop: &Shop) -> String {
    format!(
        "select id from due_holds(array['api'], '{}', 1)",
        shop.now().to_rfc3339()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sale_that_cannot_be_issued_stops_nobody_elses() {
    let shop = Shop::open().await;
    let other = shop.next_tenant().await;
    let (tea, soap) = (shop.product().await, other.product().await);
    shop.receive(tea, "10", "5").await;
    other.receive(soap, "10", "5").await;
    let (bad, good) = (InvoiceId::new(), InvoiceId::new());
    for (shop, product, invoice) in [(&shop, tea, bad), (&other, soap, good)] {
        let lines = [(product, "2")];
        shop.reserve(invoice, 1, &lines).await.granted();
        shop.sales_issued_as(invoice, 1, &lines);
        shop.later(1);
    }
    shop.later(31);
    jobs::ask(shop.state()).await.unwrap();
    let text = format!(
        "create function spoil() returns trigger language plpgsql as $$ begin raise exception 'spoilt'; end $$;
         create trigger spoil before insert on movement for each row when (new.source_id = '{bad}')
         execute function spoil()"
    );
    shop.app.admin().await.batch_execute(&text).await.unwrap();
    shop.later(901);
    assert!(jobs::issue_unheard(shop.state()).await.is_err());
    shop.assert_stock(tea, ("10", "2", "8")).await;
    other.assert_stock(soap, ("8", "0", "8")).await;
    shop.assert_sound().await;
}
