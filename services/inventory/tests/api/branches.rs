//! Whoever works for one branch only: what he is shown, and what he may move.

use bahi_events::Tracking;
use bahi_testkit::{Client, Reply, assert_branch_tables};
use bahi_types::{BranchId, InvoiceId, LocationId};
use inventory::consumers;
use serde_json::json;

use crate::support::{Shop, product, q};

impl Shop {
    async fn branch_of(&self, location: LocationId) -> BranchId {
        let row = self.app.admin().await;
        let text = "select branch_id from location where location_id = $1";
        let row = row.query_one(text, &[&location.uuid()]).await.unwrap();
        BranchId::from_uuid(row.get(0))
    }

    /// Somebody who may do everything, at this location's branch.
    async fn keeper(&self) -> Client {
        let branch = self.branch_of(self.location).await;
        self.owner.at_branches(&["*"], &[branch])
    }
}

fn refused(reply: Reply) {
    assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
}

async fn count(of: &Client, path: &str) -> usize {
    let body = of.get(path).await.expect(200).body;
    let items = body["items"].as_array().or(body.as_array());
    items.unwrap_or_else(|| panic!("{path}: {body}")).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_a_place_is_cut_to_branches() {
    let shop = Shop::open().await;
    let whole = [
        ("branch", "the organisation"),
        ("location", "the organisation"),
    ];
    assert_branch_tables(&shop.app, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_and_documents_of_other_branches_are_not_shown() {
    let here = Shop::open().await;
    let tea = here.product().await;
    let there = here.branch().await;
    here.receive(tea, "10", "100").await;
    let received = there.receive(tea, "7", "100").await.text_at("id");
    there.adjust(tea, "-1").await.expect(201);
    let (keeper, owner) = (here.keeper().await, &here.owner);
    // The same questions as one who works for all branches: the owner sees both.
    for path in [
        format!("/api/v1/inventory/stock?product={tea}"),
        format!("/api/v1/inventory/ledger?product={tea}"),
        "/api/v1/inventory/receipts?".to_owned(),
        "/api/v1/inventory/adjustments?".to_owned(),
    ] {
        let other = format!("{path}&location={}", there.location);
        assert_eq!(count(&keeper, &other).await, 0, "{path}");
        assert!(count(owner, &other).await > 0, "{path}");
        assert!(
            count(&keeper, &path).await < count(owner, &path).await,
            "{path}"
        );
    }
    let path = format!("/api/v1/inventory/receipts/{received}");
    keeper.get(&path).await.expect(404);
    owner.get(&path).await.expect(200);
    here.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_goods_where_he_does_not_work() {
    let here = Shop::open().await;
    let tea = here.product().await;
    let there = here.branch().await;
    here.receive(tea, "10", "100").await;
    there.receive(tea, "10", "100").await;
    let keeper = here.keeper().await;
    let adjust = |at: LocationId| {
        json!({ "location_id": at, "reason": "count",
            "lines": [{ "product_id": tea, "qty_delta": "-1" }] })
    };
    let path = "/api/v1/inventory/adjust";
    refused(keeper.post(path, adjust(there.location)).await);
    keeper.post(path, adjust(here.location)).await.expect(201);
    here.assert_stock(tea, ("9", "0", "9")).await;
    there.assert_stock(tea, ("10", "0", "10")).await;

    // The wrong implementation, which trusts the document to be refused: without the policy of the movements' table
    // and of the documents' they go through.
    let admin = here.app.admin().await;
    let drop = "drop policy branch on movement; drop policy branch on stock_document";
    admin.batch_execute(drop).await.unwrap();
    keeper.post(path, adjust(there.location)).await.expect(201);
    there.assert_stock(tea, ("9", "0", "9")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_sent_by_one_end_and_received_by_the_other() {
    let here = Shop::open().await;
    let tea = here.product().await;
    let (there, elsewhere) = (here.branch().await, here.branch().await);
    here.receive(tea, "10", "100").await;
    let (sender, receiver) = (here.keeper().await, there.keeper().await);
    let stranger = elsewhere.keeper().await;
    let transfers = "/api/v1/inventory/transfers";
    let body = json!({ "from_location_id": here.location, "to_location_id": there.location,
        "lines": [{ "product_id": tea, "qty": "4" }] });
    refused(stranger.post(transfers, body.clone()).await);
    // Who wants the goods may write the document, and not more.
    let id = receiver
        .post(transfers, body)
        .await
        .expect(201)
        .text_at("id");
    let step = |of: &Client, verb: &str| {
        let (of, path) = (of.clone(), format!("{transfers}/{id}:{verb}"));
        async move { of.post(&path, json!({})).await }
    };
    step(&stranger, "approve").await.expect(404);
    refused(step(&receiver, "approve").await);
    step(&sender, "approve").await.expect(200);
    refused(step(&receiver, "ship").await);
    step(&sender, "ship").await.expect(200);
    refused(step(&sender, "receive").await);
    step(&receiver, "receive").await.expect(200);
    assert_eq!(count(&stranger, transfers).await, 0);
    assert_eq!(count(&sender, transfers).await, 1);
    here.assert_stock(tea, ("6", "0", "6")).await;
    there.assert_stock(tea, ("4", "0", "4")).await;
    here.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_all_branches_is_not_for_who_works_for_one() {
    let here = Shop::open().await;
    let tea = here.product().await;
    let there = here.branch().await;
    here.receive(tea, "5", "10").await;
    there.receive(tea, "5", "10").await;
    let path = "/api/v1/inventory/revaluations";
    let body = json!({ "reason": "year end", "lines": [{ "product_id": tea, "unit_cost": "8" }] });
    let (keeper, owner) = (here.keeper().await, &here.owner);
    refused(keeper.post(path, body.clone()).await);
    owner.post(path, body).await.expect(201);
    let policy =
        json!({ "second_person_above": "5", "reasons": [{ "code": "other", "name": "Other" }] });
    let closed = json!({ "status": "closed" });
    for (path, body) in [
        ("/api/v1/inventory/policy", policy),
        ("/api/v1/inventory/periods/2026-09", closed),
    ] {
        refused(keeper.put(path, body.clone(), 0).await);
        owner.put(path, body, 0).await.expect(200);
    }
    // What he sees of the books would not agree with what he does not see.
    let path = "/api/v1/inventory/integrity";
    refused(keeper.get(path).await);
    owner.get(path).await.expect(200);
    here.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_recalled_for_all_branches_and_thrown_away_where_one_works() {
    // Half an hour before the last day is over.
    let here = Shop::at("2026-11-25T18:00:00Z").await;
    let (milk, last) = (here.batched().await, Some("2026-11-25"));
    let there = here.branch().await;
    let batch = here.receive_batch(milk, "B1", last, "10", "5").await;
    there.receive_batch(milk, "B1", last, "6", "5").await;
    for (shop, qty) in [(&here, "3"), (&there, "2")] {
        shop.hold(&[(milk, qty)], 2400).await.expect(201);
    }
    let (keeper, owner) = (here.keeper().await, &here.owner);
    let act = async |of: &Client, verb: &str| {
        let path = format!("/api/v1/inventory/batches/{batch}:{verb}");
        of.post(&path, json!({ "reason": "smell" })).await
    };
    refused(act(&keeper, "recall").await);
    act(&keeper, "block").await.expect(200);
    let path = format!("/api/v1/inventory/batches/{batch}:dispose");
    let elsewhere = json!({ "reason": "smell", "location_id": there.location });
    refused(keeper.post(&path, elsewhere).await);
    // The other branch might sell it again.
    refused(act(&keeper, "dispose").await);
    here.later(1860);
    // The cart of the other branch is none of his, and does not keep him from what lies here.
    let gone = act(&keeper, "dispose").await.expect(201);
    assert_eq!(gone.text_at("qty"), "10");
    let broken = here.said("stock.reservation_broken").await;
    assert_eq!(broken.len(), 1);
    let path = format!("/api/v1/inventory/batches/{batch}/trace");
    let left = owner.get(&path).await.expect(200).body["on_hand"].clone();
    assert_eq!(
        left,
        json!([{ "location_id": there.location, "on_hand": "6", "reserved": "2" }])
    );
    here.assert_sound().await;
    let gone = act(&there.keeper().await, "dispose").await.expect(201);
    assert_eq!(gone.text_at("qty"), "6");
    assert_eq!(there.stock(milk).await.0, q("0"));
    here.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_is_lifted_by_who_works_for_all_branches() {
    let here = Shop::open().await;
    let milk = here.batched().await;
    let batch = here.receive_batch(milk, "B1", None, "10", "5").await;
    let keeper = here.keeper().await;
    let act = async |of: &Client, verb: &str| {
        let path = format!("/api/v1/inventory/batches/{batch}:{verb}");
        of.post(&path, json!({ "reason": "smell" })).await
    };
    act(&here.owner, "recall").await.expect(200);
    refused(act(&keeper, "unblock").await);
    act(&here.owner, "unblock").await.expect(200);
    // A block that is no recall is anybody's who may block.
    for verb in ["block", "unblock"] {
        act(&keeper, verb).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goods_cost_is_not_for_one_branch_even_where_nothing_moves() {
    let here = Shop::open().await;
    let (tea, rice) = (here.product().await, here.product().await);
    let received = here.receive(tea, "5", "10").await.text_at("id");
    here.sell(&[(tea, "5")]).await;
    let (keeper, owner) = (here.keeper().await, &here.owner);
    // Nothing of either is left: no movement is written that the database could refuse.
    for (noun, body) in [
        (
            "revaluations",
            json!({ "reason": "new method", "lines": [{ "product_id": tea, "method": "average" }] }),
        ),
        (
            "revaluations",
            json!({ "reason": "new cost", "lines": [
                { "product_id": rice, "method": "standard", "standard_cost": "7" }] }),
        ),
        (
            "landed-costs",
            json!({ "reference": "LR 78", "amount": "10", "basis": "quantity",
                "receipts": [{ "receipt_id": received }] }),
        ),
    ] {
        let path = format!("/api/v1/inventory/{noun}");
        refused(keeper.post(&path, body.clone()).await);
        owner.post(&path, body).await.expect(201);
    }
    // What was refused has said nothing.
    assert_eq!(here.said("stock.revalued").await.len(), 3);
    here.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_another_branch_are_not_named() {
    let here = Shop::open().await;
    let phone = here.product().await;
    let there = here.branch().await;
    // At each place two were there before they had numbers, and one was sold without.
    for shop in [&here, &there] {
        shop.receive(phone, "2", "100").await;
    }
    let tracking = Tracking {
        batch: false,
        serial: true,
        expiry: false,
    };
    let event = here.envelope(phone.uuid(), 2, product(phone, tracking));
    here.hear(consumers::product, &[event]).await;
    for shop in [&here, &there] {
        shop.issue(InvoiceId::new(), 1, &[(phone, "1")]).await;
    }
    let path = "/api/v1/inventory/serial-discrepancies";
    let gaps = async |shop: &Shop| {
        let of = format!("{path}?product_id={phone}&location_id={}", shop.location);
        let body = here.owner.get(&of).await.expect(200).body;
        [1, -1].map(|direction| {
            let mut gaps = body["items"].as_array().unwrap().iter();
            let gap = gaps.find(|g| g["direction"] == direction).unwrap();
            gap["id"].as_str().unwrap().to_owned()
        })
    };
    let assign = async |of: &Client, gap: &str, no: &str| {
        let body = json!({ "serials": [no] });
        of.post(&format!("{path}/{gap}:assign"), body).await
    };
    let offset = async |of: &Client, [came, left]: &[String; 2]| {
        let body = json!({ "against": came, "reason": "sold before it was labelled" });
        of.post(&format!("{path}/{left}:offset"), body).await
    };
    let (ours, theirs) = (gaps(&here).await, gaps(&there).await);
    let keeper = here.keeper().await;
    refused(assign(&keeper, &theirs[0], "A").await);
    refused(offset(&keeper, &theirs).await);
    // Nothing of it was written: who works there does both, as the keeper does here.
    for (of, gaps, no) in [(&there.keeper().await, &theirs, "A"), (&keeper, &ours, "B")] {
        let named = assign(of, &gaps[0], no).await.expect(200);
        assert_eq!(named.body["open"], "1");
        let taken = offset(of, gaps).await.expect(200);
        assert_eq!(taken.body["qty"], "1");
    }
    here.assert_sound().await;
}
