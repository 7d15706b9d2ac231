//! A business that registers, and the gateway's half of the work: turning access tokens into internal ones.

use std::sync::atomic::{AtomicU32, Ordering};

use bahi_http::{Claims, Keys, Signer, token};
use bahi_testkit::{Client, Reply, TestApp, eventually, test_env};
use bahi_types::{Clock, TenantId};
use chrono::{SubsecRound, Utc};
use identity::State;
use reqwest::Method;
use serde_json::{Value, json};

pub type App = TestApp<State>;

pub const PASSWORD: &str = "correct horse battery";

pub async fn start() -> App {
    TestApp::start(identity::app()).await
}

/// With a clock that stands at the present second until it is moved.
pub async fn start_fixed() -> App {
    let clock = Clock::fixed(Utc::now().trunc_subsecs(0));
    TestApp::start_with(identity::app(), &[], clock).await
}

pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{what}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Somebody without a token.
pub fn nobody(app: &App) -> Client {
    app.client(TenantId::new(), &[]).with_token("none")
}

/// POSTs without a token, from a network address.
pub async fn post_from(app: &App, address: &str, path: &str, body: Value) -> Reply {
    let nobody = nobody(app);
    let request = nobody
        .request(Method::POST, path)
        .header("x-forwarded-for", address)
        .json(&body);
    nobody.send(request).await
}

pub async fn post(app: &App, path: &str, body: Value) -> Reply {
    nobody(app).post(path, body).await
}

pub async fn log_in(app: &App, email: &str, password: &str) -> Reply {
    post(
        app,
        "/api/v1/auth/login",
        json!({ "email": email, "password": password }),
    )
    .await
}

pub async fn refresh(app: &App, token: &str) -> Reply {
    post(
        app,
        "/api/v1/auth/refresh",
        json!({ "refresh_token": token }),
    )
    .await
}

/// What an access token says.
pub fn claims(access_token: &str) -> Claims {
    let keys =
        Keys::from_folder(format!("{}/public", test_env("BAHI_TEST_KEYS")).as_ref()).unwrap();
    keys.verify(access_token, token::ACCESS, token::AUDIENCE_API)
        .expect("a valid access token")
}

/// The client that the gateway makes of an answer with tokens.
pub fn client(app: &App, tokens: &Reply) -> Client {
    let access = claims(&tokens.text_at("access_token"));
    let file = format!("{}/private/api-gateway.pem", test_env("BAHI_TEST_KEYS"));
    let gateway = Signer::from_file(file.as_ref()).unwrap();
    let iat = Utc::now().timestamp();
    let internal = Claims {
        iss: "api-gateway".into(),
        aud: token::AUDIENCE_INTERNAL.into(),
        iat,
        exp: iat + 60,
        ..access.clone()
    };
    let mut client = app
        .client(access.tid, &[])
        .with_token(&gateway.sign(token::INTERNAL, &internal).unwrap());
    client.user = access.sub.parse().unwrap();
    client
}

/// The token that the gateway mints for an API key with these permissions.
pub fn token_of_key(tenant: TenantId, permissions: &[&str]) -> String {
    let file = format!("{}/private/api-gateway.pem", test_env("BAHI_TEST_KEYS"));
    let iat = Utc::now().timestamp();
    let claims = Claims {
        iss: "api-gateway".into(),
        aud: token::AUDIENCE_INTERNAL.into(),
        sub: format!("{}{}", token::API_KEY, uuid::Uuid::now_v7()),
        tid: tenant,
        sid: None,
        perms: permissions.iter().map(|p| (*p).to_owned()).collect(),
        branches: bahi_types::Scope::default(),
        name: Some("Web shop".into()),
        rate: None,
        amr: Vec::new(),
        txn: None,
        sxp: None,
        iat,
        exp: iat + 60,
    };
    let gateway = Signer::from_file(file.as_ref()).unwrap();
    gateway.sign(token::INTERNAL, &claims).unwrap()
}

/// A business, its owner signed in.
pub struct Shop {
    pub slug: String,
    pub email: String,
    pub owner: Client,
    pub tokens: Reply,
}

impl Shop {
    pub async fn open(app: &App) -> Self {
        let slug = unique("shop");
        let email = format!("owner@{slug}.example.in");
        Self::open_as(app, &slug, &email, PASSWORD).await
    }

