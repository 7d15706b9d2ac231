//! Counts while the shop sells on: what is on its way is no variance, and what is a variance is posted once.

use bahi_events::{Envelope, InvoiceIssued};
use bahi_proto::{reservation_id, sales::v1::TopicEnd};
use bahi_testkit::{Client, Reply};
use bahi_types::{InvoiceId, ProductId};
use inventory::{consumers, count};
use serde_json::{Value, json};

use crate::support::{Line, Shop, q};

const PATH: &str = "/api/v1/inventory/counts";

impl Shop {
    async fn order_count(&self, products: &[ProductId]) -> String {
        let lines: Vec<_> = products
            .iter()
            .map(|p| json!({ "product_id": p }))
            .collect();
        let body = json!({ "location_id": self.location, "lines": lines });
        self.owner.post(PATH, body).await.expect(201).text_at("id")
    }

    async fn look(&self, id: &str, product: ProductId, qty: &str) -> Reply {
        let body = json!({ "lines": [{ "product_id": product, "qty": qty }] });
        self.owner.post(&format!("{PATH}/{id}/lines"), body).await
    }

    async fn step(&self, id: &str, verb: &str) -> Reply {
        self.owner
            .post(&format!("{PATH}/{id}:{verb}"), json!({}))
            .await
    }

    pub async fn approve(&self, id: &str) -> Value {
        let path = format!("{PATH}/{id}:approve");
        self.colleague()
            .post(&path, json!({}))
            .await
            .expect(200)
            .body
    }

    async fn counted(&self, id: &str) -> Value {
        self.owner
            .get(&format!("{PATH}/{id}"))
            .await
            .expect(200)
            .body
    }

    /// Orders, counts and submits.
    pub async fn submitted(&self, product: ProductId, qty: &str) -> String {
        let id = self.order_count(&[product]).await;
        self.look(&id, product, qty).await.expect(200);
        self.step(&id, "submit").await.expect(200);
        id
    }

