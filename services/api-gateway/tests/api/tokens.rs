//! Who may pass, and as whom.

use std::time::{Duration, Instant};

use bahi_http::{Claims, Signer, token};
use bahi_testkit::{eventually, test_env};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Fleet, Person, assert_problem, claims, keys, send, sign};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_a_short_token_of_the_gateway_and_never_the_clients() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["product.brand.read", "sales.*"]);
    let reply = user.get("/api/v1/brands").await.expect(201);
    let seen = fleet.only();
    let external = user.token.as_deref().unwrap();
    assert!(seen.headers.values().all(|v| !v.contains(external)));
    let internal = seen
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap();
    let said = keys()
        .verify(internal, token::INTERNAL, token::AUDIENCE_INTERNAL)
        .expect("a valid internal token");
    assert_eq!(
        (said.iss.as_str(), said.sub, said.tid),
        ("api-gateway", user.claims.sub.clone(), user.claims.tid)
    );
    assert_eq!(
        (said.sid, said.perms, said.name),
        (
            user.claims.sid,
            user.claims.perms.clone(),
            user.claims.name.clone()
        )
    );
    assert_eq!(said.branches, user.claims.branches);
    assert_eq!(said.txn.as_deref(), reply.header("x-request-id"));
    assert!(said.exp - said.iat <= 60);
    // It is minted once for many requests.
    user.get("/api/v1/brands").await.expect(201);
    assert_eq!(
        fleet.seen()[1].header("authorization"),
        seen.header("authorization")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_token_does_not_outlive_the_session() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let mut short = claims(&["*"]);
    short.exp = short.iat + 20;
    gateway
        .user(&[])
        .with_token(sign("identity", token::ACCESS, &short))
        .get("/api/v1/brands")
        .await
        .expect(201);
    let seen = fleet.only();
    let internal = seen
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap();
    let said = keys()
        .verify(internal, token::INTERNAL, token::AUDIENCE_INTERNAL)
        .unwrap();
    assert_eq!(said.exp, short.exp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_not_identitys_access_tokens_are_refused() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let good = claims(&["*"]);
    let issued_by = |iss: &str| Claims {
        iss: iss.into(),
        ..good.clone()
    };
    let now = good.iat;
    let token = sign("identity", token::ACCESS, &good);
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let unsigned = BASE64.encode(r#"{"alg":"none","typ":"at+jwt","kid":"identity"}"#);
    let hmac = BASE64.encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"identity"}"#);
    let mut other = good.clone();
    other.perms.push("more".into());
    let swapped = sign("identity", token::ACCESS, &other);
    let swapped = swapped.split('.').nth(1).unwrap();
    let refused = [
        (
            "another service's key in its own name",
            sign("sales", token::ACCESS, &issued_by("sales")),
        ),
        (
            "another service's key in identity's name",
            sign("sales", token::ACCESS, &good),
        ),
        (
            "the gateway's own key",
            sign("api-gateway", token::ACCESS, &issued_by("api-gateway")),
        ),
        (
            "identity's key in another name",
            sign("identity", token::ACCESS, &issued_by("sales")),
        ),
        (
            "an internal token",
            sign("identity", token::INTERNAL, &good),
        ),
        ("no type", sign("identity", "JWT", &good)),
        (
            "the internal audience",
            sign(
                "identity",
                token::ACCESS,
                &Claims {
                    aud: "bahi-internal".into(),
                    ..good.clone()
                },
            ),
        ),
        (
            "an expired token",
            sign(
                "identity",
                token::ACCESS,
                &Claims {
                    iat: now - 1000,
                    exp: now - 60,
                    ..good.clone()
                },
            ),
        ),
        (
            "no user",
            sign(
                "identity",
                token::ACCESS,
                &Claims {
                    sub: "sales".into(),
                    ..good.clone()
                },
            ),
        ),
        ("no signature", format!("{head}.{body}.")),
        ("no algorithm", format!("{unsigned}.{body}.")),
        ("another algorithm", format!("{hmac}.{body}.{signature}")),
        ("another body", format!("{head}.{swapped}.{signature}")),
        ("garbage", "garbage".into()),
        ("nothing", String::new()),
    ];
    for (what, token) in refused {
        let reply = gateway
            .stranger()
            .with_token(token)
            .get("/api/v1/brands")
            .await;
        assert_eq!((what, reply.status), (what, 401));
        assert_problem(&reply, 401, "UNAUTHENTICATED");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let basic = gateway
        .stranger()
        .request(reqwest::Method::GET, "/api/v1/brands")
        .basic_auth("a", Some("b"));
    assert_problem(&send(basic).await, 401, "UNAUTHENTICATED");
    assert_problem(
        &gateway.stranger().get("/api/v1/brands").await,
        401,
        "UNAUTHENTICATED",
    );
    assert!(fleet.seen().is_empty());
    gateway
        .stranger()
        .with_token(token)
        .get("/api/v1/brands")
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_shows_its_secret_on_a_public_route_alone_and_never_a_token() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let stranger = gateway.stranger();
    let path = "/api/v1/auth/token";
    let asked = stranger.request(reqwest::Method::POST, path);
    send(asked.basic_auth("id", Some("secret")))
        .await
        .expect(201);
    let asked = gateway.user(&["*"]).request(reqwest::Method::POST, path);
    send(asked).await.expect(201);
    let seen = fleet.seen();
    assert_eq!(seen[0].header("authorization"), "Basic aWQ6c2VjcmV0");
    assert_eq!(seen[1].header("authorization"), "");
}

async fn refused_within_two_seconds(user: &Person) {
    let since = Instant::now();
    eventually(|| async { (user.get("/api/v1/brands").await.status == 401).then_some(()) }).await;
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_is_refused_within_two_seconds_and_others_go_on() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let (user, other) = (gateway.user(&["*"]), gateway.user(&["*"]));
    user.get("/api/v1/brands").await.expect(201);
    *fleet.desk.revocations.lock() = json!({ "sessions": [user.claims.sid], "users": [] });
    refused_within_two_seconds(&user).await;
    other.get("/api/v1/brands").await.expect(201);
    // Identity learns that it is the gateway who asks.
    let asked_by = fleet.desk.asked_by.lock().clone().unwrap();
    let said = keys()
        .verify(
            asked_by.strip_prefix("Bearer ").unwrap(),
            token::INTERNAL,
            token::AUDIENCE_INTERNAL,
        )
        .expect("a valid token");
    assert_eq!(
        (said.iss.as_str(), said.sub.as_str()),
        ("api-gateway", "api-gateway")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_tokens_of_a_revoked_user_are_refused_and_newer_ones_are_not() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    user.get("/api/v1/brands").await.expect(201);
    let not_before = user.claims.iat + 1;
    let stale = |not_before: i64| json!({ "user_id": user.claims.sub, "not_before": not_before });
    // Two entries of one user: the later one counts, in whichever order they come.
    *fleet.desk.revocations.lock() =
        json!({ "sessions": [], "users": [stale(not_before), stale(not_before - 100)] });
    refused_within_two_seconds(&user).await;
    let newer = Claims {
        iat: not_before,
        sid: Some(Uuid::now_v7()),
        ..user.claims.clone()
    };
    user.with_token(sign("identity", token::ACCESS, &newer))
        .get("/api/v1/brands")
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identitys_next_key_is_learned_from_its_key_set_and_nobody_elses() {
    let fleet = Fleet::start().await;
    // The public half of sales' key plays identity's next one.
    let pem = std::fs::read_to_string(format!("{}/public/sales.pem", test_env("BAHI_TEST_KEYS")))
        .unwrap();
    let der: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(der)
        .unwrap();
    let x = BASE64.encode(&der[der.len() - 32..]);
    *fleet.desk.jwks.lock() =
        json!({ "keys": [{ "kid": "identity.9", "x": x }, { "kid": "api-gateway.9", "x": x }] });
    let gateway = fleet.gateway(&[]).await;
    let folder = std::env::temp_dir().join(format!("bahi-gateway-keys-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    let signed = |kid: &str, iss: &str| {
        let file = folder.join(format!("{kid}.pem"));
        std::fs::copy(
            format!("{}/private/sales.pem", test_env("BAHI_TEST_KEYS")),
            &file,
        )
        .unwrap();
        let claims = Claims {
            iss: iss.into(),
            ..claims(&["*"])
        };
        Signer::from_file(&file)
            .unwrap()
            .sign(token::ACCESS, &claims)
            .unwrap()
    };
    let next = gateway
        .stranger()
        .with_token(signed("identity.9", "identity"));
    eventually(|| async { (next.get("/api/v1/brands").await.status == 201).then_some(()) }).await;
    let foreign = gateway
        .stranger()
        .with_token(signed("api-gateway.9", "api-gateway"));
    assert_problem(&foreign.get("/api/v1/brands").await, 401, "UNAUTHENTICATED");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_suspended_tenant_are_refused_by_name_within_two_seconds_and_go_on_later() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let (user, other) = (gateway.user(&["*"]), gateway.user(&["*"]));
    user.get("/api/v1/brands").await.expect(201);
    let tell = |tenants: serde_json::Value| {
        *fleet.desk.revocations.lock() = json!({ "sessions": [], "users": [], "tenants": tenants });
        Instant::now()
    };
    let told = tell(json!([user.claims.tid]));
    let refused = eventually(|| async {
        let reply = user.get("/api/v1/brands").await;
        (reply.status != 201).then_some((reply, told.elapsed()))
    });
    let (reply, after) = refused.await;
    assert_problem(&reply, 403, "TENANT_SUSPENDED");
    assert!(after < Duration::from_secs(2), "{after:?}");
    other.get("/api/v1/brands").await.expect(201);
    // A token that was never seen before is no better.
    let fresh = Claims {
        sid: Some(Uuid::now_v7()),
        ..user.claims.clone()
    };
    let fresh = user.with_token(sign("identity", token::ACCESS, &fresh));
    assert_problem(&fresh.get("/api/v1/brands").await, 403, "TENANT_SUSPENDED");
    tell(json!([]));
    eventually(|| async { (user.get("/api/v1/brands").await.status == 201).then_some(()) }).await;
}
