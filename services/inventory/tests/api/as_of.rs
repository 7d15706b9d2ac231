//! Posting dates, periods, and what there was at any past day or moment.

use bahi_types::{InvoiceId, ProductId};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use inventory::jobs;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::Shop;

const DAY: i64 = 86_400;

impl Shop {
    async fn receive_on(
        &self,
        product: ProductId,
        qty: &str,
        unit: &str,
        day: &str,
    ) -> (u16, Value) {
        let body = json!({ "location_id": self.location, "posting_date": day,
            "lines": [{ "product_id": product, "qty": qty, "unit_cost": unit }] });
        let reply = self.owner.post("/api/v1/inventory/receipts", body).await;
        (reply.status, reply.body)
    }

    async fn value_at(&self, as_of: &str) -> String {
        let path = format!("/api/v1/inventory/valuation?as_of={as_of}");
        self.owner
            .get(&path)
            .await
            .expect(200)
            .text_at("total_value")
    }

    async fn on_hand_at(&self, as_of: &str) -> Vec<(String, String)> {
        let path = format!("/api/v1/inventory/stock?as_of={as_of}");
        let reply = self.owner.get(&path).await.expect(200);
        let row = |i: &Value| {
            assert!(
                i.get("available").is_none(),
                "nobody knows what was available then"
            );
            (
                i["status"].as_str().unwrap().to_owned(),
                i["on_hand"].as_str().unwrap().to_owned(),
            )
        };
        reply.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(row)
            .collect()
    }

    async fn period(&self, month: &str, status: &str) -> (u16, Value) {
        let path = format!("/api/v1/inventory/periods/{month}");
        let version = self.owner.get(&path).await.expect(200).body["version"]
            .as_i64()
            .unwrap();
        let reply = self
            .owner
            .put(&path, json!({ "status": status }), version)
            .await;
        (reply.status, reply.body)
    }

