//! Returns: the invoice's own open shortage first, then goods, at the cost they left with.

use bahi_types::InvoiceId;
use inventory::consumers;
use serde_json::json;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn goods_come_back_at_the_cost_they_left_with_also_in_parts() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "120").await;
    shop.receive(tea, "20", "125").await;
    let invoice = shop.sell(&[(tea, "12")]).await;
    // The price went up meanwhile; it must not matter.
    shop.receive(tea, "5", "500").await;
    for part in ["2", "5", "5"] {
        shop.give_back(Some(invoice), &[(1, tea, part, "restock")])
            .await;
    }
    let said = shop.said("stock.returned").await;
    let costs: Vec<_> = said
        .iter()
        .map(|e| e["lines"][0]["cost_value"].as_str().unwrap())
        .collect();
    assert_eq!(costs, ["241.67", "604.16", "604.17"]);
    shop.assert_stock(tea, ("35", "0", "35")).await;
    assert_eq!(shop.value().await, "6200.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disposition_says_where_goods_go() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "5").await;
    let invoice = shop.sell(&[(tea, "6")]).await;
    let lines = [
        (1, tea, "1", "restock"),
        (1, tea, "2", "quarantine"),
        (1, tea, "3", "scrap"),
    ];
    shop.give_back(Some(invoice), &lines).await;
    shop.assert_stock(tea, ("7", "0", "5")).await;
    let said = shop.said("stock.returned").await;
    let lines = said[0]["lines"].as_array().unwrap();
    let got: Vec<_> = lines
        .iter()
        .map(|l| {
            (
                l["status"].as_str().unwrap(),
                l["cost_value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("sellable", "5.00"),
            ("quarantine", "10.00"),
            ("scrap", "15.00")
        ]
    );
    assert_eq!(shop.value().await, "35.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_first_closes_the_invoices_own_shortage() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "2", "5").await;
    let invoice = InvoiceId::new();
    shop.issue(invoice, 1, &[(tea, "5")]).await;
    // Three are owed, two have left: a return of four closes three and brings one back.
    shop.give_back(Some(invoice), &[(1, tea, "4", "restock")])
        .await;
    assert!(shop.shortages().await.is_empty());
    shop.assert_stock(tea, ("1", "0", "1")).await;
    let said = shop.said("stock.returned").await;
    assert_eq!(
        (
            &said[0]["lines"][0]["qty"],
            &said[0]["lines"][0]["cost_value"]
        ),
        (&json!("1"), &json!("5.00"))
    );
    // What comes in later is nobody's.
    shop.receive(tea, "3", "5").await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_only_closes_a_shortage_says_nothing_of_goods() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    let invoice = InvoiceId::new();
    shop.issue(invoice, 1, &[(tea, "5")]).await;
    shop.give_back(Some(invoice), &[(1, tea, "5", "restock")])
        .await;
    assert!(shop.said("stock.returned").await.is_empty());
    shop.assert_stock(tea, ("0", "0", "0")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returned_goods_serve_whoever_waits() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    let invoice = shop.sell(&[(tea, "3")]).await;
    let waiting = InvoiceId::new();
    shop.issue(waiting, 1, &[(tea, "2")]).await;
    shop.give_back(Some(invoice), &[(1, tea, "3", "restock")])
        .await;
    shop.assert_stock(tea, ("1", "0", "1")).await;
    assert!(shop.shortages().await.is_empty());
    // What was settled later can come back too, at its cost.
    shop.give_back(Some(waiting), &[(1, tea, "2", "restock")])
        .await;
    assert_eq!(shop.value().await, "15.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_go_back_into_the_batch_they_came_from_and_a_blocked_one_to_quarantine() {
    let shop = Shop::open().await;
    let milk = shop.batched().await;
    let first = shop
        .receive_batch(milk, "B1", Some("2026-12-05"), "2", "10")
        .await;
    let second = shop
        .receive_batch(milk, "B2", Some("2027-12-05"), "5", "12")
        .await;
    let invoice = shop.sell(&[(milk, "4")]).await;
    let block = format!("/api/v1/inventory/batches/{first}:block");
    shop.owner
        .post(&block, json!({ "reason": "recall" }))
        .await
        .expect(200);
    shop.give_back(Some(invoice), &[(1, milk, "3", "restock")])
        .await;
    let said = shop.said("stock.returned").await;
    let lines = said[0]["lines"].as_array().unwrap();
    let got: Vec<_> = lines
        .iter()
        .map(|l| {
            (
                l["batch_id"].as_str().unwrap().to_owned(),
                l["status"].as_str().unwrap(),
                l["qty"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            (first.to_string(), "quarantine", "2"),
            (second.to_string(), "sellable", "1")
        ]
    );
    shop.assert_stock(milk, ("6", "0", "4")).await;
    // The rest comes back into the batch that is left.
    shop.give_back(Some(invoice), &[(1, milk, "1", "restock")])
        .await;
    shop.assert_stock(milk, ("7", "0", "5")).await;
    assert_eq!(shop.value().await, "80.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_without_bill_costs_what_the_product_costs_now() {
    let shop = Shop::open().await;
    let (tea, unknown) = (shop.product().await, shop.product().await);
    shop.receive(tea, "1", "4").await;
    shop.receive(tea, "3", "8").await;
    shop.give_back(
        None,
        &[(1, tea, "2", "restock"), (1, unknown, "1", "restock")],
    )
    .await;
    shop.assert_stock(tea, ("6", "0", "6")).await;
    let said = shop.said("stock.returned").await;
    assert_eq!(said[0]["lines"][0]["cost_value"], "14.00");
    assert_eq!(said[0]["lines"][1]["cost_value"], "0.00");
    assert_eq!(said[0]["invoice_id"], json!(null));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_returns_of_one_invoice_in_one_slice_keep_their_order() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "3.3333").await;
    let invoice = shop.sell(&[(tea, "3")]).await;
    let notes: Vec<_> = (0..3)
        .map(|_| shop.credit_note(Some(invoice), &[(1, tea, "1", "restock")]))
        .collect();
    shop.hear(consumers::returned, &notes).await;
    assert_eq!(shop.value().await, "10.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_i6_goods_of_an_unknown_batch_do_not_go_back_to_the_shelf() {
    let shop = Shop::open().await;
    let (milk, tea) = (shop.batched().await, shop.product().await);
    shop.receive_batch(milk, "B1", Some("2027-12-05"), "5", "2")
        .await;
    shop.receive(tea, "5", "2").await;
    shop.give_back(None, &[(1, milk, "2", "restock"), (2, tea, "2", "restock")])
        .await;
    shop.assert_stock(milk, ("7", "0", "5")).await;
    shop.assert_stock(tea, ("7", "0", "7")).await;
    let said = shop.said("stock.returned").await;
    assert_eq!(said[0]["lines"][0]["status"], "quarantine");
    // More than was sold on the line has no batch either.
    let invoice = shop.sell(&[(milk, "1")]).await;
    shop.give_back(Some(invoice), &[(1, milk, "3", "restock")])
        .await;
    shop.assert_stock(milk, ("9", "0", "5")).await;
    shop.assert_sound().await;
}