    pub async fn open_as(app: &App, slug: &str, email: &str, password: &str) -> Self {
        let body = json!({ "tenant_name": "Sharma & Sons", "slug": slug, "name": "Asha Sharma", "email": email, "password": password });
        let tokens = post(app, "/api/v1/auth/register", body).await.expect(201);
        let owner = client(app, &tokens);
        Self {
            slug: slug.into(),
            email: email.into(),
            owner,
            tokens,
        }
    }

    /// The id of a role by name.
    pub async fn role(&self, name: &str) -> String {
        let roles = self.owner.get("/api/v1/roles").await.expect(200);
        let roles = roles.body["items"].as_array().unwrap().clone();
        let role = roles
            .iter()
            .find(|role| role["name"] == name)
            .unwrap_or_else(|| panic!("no role {name}"));
        role["id"].as_str().unwrap().to_owned()
    }

    /// Invites somebody into a role; the answer.
    pub async fn invite(&self, role: &str) -> Reply {
        let email = format!("{}@{}.example.in", unique("user"), self.slug);
        let body = json!({ "email": email, "name": "Ravi", "role_ids": [self.role(role).await] });
        self.owner.post("/api/v1/users", body).await.expect(201)
    }

    /// Somebody who has joined in a role, signed in.
    pub async fn hire(&self, app: &App, role: &str) -> Hired {
        let invited = self.invite(role).await;
        let body = json!({ "token": invited.body["token"], "password": PASSWORD });
        let tokens = post(app, "/api/v1/auth/invitations:accept", body)
            .await
            .expect(200);
        let client = client(app, &tokens);
        let text = |name: &str| invited.body["user"][name].as_str().unwrap().to_owned();
        Hired {
            id: text("id"),
            email: text("email"),
            client,
            tokens,
        }
    }
}

/// Somebody who has joined.
pub struct Hired {
    pub id: String,
    pub email: String,
    pub client: Client,
    pub tokens: Reply,
}

impl Hired {
    pub fn path(&self) -> String {
        format!("/api/v1/users/{}", self.id)
    }
}

/// The feed that the gateway reads.
pub async fn revocations(app: &App) -> Value {
    let gateway = nobody(app).with_token(&app.service_token("api-gateway", TenantId::new()));
    gateway
        .get("/internal/v1/revocations")
        .await
        .expect(200)
        .body
}

/// The gateway's decision on an access token.
pub async fn is_refused(app: &App, access_token: &str) -> bool {
    let claims = claims(access_token);
    let feed = revocations(app).await;
    let session = feed["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|s| *s == json!(claims.sid));
    let user = feed["users"].as_array().unwrap().iter();
    session
        || user
            .filter(|u| u["user_id"] == claims.sub.as_str())
            .any(|u| claims.iat < u["not_before"].as_i64().unwrap())
}

/// How many events of a type about an aggregate the outbox holds.
pub async fn said(app: &App, event_type: &str, id: &str) -> Vec<Value> {
    let events = app.events().await.into_iter();
    events
        .filter(|e| e.event_type == event_type && e.aggregate_id == id)
        .map(|e| e.payload)
        .collect()
}

/// The audited actions of a tenant, in order.
pub async fn audited(app: &App, tenant: TenantId) -> Vec<String> {
    let events = app
        .events()
        .await
        .into_iter()
        .filter(|e| e.event_type == "audit.recorded" && e.tenant_id == tenant);
    events
        .map(|e| e.payload["action"].as_str().unwrap().to_owned())
        .collect()
}

/// Answers what was asked while somebody else was changing a row: once the request waits for him `seen` is looked at, and
/// then he is done.
pub async fn meanwhile<T>(
    app: &App,
    (change, id): (&str, &str),
    asked: impl Future<Output = T>,
    seen: impl Future<Output = ()>,
) -> T {
    let mut operator = app.admin().await;
    let held = operator.transaction().await.unwrap();
    let id: uuid::Uuid = id.parse().unwrap();
    assert_eq!(held.execute(change, &[&id]).await.unwrap(), 1);
    let done = async {
        let watch = app.admin().await;
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually(async || {
            let row = watch.query_one(waiting, &[]).await.unwrap();
            (row.get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        seen.await;
        held.commit().await.unwrap();
    };
    futures::join!(asked, done).0
}

/// What the audit trail is told of an action in a tenant, in order.
pub async fn details_of(app: &App, tenant: TenantId, action: &str) -> Vec<Value> {
    let events = app.events().await.into_iter().filter(|e| {
        e.event_type == "audit.recorded" && e.tenant_id == tenant && e.payload["action"] == action
    });
    events.map(|e| e.payload["details"].clone()).collect()
}
