//! Suspending tenants, and what an operator asks by command.

use std::process::Output;

use bahi_testkit::{Client, Reply, TestApp, test_env};
use bahi_types::{Clock, TenantId};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    audit::{deliver, of_audit},
    support::*,
};

async fn start_suspending() -> App {
    let clock = Clock::fixed(chrono::SubsecRound::trunc_subsecs(chrono::Utc::now(), 0));
    let settings = [("BAHI_MAY_SUSPEND", "sales, product")];
    TestApp::start_with(identity::app(), &settings, clock).await
}

fn service(app: &App, name: &str) -> Client {
    nobody(app).with_token(&app.service_token(name, TenantId::new()))
}

async fn turn(app: &App, shop: &Shop, what: &str) -> Reply {
    let path = format!("/internal/v1/tenants/{}:{what}", shop.owner.tenant);
    let body = json!({ "reason": "unpaid since March" });
    service(app, "sales").post(&path, body).await
}

async fn suspended(app: &App) -> Value {
    revocations(app).await["tenants"].clone()
}

/// Runs the service's own binary on the database of `app`.
fn command(app: &App, args: &[&str]) -> Output {
    let keys = test_env("BAHI_TEST_KEYS");
    std::process::Command::new(env!("CARGO_BIN_EXE_identity"))
        .args(args)
        .env("BAHI_DATABASE_URL", app.database.url())
        .env("BAHI_TRUST_DIR", format!("{keys}/public"))
        .env("BAHI_KEY_FILE", format!("{keys}/private/identity.pem"))
        .env(
            "BAHI_REGISTER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml"),
        )
        .env("BAHI_DB_CHECKOUT_MS", "10000")
        .env("BAHI_OPERATOR", "asha@desk")
        .output()
        .expect("the binary runs")
}

