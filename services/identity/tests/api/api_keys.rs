//! API keys.

use bahi_testkit::{Client, Reply};
use bahi_types::TenantId;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "/api/v1/api-keys";

fn key(app: &App, permissions: &[&str]) -> Value {
    let end = app.clock.now() + TimeDelta::days(30);
    json!({ "name": "Web shop", "permissions": permissions, "expires_at": end })
}

async fn make(app: &App, who: &Client, permissions: &[&str]) -> Reply {
    who.post(PATH, key(app, permissions)).await.expect(201)
}

/// What the gateway learns of a key.
async fn verify(app: &App, key: &str) -> Reply {
    let gateway = nobody(app).with_token(&app.service_token("api-gateway", TenantId::new()));
    let body = json!({ "key": key });
    gateway.post("/internal/v1/api-keys:verify", body).await
}

fn one(made: &Reply) -> String {
    format!("{PATH}/{}", made.text_at("id"))
}

/// Whether what the gateway has believed since a second is void.
async fn is_void(app: &App, made: &Reply, since: i64) -> bool {
    let feed = revocations(app).await;
    let users = feed["users"].as_array().unwrap().iter();
    let mut of_key = users.filter(|u| u["user_id"] == made.body["id"]);
    of_key.any(|u| since < u["not_before"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_speaks_for_itself() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let made = make(
        &app,
        &shop.owner,
        &["sales.order.*", "product.product.read"],
    )
    .await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let text = made.text_at("key");
    assert_eq!(text.len(), 57);
    assert!(text.starts_with(&format!("bahi_{}_", made.text_at("prefix"))));

    let good = verify(&app, &text).await.expect(200);
    let now = app.clock.now();
    assert_eq!(
        good.body,
        json!({
            "branches": null,
            "sub": format!("key:{}", made.text_at("id")), "tenant_id": shop.owner.tenant, "name": "Web shop",
            "permissions": ["product.product.read", "sales.order.*"], "requests_per_minute": 600,
            "issued_at": now.timestamp(), "expires_at": (now + TimeDelta::days(30)).timestamp(),
        })
    );
    // Later nobody sees it again: not in lists, not in the outbox, not in the database.
    let listed = shop.owner.get(PATH).await.expect(200);
    assert_eq!(listed.body["items"][0]["prefix"], made.body["prefix"]);
    let single = shop.owner.get(&one(&made)).await.expect(200);
    let events = serde_json::to_string(&app.events().await).unwrap();
    let secret = &text[14..];
    for seen in [&listed.text, &single.text, &events] {
        assert!(!seen.contains(secret));
    }
    let dumped = app
        .admin()
        .await
        .query_one("select k::text from api_key k", &[])
        .await
        .unwrap();
    assert!(!dumped.get::<_, String>(0).contains(secret));
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.api_key.create"
    );
    // A repeated request makes one key, whose secret is not kept for that either.
    let body = key(&app, &["sales.order.read"]);
    let twice = join_all((0..5).map(|_| shop.owner.post_with_key(PATH, body.clone(), "k1"))).await;
    assert!(
        twice
            .iter()
            .all(|r| r.text_at("key") == twice[0].text_at("key"))
    );
    let kept = "select answer::text from idempotency";
    let kept = app.admin().await.query_one(kept, &[]).await.unwrap();
    assert!(
        !kept
            .get::<_, String>(0)
            .contains(&twice[0].text_at("key")[14..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_key_looks_alike() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let made = make(&app, &shop.owner, &["sales.order.read"]).await;
    let other = make(&app, &shop.owner, &["sales.order.read"]).await;
    let text = made.text_at("key");
    let (head, _) = text.split_at(14);
    let wrong = [
        // The prefix of one and the secret of the other.
        format!("{head}{}", &other.text_at("key")[14..]),
        format!("bahi_aaaaaaaa_{}", &text[14..]),
        text.replace("bahi_", "bahi-"),
        format!("{text}x"),
        "bahi_".into(),
        "".into(),
    ];
    for wrong in wrong {
        let refused = verify(&app, &wrong).await.expect(404);
        assert_eq!(refused.code(), "NOT_FOUND", "{wrong}");
        assert_eq!(refused.body["detail"], "Not found.");
    }
    // Nobody but the gateway asks.
    let body = json!({ "key": text });
    let path = "/internal/v1/api-keys:verify";
    shop.owner.post(path, body.clone()).await.expect(403);
    nobody(&app).post(path, body.clone()).await.expect(401);
    let sales = nobody(&app).with_token(&app.service_token("sales", shop.owner.tenant));
    sales.post(path, body).await.expect(403);

    app.clock
        .advance(TimeDelta::days(30) - TimeDelta::seconds(1));
    verify(&app, &text).await.expect(200);
    app.clock.advance(TimeDelta::seconds(1));
    verify(&app, &text).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_no_more_than_its_maker_and_ends_within_a_year() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let narrow =
        shop.owner
            .with_permissions(&["identity.api_key.*", "sales.order.read", "sales.pos.*"]);
    for wide in [
        "*",
        "sales.*",
        "sales.order.write",
        "identity.user.write",
        "sales.discount.up_to_5",
    ] {
        let refused = narrow
            .post(PATH, key(&app, &["sales.order.read", wide]))
            .await
            .expect(403);
        assert_eq!(
            (refused.code(), &refused.body["permission"]),
            ("ESCALATION", &json!(wide))
        );
    }
    make(
        &app,
        &narrow,
        &["sales.order.read", "sales.pos.use", "sales.pos.*"],
    )
    .await;
    // Neither is a wider one made anew, for its secret would be in the answer, nor ended.
    let wide = make(&app, &shop.owner, &["sales.order.write"]).await;
    for verb in ["rotate", "revoke"] {
        let refused = narrow
            .post(&format!("{}:{verb}", one(&wide)), json!({}))
            .await
            .expect(403);
        assert_eq!(refused.code(), "ESCALATION");
    }
    for days in [-1, 0, 367] {
        let mut body = key(&app, &["sales.order.read"]);
        body["expires_at"] = json!(app.clock.now() + TimeDelta::days(days));
        let refused = shop.owner.post(PATH, body).await.expect(422);
        assert_eq!(refused.code(), "KEY_EXPIRY");
    }
    for (field, value) in [
        ("name", json!("")),
        ("permissions", json!([])),
        ("permissions", json!(["orders"])),
        ("expires_at", json!(null)),
        ("requests_per_minute", json!(0)),
    ] {
        let mut body = key(&app, &["sales.order.read"]);
        body[field] = value;
        shop.owner.post(PATH, body).await.expect(400);
    }
    // A program makes no keys, whatever it may do.
    let program = nobody(&app).with_token(&token_of_key(shop.owner.tenant, &["*"]));
    program
        .post(PATH, key(&app, &["sales.order.read"]))
        .await
        .expect(403);
    program.get(PATH).await.expect(200);
    for own in [
        "/api/v1/auth/me",
        "/api/v1/auth/sessions",
        "/api/v1/auth/mfa",
    ] {
        program.get(own).await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_maker_loses_the_key_loses() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let role = json!({ "name": "integrator", "permissions": ["identity.api_key.*", "sales.order.*", "product.product.read"] });
    let role = shop.owner.post("/api/v1/roles", role).await.expect(201);
    let ravi = shop.hire(&app, "integrator").await;
    let made = make(
        &app,
        &ravi.client,
        &["sales.order.read", "product.product.read"],
    )
    .await;
    let text = made.text_at("key");
    let believed = verify(&app, &text).await.expect(200).body["issued_at"]
        .as_i64()
        .unwrap();
    assert!(!is_void(&app, &made, believed).await);

    let less =
        json!({ "name": "integrator", "permissions": ["identity.api_key.*", "sales.order.read"] });
    let path = format!("/api/v1/roles/{}", role.text_at("id"));
    shop.owner.put(&path, less, 1).await.expect(200);
    assert!(
        is_void(&app, &made, believed).await,
        "the gateway asks again"
    );
    let good = verify(&app, &text).await.expect(200);
    assert_eq!(good.body["permissions"], json!(["sales.order.read"]));
    assert!(
        !is_void(&app, &made, good.body["issued_at"].as_i64().unwrap()).await,
        "what is believed now is not void"
    );

    // When he is shut out, what he has seen the secret of is no more; letting him in again does not bring it back.
    let kept = make(&app, &ravi.client, &["sales.order.read"]).await;
    let kept = shop
        .owner
        .post(&format!("{}:rotate", one(&kept)), json!({}))
        .await
        .expect(200);
    shop.owner
        .post(&format!("{}:disable", ravi.path()), json!({}))
        .await
        .expect(200);
    verify(&app, &text).await.expect(404);
    verify(&app, &kept.text_at("key")).await.expect(200);
    shop.owner
        .post(&format!("{}:enable", ravi.path()), json!({}))
        .await
        .expect(200);
    verify(&app, &text).await.expect(404);
    let revoked = audited(&app, shop.owner.tenant).await;
    assert_eq!(
        revoked
            .iter()
            .filter(|a| *a == "identity.api_key.revoke")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_anew_and_ended() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let made = make(&app, &shop.owner, &["sales.order.read"]).await;
    let old = made.text_at("key");
    let believed = verify(&app, &old).await.expect(200).body["issued_at"]
        .as_i64()
        .unwrap();
    let end = app.clock.now() + TimeDelta::days(100);
    let rotate = format!("{}:rotate", one(&made));
    let anew = shop
        .owner
        .post(&rotate, json!({ "expires_at": end }))
        .await
        .expect(200);
    let fresh = anew.text_at("key");
    assert_ne!(fresh, old);
    assert_eq!(
        (&anew.body["prefix"], &anew.body["expires_at"]),
        (&made.body["prefix"], &json!(end))
    );
    assert!(is_void(&app, &made, believed).await);
    verify(&app, &old).await.expect(404);
    verify(&app, &fresh).await.expect(200);
    let far = json!({ "expires_at": app.clock.now() + TimeDelta::days(400) });
    assert_eq!(
        shop.owner.post(&rotate, far).await.expect(422).code(),
        "KEY_EXPIRY"
    );

    let believed = verify(&app, &fresh).await.expect(200).body["issued_at"]
        .as_i64()
        .unwrap();
    app.clock.advance(TimeDelta::seconds(5));
    let revoke = format!("{}:revoke", one(&made));
    let ended = shop
        .owner
        .post(&revoke, json!({ "reason": "lost" }))
        .await
        .expect(200);
    assert_eq!(ended.body["revoked_at"], json!(app.clock.now()));
    assert!(is_void(&app, &made, believed).await);
    verify(&app, &fresh).await.expect(404);
    shop.owner.post(&revoke, json!({})).await.expect(200);
    assert_eq!(
        shop.owner.post(&rotate, json!({})).await.expect(409).code(),
        "KEY_ENDED"
    );
    let audited = audited(&app, shop.owner.tenant).await;
    let own: Vec<_> = audited
        .iter()
        .filter(|a| a.starts_with("identity.api_key"))
        .collect();
    assert_eq!(
        own,
        [
            "identity.api_key.create",
            "identity.api_key.rotate",
            "identity.api_key.revoke"
        ]
    );

    // To somebody else's business none of this exists.
    let other = Shop::open(&app).await;
    other.owner.get(&one(&made)).await.expect(404);
    for path in [&rotate, &revoke] {
        other.owner.post(path, json!({})).await.expect(404);
    }
    assert_eq!(other.owner.get(PATH).await.expect(200).body["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_is_noted_once_a_minute() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let made = make(&app, &shop.owner, &["sales.order.read"]).await;
    let (text, first) = (made.text_at("key"), app.clock.now());
    let last = async || shop.owner.get(&one(&made)).await.expect(200).body["last_used_at"].clone();
    assert_eq!(last().await, Value::Null);
    verify(&app, &text).await.expect(200);
    assert_eq!(last().await, json!(first));
    app.clock.advance(TimeDelta::seconds(59));
    verify(&app, &text).await.expect(200);
    assert_eq!(last().await, json!(first));
    app.clock.advance(TimeDelta::seconds(1));
    verify(&app, &text).await.expect(200);
    assert_eq!(last().await, json!(app.clock.now()));
    // A wrong secret is no use.
    app.clock.advance(TimeDelta::minutes(5));
    verify(&app, &format!("{}{}", &text[..14], "x".repeat(43)))
        .await
        .expect(404);
    assert_eq!(last().await, json!(app.clock.now() - TimeDelta::minutes(5)));
}
