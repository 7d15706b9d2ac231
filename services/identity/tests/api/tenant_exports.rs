//! Exports of all data of a tenant: who is asked, what is in the archive, and when it is gone.

use bahi_events::{ExportArchive, Outgoing, TENANT_EXPORT_ANSWERED, TenantExportAnswered};
use bahi_testkit::{TestApp, TestStore, assert_left_out, export};
use bahi_types::Clock;
use chrono::{SubsecRound, TimeDelta, Utc};
use futures::future::join_all;
use identity::privacy::HOLDINGS;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

const PATH: &str = "/api/v1/tenant-exports";
const ALL: [&str; 4] = ["identity", "inventory", "product", "sales"];

async fn with_store() -> App {
    let store = TestStore::of_env();
    let clock = Clock::fixed(Utc::now().trunc_subsecs(0));
    TestApp::start_with(identity::app(), &store.settings_of("exports"), clock).await
}

fn says(export: &str, service: &str, failed: Option<&str>) -> Outgoing {
    let export_id: Uuid = export.parse().unwrap();
    let archive = ExportArchive {
        object_key: format!("x/{export}/{service}-1.zip"),
        tables: 2,
        rows: 7,
        objects: 0,
        bytes: 99,
        sha256: "00".repeat(32),
    };
    let said = TenantExportAnswered {
        export_id,
        service: service.into(),
        archive: failed.is_none().then_some(archive),
        failed: failed.map(str::to_owned),
    };
    TENANT_EXPORT_ANSWERED.of(export_id, 1, &said)
}

async fn job(app: &App, name: &str) {
    let jobs = identity::jobs(&app.running.state);
    let job = jobs.iter().find(|job| job.name() == name).unwrap();
    job.once().await.unwrap();
}

