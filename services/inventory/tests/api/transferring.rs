//! Transfers: nothing is lost, doubled or mixed between two places, in quantity or to the paisa.

use bahi_events::Tracking;
use bahi_testkit::Reply;
use bahi_types::{BatchId, InvoiceId, LocationId, ProductId, RegistrationId};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, q};

const PATH: &str = "/api/v1/inventory/transfers";

impl Shop {
    async fn draft(&self, to: LocationId, lines: Value) -> Reply {
        let body =
            json!({ "from_location_id": self.location, "to_location_id": to, "lines": lines });
        self.owner.post(PATH, body).await
    }

    pub async fn transfer(&self, id: &str, verb: &str, body: Value) -> Reply {
        self.owner.post(&format!("{PATH}/{id}:{verb}"), body).await
    }

    /// Writes, approves and ships.
    pub async fn ship(&self, to: LocationId, product: ProductId, qty: &str) -> String {
        let body = json!({ "from_location_id": self.location, "to_location_id": to,
            "lines": [{ "product_id": product, "qty": qty }] });
        let sent = self
            .owner
            .post("/api/v1/inventory/transfer", body)
            .await
            .expect(201);
        sent.text_at("id")
    }

    async fn receive_some(&self, id: &str, qty: &str) -> Reply {
        self.transfer(
            id,
            "receive",
            json!({ "lines": [{ "line": 1, "qty": qty }] }),
        )
        .await
    }

    async fn value_in_transit(&self) -> String {
        self.owner
            .get(PATH)
            .await
            .expect(200)
            .text_at("value_in_transit")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_7c_a_transfer_with_a_loss_on_the_way_to_the_paisa() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "300", "100").await;
    shop.receive(tea, "200", "110").await;
    let branch = shop.branch().await;
    let id = shop
        .draft(
            branch.location,
            json!([{ "product_id": tea, "qty": "500" }]),
        )
        .await
        .expect(201)
        .text_at("id");
    shop.transfer(&id, "approve", json!({})).await.expect(200);
    shop.assert_stock(tea, ("500", "0", "500")).await;
    let shipped = shop
        .transfer(&id, "ship", json!({ "eway_bill_no": "331001234567" }))
        .await
        .expect(200);
    assert_eq!(shipped.body["value_in_transit"], "52000.00");
    assert_eq!(shop.value_in_transit().await, "52000.00");
    shop.assert_stock(tea, ("0", "0", "0")).await;
    // Neither here nor there: nothing of it can be promised, and it is not counted as on hand.
    branch.assert_stock(tea, ("0", "0", "0")).await;
    assert_eq!(branch.in_status(tea, "in_transit").await, "500");
    shop.assert_sound().await;

    let part = shop.receive_some(&id, "495").await.expect(200);
    assert_eq!(part.body["state"], "partially_received");
    assert_eq!(
        part.body["lines"][0]["parts"][0]["received_value"],
        "51450.00"
    );
    assert_eq!(shop.value_in_transit().await, "550.00");
    branch.assert_stock(tea, ("495", "0", "495")).await;
    shop.assert_sound().await;

    let over = shop.receive_some(&id, "5.001").await.expect(422);
    assert_eq!(over.code(), "OVER_RECEIPT");
    let closed = shop
        .transfer(&id, "close-short", json!({ "reason": "a case fell off" }))
        .await
        .expect(200);
    assert_eq!(closed.body["state"], "closed_short");
    assert_eq!(closed.body["lines"][0]["parts"][0]["short_value"], "550.00");
    assert_eq!(closed.body["value_in_transit"], "0.00");
    assert_eq!(shop.value_in_transit().await, "0.00");
    assert_eq!(shop.value().await, "51450.00");
    shop.assert_sound().await;

