//! What a search through everything finds here: customers, and documents by their numbers.

use bahi_events::{
    CUSTOMER_CREATED, CUSTOMER_DELETED, CUSTOMER_UPDATED, Customer, CustomerDeleted,
};
use bahi_testkit::{assert_searches, eventually};
use serde_json::{Value, json};

use crate::support::{Shop, customer};

fn named(name: &str, phone: &str) -> Customer {
    Customer {
        name: name.into(),
        phone: Some(phone.into()),
        ..customer(None)
    }
}

impl Shop {
    async fn found(&self, what: &str, q: &str) -> Value {
        let url = self.sales.url();
        let path = reqwest::Url::parse_with_params(
            &format!("{url}/internal/v1/search/{what}"),
            [("q", q), ("limit", "10")],
        )
        .unwrap();
        let path = path.as_str().strip_prefix(&url).unwrap().to_owned();
        self.owner.get(&path).await.expect(200).body
    }

    async fn names(&self, what: &str, q: &str) -> Vec<(String, u64)> {
        let found = self.found(what, q).await;
        let items = found["items"].as_array().unwrap().iter();
        items
            .map(|hit| {
                let title = hit["title"].as_str().unwrap().to_owned();
                (title, hit["score"].as_u64().unwrap())
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_registered_search_is_answered() {
    let shop = Shop::without_stock().await;
    assert_searches("sales", &shop.owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_found_by_words_and_codes_as_they_are_now() {
    let shop = Shop::without_stock().await;
    let jain = Customer {
        gstin: Some("27AAPFU0939F1ZV".into()),
        ..named("Jain Stores, Pune", "+919820098201")
    };
    let stores = named("Stores of Jaipur", "+919820098202");
    let merged = Customer {
        status: "merged".into(),
        ..named("Jain Stores (old)", "+919820098203")
    };
    let events = [&jain, &stores, &merged].map(|c| CUSTOMER_CREATED.of(c.customer_id.uuid(), 1, c));
    shop.hear(events).await;
    let (first, second) = (
        "Jain Stores, Pune".to_owned(),
        "Stores of Jaipur".to_owned(),
    );
    for (q, found) in [
        ("98200 98201", vec![(first.clone(), 100)]),
        ("+91 98200-98202", vec![(second.clone(), 100)]),
        ("27aapfu0939f1zv", vec![(first.clone(), 100)]),
        ("jain stores, pune", vec![(first.clone(), 80)]),
        ("jai", vec![(first.clone(), 60), (second.clone(), 40)]),
        (
            "stores jai",
            vec![(first.clone(), 40), (second.clone(), 40)],
        ),
        ("pun", vec![(first.clone(), 40)]),
        ("delhi", vec![]),
        ("982", vec![(first.clone(), 40), (second.clone(), 40)]),
    ] {
        assert_eq!(shop.names("customers", q).await, found, "{q}");
    }
    // The list takes the same text.
    let path = "/api/v1/sales/customers";
    let listed = shop
        .owner
        .get(&format!("{path}?q=stores%20jai&limit=1"))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&listed["total"], &listed["items"][0]["name"]),
        (&json!(2), &json!(first))
    );
    let none = shop
        .owner
        .get(&format!("{path}?q=delhi"))
        .await
        .expect(200)
        .body;
    assert_eq!(none["total"], 0);
    for wrong in ["q=", "q=a%00b"] {
        shop.owner.get(&format!("{path}?{wrong}")).await.expect(400);
    }
    // A new name takes the place of the old one; an older event changes nothing.
    let renamed = Customer {
        name: "Mehta & Sons".into(),
        ..jain.clone()
    };
    let id = jain.customer_id.uuid();
    shop.hear([
        CUSTOMER_UPDATED.of(id, 3, &renamed),
        CUSTOMER_UPDATED.of(id, 2, &jain),
    ])
    .await;
    assert_eq!(shop.names("customers", "jain").await, []);
    assert_eq!(
        shop.names("customers", "mehta").await,
        [("Mehta & Sons".to_owned(), 60)]
    );
    let gone = CustomerDeleted {
        customer_id: jain.customer_id,
    };
    shop.hear([CUSTOMER_DELETED.of(id, 4, &gone)]).await;
    assert_eq!(shop.names("customers", "mehta").await, []);
    // They are this tenant's.
    let stranger = shop.next_tenant().await;
    assert_eq!(stranger.names("customers", "stores").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_found_by_their_numbers_and_the_exact_one_comes_first() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let mut numbers = Vec::new();
    for _ in 0..12 {
        let sold = shop
            .sell(shop.basket(&session, &[(service, "1")], "118"))
            .await
            .expect(201);
        numbers.push(sold.text_at("number"));
    }
    let exact = &numbers[0];
    let found = shop
        .found("documents/invoices", &exact.to_lowercase())
        .await;
    assert_eq!(found["items"][0]["title"], exact.as_str());
    assert_eq!(found["items"][0]["score"], 100);
    assert_eq!(found["more"], false);
    let url = found["items"][0]["url"].as_str().unwrap();
    assert_eq!(
        shop.owner.get(url).await.expect(200).text_at("number"),
        *exact
    );
    let begins = &exact[..exact.len() - 2];
    let found = shop.found("documents/invoices", begins).await;
    assert_eq!(
        (found["items"].as_array().unwrap().len(), &found["more"]),
        (10, &json!(true))
    );
    assert!(
        found["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hit| hit["score"] == 60)
    );
    assert_eq!(shop.names("documents/invoices", "no such number").await, []);
    assert_eq!(shop.names("documents/orders", exact).await, []);
    shop.owner
        .get("/internal/v1/search/documents/secrets?q=a&limit=1")
        .await
        .expect(404);
    let stranger = shop.next_tenant().await;
    assert_eq!(stranger.names("documents/invoices", exact).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn among_many_customers_words_are_found_by_their_index() {
    let shop = Shop::without_stock().await;
    let admin = shop.sales.admin().await;
    let tenant = shop.tenant().uuid();
    admin
        .batch_execute(&format!(
            "insert into customer (tenant_id, customer_id, name, phone, addresses, credit_days, status, epoch, version)
             select '{tenant}', gen_random_uuid(), 'Kirana ' || n, '+9198' || n, '[]', 0, 'active', 0, 1
               from generate_series(10000000, 10019999) n;
             insert into customer_word select tenant_id, w, customer_id
               from customer, unnest(array['kirana', substr(name, 8), substr(phone, 2), substr(phone, 4)]) w;
             analyze customer, customer_word;"
        ))
        .await
        .unwrap();
    let scans = async |table: &str| -> (i64, i64) {
        let text =
            "select seq_scan, coalesce(idx_scan, 0) from pg_stat_user_tables where relname = $1";
        let row = admin.query_one(text, &[&table]).await.unwrap();
        (row.get(0), row.get(1))
    };
    // The filling reads another table, and ANALYZE is not counted.
    let before = scans("customer_word").await;
    for n in 0..50 {
        let number = 10_000_000 + n * 37;
        let found = shop.names("customers", &format!("kirana {number}")).await;
        assert_eq!(found, [(format!("Kirana {number}"), 80)]);
    }
    let after = eventually(async || {
        let now = scans("customer_word").await;
        (now.1 >= before.1 + 50).then_some(now)
    })
    .await;
    assert_eq!(after.0, before.0, "{before:?} {after:?}");
    // What everybody has finds as many as count, a page at a time.
    let page = shop.found("customers", "kirana").await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["more"]),
        (10, &json!(true))
    );
}