fn of<'a>(export: &'a Value, service: &str) -> &'a Value {
    let services = export["services"].as_array().unwrap();
    services.iter().find(|s| s["service"] == service).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_asked_once_and_an_export_is_ready_when_all_have_answered() {
    let app = with_store().await;
    let shop = Shop::open(&app).await;
    let replies =
        join_all((0..8).map(|n| shop.owner.post_with_key(PATH, json!({}), ["a", "b"][n % 2])))
            .await;
    let id = replies[0].text_at("id");
    assert!(
        replies
            .iter()
            .all(|r| r.status < 300 && r.text_at("id") == id),
        "one runs at a time"
    );
    let asked = said(&app, "tenant.export_requested", &id).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(
        audited(&app, shop.owner.tenant)
            .await
            .iter()
            .filter(|a| *a == "identity.tenant_export.start")
            .count(),
        1
    );
    let path = format!("{PATH}/{id}");
    let begun = shop.owner.get(&path).await.expect(200).body;
    let names: Vec<&str> = begun["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["service"].as_str().unwrap())
        .collect();
    assert_eq!(names, ALL);
    app.feed(
        ALL[..3].iter().map(|s| says(&id, s, None)).collect(),
        shop.owner.tenant,
    )
    .await;
    let half = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&half["status"], &of(&half, "sales")["status"]),
        (&json!("running"), &json!("waiting"))
    );
    assert!(
        half["services"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["download_url"].is_null())
    );
    app.feed(vec![says(&id, "sales", None)], shop.owner.tenant)
        .await;
    let ready = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(
        (&ready["status"], &of(&ready, "sales")["rows"]),
        (&json!("ready"), &json!(7))
    );
    assert!(
        of(&ready, "sales")["download_url"]
            .as_str()
            .unwrap()
            .contains("X-Amz-Signature")
    );
    // Another may run now; another tenant sees none of it.
    assert_ne!(
        shop.owner
            .post(PATH, json!({}))
            .await
            .expect(202)
            .text_at("id"),
        id
    );
    assert_eq!(shop.owner.get(PATH).await.expect(200).body["total"], 2);
    let other = Shop::open_as(&app, "other", "o@other.example.in", PASSWORD).await;
    other.owner.get(&path).await.expect(404);
    assert_eq!(other.owner.get(PATH).await.expect(200).body["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_owner_may_export() {
    let app = with_store().await;
    let shop = Shop::open(&app).await;
    let manager = shop.hire(&app, "manager").await.client;
    for reply in [manager.post(PATH, json!({})).await, manager.get(PATH).await] {
        assert_eq!(reply.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_or_never_answers_fails_the_export_by_its_name_and_all_expires() {
    let app = with_store().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .owner
        .post(PATH, json!({}))
        .await
        .expect(202)
        .text_at("id");
    let path = format!("{PATH}/{id}");
    app.feed(
        vec![
            says(&id, "sales", None),
            says(&id, "product", Some("STORE_UNAVAILABLE")),
        ],
        shop.owner.tenant,
    )
    .await;
    job(&app, "tend_tenant_exports").await;
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "running"
    );
    app.clock.advance(TimeDelta::hours(6));
    job(&app, "tend_tenant_exports").await;
    let failed = shop.owner.get(&path).await.expect(200).body;
    assert_eq!(failed["status"], "failed");
    assert_eq!(of(&failed, "inventory")["reason"], "NO_ANSWER");
    assert_eq!(of(&failed, "product")["reason"], "STORE_UNAVAILABLE");
    assert!(
        of(&failed, "sales")["download_url"].is_string(),
        "what there is can be fetched"
    );
    app.clock.advance(TimeDelta::days(7));
    // The links die with the time, not with the job.
    let late = shop.owner.get(&path).await.expect(200).body;
    assert!(of(&late, "sales")["download_url"].is_null());
    job(&app, "tend_tenant_exports").await;
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "expired"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_holds_all_of_the_tenant_nothing_of_another_and_no_secret() {
    let app = with_store().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    let hired = shop.hire(&app, "cashier").await;
    let end = app.clock.now() + TimeDelta::days(30);
    let key = json!({ "name": "Web", "permissions": ["product.product.read"], "expires_at": end });
    let key = shop.owner.post("/api/v1/api-keys", key).await.expect(201);
    // A table that a later version brings is exported without a word about it.
    app.admin().await.batch_execute(&format!(
        "create table public.added (tenant_id uuid not null, id int not null, price numeric, primary key (tenant_id, id));
         select tenancy.protect('public.added'); grant select on public.added to bahi_identity_app;
         insert into public.added values ('{}', 1, 12.50), ('{}', 2, 1)", shop.owner.tenant, other.owner.tenant)).await.unwrap();
    let archive = export(
        &app,
        &app.running.state.privacy,
        &HOLDINGS,
        shop.owner.tenant,
    )
    .await;
    assert_eq!(
        archive.tables["public.added"],
        [json!({ "tenant_id": shop.owner.tenant, "id": 1, "price": "12.50" })]
    );
    assert!(archive.text.contains(&hired.email) && archive.text.contains(&shop.email));
    assert!(!archive.text.contains(&other.email));
    assert_eq!(
        archive.manifest["export"]["tenant_id"],
        json!(shop.owner.tenant)
    );
    // What is known of every secret: its text, and each form in which the database keeps it.
    let admin = app.admin().await;
    let kept = admin
        .query(
            "select password_hash from app_user where tenant_id = $1 and password_hash is not null
         union all select encode(hash, 'hex') from refresh_token where tenant_id = $1
         union all select encode(hash, 'hex') from api_key where tenant_id = $1
         union all select encode(hash, 'hex') from ticket where tenant_id = $1",
            &[&shop.owner.tenant.uuid()],
        )
        .await
        .unwrap();
    assert!(kept.len() >= 6, "{}", kept.len());
    let kept = kept.iter().map(|row| row.get::<_, String>(0));
    for secret in kept.chain([
        PASSWORD.to_owned(),
        key.text_at("key"),
        shop.tokens.text_at("refresh_token"),
    ]) {
        assert!(!archive.text.contains(&secret), "{secret}");
    }
    // The mutant: without policy and filter the other's rows would be there, and be found.
    let all = admin
        .query("select row_to_json(t) from app_user t", &[])
        .await
        .unwrap();
    let rows: Vec<Value> = all.iter().map(|row| row.get(0)).collect();
    assert!(
        rows.iter()
            .any(|row| row["tenant_id"] != json!(shop.owner.tenant))
    );
    assert!(
        rows.iter()
            .any(|row| row["email"] == other.email.as_str() && row["password_hash"].is_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_there_and_nothing_else_looks_like_a_secret() {
    let harmless = ["public.audit.hash", "public.audit_end.hash"];
    assert_left_out(&start().await, &HOLDINGS, &harmless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_at_it_is_followed_by_another_who_answers_once() {
    let app = with_store().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .owner
        .post(PATH, json!({}))
        .await
        .expect(202)
        .text_at("id");
    let asked = app
        .events()
        .await
        .into_iter()
        .find(|e| e.event_type == "tenant.export_requested")
        .unwrap();
    let consumer = app.running.state.privacy.consumer();
    consumer.feed(&app.db, &[asked]).await.unwrap();
    // As a process leaves it that is killed while it writes.
    let admin = app.admin().await;
    let until = app.clock.now() + TimeDelta::seconds(60);
    admin
        .execute(
            "update privacy.task set attempts = 1, lease_until = $1",
            &[&until],
        )
        .await
        .unwrap();
    job(&app, "write_tenant_exports").await;
    let attempts = async || {
        admin
            .query_one("select attempts from privacy.task", &[])
            .await
            .unwrap()
            .get::<_, i32>(0)
    };
    assert_eq!(attempts().await, 1, "he may still be at it");
    app.clock.advance(TimeDelta::seconds(61));
    let answer = bahi_testkit::eventually(|| async {
        job(&app, "write_tenant_exports").await;
        said(&app, "tenant.export_answered", &id)
            .await
            .into_iter()
            .next()
    })
    .await;
    assert!(
        answer["archive"]["object_key"]
            .as_str()
            .unwrap()
            .ends_with("/identity-2.zip")
    );
    job(&app, "write_tenant_exports").await;
    assert_eq!(said(&app, "tenant.export_answered", &id).await.len(), 1);
    // It can be fetched; when its time is over it is gone, and so is one that comes late.
    app.feed(
        ALL.iter()
            .filter(|s| **s != "identity")
            .map(|s| says(&id, s, None))
            .collect(),
        shop.owner.tenant,
    )
    .await;
    let own: Outgoing = {
        let said: TenantExportAnswered = serde_json::from_value(answer).unwrap();
        TENANT_EXPORT_ANSWERED.of(said.export_id, 1, &said)
    };
    app.feed(vec![own], shop.owner.tenant).await;
    let ready = shop
        .owner
        .get(&format!("{PATH}/{id}"))
        .await
        .expect(200)
        .body;
    let url = of(&ready, "identity")["download_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
    app.clock.advance(TimeDelta::days(8));
    job(&app, "tend_tenant_exports").await;
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
    let swept = || async {
        admin
            .query_one("select swept_at is not null from tenant_export", &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    };
    assert!(swept().await);
    app.feed(vec![says(&id, "sales", None)], shop.owner.tenant)
        .await;
    assert!(!swept().await, "what came late is swept too");
    job(&app, "tend_tenant_exports").await;
    assert!(swept().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_the_answer_is_that_there_is_none() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let id = shop
        .owner
        .post(PATH, json!({}))
        .await
        .expect(202)
        .text_at("id");
    let events = app.events().await;
    let asked: Vec<_> = events
        .into_iter()
        .filter(|e| e.event_type == "tenant.export_requested")
        .collect();
    app.running
        .state
        .privacy
        .consumer()
        .feed(&app.db, &asked)
        .await
        .unwrap();
    let answer = bahi_testkit::eventually(|| async {
        job(&app, "write_tenant_exports").await;
        said(&app, "tenant.export_answered", &id)
            .await
            .into_iter()
            .next()
    })
    .await;
    assert_eq!(answer["failed"], "NO_STORE");
}