    let said = shop.said("inventory.transferred").await;
    let phases: Vec<_> = said
        .iter()
        .map(|e| {
            (
                e["phase"].clone(),
                e["lines"][0]["qty"].clone(),
                e["lines"][0]["value"].clone(),
            )
        })
        .collect();
    let expected = [
        ("shipped", "500", "52000.00"),
        ("received", "495", "51450.00"),
        ("short", "5", "550.00"),
    ];
    assert_eq!(
        phases,
        expected.map(|(p, n, v)| (json!(p), json!(n), json!(v)))
    );
    assert_eq!(said[0]["eway_bill_no"], "331001234567");
    assert_eq!(said[2]["reason"], "a case fell off");
    // The layers arrived as they had left: 300 at 100, then 195 at 110. At an average of 103.94 it would be otherwise.
    branch.sell(&[(tea, "301")]).await;
    let issued = branch.said("stock.issued").await;
    assert_eq!(issued[0]["lines"][0]["cost_value"], "30110.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_transfers_of_one_product_to_one_place_never_mix_their_costs() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let branch = shop.branch().await;
    shop.receive(tea, "10", "1").await;
    let cheap = shop.ship(branch.location, tea, "10").await;
    shop.receive(tea, "10", "7").await;
    let dear = shop.ship(branch.location, tea, "10").await;
    // The later one arrives first, the earlier one is lost.
    let arrived = shop.transfer(&dear, "receive", json!({})).await.expect(200);
    assert_eq!(arrived.body["state"], "received");
    assert_eq!(
        arrived.body["lines"][0]["parts"][0]["received_value"],
        "70.00"
    );
    shop.assert_sound().await;
    let lost = shop
        .transfer(&cheap, "close-short", json!({ "reason": "stolen" }))
        .await
        .expect(200);
    assert_eq!(lost.body["lines"][0]["parts"][0]["short_value"], "10.00");
    assert_eq!(shop.value().await, "70.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_shipped_can_be_called_off_and_what_was_cannot() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "1").await;
    let branch = shop.branch().await;
    let line = || json!([{ "product_id": tea, "qty": "2" }]);
    let reason = || json!({ "reason": "no van" });
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            shop.draft(branch.location, line())
                .await
                .expect(201)
                .text_at("id"),
        );
    }
    let refused = |reply: Reply| assert_eq!(reply.expect(409).code(), "TRANSFER_STATE");
    refused(shop.transfer(&ids[0], "ship", json!({})).await);
    refused(shop.transfer(&ids[0], "receive", json!({})).await);
    shop.transfer(&ids[0], "cancel", reason()).await.expect(200);
    refused(shop.transfer(&ids[0], "approve", json!({})).await);
    for id in &ids[1..] {
        shop.transfer(id, "approve", json!({})).await.expect(200);
    }
    shop.transfer(&ids[1], "cancel", reason()).await.expect(200);
    shop.transfer(&ids[2], "ship", json!({})).await.expect(200);
    refused(shop.transfer(&ids[2], "cancel", reason()).await);
    refused(shop.transfer(&ids[2], "ship", json!({})).await);
    shop.transfer(&ids[2], "receive", json!({}))
        .await
        .expect(200);
    refused(shop.transfer(&ids[2], "close-short", reason()).await);
    let found = shop
        .owner
        .get(&format!("{PATH}?state=cancelled"))
        .await
        .expect(200);
    assert_eq!(found.body["total"], 2);
    let one = shop
        .owner
        .get(&format!("{PATH}/{}", ids[2]))
        .await
        .expect(200);
    assert_eq!(one.body["state"], "received");
    let other = shop.next_tenant().await;
    other
        .owner
        .get(&format!("{PATH}/{}", ids[2]))
        .await
        .expect(404);
    other
        .transfer(&ids[2], "approve", json!({}))
        .await
        .expect(404);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_a_worth_whoever_wrote_it_does_not_let_it_go() {
    let shop = Shop::open().await;
    let (tea, new) = (shop.product().await, shop.product().await);
    shop.receive(tea, "100", "5").await;
    let to = shop.branch().await.location;
    let wish = json!({ "second_person_above": "0", "transfer_second_person_above": "20",
        "reasons": [{ "code": "other", "name": "Other" }] });
    let policy = "/api/v1/inventory/policy";
    let known = shop.owner.put(policy, wish, 0).await.expect(200);
    assert_eq!(known.body["transfer_second_person_above"], "20.00");
    let of = |product, qty: &str| json!([{ "product_id": product, "qty": qty }]);
    let draft = async |lines: Value| shop.draft(to, lines).await.expect(201).text_at("id");
    let approve = async |id: &str| shop.transfer(id, "approve", json!({})).await;
    approve(&draft(of(tea, "4")).await).await.expect(200);
    // Nobody knows what goods are worth that have never moved.
    for lines in [of(tea, "4.001"), of(new, "1")] {
        let id = draft(lines).await;
        assert_eq!(
            approve(&id).await.expect(422).code(),
            "SECOND_PERSON_NEEDED"
        );
        let path = format!("{PATH}/{id}:approve");
        let key = shop.owner.as_key(&["*"]).post(&path, json!({})).await;
        assert_eq!(key.expect(422).code(), "SECOND_PERSON_NEEDED");
        let other = shop.colleague().post(&path, json!({})).await.expect(200);
        assert_ne!(other.body["approved_by"], other.body["created_by"]);
    }
    // Nor does he in one go, of which nothing is left.
    let written = shop.owner.get(PATH).await.expect(200).body["total"].clone();
    let send = async |qty: &str| {
        let body = json!({ "from_location_id": shop.location, "to_location_id": to, "lines": of(tea, qty) });
        shop.owner.post("/api/v1/inventory/transfer", body).await
    };
    assert_eq!(send("5").await.expect(422).code(), "SECOND_PERSON_NEEDED");
    let still = shop.owner.get(PATH).await.expect(200);
    assert_eq!(still.body["total"], written);
    send("4").await.expect(201);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_what_nobody_was_promised_first_expired_first_over_all_its_lines() {
    let shop = Shop::open().await;
    let (soap, tea) = (shop.batched().await, shop.product().await);
    let late = shop
        .receive_batch(soap, "L", Some("2027-12-01"), "4", "3")
        .await;
    let soon = shop
        .receive_batch(soap, "S", Some("2026-12-01"), "4", "2")
        .await;
    shop.receive_batch(soap, "X", Some("2026-11-01"), "9", "1")
        .await;
    shop.receive(tea, "5", "1").await;
    shop.hold(&[(tea, "2")], 600).await.expect(201);
    let branch = shop.branch().await;
    let draft = async |lines: Value| {
        let id = shop
            .draft(branch.location, lines)
            .await
            .expect(201)
            .text_at("id");
        shop.transfer(&id, "approve", json!({})).await.expect(200);
        id
    };
    // Each line alone could be had.
    let id =
        draft(json!([{ "product_id": tea, "qty": "2" }, { "product_id": tea, "qty": "2" }])).await;
    let short = shop.transfer(&id, "ship", json!({})).await.expect(409);
    assert_eq!(short.code(), "INSUFFICIENT_STOCK");
    assert_eq!(
        (
            &short.body["lines"][0]["asked"],
            &short.body["lines"][0]["available"]
        ),
        (&json!("4"), &json!("3"))
    );
    shop.assert_stock(tea, ("5", "2", "3")).await;
    let id = draft(json!([{ "product_id": soap, "qty": "6" }])).await;
    let sent = shop.transfer(&id, "ship", json!({})).await.expect(200);
    let mut parts: Vec<(BatchId, String)> = sent.body["lines"][0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            (
                p["batch_id"].as_str().unwrap().parse().unwrap(),
                p["shipped"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    parts.sort_by_key(|p| p.0);
    let mut expected = vec![(soon, "4".to_owned()), (late, "2".to_owned())];
    expected.sort_by_key(|p| p.0);
    assert_eq!(parts, expected);
    // A batch may be named on arrival.
    let arrived = json!({ "lines": [{ "line": 1, "batch_id": late, "qty": "2" }] });
    shop.transfer(&id, "receive", arrived.clone())
        .await
        .expect(200);
    assert_eq!(
        shop.transfer(&id, "receive", arrived)
            .await
            .expect(422)
            .code(),
        "OVER_RECEIPT"
    );
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    branch.assert_stock(soap, ("6", "0", "6")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_or_expired_batch_is_not_sent_unless_it_is_set_apart() {
    let shop = Shop::open().await;
    let soap = shop.batched().await;
    let expired = shop
        .receive_batch(soap, "X", Some("2026-11-01"), "4", "3")
        .await;
    let batch = shop.receive_batch(soap, "B", None, "6", "2").await;
    let branch = shop.branch().await;
    let send = async |batch: BatchId, qty: &str, status: &str| {
        let body = json!({ "from_location_id": shop.location, "to_location_id": branch.location, "lines": [
            { "product_id": soap, "batch_id": batch, "qty": qty, "status": status }] });
        shop.owner.post("/api/v1/inventory/transfer", body).await
    };
    let refused = send(expired, "1", "sellable").await.expect(422);
    assert_eq!(refused.code(), "BATCH_UNFIT");
    // A draft of it is refused as well, and says which line and why.
    let other = json!({ "product_id": soap, "qty": "1" });
    let unfit = json!({ "product_id": soap, "batch_id": expired, "qty": "1" });
    let refused = shop.draft(branch.location, json!([other, unfit])).await;
    assert_eq!(
        refused.expect(422).body["errors"],
        json!([{ "field": "lines[1].batch_id", "rule": "BATCH_UNFIT",
                 "message": "lines[1]: the batch is blocked or expired." }])
    );
    // Blocked on the way: it arrives in quarantine, and its new balance knows that it is blocked.
    let id = send(batch, "2", "sellable").await.expect(201).text_at("id");
    let block = format!("/api/v1/inventory/batches/{batch}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    assert_eq!(
        send(batch, "1", "sellable").await.expect(422).code(),
        "BATCH_UNFIT"
    );
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    branch.assert_stock(soap, ("2", "0", "0")).await;
    assert_eq!(branch.in_status(soap, "quarantine").await, "2");
    // What is set apart may go to where it is gathered.
    shop.restate((soap, Some(batch)), "4", ("sellable", "quarantine"))
        .await
        .expect(201);
    let id = send(batch, "4", "quarantine")
        .await
        .expect(201)
        .text_at("id");
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    assert_eq!(branch.in_status(soap, "quarantine").await, "6");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_registrations_it_is_marked_for_tax() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let (maharashtra, karnataka) = (RegistrationId::new(), RegistrationId::new());
    let from = shop.location_under(maharashtra, "27AAPFU0939F1ZV").await;
    let sister = shop.location_under(maharashtra, "27AAPFU0939F1ZV").await;
    let abroad = shop.location_under(karnataka, "29AAPFU0939F1ZR").await;
    let shop = shop.at_location(from);
    shop.receive(tea, "5", "1").await;
    shop.ship(sister, tea, "1").await;
    shop.ship(abroad, tea, "1").await;
    let said = shop.said("inventory.transferred").await;
    assert_eq!(
        (&said[0]["taxable"], &said[1]["taxable"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&said[1]["gstin_from"], &said[1]["gstin_to"]),
        (&json!("27AAPFU0939F1ZV"), &json!("29AAPFU0939F1ZR"))
    );
    let unheard = bahi_types::LocationId::new();
    let reply = shop
        .draft(unheard, json!([{ "product_id": tea, "qty": "1" }]))
        .await
        .expect(409);
    assert_eq!(reply.code(), "NOT_YET_KNOWN");
    let reply = shop
        .draft(from, json!([{ "product_id": tea, "qty": "1" }]))
        .await;
    reply.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_serves_who_waits_there() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "4").await;
    let branch = shop.branch().await;
    branch.issue(InvoiceId::new(), 1, &[(tea, "3")]).await;
    let id = shop.ship(branch.location, tea, "5").await;
    assert_eq!(
        branch.shortages().await[0]["open"],
        "3",
        "what is on its way is not there"
    );
    shop.transfer(&id, "receive", json!({})).await.expect(200);
    assert!(branch.shortages().await.is_empty());
    branch.assert_stock(tea, ("2", "0", "2")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_is_one_step() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "4").await;
    let branch = shop.branch().await;
    let id = shop.ship(branch.location, tea, "4").await;
    let path = format!("{PATH}/{id}:receive");
    let body = json!({ "lines": [{ "line": 1, "qty": "2" }] });
    let first = shop
        .owner
        .post_with_key(&path, body.clone(), "k")
        .await
        .expect(200);
    let again = shop
        .owner
        .post_with_key(&path, body.clone(), "k")
        .await
        .expect(200);
    assert_eq!(first.body, again.body);
    branch.assert_stock(tea, ("2", "0", "2")).await;
    // Two who count the same lorry at once: together they take in what is on it, not more.
    let both = join_all((0..10).map(|_| shop.owner.post(&path, body.clone()))).await;
    assert_eq!(both.iter().filter(|r| r.status == 200).count(), 1);
    branch.assert_stock(tea, ("4", "0", "4")).await;
    shop.assert_sound().await;
}

/// Fault 3 of the field: concurrent writes that deadlock or corrupt balances.
#[tokio::test(flavor = "multi_thread")]
async fn fault_3_a_hundred_opposite_transfers_at_once_neither_deadlock_nor_lose_a_piece() {
    let shop = Shop::open().await;
    let (tea, soap) = (
        shop.product().await,
        shop.tracked(Tracking {
            batch: true,
            serial: false,
            expiry: false,
        })
        .await,
    );
    let branch = shop.branch().await;
    for place in [&shop, &branch] {
        place.receive(tea, "100", "1.37").await;
        place.receive_batch(soap, "B", None, "100", "3.33").await;
    }
    let there_and_back = async |n: usize| {
        let (from, to) = if n.is_multiple_of(2) {
            (&shop, &branch)
        } else {
            (&branch, &shop)
        };
        let mut lines = vec![
            json!({ "product_id": tea, "qty": "1" }),
            json!({ "product_id": soap, "qty": "1.5" }),
        ];
        if n.is_multiple_of(3) {
            lines.reverse();
        }
        let body = json!({ "from_location_id": from.location, "to_location_id": to.location, "lines": lines });
        let id = from
            .owner
            .post("/api/v1/inventory/transfer", body)
            .await
            .expect(201)
            .text_at("id");
        if n.is_multiple_of(5) {
            from.transfer(&id, "close-short", json!({ "reason": "lost" }))
                .await
                .expect(200);
        } else {
            to.transfer(&id, "receive", json!({})).await.expect(200);
        }
    };
    join_all((0..100).map(there_and_back)).await;
    let here = shop.stock(tea).await.0 + branch.stock(tea).await.0;
    assert_eq!(here, q("180"));
    let here = shop.stock(soap).await.0 + branch.stock(soap).await.0;
    assert_eq!(here, q("170"));
    assert_eq!(shop.value_in_transit().await, "0.00");
    shop.assert_sound().await;
    let deadlocks: i64 = shop
        .app
        .admin()
        .await
        .query_one(
            "select deadlocks from pg_stat_database where datname = current_database()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(deadlocks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_that_stand_among_each_other_in_the_ledger_are_sound() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "1").await;
    branch.receive(tea, "10", "7").await;
    let there = shop.ship(branch.location, tea, "2").await;
    let back = branch.ship(shop.location, tea, "2").await;
    branch
        .transfer(&there, "receive", json!({}))
        .await
        .expect(200);
    shop.transfer(&back, "receive", json!({})).await.expect(200);
    shop.assert_sound().await;
    // Received at the same moment, under different gates: out of the way, out of the way, in, in.
    let admin = shop.app.admin().await;
    admin
        .batch_execute(
            "begin;
             set local session_replication_role = replica;
             alter table movement alter column seq set generated by default;
             create temp table last on commit drop as select id, row_number() over (order by seq) as n from
               (select id, seq from movement order by seq desc limit 4) m;
             create temp table place on commit drop as select n, (array[1, 3, 2, 4])[n] as to_n, m.seq
               from last join movement m using (id);
             update movement m set seq = -t.seq from last l join place p on p.n = l.n join place t on t.n = p.to_n
              where m.id = l.id;
             update movement set seq = -seq where seq < 0;
             alter table movement alter column seq set generated always;
             commit",
        )
        .await
        .unwrap();
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_was_closed_on_the_way_receives_what_was_sent_and_nothing_more() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let tea = shop.product().await;
    shop.receive(tea, "5", "2").await;
    let id = shop.ship(branch.location, tea, "3").await;
    let draft = shop
        .draft(branch.location, json!([{ "product_id": tea, "qty": "1" }]))
        .await
        .expect(201)
        .text_at("id");
    shop.transfer(&draft, "approve", json!({}))
        .await
        .expect(200);
    let closed = bahi_events::Location {
        location_id: branch.location,
        branch_id: bahi_types::BranchId::new(),
        code: "S".into(),
        name: "Shop".into(),
        active: false,
    };
    let heard = shop.envelope(branch.location.uuid(), 2, closed);
    shop.hear(inventory::consumers::location, &[heard]).await;
    shop.receive_some(&id, "1").await.expect(200);
    let done = shop.transfer(&id, "receive", json!({})).await.expect(200);
    assert_eq!(done.body["state"], "received");
    branch.assert_stock(tea, ("3", "0", "3")).await;
    // Nothing more is sent there, and the refusal says which end it is.
    let refused = shop.transfer(&draft, "ship", json!({})).await.expect(422);
    assert_eq!(
        (refused.code(), &refused.body["errors"][0]["field"]),
        ("LOCATION_CLOSED", &json!("to_location_id"))
    );
    let lines = json!([{ "product_id": tea, "qty": "1" }]);
    let refused = branch.draft(shop.location, lines).await.expect(422);
    assert_eq!(refused.body["errors"][0]["field"], "from_location_id");
    shop.assert_sound().await;
}
