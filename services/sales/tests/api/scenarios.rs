//! The worked scenarios, to the paisa.

use bahi_types::ProductId;
use serde_json::{Value, json};

use crate::support::{CUSTOMER, Shop};

fn amounts(line: &Value) -> (&str, &str, &str, &str) {
    let text = |v: &'_ Value| -> &'static str {
        Box::leak(v.as_str().unwrap().to_owned().into_boxed_str())
    };
    (
        text(&line["taxable"]),
        text(&line["tax"]["cgst"]),
        text(&line["tax"]["sgst"]),
        text(&line["total"]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_1_a_b2b_invoice_with_line_and_bill_discounts_and_round_off() {
    let shop = Shop::open().await;
    let shampoo = shop
        .product("Shampoo 340", "199", false, "taxable", "5")
        .await;
    let charger = shop
        .product("Charger 20W", "349.50", false, "taxable", "18")
        .await;
    let cola = shop
        .product("Cola 750", "38.75", false, "taxable", "40")
        .await;
    for (product, qty, cost) in [
        (shampoo, "10", "120"),
        (shampoo, "20", "125"),
        (charger, "1", "210"),
        (charger, "5", "205.50"),
        (cola, "48", "24.60"),
    ] {
        shop.receive(product, qty, cost).await;
    }
    let series =
        json!({ "registration_id": shop.registration, "purpose": "invoice", "prefix": "mh" });
    shop.owner
        .post("/api/v1/sales/series", series)
        .await
        .expect(201);
    let body = json!({
        "location_id": shop.location,
        "buyer": { "name": "Jain Stores", "gstin": CUSTOMER, "phone": "9820098200", "address": "Pune", "state_code": "27" },
        "lines": [
            { "product_id": shampoo, "qty": "12", "discount": { "percent": "10" } },
            { "product_id": charger, "qty": "3", "discount": { "amount": "50.00" } },
            { "product_id": cola, "qty": "24" },
        ],
        "bill_discount": { "amount": "100.00" },
    });
    let invoice = shop
        .owner
        .post_with_key("/api/v1/sales/invoices", body, "s1")
        .await
        .expect(201)
        .body;
    assert_eq!(invoice["number"], "MH/26-27/0001");
    assert_eq!(invoice["date"], "2026-11-05");
    assert_eq!(
        (
            &invoice["type"],
            &invoice["place_of_supply"],
            &invoice["inter_state"]
        ),
        (&json!("B2B"), &json!("27"), &json!(false))
    );
    assert_eq!(
        amounts(&invoice["lines"][0]),
        ("2096.50", "52.41", "52.41", "2201.32")
    );
    assert_eq!(
        amounts(&invoice["lines"][1]),
        ("974.01", "87.66", "87.66", "1149.33")
    );
    assert_eq!(
        amounts(&invoice["lines"][2]),
        ("907.19", "181.44", "181.44", "1270.07")
    );
    assert_eq!(invoice["lines"][0]["discount"], "238.80");
    assert_eq!(invoice["lines"][0]["bill_discount"], "52.70");
    assert_eq!(
        (&invoice["gross"], &invoice["discount"]),
        (&json!("4366.50"), &json!("388.80"))
    );
    assert_eq!(
        (&invoice["taxable"], &invoice["tax"]["cgst"]),
        (&json!("3977.70"), &json!("321.51"))
    );
    assert_eq!(
        (&invoice["round_off"], &invoice["total"]),
        (&json!("0.28"), &json!("4621.00"))
    );
    assert_eq!(
        invoice["tenders"],
        json!([{ "method": "credit", "amount": "4621.00", "reference": null }])
    );
    let said = shop.said("invoice.issued").await.remove(0);
    assert_eq!(
        (&said["gstin_supplier"], &said["gstin_buyer"]),
        (&json!("27AAPFU0939F1ZV"), &json!(CUSTOMER))
    );
    // As the e-invoice wants it: one discount a line.
    assert_eq!(said["lines"][0]["discount"], "291.50");
    shop.relay().await;
    shop.assert_stock(shampoo, ("18", "0", "18")).await;
    shop.assert_stock(charger, ("3", "0", "3")).await;
    shop.assert_stock(cola, ("24", "0", "24")).await;
    shop.assert_sound().await;
}

async fn shelf(shop: &Shop) -> [ProductId; 3] {
    let biscuit = shop.product("Biscuit", "30", true, "taxable", "5").await;
    let cable = shop.product("Cable", "299", true, "taxable", "18").await;
    let milk = shop.product("UHT milk", "72", true, "nil", "0").await;
    for (product, cost) in [(biscuit, "22"), (cable, "150"), (milk, "60")] {
        shop.receive(product, "10", cost).await;
    }
    [biscuit, cable, milk]
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_2_a_pos_sale_with_mixed_rates_split_tender_return_and_close() {
    let shop = Shop::open().await;
    let [biscuit, cable, milk] = shelf(&shop).await;
    let session = shop.open_till(shop.till, "2000").await;
    let body = json!({
        "session_id": session,
        "lines": [
            { "product_id": biscuit, "qty": "2" }, { "product_id": cable, "qty": "1" }, { "product_id": milk, "qty": "1" },
        ],
        "tenders": [{ "method": "upi", "amount": "200", "reference": "4711" }, { "method": "cash", "amount": "300" }],
    });
    let invoice = shop.sell(body).await.expect(201).body;
    assert_eq!(invoice["number"], "P1/26-27/0001");
    assert_eq!(
        amounts(&invoice["lines"][0]),
        ("57.14", "1.43", "1.43", "60.00")
    );
    assert_eq!(
        amounts(&invoice["lines"][1]),
        ("253.38", "22.81", "22.81", "299.00")
    );
    assert_eq!(
        amounts(&invoice["lines"][2]),
        ("72.00", "0.00", "0.00", "72.00")
    );
    assert_eq!(
        (
            &invoice["taxable"],
            &invoice["tax"]["cgst"],
            &invoice["tax"]["sgst"]
        ),
        (&json!("382.52"), &json!("24.24"), &json!("24.24"))
    );
    assert_eq!(
        (&invoice["total"], &invoice["round_off"], &invoice["change"]),
        (&json!("431.00"), &json!("0.00"), &json!("69.00"))
    );
    // Lower before the answer.
    shop.assert_stock(biscuit, ("10", "2", "8")).await;

    let petty =
        json!({ "session_id": session, "direction": "out", "amount": "100", "reason": "tea" });
    shop.owner
        .post("/api/v1/pos/cash-movements", petty)
        .await
        .expect(201);
    let close = json!({
        "counted": [{ "method": "cash", "amount": "2130" }, { "method": "upi", "amount": "200" }], "retained": "2000",
    });
    let report = shop
        .owner
        .post(&format!("/api/v1/pos/sessions/{session}:close"), close)
        .await
        .expect(200)
        .body;
    assert_eq!(report["expected_cash"], "2131.00");
    assert_eq!(
        report["counts"][0],
        json!({ "method": "cash", "expected": "2131.00", "counted": "2130.00", "variance": "-1.00" })
    );
    assert_eq!(
        report["counts"][1],
        json!({ "method": "upi", "expected": "200.00", "counted": "200.00", "variance": "0.00" })
    );
    assert_eq!(
        (&report["retained"], &report["deposited"]),
        (&json!("2000.00"), &json!("130.00"))
    );
    let closed = shop.said("pos.session_closed").await.remove(0);
    assert_eq!(
        (&closed["deposited"], &closed["tenders"][0]["variance"]),
        (&json!("130.00"), &json!("-1.00"))
    );

    // The cable comes back the next morning.
    let next = shop.open_till(shop.till, "2000").await;
    let back = json!({
        "original_invoice_id": invoice["invoice_id"], "session_id": next,
        "lines": [{ "original_line": 2, "qty": "1" }],
        "refund_tenders": [{ "method": "cash", "amount": "299.00" }], "reason": "too short",
    });
    let note = shop
        .owner
        .post("/api/v1/sales/returns", back)
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&note["total"], &note["taxable"], &note["cgst"]),
        (&json!("299.00"), &json!("253.38"), &json!("22.81"))
    );
    shop.relay().await;
    shop.assert_stock(cable, ("10", "0", "10")).await;
    shop.assert_stock(milk, ("9", "0", "9")).await;
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn part_returns_are_prorated_to_the_paisa_and_add_up() {
    // The vector `return_proration`: 2,096.50 and 52.41 over 12 pieces, returned as 2, 5 and 5.
    let shop = Shop::open().await;
    let shampoo = shop
        .product("Shampoo 340", "199", false, "taxable", "5")
        .await;
    shop.receive(shampoo, "12", "120").await;
    let body = json!({
        "location_id": shop.location, "buyer": { "gstin": CUSTOMER, "name": "J", "phone": "9820098200" }, "round_to_rupee": false,
        "lines": [{ "product_id": shampoo, "qty": "12", "discount": { "amount": "291.50" } }],
    });
    let invoice = shop
        .owner
        .post_with_key("/api/v1/sales/invoices", body, "p")
        .await
        .expect(201)
        .body;
    assert_eq!(
        amounts(&invoice["lines"][0]),
        ("2096.50", "52.41", "52.41", "2201.32")
    );
    let mut totals = Vec::new();
    for (qty, taxable, cgst, total) in [
        ("2", "349.42", "8.74", "366.90"),
        ("5", "873.54", "21.83", "917.20"),
        ("5", "873.54", "21.84", "917.22"),
    ] {
        let back = json!({
            "original_invoice_id": invoice["invoice_id"], "lines": [{ "original_line": 1, "qty": qty }],
            "refund_tenders": [{ "method": "credit", "amount": total }],
        });
        let note = shop
            .owner
            .post("/api/v1/sales/returns", back)
            .await
            .expect(201)
            .body;
        assert_eq!(
            (&note["taxable"], &note["cgst"], &note["sgst"]),
            (&json!(taxable), &json!(cgst), &json!(cgst))
        );
        totals.push(
            note["total"]
                .as_str()
                .unwrap()
                .parse::<bahi_types::Money>()
                .unwrap(),
        );
    }
    assert_eq!(
        totals.into_iter().sum::<bahi_types::Money>().to_string(),
        "2201.32"
    );
    let path = format!(
        "/api/v1/sales/invoices/{}",
        invoice["invoice_id"].as_str().unwrap()
    );
    let now = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&now["status"], &now["version"], &now["returned"]),
        (&json!("credited_fully"), &json!(4), &json!("2201.32"))
    );
    shop.relay().await;
    shop.assert_stock(shampoo, ("12", "0", "12")).await;
    shop.assert_sound().await;
}