    /// An invoice of another day that is heard of only now.
    async fn sold_on(&self, product: ProductId, qty: &str, at: &str) {
        let invoice = InvoiceId::new();
        let mut event = self.invoice(invoice, 1, &[(product, qty)]);
        event.occurred_at = at.parse().unwrap();
        self.hear(inventory::consumers::issued, &[event]).await;
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_may_be_dated_back_into_an_open_period_only() {
    let shop = Shop::at("2026-11-21T06:00:00Z").await;
    let tea = shop.product().await;
    let (status, made) = shop.receive_on(tea, "5", "2", "2026-10-15").await;
    assert_eq!((status, &made["posting_date"]), (201, &json!("2026-10-15")));
    assert_eq!(shop.value_at("2026-10-14").await, "0.00");
    assert_eq!(shop.value_at("2026-10-15").await, "10.00");
    assert_eq!(
        shop.on_hand_at("2026-10-15").await,
        [("sellable".to_owned(), "5".to_owned())]
    );
    let (status, refused) = shop.receive_on(tea, "5", "2", "2026-11-22").await;
    assert_eq!(
        (status, &refused["errors"][0]["field"]),
        (400, &json!("posting_date"))
    );
    assert_eq!(shop.period("2026-10", "closed").await.0, 200);
    let (status, refused) = shop.receive_on(tea, "5", "2", "2026-10-31").await;
    assert_eq!((status, &refused["code"]), (422, &json!("PERIOD_CLOSED")));
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("closed through 2026-10-31"),
        "{refused}"
    );
    let adjust = json!({ "location_id": shop.location, "reason": "x", "posting_date": "2026-09-30",
        "lines": [{ "product_id": tea, "qty_delta": "-1" }] });
    let refused = shop
        .owner
        .post("/api/v1/inventory/adjust", adjust)
        .await
        .expect(422);
    assert_eq!(refused.code(), "PERIOD_CLOSED");
    let revalue = json!({ "reason": "x", "posting_date": "2026-10-01",
        "lines": [{ "product_id": tea, "unit_cost": "3" }] });
    let refused = shop
        .owner
        .post("/api/v1/inventory/revaluations", revalue)
        .await
        .expect(422);
    assert_eq!(refused.code(), "PERIOD_CLOSED");
    let receipt = shop.receive(tea, "1", "2").await;
    let land = json!({ "amount": "1", "basis": "value", "posting_date": "2026-10-31",
        "receipts": [{ "receipt_id": receipt.body["id"] }] });
    let refused = shop
        .owner
        .post("/api/v1/inventory/landed-costs", land)
        .await
        .expect(422);
    assert_eq!(
        (refused.code(), &refused.body["errors"][0]["field"]),
        ("PERIOD_CLOSED", &json!("posting_date"))
    );
    shop.adjust(tea, "-1").await.expect(201);
    // A sale of the closed month is a fact: it counts for the first open day and keeps its own time.
    shop.sold_on(tea, "2", "2026-10-20T05:00:00Z").await;
    let ledger = shop.owner.get("/api/v1/inventory/ledger").await.expect(200);
    let sale = &ledger.body["items"][3];
    assert_eq!(
        (
            &sale["posting_date"],
            &sale["occurred_at"],
            &sale["recorded_at"]
        ),
        (
            &json!("2026-11-01"),
            &json!("2026-10-20T05:00:00Z"),
            &json!("2026-11-21T06:00:00Z")
        )
    );
    assert_eq!(shop.value_at("2026-10-31").await, "10.00");
    assert_eq!(shop.value_at("2026-11-01").await, "6.00");
    // One of an open day counts for its own.
    shop.sold_on(tea, "1", "2026-11-10T20:00:00Z").await;
    assert_eq!(shop.value_at("2026-11-10").await, "6.00");
    assert_eq!(shop.value_at("2026-11-11").await, "4.00");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn periods_are_closed_and_opened_by_hand_with_a_version_and_a_trace() {
    let shop = Shop::at("2026-11-21T06:00:00Z").await;
    let tea = shop.product().await;
    shop.receive_on(tea, "1", "1", "2026-08-05").await;
    let path = "/api/v1/inventory/periods/2026-09";
    let closed = json!({ "status": "closed", "reason": "audited" });
    let clerk = shop
        .owner
        .with_permissions(&["inventory.stock.adjust", "inventory.stock.read"]);
    clerk.put(path, closed.clone(), 0).await.expect(403);
    let done = shop.owner.put(path, closed.clone(), 0).await.expect(200);
    assert_eq!(
        (done.text_at("status"), done.text_at("closed_through")),
        ("closed".into(), "2026-09-30".into())
    );
    shop.owner.put(path, closed.clone(), 0).await.expect(412);
    // An earlier month is closed with it; nothing changes when it is closed again.
    assert_eq!(shop.period("2026-08", "closed").await.1["version"], 1);
    let list = shop
        .owner
        .get("/api/v1/inventory/periods")
        .await
        .expect(200);
    let months: Vec<_> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["period"].clone(), p["status"].clone()))
        .collect();
    let expected = [
        ("2026-11", "open"),
        ("2026-10", "open"),
        ("2026-09", "closed"),
        ("2026-08", "closed"),
    ];
    assert_eq!(months, expected.map(|(p, s)| (json!(p), json!(s))));
    // The current month cannot be closed, nor one that never was.
    let (status, refused) = shop.period("2026-11", "closed").await;
    assert_eq!((status, &refused["code"]), (422, &json!("PERIOD_NOT_OVER")));
    for bad in ["2026-13", "2026", "now"] {
        shop.owner
            .put(
                &format!("/api/v1/inventory/periods/{bad}"),
                closed.clone(),
                1,
            )
            .await
            .expect(400);
    }
    // Opening August opens September too.
    let (status, open) = shop.period("2026-08", "open").await;
    assert_eq!(
        (status, &open["closed_through"]),
        (200, &json!("2026-07-31"))
    );
    assert_eq!(shop.receive_on(tea, "1", "1", "2026-09-30").await.0, 201);
    let audits = shop.said("audit.recorded").await;
    let actions: Vec<_> = audits
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["inventory.period.close", "inventory.period.open"]);
    assert_eq!(audits[0]["reason"], "audited");
    let other = shop.next_tenant().await;
    assert_eq!(other.owner.get(path).await.expect(200).body["version"], 0);
}

/// The sums over the whole ledger, and two wrong ways to spare them.
struct Sums {
    admin: tokio_postgres::Client,
    tenant: uuid::Uuid,
}

