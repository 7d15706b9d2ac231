//! Statutory numbers.

use std::collections::HashSet;

use bahi_types::TillId;
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn each_till_counts_for_itself_and_loses_nothing() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let other = TillId::new();
    shop.add_till(other, "P2", false).await;
    let sessions = [shop.session().await, shop.open_till(other, "0").await];
    let replies = join_all(
        (0..40).map(|n| shop.sell(shop.basket(&sessions[n % 2], &[(service, "1")], "118"))),
    )
    .await;
    let numbers: HashSet<String> = replies
        .into_iter()
        .map(|r| r.expect(201).text_at("number"))
        .collect();
    let expected = (1..=20).flat_map(|n| [format!("P1/26-27/{n:04}"), format!("P2/26-27/{n:04}")]);
    assert_eq!(numbers, expected.collect());
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sale_takes_no_number() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    assert_eq!(
        shop.sell(shop.basket(&session, &[(service, "1")], "117"))
            .await
            .expect(422)
            .code(),
        "TENDER_SHORT"
    );
    let sold = shop
        .sell(shop.basket(&session, &[(service, "1")], "118"))
        .await
        .expect(201);
    assert_eq!(sold.text_at("number"), "P1/26-27/0001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_fiscal_year_begins_at_one() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let sell = async || {
        shop.sell(shop.basket(&session, &[(service, "1")], "118"))
            .await
            .expect(201)
    };
    // 23:59:59 on 31 March in India.
    let to = chrono::DateTime::parse_from_rfc3339("2027-03-31T23:59:59+05:30").unwrap();
    shop.clock.advance(to.to_utc() - shop.clock.now());
    let last = sell().await;
    assert_eq!(
        (last.text_at("number"), last.text_at("date")),
        ("P1/26-27/0001".into(), "2027-03-31".into())
    );
    shop.later(1);
    let first = sell().await;
    assert_eq!(
        (first.text_at("number"), first.text_at("date")),
        ("P1/27-28/0001".into(), "2027-04-01".into())
    );
    let series = shop
        .owner
        .get("/api/v1/sales/series")
        .await
        .expect(200)
        .body;
    let years: Vec<_> = series["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["fiscal_year"].clone())
        .collect();
    assert_eq!(years, [json!("26-27"), json!("27-28")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_with_no_room_in_sixteen_characters_is_used_up() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let till = TillId::new();
    shop.add_till(till, "ABCDE", false).await;
    let session = shop.open_till(till, "0").await;
    let sell = async || {
        shop.sell(shop.basket(&session, &[(service, "1")], "118"))
            .await
    };
    sell().await.expect(201);
    shop.sales
        .admin()
        .await
        .execute(
            "update number_counter set next = 9999 where prefix = 'ABCDE'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        sell().await.expect(201).text_at("number"),
        "ABCDE/26-27/9999"
    );
    assert_eq!(sell().await.expect(422).code(), "SERIES_USED_UP");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_serves_one_purpose_and_one_till() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let open = |purpose: &str, prefix: &str| {
        let body =
            json!({ "registration_id": shop.registration, "purpose": purpose, "prefix": prefix });
        shop.owner.post("/api/v1/sales/series", body)
    };
    assert_eq!(
        open("invoice", "p1").await.expect(409).code(),
        "SERIES_TAKEN"
    );
    open("invoice", "MH").await.expect(201);
    assert_eq!(
        open("invoice", "mh").await.expect(409).code(),
        "ALREADY_EXISTS"
    );
    assert_eq!(
        open("invoice", "TOOLONG").await.expect(400).code(),
        "INVALID"
    );
    let sell = |series: Option<&str>| {
        let body = json!({ "location_id": shop.location, "series": series, "buyer": { "name": "A", "phone": "9820098200" },
            "lines": [{ "product_id": service, "qty": "1" }] });
        let owner = shop.owner.clone();
        async move {
            owner
                .post_with_key("/api/v1/sales/invoices", body, &Uuid::now_v7().to_string())
                .await
        }
    };
    assert_eq!(
        sell(None).await.expect(201).text_at("number"),
        "MH/26-27/0001"
    );
    assert_eq!(
        sell(Some("mh")).await.expect(201).text_at("number"),
        "MH/26-27/0002"
    );
    assert_eq!(
        sell(Some("INV")).await.expect(201).text_at("number"),
        "INV/26-27/0001"
    );
    assert_eq!(sell(Some("XX")).await.expect(422).code(), "UNKNOWN_SERIES");
    assert_eq!(
        open("credit_note", "INV").await.expect(409).code(),
        "SERIES_TAKEN"
    );
    shop.assert_sound().await;
}

/// Mutant: a number from a sequence leaves a gap when the sale rolls back. The counter's row does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_would_leave_gaps() {
    let shop = Shop::without_stock().await;
    let mut admin = shop.sales.admin().await;
    admin.batch_execute("create sequence mutant").await.unwrap();
    let take = async |admin: &mut tokio_postgres::Client, commit: bool| {
        let tx = admin.transaction().await.unwrap();
        let n: i64 = tx
            .query_one("select nextval('mutant')", &[])
            .await
            .unwrap()
            .get(0);
        if commit {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        n
    };
    let first = take(&mut admin, true).await;
    take(&mut admin, false).await;
    assert_eq!(
        take(&mut admin, true).await - first,
        2,
        "the rolled back number is lost"
    );
}
