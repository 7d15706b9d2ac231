//! Restores from a backup, with the shipped binaries: what the rules of a restore keep from happening, and that it
//! happens without them.

use bahi_proof::{Backup, Fleet, How, Shop, check, payloads};
use bahi_testkit::{Client, Reply, eventually};
use bahi_types::TenantId;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/pos/invoice";

async fn sell(till: &Client, basket: Value, key: &str) -> Reply {
    eventually(|| async {
        let reply = till.post_with_key(PATH, basket.clone(), key).await;
        (reply.status != 503).then_some(reply)
    })
    .await
}

/// Nothing said by sales is still in its outbox alone.
async fn all_said(shop: &Shop) {
    let sales = shop.database("sales").admin().await;
    let unsaid = "select count(*) from outbox.status where not published";
    eventually(|| async {
        let row = sales.query_one(unsaid, &[]).await.ok()?;
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

async fn count(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect(query).get(0)
}

/// (a) Inventory is restored to before a sale of all that is left. What another sale is answered while the events
/// of the meantime are not read, and what is short in the end.
async fn inventory_restored(raise: bool) -> (u16, i64) {
    let shop = Shop::create().await;
    let (mut inventory, sales) = (shop.inventory("").await, shop.sales("").await);
    let mut worker = shop.worker().await;
    let till = shop.client(&sales);
    sell(&till, shop.basket(), "sale-1").await.expect(201);
    check(&shop, 1).await;
    inventory.kill();
    worker.kill();
    let backup = Backup::of(shop.database("inventory")).await;

    let mut inventory = shop.inventory("").await;
    let mut worker = shop.worker().await;
    let mut rest = shop.basket();
    for line in rest["lines"].as_array_mut().expect("lines") {
        line["qty"] = json!("98");
    }
    rest["tenders"][0]["amount"] = json!("34692.00");
    sell(&till, rest, "sale-2").await.expect(201);
    check(&shop, 2).await;
    inventory.kill();
    worker.kill();
    backup.put_back(raise).await;

    // Its consumer is held up: it cannot move its positions.
    let mut stock = shop.database("inventory").admin().await;
    let held = stock.transaction().await.expect("a transaction");
    held.batch_execute("select from inbox.position for update")
        .await
        .expect("held");
    let _inventory = shop.inventory("").await;
    let early = till.post_with_key(PATH, shop.basket(), "sale-3").await;
    held.rollback().await.expect("let go");
    let _worker = shop.worker().await;
    if raise {
        let late = sell(&till, shop.basket(), "sale-3").await;
        assert_eq!(
            (late.status, late.code()),
            (409, "INSUFFICIENT_STOCK"),
            "{}",
            late.text
        );
        check(&shop, 2).await;
    } else {
        check(&shop, 3).await;
    }
    let short = count(
        &stock,
        "select coalesce(sum(open), 0)::bigint from shortage",
    )
    .await;
    (early.status, short)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_inventory_promises_nothing_before_it_has_caught_up() {
    assert_eq!(inventory_restored(true).await, (503, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rule_a_restored_inventory_promises_what_is_gone() {
    // Two of each of three products.
    assert_eq!(inventory_restored(false).await, (201, 6));
}

/// How a restored sales is started.
#[derive(PartialEq)]
enum Rule {
    /// As it should be.
    Kept,
    /// The epoch is not raised.
    Forgotten,
    /// The database is marked as compared: the rule does not apply.
    Without,
}

/// (b) Sales is restored to before two sales; then a fourth is made.
async fn sales_restored(rule: Rule) {
    let shop = Shop::create().await;
    let (_inventory, mut sales) = (shop.inventory("").await, shop.sales("").await);
    let mut worker = shop.worker().await;
    let till = shop.client(&sales);
    sell(&till, shop.basket(), "sale-1").await.expect(201);
    check(&shop, 1).await;
    sales.kill();
    worker.kill();
    let backup = Backup::of(shop.database("sales")).await;
    let mut sales = shop.sales("").await;
    let mut worker = shop.worker().await;
    sell(&till, shop.basket(), "sale-2").await.expect(201);
    let third = sell(&till, shop.basket(), "sale-3").await.expect(201);
    all_said(&shop).await;
    sales.kill();
    worker.kill();
    backup.put_back(rule != Rule::Forgotten).await;
    let books = shop.database("sales").admin().await;
    if rule == Rule::Without {
        let mark = "update inbox.reconciled set epoch = (select epoch from outbox.epoch)";
        books.batch_execute(mark).await.expect("marked");
    }
    let point = "sales.restore";
    let sales = shop.sales(point).await;
    let _worker = shop.worker().await;
    if rule == Rule::Forgotten {
        // The topic's tail tells: nothing is sold until the epoch is raised.
        let refused = till.post_with_key(PATH, shop.basket(), "sale-4").await;
        assert_eq!(
            (refused.status, refused.code()),
            (503, "RESTORING"),
            "{}",
            refused.text
        );
        books
            .batch_execute("update outbox.epoch set epoch = epoch + 1")
            .await
            .expect("raised");
    }
    if rule != Rule::Without {
        shop.reached(&sales, point).await;
        let refused = till.post_with_key(PATH, shop.basket(), "sale-4").await;
        assert_eq!(
            (refused.status, refused.code()),
            (503, "RESTORING"),
            "{}",
            refused.text
        );
        assert!(refused.header("retry-after").is_some());
        let void = "select count(*) from reservation_decision where decision = 'void'";
        assert_eq!(
            count(&books, void).await,
            0,
            "a decision on a sale that is lost"
        );
        shop.go_on(&sales, point);
    }
    let fourth = sell(&till, shop.basket(), "sale-4").await.expect(201);
    all_said(&shop).await;
    let said = payloads(&shop.topic("billing"), "invoice.issued").await;
    let mut numbers: Vec<&str> = said.values().filter_map(|p| p["number"].as_str()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(said.len(), 4);
    if rule == Rule::Without {
        assert_eq!(numbers.len(), 3, "a number given out twice");
        return;
    }
    assert_eq!(numbers.len(), 4, "{numbers:?}");
    assert_eq!(fourth.text_at("number"), *numbers[3]);
    let found = "select count(*) from restore_orphan where state = 'reimported'";
    assert_eq!(count(&books, found).await, 2);
    let listed = till.get("/api/v1/sales/restore-orphans").await.expect(200);
    assert_eq!(listed.body["total"], 2, "{}", listed.text);
    // Asked for once more, a sale that was lost and found is answered with its invoice.
    let repeated = till
        .post_with_key(PATH, shop.basket(), "sale-3")
        .await
        .expect(201);
    assert_eq!(repeated.text_at("number"), third.text_at("number"));
    check(&shop, 4).await;
    let drawer = "select expected_cash::bigint from pos_session";
    assert_eq!(count(&books, drawer).await, 4 * 708);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_sales_finds_what_it_had_sold_before_it_sells_again() {
    sales_restored(Rule::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_epoch_was_not_raised_is_noticed() {
    sales_restored(Rule::Forgotten).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rule_a_restored_sales_gives_a_number_out_twice() {
    sales_restored(Rule::Without).await;
}

/// (b) Sales is restored to before a till sent what it had sold while it was away: it comes back with its number, cashier
/// and money, the spoilt number with its reason, and the till's own repetition finds them.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_sales_finds_what_a_till_had_sold_while_it_was_away() {
    let shop = Shop::create().await;
    let (_inventory, mut sales) = (shop.inventory("").await, shop.sales("").await);
    let mut worker = shop.worker().await;
    let till = shop.client(&sales);
    sell(&till, shop.basket(), "sale-1").await.expect(201);
    check(&shop, 1).await;
    shop.lend_series(&till).await;
    sales.kill();
    worker.kill();
    let backup = Backup::of(shop.database("sales")).await;
    let mut sales = shop.sales("").await;
    let mut worker = shop.worker().await;

    let void = json!({ "kind": "void", "number": shop.printed("AWAY", 2), "cashier_id": till.user,
        "made_at": chrono::Utc::now(), "reason": "paper jam" });
    let batch = shop.batch(&[shop.away(&till, 1), void]);
    let send = async || {
        eventually(|| async {
            let reply = till.post("/api/v1/pos/sync", batch.clone()).await;
            (reply.status != 503).then_some(reply)
        })
        .await
        .expect(200)
        .body
    };
    let first = send().await;
    let result = |body: &Value, n: usize| body["items"][n]["result"].clone();
    assert_eq!(
        [result(&first, 0), result(&first, 1)],
        ["issued", "void"],
        "{first}"
    );
    all_said(&shop).await;
    sales.kill();
    worker.kill();
    backup.put_back(true).await;

    let _sales = shop.sales("").await;
    let _worker = shop.worker().await;
    let again = send().await;
    for n in [0, 1] {
        let (before, after) = (&first["items"][n], &again["items"][n]);
        assert_eq!(after["replayed"], true, "{after}");
        assert_eq!(
            (&before["result"], &before["document_id"]),
            (&after["result"], &after["document_id"])
        );
    }
    assert_eq!(again["missing"], json!([]));
    let books = shop.database("sales").admin().await;
    let drawer = "select expected_cash::bigint from pos_session";
    assert_eq!(count(&books, drawer).await, 2 * 708);
    let said = payloads(&shop.topic("billing"), "invoice.issued").await;
    assert_eq!(said.len(), 2, "nothing is said twice");
    let cashier = "select count(*) from invoice i join offline_number o on o.document_id = i.invoice_id and o.cashier_id = i.cashier_id";
    assert_eq!(count(&books, cashier).await, 1);
}

/// The price of the product in sales' copy, when it is `wanted`.
async fn priced(fleet: &Fleet, wanted: &str) {
    let sales = fleet.database("sales").admin().await;
    eventually(|| async {
        let sql = "select price::float8::text from product";
        let row = sales.query_opt(sql, &[]).await.ok()??;
        (row.get::<_, String>(0) == wanted).then_some(())
    })
    .await;
}

/// The consumer of sales has read all of the products' topic.
async fn read_all(fleet: &Fleet) {
    eventually(|| async {
        let out = fleet.command("sales", &["consumer", "status", "--json"]);
        let rows: Value = serde_json::from_slice(&out.stdout).ok()?;
        let all = rows.as_array()?.iter().all(|row| row["lag"] == 0);
        (out.status.success() && all).then_some(())
    })
    .await;
}

/// (c) A replay of old prices, and a restore of product, leave the price that counts.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_replay_nor_a_restore_resets_a_price() {
    let fleet = Fleet::of(&["product", "sales", "inventory", "outbox-worker"]).await;
    let mut product = fleet.start("product", How::default()).await;
    let mut worker = fleet.start("outbox-worker", How::default()).await;
    let _sales = fleet.start("sales", How::default()).await;
    let owner = Client::of(product.url.clone(), TenantId::new(), &["*"]);
    let unit = json!({ "code": "PCS", "name": "Pieces", "uqc": "PCS" });
    let unit = owner
        .post("/api/v1/units", unit)
        .await
        .expect(201)
        .text_at("id");
    let rates = json!([{ "valid_from": "2017-07-01", "rate": "18" }]);
    let tax = json!({ "name": "GST 18", "hsn": "854442", "rates": rates });
    let tax = owner
        .post("/api/v1/tax-profiles", tax)
        .await
        .expect(201)
        .text_at("id");
    let at = |price: &str| json!({ "sku": "A", "name": "A", "unit_id": unit, "tax_profile_id": tax, "price": price });
    let made = owner.post("/api/v1/products", at("10")).await.expect(201);
    let path = format!("/api/v1/products/{}", made.text_at("id"));
    let version = |body: &Value| body["version"].as_i64().expect("a version");
    priced(&fleet, "10").await;
    product.kill();
    worker.kill();
    let backup = Backup::of(fleet.database("product")).await;
    let mut product = fleet.start("product", How::default()).await;
    let mut worker = fleet.start("outbox-worker", How::default()).await;
    owner
        .put(&path, at("20"), version(&made.body))
        .await
        .expect(200);
    priced(&fleet, "20").await;

    // Destructive without --yes: it says what it would do, and does nothing.
    let topic = ["--topic", "products.events.v1"];
    let replay = |more: &[&str]| {
        let all = [
            &["consumer", "replay", "--from", "beginning"],
            &topic[..],
            more,
        ]
        .concat();
        fleet.command("sales", &all)
    };
    assert_eq!(replay(&["--again"]).status.code(), Some(3));
    assert_eq!(
        fleet
            .command("sales", &["consumer", "replay", "--nonsense"])
            .status
            .code(),
        Some(2)
    );
    let again = replay(&["--again", "--yes"]);
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    read_all(&fleet).await;
    priced(&fleet, "20").await;

    // Only the first price is read again: the guard is all that keeps the later one.
    let sales = fleet.database("sales").admin().await;
    let early = &["--again", "--type", "product.created", "--yes"];
    assert!(replay(early).status.success());
    read_all(&fleet).await;
    priced(&fleet, "20").await;
    sales
        .batch_execute("update product set epoch = 0, version = 0")
        .await
        .expect("without the guard");
    assert!(replay(early).status.success());
    // Visibly wrong: the old price is back.
    priced(&fleet, "10").await;
    assert!(replay(&["--again", "--yes"]).status.success());
    read_all(&fleet).await;
    priced(&fleet, "20").await;

    // Product is restored to the old price and goes on from there: its epoch outranks what was lost.
    product.kill();
    worker.kill();
    backup.put_back(true).await;
    let _product = fleet.start("product", How::default()).await;
    let _worker = fleet.start("outbox-worker", How::default()).await;
    owner
        .put(&path, at("15"), version(&made.body))
        .await
        .expect(200);
    priced(&fleet, "15").await;
    assert!(replay(&["--again", "--yes"]).status.success());
    read_all(&fleet).await;
    priced(&fleet, "15").await;

    // Every command is on record.
    let noted = "select count(*) from inbox.command where cmd = 'replay' and args->>'yes' = 'true'";
    assert_eq!(count(&sales, noted).await, 5);
}

/// As the relay does when it finds a promoted standby.
#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_raised_while_sales_runs_is_noticed_by_it() {
    let shop = Shop::create().await;
    let (_inventory, sales) = (shop.inventory("").await, shop.sales("").await);
    let _worker = shop.worker().await;
    let till = shop.client(&sales);
    sell(&till, shop.basket(), "sale-1").await.expect(201);
    check(&shop, 1).await;
    let database = shop.database("sales").admin().await;
    database
        .batch_execute("select outbox.raise_epoch()")
        .await
        .expect("raised");
    let compared = "select count(*) from inbox.reconciled r, outbox.epoch e where r.epoch = e.epoch and e.epoch = 2";
    eventually(|| async { (count(&database, compared).await == 1).then_some(()) }).await;
    sell(&till, shop.basket(), "sale-2").await.expect(201);
    check(&shop, 2).await;
}