impl Sums {
    async fn of(&self, text: &str, day: &str) -> Decimal {
        let day: NaiveDate = day.parse().unwrap();
        let row = self
            .admin
            .query_one(text, &[&self.tenant, &day])
            .await
            .unwrap();
        row.get(0)
    }
    async fn whole(&self, day: &str) -> Decimal {
        let text = "select coalesce(sum(value), 0) from movement where tenant_id = $1 and posting_date <= $2";
        self.of(text, day).await
    }
    /// The mutant: a snapshot and what was posted to the days after it.
    async fn without_late_movements(&self, day: &str) -> Decimal {
        let text = "with s as (select dekad, dekad_end(dekad) as last from stock_snapshot
                      where tenant_id = $1 and dekad_end(dekad) <= $2 order by dekad desc limit 1)
            select coalesce((select sum(l.value) from stock_snapshot_line l join s using (dekad) where l.tenant_id = $1), 0)
                 + coalesce((select sum(m.value) from movement m where m.tenant_id = $1 and m.posting_date <= $2
                             and m.posting_date > coalesce((select last from s), '0001-01-01')), 0)";
        self.of(text, day).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_past_day_is_answered_from_a_snapshot_and_what_came_after_it() {
    let shop = Shop::at("2026-07-10T06:00:00Z").await;
    let (tea, salt) = (shop.product().await, shop.product().await);
    let sums = Sums {
        admin: shop.app.admin().await,
        tenant: shop.tenant().uuid(),
    };
    let mut moments = Vec::new();
    for n in 0..10 {
        shop.receive(tea, "7", &format!("{}.37", n + 1)).await;
        shop.receive(salt, "2.5", "3.3333").await;
        shop.sell(&[(tea, "3"), (salt, "1.1")]).await;
        moments.push((moment(shop.now()), shop.value().await));
        // Written after the moment and posted before it: in the same month, and in the same third of it.
        shop.later(3600);
        let today = shop.now().date_naive();
        let third = today.with_day0(10 * (today.day0() / 10).min(2)).unwrap();
        for day in [today.with_day0(0).unwrap(), third] {
            let day = day.to_string();
            assert_eq!(shop.receive_on(tea, "1", "50", &day).await.0, 201, "{day}");
        }
        shop.later(14 * DAY - 3600);
        if n == 6 {
            // Late, in the snapshot that comes, and posted after the moment of that third.
            assert_eq!(shop.receive_on(salt, "2", "50", "2026-09-25").await.0, 201);
        }
        if n % 3 == 1 {
            jobs::take_snapshots(shop.state()).await.unwrap();
        }
        if n > 3 {
            // Late: of a time whose snapshot is there already.
            let day = (shop.now() - chrono::Duration::days(40))
                .date_naive()
                .to_string();
            assert_eq!(shop.receive_on(salt, "1", "100", &day).await.0, 201);
        }
        shop.assert_sound().await;
    }
    let snapshots = "select count(*) from stock_snapshot where tenant_id = $1";
    let taken: i64 = sums
        .admin
        .query_one(snapshots, &[&sums.tenant])
        .await
        .unwrap()
        .get(0);
    assert!(taken >= 9, "{taken} snapshots");
    let mut caught = 0;
    let first: NaiveDate = "2026-07-01".parse().unwrap();
    for n in 0..160 {
        let day = (first + chrono::Days::new(n)).to_string();
        let whole = sums.whole(&day).await;
        assert_eq!(
            shop.value_at(&day).await.parse::<Decimal>().unwrap(),
            whole,
            "{day}"
        );
        caught += usize::from(sums.without_late_movements(&day).await != whole);
    }
    assert!(
        caught > 20,
        "the mutant must be wrong somewhere: {caught} days"
    );
    // What was written by a moment does not change, whatever is dated back afterwards.
    for (at, value) in &moments {
        assert_eq!(&shop.value_at(at).await, value, "{at}");
    }
    jobs::take_snapshots(shop.state()).await.unwrap();
    for (at, value) in &moments {
        assert_eq!(
            &shop.value_at(at).await,
            value,
            "{at}, with another snapshot"
        );
    }
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_late_postings_that_are_still_under_way() {
    let shop = Shop::at("2026-10-20T06:00:00Z").await;
    let tea = shop.product().await;
    shop.receive(tea, "1", "1").await;
    shop.later(20 * DAY);
    // A late posting as it is before its commit: it shares the calendar and has its place in the ledger.
    let mut admin = shop.app.admin().await;
    let tenant = shop.tenant().uuid();
    admin
        .execute("insert into calendar (tenant_id) values ($1)", &[&tenant])
        .await
        .unwrap();
    let late = admin.transaction().await.unwrap();
    late.query(
        "select 1 from calendar where tenant_id = $1 for share",
        &[&tenant],
    )
    .await
    .unwrap();
    late.query(
        "select nextval(pg_get_serial_sequence('movement', 'seq'))",
        &[],
    )
    .await
    .unwrap();
    assert!(
        jobs::take_snapshots(shop.state()).await.is_err(),
        "taken while it is under way, it would lack it for ever"
    );
    late.rollback().await.unwrap();
    jobs::take_snapshots(shop.state()).await.unwrap();
    // Two replicas at once take one.
    shop.later(60 * DAY);
    let (one, two) = tokio::join!(
        jobs::take_snapshots(shop.state()),
        jobs::take_snapshots(shop.state())
    );
    assert!(one.is_ok() || two.is_ok());
    jobs::take_snapshots(shop.state()).await.unwrap();
    let dekads: Vec<String> = admin
        .query(
            "select dekad::text from stock_snapshot where tenant_id = $1 order by 1",
            &[&tenant],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    let expected = [
        "2026-10-11",
        "2026-10-21",
        "2026-11-01",
        "2026-11-11",
        "2026-11-21",
        "2026-12-01",
        "2026-12-11",
        "2026-12-21",
    ];
    assert_eq!(dekads, expected);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_listed_as_the_present_is() {
    let shop = Shop::at("2026-10-20T06:00:00Z").await;
    let milk = shop.batched().await;
    let branch = shop.branch().await;
    for n in 0..5 {
        shop.receive_batch(milk, &format!("B{n}"), None, "3", "2")
            .await;
    }
    branch.receive_batch(milk, "B0", None, "1", "9").await;
    shop.later(20 * DAY);
    jobs::take_snapshots(shop.state()).await.unwrap();
    shop.sell(&[(milk, "4")]).await;
    let path = "/api/v1/inventory/stock?as_of=2026-10-31&limit=4";
    let one = shop.owner.get(path).await.expect(200);
    let two = shop
        .owner
        .get(&format!("{path}&cursor={}", one.text_at("next_cursor")))
        .await
        .expect(200);
    let len = |reply: &bahi_testkit::Reply| reply.body["items"].as_array().unwrap().len();
    assert_eq!(
        (len(&one), len(&two), one.body["total"].clone()),
        (4, 2, json!(6))
    );
    let here = format!(
        "/api/v1/inventory/valuation?as_of=2026-10-31&location={}",
        branch.location
    );
    assert_eq!(
        shop.owner
            .get(&here)
            .await
            .expect(200)
            .text_at("total_value"),
        "9.00"
    );
    let none = shop
        .owner
        .get("/api/v1/inventory/valuation?as_of=2026-10-31&page=9")
        .await
        .expect(200);
    assert_eq!(
        (none.text_at("total_value"), none.body["items"].clone()),
        ("39.00".into(), json!([]))
    );
    assert_eq!(none.body["total"], 2);
    for bad in [
        "stock?as_of=soon",
        "valuation?as_of=2026-02-30",
        "stock?as_of=2026-10-31&below=1",
    ] {
        shop.owner
            .get(&format!("/api/v1/inventory/{bad}"))
            .await
            .expect(400);
    }
    for far in [
        "0000-01-01",
        "-4000-01-01",
        "9999-12-31",
        "+262142-12-31",
        "1000-01-01T00:00:00Z",
        "9999-12-31T00:00:00Z",
    ] {
        let far = far.replace('+', "%2B");
        shop.owner
            .get(&format!("/api/v1/inventory/valuation?as_of={far}"))
            .await
            .expect(200);
        shop.owner
            .get(&format!("/api/v1/inventory/stock?as_of={far}"))
            .await
            .expect(200);
    }
}

/// Two years of a business with ten thousand balances, written as the service would have written them.
const MILLION: &str = "
insert into movement (tenant_id, id, kind, source_type, source_id, source_line, purpose, allocation_no, location_id,
  product_id, batch_id, status, qty, value, occurred_at, recorded_at, posting_date)
select $1::text::uuid, gen_random_uuid(), 'receipt', 'receipt', gen_random_uuid(), 1, 'receipt', 0,
  md5('l' || n / 2000 % 5)::uuid, md5('p' || n % 2000)::uuid, '00000000-0000-0000-0000-000000000000', 'sellable',
  1 + n % 7, 10 + n % 90, at, at,
  case when n % 500 = 0 then business_date(at) - 33 else business_date(at) end
from (select n, '2024-12-01T06:00:00Z'::timestamptz + n * interval '62 seconds' as at from generate_series(1, 1000000) n) g";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it by name on a machine that does nothing else, with --nocapture for the figures"]
async fn a_million_movements_are_answered_within_fifty_milliseconds() {
    let shop = Shop::at("2026-11-21T06:00:00Z").await;
    shop.breaks_the_books();
    let admin = shop.app.admin().await;
    let sums = Sums {
        admin,
        tenant: shop.tenant().uuid(),
    };
    sums.admin
        .execute(MILLION, &[&sums.tenant.to_string()])
        .await
        .unwrap();
    sums.admin
        .batch_execute("vacuum analyze movement")
        .await
        .unwrap();
    let began = std::time::Instant::now();
    jobs::take_snapshots(shop.state()).await.unwrap();
    println!("snapshots of 23 months, three each: {:?}", began.elapsed());
    sums.admin
        .batch_execute("vacuum analyze stock_snapshot_line")
        .await
        .unwrap();
    let mut medians = Vec::new();
    for as_of in [
        "2025-06-01",
        "2025-06-15",
        "2025-06-30",
        "2026-10-30",
        "2026-11-20",
        "2025-06-16T10:00:00Z",
        "2025-06-29T10:00:00Z",
    ] {
        for what in ["valuation", "stock"] {
            let path = format!("/api/v1/inventory/{what}?as_of={as_of}");
            let mut times = Vec::new();
            for _ in 0..15 {
                let began = std::time::Instant::now();
                shop.owner.get(&path).await.expect(200);
                times.push(began.elapsed());
            }
            times.sort();
            println!(
                "{what} as of {as_of}: median {:?}, slowest {:?}",
                times[7], times[14]
            );
            medians.push(times[7]);
        }
        if let Ok(day) = as_of.parse::<NaiveDate>() {
            let began = std::time::Instant::now();
            let whole = sums.whole(&day.to_string()).await;
            println!("the whole ledger up to {day}: {:?}", began.elapsed());
            assert_eq!(
                shop.value_at(as_of).await.parse::<Decimal>().unwrap(),
                whole
            );
        }
    }
    let slowest = medians.iter().max().unwrap();
    assert!(slowest.as_millis() < 50, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_a_closed_month_is_posted_to_an_open_one() {
    let shop = Shop::at("2026-10-31T06:00:00Z").await;
    let tea = shop.product().await;
    shop.receive(tea, "10", "2").await;
    // Looked at on the last day of October; approved and posted when October is closed.
    let id = shop.submitted(tea, "7").await;
    shop.later(20 * DAY);
    assert_eq!(shop.period("2026-10", "closed").await.0, 200);
    assert_eq!(shop.approve(&id).await["state"], "posted");
    let ledger = shop.owner.get("/api/v1/inventory/ledger").await.expect(200);
    let count = &ledger.body["items"][1];
    assert_eq!(
        (&count["source_type"], &count["posting_date"]),
        (&json!("count"), &json!("2026-11-20"))
    );
    assert_eq!(shop.value_at("2026-10-31").await, "20.00");
    assert_eq!(shop.value_at("2026-11-20").await, "14.00");
    // A sale without the network, from before the look and told of after all that: the count has taken its goods
    // already. What puts them back and what takes them counts for the first open day; October stays closed.
    let mut late = shop.invoice(InvoiceId::new(), 1, &[(tea, "2")]);
    late.occurred_at = "2026-10-30T06:00:00Z".parse().unwrap();
    late.txid = Some(9);
    shop.hear(inventory::consumers::issued, &[late]).await;
    let ledger = shop.owner.get("/api/v1/inventory/ledger").await.expect(200);
    let days: Vec<_> = ledger.body["items"].as_array().unwrap()[2..]
        .iter()
        .map(|m| {
            (
                m["source_type"].as_str().unwrap(),
                m["posting_date"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        days.iter().any(|d| d.0 == "count_correction") && days.iter().any(|d| d.0 == "invoice"),
        "{days:?}"
    );
    assert!(days.iter().all(|d| d.1 >= "2026-11-01"), "{days:?}");
    assert_eq!(shop.value_at("2026-10-31").await, "20.00");
    shop.assert_stock(tea, ("7", "0", "7")).await;
    shop.assert_sound().await;
}
