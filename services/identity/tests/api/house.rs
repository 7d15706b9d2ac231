//! What every service does alike: tenancy, tokens, validation, idempotency, versions, contracts.

use bahi_testkit::{
    assert_branch_tables, assert_operations, assert_permissions_written_down, assert_tenant_tables,
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_the_tenants() {
    assert_tenant_tables(&start().await, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_a_branch_is_cut_to_branches() {
    let whole = [
        ("location", "the organisation"),
        ("till", "the organisation"),
    ];
    assert_branch_tables(&start().await, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_open_to_this_service_alone_and_only_through_its_functions() {
    let app = start().await;
    let admin = app.admin().await;
    let may = |role: &'static str, what: &'static str| {
        let admin = &admin;
        async move {
            admin
                .query_one(&format!("select {what}"), &[&role])
                .await
                .unwrap()
                .get::<_, bool>(0)
        }
    };
    let sign_in = "has_schema_privilege($1, 'directory', 'usage') and has_function_privilege($1, 'directory.sign_in(text, text)', 'execute')";
    assert!(may("bahi_identity_app", sign_in).await);
    assert!(!may("bahi_relay", sign_in).await);
    assert!(
        !may(
            "bahi_identity_app",
            "has_table_privilege($1, 'directory.slug', 'select, insert, update, delete')"
        )
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_the_public_keys_of_its_tokens() {
    let app = start().await;
    let answer = nobody(&app).get("/.well-known/jwks.json").await.expect(200);
    let keys = answer.body["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1, "only identity's");
    assert_eq!(
        (&keys[0]["kid"], &keys[0]["kty"], &keys[0]["crv"]),
        (&json!("identity"), &json!("OKP"), &json!("Ed25519"))
    );
    // The key in it opens what was signed.
    let shop = Shop::open(&app).await;
    let key =
        jsonwebtoken::DecodingKey::from_ed_components(keys[0]["x"].as_str().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&["bahi-api"]);
    jsonwebtoken::decode::<serde_json::Value>(
        &shop.tokens.text_at("access_token"),
        &key,
        &validation,
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_internal_token_opens_what_is_not_public() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let paths = [
        "/api/v1/auth/me",
        "/api/v1/auth/mfa",
        "/api/v1/users",
        "/api/v1/roles",
        "/api/v1/company",
        "/api/v1/tills",
        "/api/v1/audit",
        "/api/v1/api-keys",
        "/api/v1/identity-providers",
        "/api/v1/auth/identities",
        "/internal/v1/revocations",
    ];
    for path in paths {
        nobody(&app).get(path).await.expect(401);
        // The token that clients carry stays outside.
        nobody(&app)
            .with_token(&shop.tokens.text_at("access_token"))
            .get(path)
            .await
            .expect(401);
        let forged = nobody(&app);
        let request = forged
            .request(Method::GET, path)
            .header("x-user-id", shop.owner.user.to_string())
            .header("x-tenant-id", shop.owner.tenant.to_string());
        forged.send(request).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_is_malformed_and_names_the_field() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let long = "x".repeat(600);
    let register = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "tenant_name": "T", "slug": "t", "name": "N", "email": "a@b.in", "password": PASSWORD });
        body[field] = value;
        body
    };
    let till = |field: &str, value: serde_json::Value| {
        let id = uuid::Uuid::now_v7();
        let mut body = json!({ "branch_id": id, "location_id": id, "code": "t1", "name": "T", "series": "P1" });
        body[field] = value;
        body
    };
    let cases = [
        (
            "/api/v1/auth/register",
            register("tenant_name", json!(" ")),
            "tenant_name",
        ),
        (
            "/api/v1/auth/register",
            register("slug", json!("Not A Slug")),
            "slug",
        ),
        (
            "/api/v1/auth/register",
            register("name", json!(long)),
            "name",
        ),
        (
            "/api/v1/auth/register",
            register("email", json!("nobody")),
            "email",
        ),
        (
            "/api/v1/auth/register",
            register("password", json!("too short")),
            "password",
        ),
        (
            "/api/v1/auth/register",
            register("password", json!(long)),
            "password",
        ),
        (
            "/api/v1/auth/register",
            register("admin", json!(true)),
            "admin",
        ),
        ("/api/v1/auth/login", json!({ "email": "a@b.in" }), ""),
        (
            "/api/v1/auth/login",
            json!({ "email": 1, "password": PASSWORD }),
            "email",
        ),
        (
            "/api/v1/auth/login",
            json!({ "email": "a@b.in", "password": long }),
            "password",
        ),
        (
            "/api/v1/auth/refresh",
            json!({ "refresh_token": long }),
            "refresh_token",
        ),
        (
            "/api/v1/auth/invitations:accept",
            json!({ "token": "t", "password": "short" }),
            "password",
        ),
        (
            "/api/v1/auth/password-resets:complete",
            json!({ "token": "", "new_password": PASSWORD }),
            "token",
        ),
        (
            "/api/v1/auth/password",
            json!({ "old_password": "x", "new_password": "short" }),
            "new_password",
        ),
        (
            "/api/v1/users",
            json!({ "email": "a b@c.in", "name": "N", "role_ids": [] }),
            "email",
        ),
        (
            "/api/v1/users",
            json!({ "email": "a@c.in", "name": "N", "role_ids": ["1"] }),
            "role_ids[0]",
        ),
        (
            "/api/v1/roles",
            json!({ "name": "r", "permissions": ["sales.pos.use", "sales.*.use"] }),
            "permissions[1]",
        ),
        (
            "/api/v1/roles",
            json!({ "name": "", "permissions": [] }),
            "name",
        ),
        (
            "/api/v1/registrations",
            json!({ "gstin": "27AAPFU0939F1ZX", "legal_name": "U" }),
            "gstin",
        ),
        (
            "/api/v1/registrations",
            json!({ "gstin": "27AAPFU0939F1ZV", "state_code": "29", "legal_name": "U" }),
            "state_code",
        ),
        (
            "/api/v1/registrations",
            json!({ "legal_name": "U" }),
            "state_code",
        ),
        (
            "/api/v1/registrations",
            json!({ "state_code": "99", "legal_name": "U" }),
            "state_code",
        ),
        (
            "/api/v1/branches",
            json!({ "registration_id": "x", "code": "b", "name": "B" }),
            "registration_id",
        ),
        (
            "/api/v1/locations",
            json!({ "branch_id": uuid::Uuid::now_v7(), "code": "a b", "name": "B" }),
            "code",
        ),
        ("/api/v1/tills", till("series", json!("ABCD")), "series"),
        ("/api/v1/tills", till("series", json!("-A")), "series"),
        ("/api/v1/tills", till("code", json!("")), "code"),
        ("/api/v1/tills", till("name", json!("a\u{7}b")), "name"),
    ];
    for (path, body, field) in cases {
        let refused = shop.owner.post(path, body.clone()).await;
        assert_eq!(refused.status, 400, "{path} {body}: {}", refused.text);
        if !field.is_empty() {
            assert_eq!(
                refused.body["errors"][0]["field"], field,
                "{path} {body}: {}",
                refused.text
            );
        }
        assert!(!refused.text.contains(PASSWORD), "a password comes back");
    }
    let nul = shop
        .owner
        .post(
            "/api/v1/roles",
            json!({ "name": "a\u{0}b", "permissions": [] }),
        )
        .await;
    assert_eq!(nul.code(), "MALFORMED");
    for path in ["/api/v1/users/1", "/api/v1/roles/x", "/api/v1/tills/x"] {
        shop.owner.get(path).await.expect(400);
    }
    let company = json!({ "legal_name": "U", "pan": "NOTAPAN", "currency": "INR" });
    assert_eq!(
        shop.owner
            .put("/api/v1/company", company, 1)
            .await
            .expect(400)
            .body["errors"][0]["field"],
        "pan"
    );
    let company = json!({ "legal_name": "U", "currency": "rupees" });
    assert_eq!(
        shop.owner
            .put("/api/v1/company", company, 1)
            .await
            .expect(400)
            .body["errors"][0]["field"],
        "currency"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_carries_one_command() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let body = json!({ "state_code": "27", "legal_name": "U" });
    let path = "/api/v1/registrations";
    let replies =
        join_all((0..20).map(|_| shop.owner.post_with_key(path, body.clone(), "r1"))).await;
    assert!(
        replies
            .iter()
            .all(|r| r.status == 201 && r.body == replies[0].body)
    );
    assert_eq!(shop.owner.get(path).await.expect(200).body["total"], 1);
    assert_eq!(
        app.events()
            .await
            .iter()
            .filter(|e| e.event_type == "registration.created")
            .count(),
        1
    );
    let other = json!({ "state_code": "29", "legal_name": "U" });
    assert_eq!(
        shop.owner
            .post_with_key(path, other, "r1")
            .await
            .expect(422)
            .code(),
        "IDEMPOTENCY_KEY_REUSED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_version_it_was_made_on() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let company = json!({ "legal_name": "U", "currency": "INR" });
    let request = shop
        .owner
        .request(Method::PUT, "/api/v1/company")
        .json(&company);
    assert_eq!(
        shop.owner.send(request).await.expect(428).code(),
        "VERSION_REQUIRED"
    );
    let replies =
        join_all((0..10).map(|_| shop.owner.put("/api/v1/company", company.clone(), 1))).await;
    let won = replies.iter().filter(|r| r.status == 200).count();
    assert_eq!(
        (won, replies.iter().filter(|r| r.status == 412).count()),
        (1, 9)
    );
}

#[test]
fn the_api_is_as_written_down() {
    let api = identity::app().openapi().to_pretty_json().unwrap();
    insta::assert_snapshot!("openapi", api);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_opens_to_those_who_hold_what_it_asks_for() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    assert_operations(&app, identity::app, &shop.owner).await;
}

#[test]
fn who_may_do_what_is_as_written_down() {
    assert_permissions_written_down(&identity::app());
}