fn told(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_a_suspended_tenant_comes_in_until_it_is_reactivated() {
    let app = start_suspending().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    let end = app.clock.now() + TimeDelta::days(30);
    let body =
        json!({ "name": "Web shop", "permissions": ["sales.order.read"], "expires_at": end });
    let made = shop.owner.post("/api/v1/api-keys", body).await.expect(201);
    let key = made.text_at("key");
    let exchange = async || {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            made.text_at("prefix"),
            &key[14..]
        );
        let url = format!("{}/api/v1/auth/token", app.url());
        let request = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        nobody(&app).send(request).await
    };
    exchange().await.expect(200);
    assert_eq!(suspended(&app).await, json!([]));

    let done = turn(&app, &shop, "suspend").await.expect(200);
    assert_eq!(
        (&done.body["slug"], &done.body["version"]),
        (&json!(shop.slug), &json!(2))
    );
    assert!(done.body["suspended_at"].is_string());
    // What the gateway refuses from its next look on: it looks each second.
    assert_eq!(suspended(&app).await, json!([shop.owner.tenant]));
    // Who knows the password learns why, who guesses does not.
    assert_eq!(
        log_in(&app, &shop.email, PASSWORD).await.expect(403).code(),
        "TENANT_SUSPENDED"
    );
    assert_eq!(
        log_in(&app, &shop.email, "a wrong password")
            .await
            .expect(401)
            .code(),
        "INVALID_CREDENTIALS"
    );
    let token = shop.tokens.text_at("refresh_token");
    assert_eq!(
        refresh(&app, &token).await.expect(403).code(),
        "TENANT_SUSPENDED"
    );
    exchange().await.expect(401);
    // Another tenant notices nothing.
    log_in(&app, &other.email, PASSWORD).await.expect(200);
    refresh(&app, &other.tokens.text_at("refresh_token"))
        .await
        .expect(200);
    // Once more changes nothing, and however long it lasts it is told.
    let again = turn(&app, &shop, "suspend").await.expect(200);
    assert_eq!(again.body, done.body);
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(suspended(&app).await, json!([shop.owner.tenant]));

    turn(&app, &shop, "reactivate").await.expect(200);
    let back = turn(&app, &shop, "reactivate").await.expect(200);
    assert_eq!(
        (&back.body["suspended_at"], &back.body["version"]),
        (&Value::Null, &json!(3))
    );
    assert_eq!(suspended(&app).await, json!([]));
    // It goes on where it was: the same session, the same key.
    refresh(&app, &token).await.expect(200);
    exchange().await.expect(200);

    let id = shop.owner.tenant.to_string();
    let said_so = said(&app, "tenant.suspended", &id).await;
    assert_eq!(said_so.len(), 1);
    assert_eq!(said_so[0]["reason"], "unpaid since March");
    assert_eq!(said(&app, "tenant.reactivated", &id).await.len(), 1);
    let actions = audited(&app, shop.owner.tenant).await;
    let own: Vec<_> = actions
        .iter()
        .filter(|a| a.starts_with("identity.tenant."))
        .collect();
    assert_eq!(
        own,
        [
            "identity.tenant.register",
            "identity.tenant.suspend",
            "identity.tenant.reactivate"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_services_that_a_setting_names_suspend() {
    let app = start_suspending().await;
    let shop = Shop::open(&app).await;
    let path = format!("/internal/v1/tenants/{}:suspend", shop.owner.tenant);
    let body = json!({ "reason": "x" });
    shop.owner.post(&path, body.clone()).await.expect(403);
    let key = nobody(&app).with_token(&token_of_key(shop.owner.tenant, &["*"]));
    key.post(&path, body.clone()).await.expect(403);
    service(&app, "inventory")
        .post(&path, body.clone())
        .await
        .expect(403);
    service(&app, "api-gateway")
        .post(&path, body.clone())
        .await
        .expect(403);
    nobody(&app).post(&path, body.clone()).await.expect(401);
    service(&app, "sales")
        .post(&path, json!({ "reason": " " }))
        .await
        .expect(400);
    let nowhere = format!("/internal/v1/tenants/{}:suspend", TenantId::new());
    service(&app, "sales")
        .post(&nowhere, body.clone())
        .await
        .expect(404);
    assert_eq!(suspended(&app).await, json!([]));
    service(&app, "product")
        .post(&path, body.clone())
        .await
        .expect(200);
    // Nobody may where no setting says so.
    let plain = start().await;
    let shop = Shop::open(&plain).await;
    let path = format!("/internal/v1/tenants/{}:suspend", shop.owner.tenant);
    service(&plain, "sales").post(&path, body).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_suspends_by_command_and_is_named_for_it() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let done = command(
        &app,
        &["tenant", "suspend", &shop.slug, "--reason", "fraud"],
    );
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&done).starts_with(&format!("{}: suspended since ", shop.slug)));
    log_in(&app, &shop.email, PASSWORD).await.expect(403);
    let events = app.events().await;
    let record = events
        .iter()
        .rfind(|e| e.event_type == "audit.recorded")
        .unwrap();
    assert_eq!(
        (
            &record.payload["action"],
            &record.payload["reason"],
            &record.payload["details"]["operator"]
        ),
        (
            &json!("identity.tenant.suspend"),
            &json!("fraud"),
            &json!("asha@desk")
        )
    );
    let back = command(
        &app,
        &["tenant", "reactivate", &shop.slug, "--reason", "a mistake"],
    );
    assert!(back.status.success(), "{}", told(&back));
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
    let unknown = command(&app, &["tenant", "suspend", "nobody", "--reason", "x"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(told(&unknown).contains("there is no tenant nobody"));
    let unreasoned = command(&app, &["tenant", "suspend", &shop.slug]);
    assert_eq!(unreasoned.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn trails_are_verified_by_command_as_by_the_endpoint() {
    let app = start().await;
    let (one, other) = (Shop::open(&app).await, Shop::open(&app).await);
    deliver(&app, &of_audit(&app).await).await;
    let said = one.owner.get("/api/v1/audit:verify").await.expect(200);
    let (number, hash) = (said.body["number"].to_string(), said.text_at("hash"));
    let intact = format!("{}: intact; it ends with {number} {hash}\n", one.slug);

    let all = command(&app, &["audit", "verify"]);
    assert!(all.status.success(), "{}", told(&all));
    assert!(told(&all).contains(&intact), "{}", told(&all));
    assert!(
        told(&all).ends_with("2 trails, 0 broken\n"),
        "{}",
        told(&all)
    );
    let single = command(&app, &["audit", "verify", "--tenant", &one.slug]);
    assert_eq!(
        (single.status.code(), told(&single)),
        (Some(0), intact.clone())
    );
    let noted = [
        "audit", "verify", "--tenant", &one.slug, "--number", &number, "--hash",
    ];
    let known = command(&app, &[noted.as_slice(), &[&hash]].concat());
    assert!(known.status.success());
    // A trail that was chained anew does not lead to what was noted of it.
    let anew = "0".repeat(64);
    let forged = command(&app, &[noted.as_slice(), &[&anew]].concat());
    assert_eq!(forged.status.code(), Some(1), "{}", told(&forged));

    let altered = format!(
        "alter table audit disable trigger user;
         update audit set reason = 'nothing' where number = 1 and tenant_id = '{}';
         alter table audit enable trigger user;",
        other.owner.tenant
    );
    app.admin().await.batch_execute(&altered).await.unwrap();
    let all = command(&app, &["audit", "verify"]);
    assert_eq!(all.status.code(), Some(1));
    assert!(told(&all).contains(&intact), "{}", told(&all));
    assert!(
        told(&all).contains(&format!("{}: BROKEN at 1;", other.slug)),
        "{}",
        told(&all)
    );
    let json = command(
        &app,
        &["audit", "verify", "--json", "--tenant", &other.slug],
    );
    assert_eq!(json.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&json.stdout).unwrap();
    let said = other.owner.get("/api/v1/audit:verify").await.expect(200);
    for field in ["intact", "broken_at", "number", "hash"] {
        assert_eq!(line[field], said.body[field], "{field}");
    }
    let wrong = command(&app, &["audit", "verify", "--number", "1"]);
    assert_eq!(wrong.status.code(), Some(2));
    let nobody = command(&app, &["audit", "verify", "--tenant", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_cannot_be_read_keeps_nobody_from_the_others() {
    let app = start().await;
    let (one, other) = (Shop::open(&app).await, Shop::open(&app).await);
    deliver(&app, &of_audit(&app).await).await;
    let (first, second) = match one.slug < other.slug {
        true => (one, other),
        false => (other, one),
    };
    let unreadable = format!(
        "alter function audit_hash(bytea, audit) rename to right_hash;
         create function audit_hash(previous bytea, r audit) returns bytea language plpgsql as $$ begin
           if r.tenant_id = '{}' then raise exception 'unreadable'; end if;
           return right_hash(previous, r);
         end $$",
        first.owner.tenant
    );
    app.admin().await.batch_execute(&unreadable).await.unwrap();
    let all = command(&app, &["audit", "verify"]);
    assert_eq!(all.status.code(), Some(1));
    for said in [
        format!("{}: not verified: ", first.slug),
        format!("{}: intact; ", second.slug),
        "2 trails, 0 broken\n".into(),
        "1 trails could not be verified".into(),
    ] {
        assert!(told(&all).contains(&said), "{}", told(&all));
    }
}
