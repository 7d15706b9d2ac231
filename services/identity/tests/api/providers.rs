//! Identity providers: who may set them up, and what of them is ever seen.

use bahi_testkit::TestProvider;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;

use crate::{
    oidc::{BACK, input, start_beside},
    organisation::site,
    support::*,
};

const PATH: &str = "/api/v1/identity-providers";

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_set_up_changed_and_deleted_and_its_secret_never_shown() {
    let app = start_beside().await;
    let shop = Shop::open(&app).await;
    let provider = TestProvider::start().await;
    let made = shop.owner.post(PATH, input(&provider)).await.expect(201);
    let one = format!("{PATH}/{}", made.text_at("id"));
    assert_eq!(made.body["version"], 1);
    let told = shop
        .owner
        .post(&format!("{one}:check"), json!({}))
        .await
        .expect(200);
    assert_eq!(told.body["keys"], 1);
    assert_eq!(
        shop.owner
            .post(PATH, input(&provider))
            .await
            .expect(409)
            .code(),
        "PROVIDER_TAKEN"
    );
    // The issuer stays; without a word about the secret that stays too.
    let change = json!({ "name": "Head office", "client_id": "bahi", "redirect_uris": [BACK], "domains": ["B.in", "a.in", "b.in"],
        "link_by_email": true, "trusts_mfa": true, "active": true });
    let changed = shop.owner.put(&one, change.clone(), 1).await.expect(200);
    assert_eq!(
        (&changed.body["domains"], &changed.body["issuer"]),
        (&json!(["a.in", "b.in"]), &json!(provider.issuer))
    );
    assert_eq!(
        shop.owner.put(&one, change, 1).await.expect(412).code(),
        "STALE_VERSION"
    );
    let sealed = "select octet_length(sealed) from identity_provider";
    let sealed: Option<i32> = app
        .admin()
        .await
        .query_one(sealed, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(sealed, Some(12 + 24 + 16), "nonce, secret, tag");
    let listed = shop.owner.get(PATH).await.expect(200);
    let single = shop.owner.get(&one).await.expect(200);
    let events = serde_json::to_string(&app.events().await).unwrap();
    let dump = "select string_agg(p::text, '') || (select coalesce(string_agg(i::text, ''), '') from idempotency i) from identity_provider p";
    let dumped: String = app.admin().await.query_one(dump, &[]).await.unwrap().get(0);
    for seen in [
        &made.text,
        &changed.text,
        &listed.text,
        &single.text,
        &events,
        &dumped,
    ] {
        assert!(!seen.contains("s3cret"), "{seen}");
    }
    let public = json!({ "name": "Head office", "client_id": "bahi", "public_client": true, "redirect_uris": [BACK], "domains": [],
        "link_by_email": false, "trusts_mfa": false, "active": true });
    shop.owner.put(&one, public, 2).await.expect(200);
    let none = "select sealed is null from identity_provider";
    assert!(
        app.admin()
            .await
            .query_one(none, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
    shop.owner.delete(&one, 2).await.expect(412);
    shop.owner.delete(&one, 3).await.expect(204);
    shop.owner.get(&one).await.expect(404);
    let id = made.text_at("id");
    for (event, count) in [("created", 1), ("updated", 2), ("deleted", 1)] {
        let said = said(&app, &format!("identity_provider.{event}"), &id).await;
        assert_eq!(said.len(), count, "{event}");
    }
    let actions = audited(&app, shop.owner.tenant).await;
    let own: Vec<_> = actions
        .iter()
        .filter(|a| a.starts_with("identity.provider."))
        .collect();
    assert_eq!(own.len(), 4, "{own:?}");
    // A repeated request makes one, and another secret under the same key is another request.
    let twice =
        join_all((0..5).map(|_| shop.owner.post_with_key(PATH, input(&provider), "p1"))).await;
    assert!(
        twice
            .iter()
            .all(|r| r.status == 201 && r.body["id"] == twice[0].body["id"]),
        "{}",
        twice[0].text
    );
    let mut other = input(&provider);
    other["client_secret"] = json!("another");
    let refused = shop
        .owner
        .post_with_key(PATH, other, "p1")
        .await
        .expect(422);
    assert_eq!(refused.code(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_and_one_that_posts_its_secret_come_in_too() {
    let app = start_beside().await;
    let shop = Shop::open(&app).await;
    for (secret, methods) in [
        (true, json!(["client_secret_post"])),
        (false, json!(["none"])),
    ] {
        let provider = TestProvider::start().await;
        let now = app.clock.now().timestamp();
        provider.behave(|m| {
            m.now = Some(now);
            m.discovery = json!({ "token_endpoint_auth_methods_supported": methods });
            m.person =
                json!({ "sub": "1", "email": "a@office.example.in", "email_verified": true });
            if !secret {
                m.client_secret = None;
            }
        });
        let mut body = input(&provider);
        body["domains"] = json!(["office.example.in"]);
        body["role_id"] = json!(shop.role("cashier").await);
        body["link_by_email"] = json!(true);
        if !secret {
            body.as_object_mut().unwrap().remove("client_secret");
        }
        let made = shop.owner.post(PATH, body).await.expect(201);
        let begin = json!({ "tenant": shop.slug, "provider_id": made.body["id"] });
        let begun = post(&app, "/api/v1/auth/oidc:begin", begin)
            .await
            .expect(200);
        let back = provider.consent(&begun.text_at("authorization_url")).await;
        assert_eq!(back.to, BACK);
        let body = json!({ "state": back.state, "code": back.code, "iss": back.iss, "key": begun.body["key"] });
        post(&app, "/api/v1/auth/oidc:complete", body)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_holds_everything_sets_one_up() {
    let app = start_beside().await;
    let shop = Shop::open(&app).await;
    let provider = TestProvider::start().await;
    // With it he could become the owner: by an address, or by sending people back to himself.
    let almost = shop
        .owner
        .with_permissions(&["identity.*", "sales.*", "product.*"]);
    let refused = almost.post(PATH, input(&provider)).await.expect(403);
    assert_eq!(
        (refused.code(), &refused.body["permission"]),
        ("ESCALATION", &json!("*"))
    );
    let made = shop.owner.post(PATH, input(&provider)).await.expect(201);
    let one = format!("{PATH}/{}", made.text_at("id"));
    let change = json!({ "name": "X", "client_id": "bahi", "redirect_uris": ["https://evil.example.in/"], "domains": [],
        "link_by_email": false, "trusts_mfa": false, "active": true });
    almost.put(&one, change, 1).await.expect(403);
    almost.delete(&one, 1).await.expect(403);
    almost.get(&one).await.expect(200);
    // Another tenant's is nobody's.
    let other = Shop::open(&app).await;
    other.owner.get(&one).await.expect(404);
    other.owner.delete(&one, 1).await.expect(404);
    other
        .owner
        .post(&format!("{one}:check"), json!({}))
        .await
        .expect(404);
    // Whose issuer is another tenant's is one's own all the same.
    other.owner.post(PATH, input(&provider)).await.expect(201);
    for (field, value) in [
        ("issuer", json!("ftp://id.example.in")),
        ("issuer", json!("http://id.example.in")),
        ("issuer", json!("https://id.example.in/?a=b")),
        ("issuer", json!("https://a:b@id.example.in/")),
        ("redirect_uris", json!([])),
        ("redirect_uris[0]", json!(["javascript:alert(1)"])),
        ("redirect_uris[0]", json!(["http://shop.example.in/"])),
        ("domains[0]", json!(["*.example.in"])),
        ("domains", json!(null)),
        ("link_by_email", json!(true)),
        ("client_secret", json!("")),
        ("name", json!(" ")),
    ] {
        let mut body = input(&provider);
        body[field.split('[').next().unwrap()] = value.clone();
        let refused = shop.owner.post(PATH, body).await.expect(400);
        let named = refused.body["errors"][0]["field"].as_str().unwrap();
        // Whom it links by e-mail it must know the domains of.
        let expected = if field == "link_by_email" {
            "domains"
        } else {
            field
        };
        assert_eq!(named, expected, "{value}");
        assert!(!refused.text.contains("s3cret"));
    }
    let mut body = input(&provider);
    body["domains"] = json!(["a.in"]);
    body["role_id"] = json!(uuid::Uuid::now_v7());
    let unknown = shop.owner.post(PATH, body).await.expect(422);
    assert_eq!(
        (unknown.code(), &unknown.body["field"]),
        ("UNKNOWN_REFERENCE", &json!("role_id"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_works_everywhere_sets_one_up() {
    let app = start_beside().await;
    let shop = Shop::open(&app).await;
    let provider = TestProvider::start().await;
    let branch = site(&shop.owner).await.branch;
    // It could vouch for the owner, who works for all branches.
    let local = shop.owner.at_branches(&["*"], &[branch.parse().unwrap()]);
    let mut body = input(&provider);
    body["branch_ids"] = json!([branch]);
    body["domains"] = json!(["a.in"]);
    body["link_by_email"] = json!(true);
    let elsewhere = |reply: bahi_testkit::Reply| {
        assert_eq!(reply.expect(403).code(), "OTHER_BRANCH");
    };
    elsewhere(local.post(PATH, body.clone()).await);
    let made = shop.owner.post(PATH, body).await.expect(201);
    let one = format!("{PATH}/{}", made.text_at("id"));
    let change = json!({ "name": "X", "client_id": "bahi", "redirect_uris": [BACK], "domains": ["a.in"],
        "link_by_email": true, "trusts_mfa": true, "active": true });
    elsewhere(local.put(&one, change, 1).await);
    elsewhere(local.delete(&one, 1).await);
    shop.owner.delete(&one, 1).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_network_is_not_called() {
    // As in production: without the setting.
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let provider = TestProvider::start().await;
    let port = provider.issuer.rsplit(':').next().unwrap();
    for inside in [
        provider.issuer.clone(),
        format!("https://127.0.0.1:{port}"),
        format!("https://[::1]:{port}"),
        "https://169.254.169.254".into(),
        "https://10.0.0.8".into(),
        "https://0x7f000001".into(),
    ] {
        let mut body = input(&provider);
        body["issuer"] = json!(inside);
        let refused = shop.owner.post(PATH, body).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], "issuer", "{inside}");
    }
    // A name is looked at when it is called.
    let mut body = input(&provider);
    body["issuer"] = json!(format!("https://localhost:{port}"));
    let made = shop.owner.post(PATH, body).await.expect(201);
    let path = format!("{PATH}/{}:check", made.text_at("id"));
    let told = shop.owner.post(&path, json!({})).await.expect(422);
    assert!(told.text_at("detail").contains("cannot be reached"));
    let begin = json!({ "tenant": shop.slug, "provider_id": made.body["id"] });
    post(&app, "/api/v1/auth/oidc:begin", begin)
        .await
        .expect(503);
    assert_eq!(provider.seen("discovery"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_on_their_way_are_forgotten_after_a_while() {
    let app = start_beside().await;
    let shop = Shop::open(&app).await;
    let provider = TestProvider::start().await;
    let made = shop.owner.post(PATH, input(&provider)).await.expect(201);
    let begin = json!({ "tenant": shop.slug, "provider_id": made.body["id"] });
    let begun = async || {
        post(&app, "/api/v1/auth/oidc:begin", begin.clone())
            .await
            .expect(200);
    };
    let left = async || -> i64 {
        let count = "select count(*) from oidc_login";
        app.admin()
            .await
            .query_one(count, &[])
            .await
            .unwrap()
            .get(0)
    };
    begun().await;
    app.clock.advance(TimeDelta::minutes(71));
    begun().await;
    assert_eq!(left().await, 2);
    let purge = &identity::jobs(&app.running.state)[0];
    purge.once().await.unwrap();
    assert_eq!(left().await, 1, "the one that may still come back");
}
