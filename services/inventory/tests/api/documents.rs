//! Posted documents are read as they were answered, one by one and by pages.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

const NOUNS: [&str; 4] = [
    "receipts",
    "adjustments",
    "status-changes",
    "supplier-returns",
];

impl Shop {
    async fn listed(&self, noun: &str, query: &str) -> Value {
        let path = format!("/api/v1/inventory/{noun}?{query}");
        self.owner.get(&path).await.expect(200).body
    }
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|i| i["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_read_as_they_were_answered() {
    let shop = Shop::open().await;
    let branch = shop.branch().await;
    let (tea, soap) = (shop.product().await, shop.product().await);
    let mut posted: Vec<Vec<Value>> = vec![Vec::new(); 4];
    for (place, product, day) in [
        (&shop, tea, "2026-11-03"),
        (&shop, soap, "2026-11-21"),
        (&branch, tea, "2026-11-21"),
    ] {
        let location = place.location;
        let body = json!({ "location_id": location, "reference": "bill", "posting_date": day,
            "lines": [{ "product_id": product, "qty": "9", "unit_cost": "1.3333" }] });
        let made = shop
            .owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(201);
        posted[0].push(made.body);
        let body = json!({ "location_id": location, "reason": "lost", "posting_date": day,
            "lines": [{ "product_id": product, "qty_delta": "-2" }, { "product_id": product, "qty_delta": "-50" }] });
        let made = shop.owner.post("/api/v1/inventory/adjust", body).await;
        posted[1].push(made.expect(201).body);
        place.receive(product, "4", "2").await;
        let made = place
            .restate((product, None), "3", ("sellable", "damaged"))
            .await;
        posted[2].push(made.expect(201).body);
        let made = place
            .send_back(json!([{ "product_id": product, "qty": "1" }]))
            .await;
        posted[3].push(made.expect(201).body);
    }
    let other = shop.next_tenant().await;
    let clerk = shop.owner.with_permissions(&["inventory.stock.write"]);
    for (n, noun) in NOUNS.into_iter().enumerate() {
        let path = |id: &str| format!("/api/v1/inventory/{noun}/{id}");
        for made in &posted[n] {
            let id = made["id"].as_str().unwrap();
            assert_eq!(&shop.owner.get(&path(id)).await.expect(200).body, made);
            other.owner.get(&path(id)).await.expect(404);
            clerk.get(&path(id)).await.expect(403);
            // The id of one kind is not found as another.
            let elsewhere = format!("/api/v1/inventory/{}/{id}", NOUNS[(n + 1) % 4]);
            shop.owner.get(&elsewhere).await.expect(404);
        }
        let unknown = Uuid::now_v7().to_string();
        shop.owner.get(&path(&unknown)).await.expect(404);
        let all = ids(&shop.listed(noun, "limit=200").await);
        // Receipts have the three that were posted in between.
        assert_eq!(all.len(), if n == 0 { 6 } else { 3 }, "{noun}");
        // Page by page, without the lines.
        let (mut walked, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let page = shop.listed(noun, &query).await;
            assert_eq!(page["total"], all.len());
            assert!(page["items"][0].get("lines").is_none());
            walked.extend(ids(&page));
            match page["next_cursor"].as_str() {
                Some(next) => query = format!("limit=2&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(walked, all, "{noun}");
        let second = ids(&shop.listed(noun, "limit=1&page=2").await);
        assert_eq!(second, all[1..2]);
        for (query, posts) in [
            (format!("location={}", branch.location), vec![2]),
            (format!("product={soap}"), vec![1]),
            (format!("product={tea}&location={}", shop.location), vec![0]),
        ] {
            let found = ids(&shop.listed(noun, &query).await);
            for (at, made) in posted[n].iter().enumerate() {
                let id = made["id"].as_str().unwrap().to_owned();
                assert_eq!(found.contains(&id), posts.contains(&at), "{noun} {query}");
            }
        }
        assert_eq!(ids(&other.listed(noun, "").await), Vec::<String>::new());
        shop.owner
            .get(&format!("/api/v1/inventory/{noun}?sort=value"))
            .await
            .expect(400);
        shop.owner
            .get(&format!("/api/v1/inventory/{noun}?cursor=nonsense"))
            .await
            .expect(400);
        clerk
            .get(&format!("/api/v1/inventory/{noun}"))
            .await
            .expect(403);
    }
    let early = ids(&shop.listed("receipts", "to=2026-11-20").await);
    assert_eq!(early, [posted[0][0]["id"].as_str().unwrap()]);
    let early = ids(&shop
        .listed("adjustments", "from=2026-11-04&to=2026-11-21")
        .await);
    assert_eq!(early.len(), 2);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_document_is_never_changed() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "1", "1").await;
    let admin = shop.app.admin().await;
    for text in [
        "update stock_document set body = '{}'",
        "delete from stock_document",
    ] {
        let refused = admin.execute(text, &[]).await.unwrap_err();
        assert!(refused.to_string().contains("db error"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_ledger_is_counted_once_for_a_walk_and_read_by_its_index() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    for _ in 0..5 {
        shop.receive(tea, "1", "1").await;
    }
    let first = shop.listed("ledger", "limit=2").await;
    assert_eq!(first["total"], 5);
    shop.receive(tea, "1", "1").await;
    // The next page knows the total of the first, and counts nothing.
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = shop
        .listed("ledger", &format!("limit=2&cursor={cursor}"))
        .await;
    assert_eq!(next["total"], 5);
    let seq = |page: &Value, n: usize| page["items"][n]["seq"].as_i64().unwrap();
    assert!(seq(&next, 0) > seq(&first, 1));
    // Two of twenty thousand are found without reading the rest.
    let admin = shop.app.admin().await;
    let other = Uuid::now_v7();
    admin
        .execute(
            "insert into movement (tenant_id, id, kind, source_type, source_id, source_line, purpose, allocation_no,
               location_id, product_id, batch_id, status, qty, value, occurred_at, recorded_at, posting_date)
             select $1, gen_random_uuid(), 'receipt', 'x', gen_random_uuid(), 1, 'x', 0, $2, gen_random_uuid(),
               '00000000-0000-0000-0000-000000000000', 'sellable', 1, 1, now(), now(), '2020-01-01'
             from generate_series(1, 20000)",
            &[&other, &shop.location.uuid()],
        )
        .await
        .unwrap();
    admin.batch_execute("analyze movement").await.unwrap();
    let rows = admin
        .query(
            "explain (costs off) select * from movement where tenant_id = $1 and location_id = $2 and seq > 0
             order by seq limit 2",
            &[&other, &shop.location.uuid()],
        )
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    assert!(plan.iter().any(|l| l.contains("movement_seq")), "{plan:#?}");
}