    /// The event of a sale, said by transaction `txid` of sales.
    fn said_by(
        &self,
        txid: i64,
        invoice: InvoiceId,
        lines: &[Line<'_>],
    ) -> Envelope<InvoiceIssued> {
        Envelope {
            txid: Some(txid),
            ..self.invoice(invoice, 1, lines)
        }
    }

    /// A sale made without the network some hours ago, and said now by transaction `txid`.
    fn late(&self, txid: i64, hours: i64, lines: &[Line<'_>]) -> Envelope<InvoiceIssued> {
        let told = self.said_by(txid, InvoiceId::new(), lines);
        Envelope {
            occurred_at: told.timestamp - chrono::Duration::hours(hours),
            ..told
        }
    }

    fn sales_is_at(&self, txid: i64) {
        self.sales.ledger.lock().unwrap().next_txid = txid;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_blind_and_a_second_person_lets_it_change_the_books() {
    let shop = Shop::open().await;
    let (tea, soap) = (shop.product().await, shop.product().await);
    shop.receive(tea, "10", "5").await;
    shop.receive(soap, "4", "2").await;
    let id = shop.order_count(&[tea, soap]).await;
    assert_eq!(
        shop.step(&id, "submit").await.expect(409).code(),
        "COUNT_STATE"
    );
    let seen = shop.look(&id, tea, "8").await.expect(200);
    assert_eq!(seen.body["state"], "counting");
    assert_eq!(
        shop.step(&id, "submit").await.expect(422).code(),
        "COUNT_INCOMPLETE"
    );
    shop.look(&id, soap, "9").await.expect(200);
    // Looked again: the later look counts.
    shop.look(&id, soap, "5").await.expect(200);
    for line in shop.counted(&id).await["lines"].as_array().unwrap() {
        assert_eq!(
            (&line["expected"], &line["variance"]),
            (&json!(null), &json!(null))
        );
    }
    let submitted = shop.step(&id, "submit").await.expect(200);
    let variances: Vec<_> = submitted.body["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["variance"].clone())
        .collect();
    assert_eq!(variances, [json!("-2"), json!("1")]);
    shop.assert_stock(tea, ("10", "0", "10")).await;
    assert_eq!(
        shop.step(&id, "approve").await.expect(422).code(),
        "SECOND_PERSON_NEEDED"
    );
    let posted = shop.approve(&id).await;
    assert_eq!(
        (&posted["state"], &posted["value_delta"]),
        (&json!("posted"), &json!("-8.00"))
    );
    shop.assert_stock(tea, ("8", "0", "8")).await;
    shop.assert_stock(soap, ("5", "0", "5")).await;
    let said = shop.said("stock.count_posted").await;
    assert_eq!(said.len(), 1);
    assert_eq!(
        (
            &said[0]["lines"][0]["qty_delta"],
            &said[0]["lines"][1]["value_delta"]
        ),
        (&json!("-2"), &json!("2.00"))
    );
    count::post_approved(shop.state()).await.unwrap();
    assert_eq!(shop.said("stock.count_posted").await.len(), 1);
    for verb in ["approve", "recount", "cancel", "submit"] {
        assert_eq!(shop.step(&id, verb).await.expect(409).code(), "COUNT_STATE");
    }
    shop.assert_sound().await;
}

/// Fault of the field: a count posts goods as lost that were sold while the event was still on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_in_flight_during_the_count_gives_no_false_variance() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let (before, after) = (InvoiceId::new(), InvoiceId::new());
    // Two are sold and carried out; their event has not come. Then somebody counts the eight that are left.
    shop.reserve(before, 1, &[(tea, "2")]).await.granted();
    shop.sales_issued_as(before, 1, &[(tea, "2")]);
    shop.sales_is_at(100);
    shop.sales.ledger.lock().unwrap().unpublished = true;
    let id = shop.submitted(tea, "8").await;
    // The mutant that ignores the fence posts what it sees now: a loss of two that nobody lost.
    assert_eq!(shop.counted(&id).await["lines"][0]["variance"], "-2");
    // Another is sold after the look.
    shop.reserve(after, 1, &[(tea, "1")]).await.granted();
    shop.sales_issued_as(after, 1, &[(tea, "1")]);
    let waiting = shop.approve(&id).await;
    assert_eq!(waiting["state"], "approved");
    let heard = [
        shop.said_by(99, before, &[(tea, "2")]),
        shop.said_by(100, after, &[(tea, "1")]),
    ];
    shop.hear(consumers::issued, &heard).await;
    count::post_approved(shop.state()).await.unwrap();
    assert_eq!(
        shop.counted(&id).await["state"],
        "approved",
        "the relay has not come so far"
    );
    shop.sales.ledger.lock().unwrap().unpublished = false;
    count::post_approved(shop.state()).await.unwrap();
    let posted = shop.counted(&id).await;
    assert_eq!(
        (&posted["state"], &posted["value_delta"]),
        (&json!("posted"), &json!("0.00"))
    );
    assert_eq!(
        (
            &posted["lines"][0]["expected"],
            &posted["lines"][0]["variance"]
        ),
        (&json!("8"), &json!("0"))
    );
    // The mutant that nets every later movement, also of what was sold after the look, finds one too many.
    let books = shop.stock(tea).await.0;
    assert_eq!((books, q("8") - books), (q("7"), q("1")));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_until_this_service_has_heard_all_of_it_and_nothing_is_in_quarantine() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let topic = "billing.events.v1".to_owned();
    shop.sales.ledger.lock().unwrap().ends = vec![TopicEnd {
        topic,
        partition: 3,
        next_offset: 7,
    }];
    let id = shop.submitted(tea, "9").await;
    let state = async || {
        count::post_approved(shop.state()).await.unwrap();
        shop.counted(&id).await["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(shop.approve(&id).await["state"], "approved");
    let admin = shop.app.admin().await;
    let at = "insert into inbox.position (consumer, topic, part, next_offset, highest) values ('inventory', 'billing.events.v1', 3, $1, $1)
              on conflict (consumer, topic, part) do update set next_offset = $1, highest = $1";
    admin.execute(at, &[&6i64]).await.unwrap();
    assert_eq!(state().await, "approved");
    let held = "insert into inbox.quarantine (consumer, topic, part, \"offset\", headers, state, reason, error, attempts)
                values ('inventory', 'billing.events.v1', 3, 5, '[]', 'rejected', 'check', '', 1)";
    admin.execute(held, &[]).await.unwrap();
    admin.execute(at, &[&7i64]).await.unwrap();
    assert_eq!(state().await, "approved");
    admin
        .execute("delete from inbox.quarantine", &[])
        .await
        .unwrap();
    shop.sales.ledger.lock().unwrap().down = true;
    assert_eq!(state().await, "approved");
    shop.sales.ledger.lock().unwrap().down = false;
    // What is held of another business concerns nobody here.
    let foreign = "insert into inbox.quarantine (consumer, topic, part, \"offset\", value, headers, state, reason, error, attempts)
                values ('inventory', 'billing.events.v1', 3, 6, convert_to($1, 'UTF8'), '[]', 'rejected', 'check', '', 1)";
    let value = json!({ "tenant_id": uuid::Uuid::now_v7() }).to_string();
    admin.execute(foreign, &[&value]).await.unwrap();
    assert_eq!(state().await, "posted");
    shop.assert_stock(tea, ("9", "0", "9")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_owes_counts_and_a_sale_known_only_from_its_answer_learns_its_place() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "2", "5").await;
    shop.sales_is_at(100);
    // Five sold, two on hand: three owed. The shelf holds one: four had been there that no receipt told of.
    shop.hear(
        consumers::issued,
        &[shop.said_by(50, InvoiceId::new(), &[(tea, "5")])],
    )
    .await;
    assert_eq!(shop.shortages().await[0]["open"], "3");
    let id = shop.submitted(tea, "1").await;
    // Two more were sold before the look and are heard after it; one of them is given back, heard as well.
    let invoice = InvoiceId::new();
    shop.hear(
        consumers::issued,
        &[shop.said_by(60, invoice, &[(tea, "2")])],
    )
    .await;
    let mut note = shop.credit_note(Some(invoice), &[(1, tea, "1", "restock")]);
    note.txid = Some(61);
    shop.hear(consumers::returned, &[note]).await;
    let posted = shop.approve(&id).await;
    assert_eq!(
        (&posted["state"], &posted["lines"][0]["expected"]),
        (&json!("posted"), &json!("-4"))
    );
    assert_eq!(posted["lines"][0]["qty_delta"], "5");
    assert!(shop.shortages().await.is_empty());
    shop.assert_stock(tea, ("1", "0", "1")).await;
    shop.assert_sound().await;
    // A sale that was issued from what sales answered is told by its event afterwards.
    shop.receive(tea, "9", "5").await;
    let slow = InvoiceId::new();
    shop.reserve(slow, 1, &[(tea, "4")]).await.granted();
    shop.sales_issued_as(slow, 1, &[(tea, "4")]);
    shop.later(31);
    inventory::jobs::ask(shop.state()).await.unwrap();
    let id = shop.submitted(tea, "6").await;
    shop.later(901);
    inventory::jobs::issue_unheard(shop.state()).await.unwrap();
    assert_eq!(shop.counted(&id).await["lines"][0]["variance"], "-4");
    shop.hear(consumers::issued, &[shop.said_by(70, slow, &[(tea, "4")])])
        .await;
    assert_eq!(shop.approve(&id).await["lines"][0]["variance"], "0");
    shop.assert_stock(tea, ("6", "0", "6")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_sale_told_after_the_count_has_taken_its_goods_takes_them_once() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    shop.sales_is_at(100);
    // Three were sold without the network. The count finds seven and posts a loss of three.
    let id = shop.submitted(tea, "7").await;
    assert_eq!(shop.approve(&id).await["lines"][0]["qty_delta"], "-3");
    let told = shop.late(200, 1, &[(tea, "2")]);
    shop.hear(consumers::issued, &[told]).await;
    // Without the correction five would be left on paper, and seven on the shelf.
    shop.assert_stock(tea, ("7", "0", "7")).await;
    let said = shop.said("inventory.adjusted").await;
    assert_eq!(
        (&said[0]["qty_delta"], &said[0]["source"]["type"]),
        (&json!("2"), &json!("count_correction"))
    );
    // One of now needs none.
    let told = shop.said_by(201, InvoiceId::new(), &[(tea, "1")]);
    shop.hear(consumers::issued, &[told]).await;
    shop.assert_stock(tea, ("6", "0", "6")).await;
    // Sold between two counts and told before the later one is posted, it is simply no variance; and one from before
    // the earlier count, told now, is none either.
    shop.later(3 * 3600);
    let id = shop.submitted(tea, "4").await;
    let told = [
        shop.late(202, 1, &[(tea, "2")]),
        shop.late(203, 5, &[(tea, "1")]),
    ];
    shop.hear(consumers::issued, &told).await;
    assert_eq!(shop.approve(&id).await["lines"][0]["variance"], "0");
    shop.assert_stock(tea, ("4", "0", "4")).await;
    // The count took everything: the goods of the late sale come from its correction, and nothing is owed.
    shop.later(3 * 3600);
    let id = shop.submitted(tea, "0").await;
    shop.approve(&id).await;
    let told = shop.late(204, 1, &[(tea, "4")]);
    shop.hear(consumers::issued, &[told]).await;
    assert!(shop.shortages().await.is_empty());
    shop.assert_stock(tea, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_found_by_counting_takes_what_is_on_hand_and_breaks_promises() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let hold = shop
        .hold(&[(tea, "4")], 600)
        .await
        .expect(201)
        .text_at("id");
    let till = InvoiceId::new();
    shop.reserve(till, 1, &[(tea, "4")]).await.granted();
    let id = shop.submitted(tea, "3").await;
    // Eight go out by hand before it is posted: of the seven that are missing only two are left to take.
    shop.adjust(tea, "-2").await.expect(201);
    let posted = shop.approve(&id).await;
    assert_eq!(posted["lines"][0]["qty_delta"], "-7");
    // The till's four come free, three more of the API's are missing.
    assert_eq!(shop.hold_state(hold.parse().unwrap()).await, "pending");
    assert_eq!(shop.hold_state(reservation_id(till, 1)).await, "released");
    shop.assert_stock(tea, ("1", "1", "0")).await;
    let id = shop.submitted(tea, "0").await;
    shop.adjust(tea, "-1").await.expect(201);
    assert_eq!(shop.hold_state(hold.parse().unwrap()).await, "released");
    assert_eq!(shop.approve(&id).await["lines"][0]["qty_delta"], "0");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_from_before_a_restore_of_sales_are_taken_again() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let id = shop.submitted(tea, "9").await;
    shop.sales.ledger.lock().unwrap().epoch = 2;
    let back = shop.approve(&id).await;
    assert_eq!(
        (&back["state"], &back["lines"][0]["counted"]),
        (&json!("counting"), &json!(null))
    );
    shop.look(&id, tea, "9").await.expect(200);
    shop.step(&id, "submit").await.expect(200);
    assert_eq!(shop.approve(&id).await["state"], "posted");
    // While sales gives no answer nobody can look.
    let id = shop.order_count(&[tea]).await;
    shop.sales.ledger.lock().unwrap().down = true;
    assert_eq!(
        shop.look(&id, tea, "9").await.expect(503).code(),
        "SALES_UNREACHABLE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_made_again_called_off_or_refused() {
    let shop = Shop::open().await;
    let (tea, soap) = (shop.product().await, shop.batched().await);
    shop.receive(tea, "10", "5").await;
    let batch = shop.receive_batch(soap, "B", None, "5", "2").await;
    let id = shop.submitted(tea, "1").await;
    let again = shop.step(&id, "recount").await.expect(200);
    assert_eq!(
        (&again.body["state"], &again.body["lines"][0]["counted"]),
        (&json!("counting"), &json!(null))
    );
    shop.step(&id, "cancel").await.expect(200);
    assert_eq!(
        shop.look(&id, tea, "10").await.expect(409).code(),
        "COUNT_STATE"
    );
    let wrong = json!({ "lines": [{ "product_id": tea, "batch_id": batch, "qty": "1" }] });
    let other = shop.order_count(&[]).await;
    shop.owner
        .post(&format!("{PATH}/{other}/lines"), wrong)
        .await
        .expect(400);
    let twice =
        json!({ "lines": [{ "product_id": tea, "qty": "1" }, { "product_id": tea, "qty": "2" }] });
    shop.owner
        .post(&format!("{PATH}/{other}/lines"), twice)
        .await
        .expect(400);
    // In one go, by batch and by state.
    shop.restate((soap, Some(batch)), "2", ("sellable", "damaged"))
        .await
        .expect(201);
    let body = json!({ "location_id": shop.location, "reference": "shelf 7", "lines": [
        { "product_id": soap, "batch_id": batch, "qty": "3" },
        { "product_id": soap, "batch_id": batch, "status": "damaged", "qty": "1" }] });
    let path = "/api/v1/inventory/reconcile";
    let first = shop
        .owner
        .post_with_key(path, body.clone(), "k")
        .await
        .expect(201);
    let second = shop.owner.post_with_key(path, body, "k").await.expect(201);
    assert_eq!(
        (first.text_at("id"), &first.body["state"]),
        (second.text_at("id"), &json!("submitted"))
    );
    let posted = shop.approve(&first.text_at("id")).await;
    assert_eq!(
        (
            &posted["lines"][0]["qty_delta"],
            &posted["lines"][1]["qty_delta"]
        ),
        (&json!("0"), &json!("-1"))
    );
    shop.assert_stock(soap, ("4", "0", "3")).await;
    let foreign = shop.next_tenant().await;
    foreign
        .owner
        .get(&format!("{PATH}/{other}"))
        .await
        .expect(404);
    foreign.step(&other, "cancel").await.expect(404);
    // What is nowhere known to cost anything cannot be found.
    let salt = shop.product().await;
    let id = shop.order_count(&[salt]).await;
    shop.look(&id, salt, "1").await.expect(200);
    assert_eq!(
        shop.step(&id, "submit").await.expect(422).code(),
        "UNIT_COST_REQUIRED"
    );
    let stated = json!({ "lines": [{ "product_id": salt, "qty": "1", "unit_cost": "3" }] });
    shop.owner
        .post(&format!("{PATH}/{id}/lines"), stated)
        .await
        .expect(200);
    shop.step(&id, "submit").await.expect(200);
    assert_eq!(shop.approve(&id).await["value_delta"], "3.00");
    let closed = shop.close_location().await;
    let body = json!({ "location_id": closed, "lines": [] });
    let refused = shop.owner.post(PATH, body).await.expect(422);
    assert_eq!(
        refused.body["errors"],
        json!([{ "field": "location_id", "rule": "LOCATION_CLOSED", "message": "The location is closed." }])
    );
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_limit_a_role_needs_another_permission() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "100", "5").await;
    let path = "/api/v1/inventory/policy";
    let policy = shop.owner.get(path).await.expect(200);
    assert_eq!(policy.body["second_person_above"], "0.00");
    let wish = |reasons: Value| json!({ "adjust_limit": "10", "count_limit": "20", "second_person_above": "5", "reasons": reasons });
    let reasons = || json!([{ "code": "moth", "name": "Eaten by moths" }, { "code": "other", "name": "Other" }]);
    shop.owner.put(path, wish(json!([])), 0).await.expect(400);
    shop.owner.put(path, wish(reasons()), 3).await.expect(412);
    shop.owner.put(path, wish(reasons()), 0).await.expect(200);
    shop.owner.put(path, wish(reasons()), 0).await.expect(412);
    shop.owner.put(path, wish(reasons()), 1).await.expect(200);
    let keeper = shop.owner.with_permissions(&[
        "inventory.stock.adjust",
        "inventory.count.write",
        "inventory.count.approve",
    ]);
    let adjust = async |who: &Client, qty: &str, code: &str| {
        let body = json!({ "location_id": shop.location, "reason": "holes", "reason_code": code,
            "lines": [{ "product_id": tea, "qty_delta": qty }] });
        who.post("/api/v1/inventory/adjust", body).await
    };
    let done = adjust(&keeper, "-2", "moth").await.expect(201);
    assert_eq!(done.body["reason_code"], "moth");
    let refused = adjust(&keeper, "-3", "moth").await.expect(403);
    assert_eq!(refused.body["permission"], "inventory.stock.adjust_any");
    adjust(&shop.owner, "-3", "moth").await.expect(201);
    adjust(&keeper, "-1", "damage").await.expect(400);
    // One may approve what he counted up to five rupees, another up to twenty, the owner anything.
    let approve = async |who: &Client, counted: &str| {
        let id = shop.submitted(tea, counted).await;
        who.post(&format!("{PATH}/{id}:approve"), json!({})).await
    };
    approve(&keeper, "94").await.expect(200);
    assert_eq!(
        approve(&keeper, "92").await.expect(422).code(),
        "SECOND_PERSON_NEEDED"
    );
    let other = shop.app.client(shop.tenant(), &["inventory.count.approve"]);
    approve(&other, "92").await.expect(200);
    let refused = approve(&other, "87").await.expect(403);
    assert_eq!(refused.body["permission"], "inventory.count.approve_any");
    approve(&shop.colleague(), "87").await.expect(200);
    shop.assert_stock(tea, ("87", "0", "87")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_takes_from_an_order_what_is_missing_and_no_more() {
    let shop = Shop::open().await;
    let (tea, soap) = (shop.product().await, shop.product().await);
    shop.receive(tea, "10", "5").await;
    shop.receive(soap, "10", "2").await;
    let body = json!({ "location_id": shop.location, "order_id": uuid::Uuid::now_v7(),
        "lines": [{ "product_id": tea, "qty": "10" }, { "product_id": soap, "qty": "7" }] });
    let made = shop
        .owner
        .post("/api/v1/inventory/reservations", body)
        .await
        .expect(201);
    let id = shop.submitted(tea, "9").await;
    let posted = shop.approve(&id).await;
    assert_eq!(
        (&posted["state"], &posted["value_delta"]),
        (&json!("posted"), &json!("-5.00"))
    );
    shop.assert_stock(tea, ("9", "9", "0")).await;
    shop.assert_stock(soap, ("10", "7", "3")).await;
    let hold = made.text_at("id").parse().unwrap();
    assert_eq!(shop.hold_state(hold).await, "pending");
    let broken = shop.said("stock.reservation_broken").await;
    assert_eq!(
        broken[0]["lines"],
        json!([{ "product_id": tea, "batch_id": null, "qty": "1" }])
    );
    assert!(shop.said("stock.released").await.is_empty());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_followed_by_batch_are_not_found_without_one() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let batch = shop
        .receive_batch(milk, "B1", Some("2027-01-01"), "5", "2")
        .await;
    let id = shop.order_count(&[milk]).await;
    shop.look(&id, milk, "2").await.expect(200);
    let refused = shop.step(&id, "submit").await.expect(422);
    assert_eq!(refused.code(), "BATCH_REQUIRED");
    // What lies there without a batch may be found to be as much, or less.
    shop.look(&id, milk, "0").await.expect(200);
    let line = json!({ "product_id": milk, "batch_id": batch, "qty": "7" });
    shop.owner
        .post(&format!("{PATH}/{id}/lines"), json!({ "lines": [line] }))
        .await
        .expect(200);
    shop.step(&id, "submit").await.expect(200);
    assert_eq!(shop.approve(&id).await["state"], "posted");
    shop.assert_stock(milk, ("7", "0", "7")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_counts_of_the_same_goods_find_the_same_loss_once() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "100", "5").await;
    let promised = InvoiceId::new();
    shop.reserve(promised, 1, &[(tea, "60")]).await.granted();
    // Ten are missing; three are sold between the looks; then two more are missing. A third looks at all of it.
    let first = shop.submitted(tea, "90").await;
    shop.sell(&[(tea, "3")]).await;
    let second = shop.submitted(tea, "85").await;
    let third = shop.submitted(tea, "85").await;
    let posted = async |id: &str| {
        let posted = shop.approve(id).await;
        assert_eq!(posted["state"], "posted");
        let line = &posted["lines"][0];
        let told = ["expected", "variance"].map(|of| line[of].as_str().unwrap().to_owned());
        (told, shop.stock(tea).await.0)
    };
    let told = |expected: &str, variance: &str| [expected.to_owned(), variance.to_owned()];
    assert_eq!(posted(&first).await, (told("100", "-10"), q("87")));
    // The mutant that takes what other counts have put right for nothing posts -12, and the third another -12; a few more
    // of them take the sixty that are promised.
    assert_eq!(posted(&third).await, (told("87", "-2"), q("85")));
    // It looked before the third, which is posted: it finds nothing more, and above all not the two again.
    assert_eq!(posted(&second).await, (told("85", "0"), q("85")));

    // The later look is posted first; the earlier one knew nothing of what was found in between.
    let early = shop.submitted(tea, "80").await;
    let late = shop.submitted(tea, "85").await;
    assert_eq!(posted(&late).await, (told("85", "0"), q("85")));
    assert_eq!(posted(&early).await, (told("80", "0"), q("85")));
    assert_eq!(
        shop.hold_state(reservation_id(promised, 1)).await,
        "pending"
    );
    shop.assert_sound().await;
}
