//! Whoever works for one branch only: what he finds, and what he may write.

use bahi_events::{BRANCH_CREATED, LOCATION_CREATED};
use bahi_testkit::{Client, assert_branch_tables};
use bahi_types::{BranchId, LocationId, TillId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{commission, support::*};

impl Shop {
    /// A second branch of the same business, with a till.
    async fn second(&self) -> Self {
        let other = Self {
            branch: BranchId::new(),
            location: LocationId::new(),
            till: TillId::new(),
            ..self.clone()
        };
        other
            .hear([
                BRANCH_CREATED.of(other.branch.uuid(), 1, &other.branch_of("Pune")),
                LOCATION_CREATED.of(other.location.uuid(), 1, &other.location_of("Pune")),
            ])
            .await;
        other.add_till(other.till, "P2", false).await;
        other
    }

    /// Somebody who may do everything, at this branch.
    fn local(&self) -> Client {
        self.owner.at_branches(&["*"], &[self.branch])
    }
}

async fn items(of: &Client, path: &str) -> Vec<Value> {
    let body = of.get(path).await.expect(200).body;
    body["items"].as_array().expect(path).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_a_branch_is_cut_to_branches() {
    let shop = Shop::without_stock().await;
    let whole = [
        ("branch", "the organisation"),
        ("location", "the organisation"),
        ("till", "the organisation"),
        ("price_list", "prices are told to everybody"),
        ("promotion", "prices are told to everybody"),
        (
            "product_cost",
            "never shown: what a floor price is measured by",
        ),
        (
            "account_entry",
            "what a customer owes is the whole for every branch",
        ),
        (
            "coupon_use",
            "counted alone: a coupon is used up for everybody",
        ),
        (
            "reservation_decision",
            "never shown: the protocol's own, asked for by the hold",
        ),
        (
            "commission_sale",
            "never shown: what the job has done already",
        ),
        (
            "commission_due",
            "never shown: what the job has still to do",
        ),
        ("session_count", "found by its session"),
        ("session_supplement", "found by its session"),
        ("cash_movement", "found by its session"),
        ("invoice_line", "found by its invoice"),
        ("invoice_tender", "found by its invoice"),
        ("invoice_edit", "found by its invoice"),
        ("cancellation", "found by its invoice"),
        ("cancellation_tender", "found by its invoice"),
        ("exchange", "found by its invoice and shown with its note"),
        (
            "receipt_allocation",
            "found by its receipt and shown with its invoice",
        ),
        ("receipt_refund", "found by its receipt"),
    ];
    assert_branch_tables(&shop.sales, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_other_branches_are_neither_found_nor_touched() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    let (ours, theirs) = (mumbai.session().await, pune.session().await);
    let sold = |shop: &Shop, session: &str| {
        let (shop, basket) = (
            shop.clone(),
            shop.basket(session, &[(service, "1")], "1000"),
        );
        async move { shop.sell(basket).await.expect(201).text_at("invoice_id") }
    };
    let (mine, other) = (sold(&mumbai, &ours).await, sold(&pune, &theirs).await);
    let (clerk, owner) = (mumbai.local(), &mumbai.owner);

    let path = "/api/v1/sales/invoices";
    let seen = items(&clerk, path).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["invoice_id"], mine.as_str());
    assert_eq!(items(owner, path).await.len(), 2);
    clerk.get(&format!("{path}/{mine}")).await.expect(200);
    for hidden in [
        format!("{path}/{other}"),
        format!("{path}/{other}/timeline"),
        format!("/api/v1/pos/sessions/{theirs}"),
    ] {
        clerk.get(&hidden).await.expect(404);
        owner.get(&hidden).await.expect(200);
    }
    let cancel = json!({ "reason_code": "data_entry", "refund_tenders": [] });
    let key = Uuid::now_v7().to_string();
    let path = format!("{path}/{other}:cancel");
    clerk.post_with_key(&path, cancel, &key).await.expect(404);
    // A sale at the till of another branch: its session is not there for him.
    let basket = mumbai.basket(&theirs, &[(service, "1")], "1000");
    let key = Uuid::now_v7().to_string();
    let reply = clerk
        .post_with_key("/api/v1/pos/invoice", basket, &key)
        .await;
    assert!([403, 404].contains(&reply.status), "{}", reply.text);
    // Nor does he open one there.
    let till = TillId::new();
    pune.add_till(till, "P3", false).await;
    let body = json!({ "till_id": till, "opening_float": "0" });
    let reply = clerk.post("/api/v1/pos/sessions:open", body).await;
    assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
    mumbai.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_not_written_for_another_branch() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    let clerk = mumbai.local();
    let quote = |at: LocationId| {
        json!({ "location_id": at, "buyer": { "name": "Asha", "phone": "9820098200", "state_code": "27" },
            "lines": [{ "product_id": service, "qty": "1" }] })
    };
    let path = "/api/v1/sales/quotations";
    clerk.post(path, quote(mumbai.location)).await.expect(201);
    let reply = clerk.post(path, quote(pune.location)).await;
    assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
    // The wrong implementation, which only hides: without the table's policy it is written.
    let admin = mumbai.sales.admin().await;
    let drop = "drop policy branch on quotation";
    admin.batch_execute(drop).await.unwrap();
    clerk.post(path, quote(pune.location)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_customer_owes_is_the_whole_for_every_branch() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    let customer = mumbai.customer(Some("150")).await;
    let sale = json!({ "customer_id": customer, "lines": [{ "product_id": service, "qty": "1" }] });
    pune.sell_from_office(sale.clone()).await.expect(201);
    // His credit is used up by what he bought at the other branch, which the clerk does not see.
    let clerk = mumbai.local();
    let mut body = sale;
    body["location_id"] = json!(mumbai.location);
    let key = Uuid::now_v7().to_string();
    let path = "/api/v1/sales/invoices";
    let reply = clerk.post_with_key(path, body, &key).await;
    assert_eq!(reply.expect(409).body["code"], "CREDIT_LIMIT_EXCEEDED");
    assert!(items(&clerk, path).await.is_empty());
    let account = format!("/api/v1/sales/customers/{customer}/account");
    let (seen, whole) = (
        clerk.get(&account).await.expect(200),
        mumbai.owner.get(&account).await,
    );
    assert_eq!(seen.body["dues"], whole.expect(200).body["dues"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_paid_a_bill_of_another_branch_is_not_reversed_without_it() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    let customer = mumbai.customer(Some("1000")).await;
    let sale = json!({ "customer_id": customer, "lines": [{ "product_id": service, "qty": "1" }] });
    mumbai.sell_from_office(sale.clone()).await.expect(201);
    let other = pune.sell_from_office(sale).await.expect(201);
    let receipt = json!({ "customer_id": customer, "location_id": mumbai.location, "method": "cheque", "amount": "236" });
    let receipts = "/api/v1/sales/receipts";
    let paid = mumbai.owner.post(receipts, receipt).await.expect(201);
    assert_eq!(paid.text_at("unallocated"), "0.00");
    let path = format!("{receipts}/{}:reverse", paid.text_at("receipt_id"));
    let bounced = json!({ "reason": "bounced" });
    let reply = mumbai.local().post(&path, bounced.clone()).await;
    assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
    mumbai.assert_sound().await;
    mumbai.owner.post(&path, bounced).await.expect(200);
    let path = format!("/api/v1/sales/invoices/{}", other.text_at("invoice_id"));
    let owed = mumbai.owner.get(&path).await.expect(200);
    assert_eq!(owed.text_at("open"), "118.00");
    mumbai.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_come_back_to_no_location_of_another_branch() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    let upi = json!([{ "method": "upi", "amount": "118" }]);
    let sale = json!({ "buyer": { "name": "Asha", "phone": "9820098200" }, "tenders": upi,
        "lines": [{ "product_id": service, "qty": "1" }], "round_to_rupee": false });
    let sold = mumbai.sell_from_office(sale).await.expect(201);
    let session = mumbai.session().await;
    let billed = |at: LocationId| {
        json!({ "original_invoice_id": sold.text_at("invoice_id"), "location_id": at,
            "lines": [{ "original_line": 1, "qty": "1" }], "refund_tenders": upi })
    };
    let unbilled = |at: LocationId| {
        json!({ "session_id": session, "location_id": at,
            "lines": [{ "product_id": service, "qty": "1" }],
            "refund_tenders": [{ "method": "cash", "amount": "118" }] })
    };
    let clerk = mumbai.local();
    let path = "/api/v1/sales/returns";
    for back in [billed(pune.location), unbilled(pune.location)] {
        let reply = clerk.post(path, back).await;
        assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
    }
    for back in [billed(mumbai.location), unbilled(mumbai.location)] {
        clerk.post(path, back).await.expect(201);
    }
    mumbai.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tills_of_other_branches_number_while_away_is_neither_shown_nor_sent() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    mumbai.session().await;
    pune.session().await;
    let spoilt = |shop: &Shop, number: &str| {
        let item = json!({ "kind": "void", "number": number, "cashier_id": shop.owner.user,
            "made_at": shop.clock.now(), "reason": "paper jam" });
        json!({ "till_id": shop.till, "sent_at": shop.clock.now(), "items": [item] })
    };
    let (clerk, owner) = (mumbai.local(), &mumbai.owner);
    let refused = |reply: bahi_testkit::Reply| {
        assert_eq!(reply.expect(403).body["code"], "OTHER_BRANCH");
    };
    let sync = "/api/v1/pos/sync";
    refused(clerk.post(sync, spoilt(&pune, "P2F/26-27/0001")).await);
    let catalogue = format!("/api/v1/pos/catalogue?till_id={}", pune.till);
    refused(clerk.get(&catalogue).await);
    for (of, shop, number) in [
        (&clerk, &mumbai, "P1F/26-27/0001"),
        (owner, &pune, "P2F/26-27/0001"),
    ] {
        let taken = of.post(sync, spoilt(shop, number)).await.expect(200);
        assert_eq!(taken.body["items"][0]["result"], "void", "{}", taken.text);
    }
    let numbers = "/api/v1/pos/offline-numbers";
    let seen = items(&clerk, numbers).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["number"], "P1F/26-27/0001");
    assert_eq!(items(owner, numbers).await.len(), 2);
    let series = format!("/api/v1/pos/offline-series?till_id={}", pune.till);
    assert!(items(&clerk, &series).await.is_empty());
    assert_eq!(items(owner, &series).await.len(), 2);

    let (ours, theirs) = (TillId::new(), TillId::new());
    mumbai.add_till(ours, "M3", false).await;
    pune.add_till(theirs, "P3", false).await;
    let open = async |till: TillId, prefix: &str| {
        let body = json!({ "till_id": till, "purpose": "invoice", "prefix": prefix });
        clerk.post("/api/v1/pos/offline-series", body).await
    };
    refused(open(theirs, "AWAY").await);
    // He does not see the other branch's prefix, and does not get it either.
    assert_eq!(
        open(ours, "P2F").await.expect(409).body["code"],
        "SERIES_TAKEN"
    );
    open(ours, "AWAY").await.expect(201);

    let lost = "/api/v1/sales/restore-orphans";
    refused(clerk.get(lost).await);
    owner.get(lost).await.expect(200);
    mumbai.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commissions_are_shown_where_their_invoices_are() {
    let mumbai = Shop::without_stock().await;
    let pune = mumbai.second().await;
    let service = mumbai.service().await;
    commission::plan(&mumbai, json!({ "rules": commission::percent("2") })).await;
    let seller = Uuid::now_v7();
    for shop in [&mumbai, &pune] {
        commission::sell(shop, seller, &[(service, "1")], json!({})).await;
    }
    commission::accrue(&mumbai).await;
    let (clerk, owner) = (mumbai.local(), &mumbai.owner);
    let ledger = "/api/v1/sales/commissions";
    assert_eq!(items(owner, ledger).await.len(), 2);
    assert_eq!(items(&clerk, ledger).await.len(), 1);
    let summary = format!("{ledger}/summary");
    assert_eq!(items(owner, &summary).await[0]["amount"], "4.00");
    assert_eq!(items(&clerk, &summary).await[0]["amount"], "2.00");
}
