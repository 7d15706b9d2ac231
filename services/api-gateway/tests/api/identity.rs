//! The real identity behind the gateway: what it revokes, and its keys when they change.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bahi_service::{Env, Running};
use bahi_testkit::{Reply, TestApp, TestProvider, eventually, test_env};
use bahi_types::{Clock, TenantId};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::join_all;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Fleet, Gateway, Person, assert_problem, send};

const PASSWORD: &str = "correct horse battery";
const ME: &str = "/api/v1/auth/me";

/// Forwards each request to one of the addresses in turn, as a load balancer does during a roll-out.
struct Switch {
    url: String,
    targets: Arc<Mutex<Vec<String>>>,
}

struct Forward {
    targets: Arc<Mutex<Vec<String>>>,
    turn: AtomicUsize,
    http: reqwest::Client,
}

impl Switch {
    fn start(target: String) -> Self {
        let targets = Arc::new(Mutex::new(vec![target]));
        let forward = web::Data::new(Forward {
            targets: targets.clone(),
            turn: AtomicUsize::new(0),
            http: reqwest::Client::new(),
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(forward.clone())
                .default_service(web::to(forwarded))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0");
        let server = server.unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        Self { url, targets }
    }
}

async fn forwarded(req: HttpRequest, body: web::Bytes, to: web::Data<Forward>) -> HttpResponse {
    let target = {
        let targets = to.targets.lock();
        targets[to.turn.fetch_add(1, SeqCst) % targets.len()].clone()
    };
    let method: Method = req.method().as_str().parse().unwrap();
    let mut request = to.http.request(method, format!("{target}{}", req.uri()));
    for (name, value) in req.headers() {
        if !["host", "content-length", "connection"].contains(&name.as_str()) {
            request = request.header(name.as_str(), value.as_bytes());
        }
    }
    let Ok(answer) = request.body(body.to_vec()).send().await else {
        return HttpResponse::BadGateway().finish();
    };
    let status = actix_web::http::StatusCode::from_u16(answer.status().as_u16()).unwrap();
    let mut response = HttpResponse::build(status);
    if let Some(kind) = answer.headers().get("content-type") {
        response.insert_header(("content-type", kind.to_str().unwrap()));
    }
    response.body(answer.bytes().await.unwrap_or_default())
}

/// Identity on a database of its own, and a gateway before it. Both trust the keys of one folder.
struct Town {
    app: TestApp<::identity::State>,
    gateway: Gateway,
    switch: Switch,
    keys: TempDir,
    since: Instant,
}

impl Town {
    async fn start() -> Self {
        let keys = TempDir::new().unwrap();
        let public = keys.path().join("public");
        fs::create_dir(&public).unwrap();
        for key in fs::read_dir(format!("{}/public", test_env("BAHI_TEST_KEYS"))).unwrap() {
            let key = key.unwrap();
            fs::copy(key.path(), public.join(key.file_name())).unwrap();
        }
        let trust = public.to_str().unwrap().to_owned();
        let settings = [
            ("BAHI_TRUST_DIR", trust.as_str()),
            ("BAHI_PROVIDERS_PRIVATE", "true"),
            ("BAHI_MAY_SUSPEND", "sales"),
        ];
        let app = TestApp::start_with(::identity::app(), &settings, Clock::System).await;
        let switch = Switch::start(app.url());
        let settings = [
            ("BAHI_TRUST_DIR", trust.as_str()),
            ("BAHI_UPSTREAM_IDENTITY", &switch.url),
            // How often somebody may sign in is not what these tests are after.
            ("BAHI_LIMIT_STRICT", "10000/10000"),
            ("BAHI_LIMIT_NORMAL", "10000/10000"),
        ];
        Self {
            gateway: Fleet::start().await.gateway(&settings).await,
            app,
            switch,
            keys,
            since: Instant::now(),
        }
    }

    /// A business registers through the gateway.
    async fn register(&self) -> Member {
        let slug = format!("shop-{}", Uuid::now_v7().simple());
        let email = format!("owner@{slug}.example.in");
        let body = json!({ "tenant_name": "Sharma & Sons", "slug": slug, "name": "Asha", "email": email, "password": PASSWORD });
        let stranger = self.gateway.stranger();
        let tokens = stranger.post("/api/v1/auth/register", body).await;
        Member::of(stranger, email, tokens.expect(201))
    }

    fn public(&self) -> std::path::PathBuf {
        self.keys.path().join("public")
    }
}

/// Somebody with a session.
struct Member {
    person: Person,
    email: String,
    refresh: String,
    tokens: Reply,
}

impl Member {
    fn of(stranger: Person, email: String, tokens: Reply) -> Self {
        Self {
            person: stranger.with_token(tokens.text_at("access_token")),
            email,
            refresh: tokens.text_at("refresh_token"),
            tokens,
        }
    }

    /// The same person signed in once more.
    async fn again(&self) -> Self {
        let mut stranger = self.person.clone();
        stranger.token = None;
        let body = json!({ "email": self.email, "password": PASSWORD });
        let tokens = stranger.post("/api/v1/auth/login", body).await;
        Self::of(stranger, self.email.clone(), tokens.expect(200))
    }

    async fn refresh(&mut self) -> u16 {
        let body = json!({ "refresh_token": self.refresh });
        let mut nobody = self.person.clone();
        nobody.token = None;
        let reply = nobody.post("/api/v1/auth/refresh", body).await;
        if reply.status == 200 {
            self.refresh = reply.text_at("refresh_token");
            self.person = nobody.with_token(reply.text_at("access_token"));
        }
        reply.status
    }

    async fn delete(&self, path: &str) -> Reply {
        send(self.person.request(Method::DELETE, path)).await
    }
}

/// How long it takes until a request is answered otherwise than with 200, and how.
async fn until_refused(person: &Person, path: &str) -> (Reply, Duration) {
    let since = Instant::now();
    let refused = eventually(|| async {
        let reply = person.get(path).await;
        (reply.status != 200).then_some(reply)
    });
    (refused.await, since.elapsed())
}

/// The best of three tries counts: a machine that stands still for a while is not what it is about. Something that is slow by
/// itself, such as a feed read every three seconds, is so each time.
async fn refused_in_time(what: &str, status: u16, path: &str, attempt: impl AsyncFn() -> Person) {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let person = attempt().await;
        let (reply, after) = until_refused(&person, path).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text);
        best = best.min(after);
        if best < Duration::from_secs(2) {
            return;
        }
    }
    panic!("{what}: refused after {best:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_identity_revokes_the_gateway_refuses_within_two_seconds() {
    let town = Town::start().await;
    let owner = town.register().await;
    refused_in_time("signed out", 401, ME, async || {
        let session = owner.again().await;
        session.person.get(ME).await.expect(200);
        let body = json!({ "refresh_token": session.refresh });
        let nobody = town.gateway.stranger();
        nobody.post("/api/v1/auth/logout", body).await.expect(204);
        session.person
    })
    .await;
    refused_in_time("ended from another session", 401, ME, async || {
        let session = owner.again().await;
        session.person.get(ME).await.expect(200);
        let id = session.tokens.text_at("session_id");
        owner
            .delete(&format!("/api/v1/auth/sessions/{id}"))
            .await
            .expect(204);
        session.person
    })
    .await;
    let roles = owner.person.get("/api/v1/roles").await.expect(200);
    let roles = roles.body["items"].as_array().unwrap().clone();
    let cashier = roles.iter().find(|r| r["name"] == "cashier").unwrap()["id"].clone();
    refused_in_time("disabled", 401, ME, async || {
        let email = format!("u{}@example.in", Uuid::now_v7().simple());
        let body = json!({ "email": email, "name": "Ravi", "role_ids": [cashier] });
        let invited = owner.person.post("/api/v1/users", body).await.expect(201);
        let body = json!({ "token": invited.body["token"], "password": PASSWORD });
        let stranger = town.gateway.stranger();
        let tokens = stranger.post("/api/v1/auth/invitations:accept", body).await;
        let ravi = Member::of(stranger, email, tokens.expect(200));
        ravi.person.get(ME).await.expect(200);
        let id = ravi.tokens.text_at("user_id");
        let path = format!("/api/v1/users/{id}:disable");
        owner.person.post(&path, json!({})).await.expect(200);
        ravi.person
    })
    .await;
    refused_in_time("a key revoked", 401, "/api/v1/users", async || {
        let end = chrono::Utc::now() + chrono::TimeDelta::days(1);
        let body =
            json!({ "name": "Key", "permissions": ["identity.user.read"], "expires_at": end });
        let made = owner
            .person
            .post("/api/v1/api-keys", body)
            .await
            .expect(201);
        let program = town.gateway.stranger().with_token(made.text_at("key"));
        program.get("/api/v1/users").await.expect(200);
        let path = format!("/api/v1/api-keys/{}:revoke", made.text_at("id"));
        owner.person.post(&path, json!({})).await.expect(200);
        program
    })
    .await;
    // A whole tenant, its keys too, by name; and another one not.
    let end = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let body = json!({ "name": "Key", "permissions": ["identity.user.read"], "expires_at": end });
    let made = owner
        .person
        .post("/api/v1/api-keys", body)
        .await
        .expect(201);
    let program = town.gateway.stranger().with_token(made.text_at("key"));
    program.get("/api/v1/users").await.expect(200);
    let other = town.register().await;
    let tenant = owner.tokens.text_at("tenant_id");
    let turn = async |what: &str| {
        let token = town.app.service_token("sales", TenantId::new());
        let sales = town.app.client(TenantId::new(), &[]).with_token(&token);
        let path = format!("/internal/v1/tenants/{tenant}:{what}");
        sales
            .post(&path, json!({ "reason": "unpaid" }))
            .await
            .expect(200);
    };
    let active = async || {
        turn("reactivate").await;
        eventually(|| async { (owner.person.get(ME).await.status == 200).then_some(()) }).await;
    };
    refused_in_time("suspended", 403, ME, async || {
        active().await;
        turn("suspend").await;
        owner.person.clone()
    })
    .await;
    for refused in [
        owner.person.get(ME).await,
        program.get("/api/v1/users").await,
    ] {
        assert_problem(&refused, 403, "TENANT_SUSPENDED");
    }
    other.person.get(ME).await.expect(200);
    active().await;
    program.get("/api/v1/users").await.expect(200);
}

/// Makes a new key of identity; its private file, and what is to be published.
fn new_key(folder: &Path) -> (String, String) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let pem = |what: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN {what} KEY-----\n{text}\n-----END {what} KEY-----\n")
    };
    let private = folder.join("identity.2.pem");
    let pkcs8 = pair.to_pkcs8v1().unwrap();
    fs::write(&private, pem("PRIVATE", pkcs8.as_ref())).unwrap();
    // RFC 8410: what stands before the 32 bytes of a public key.
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let public = [head.as_slice(), pair.public_key().as_ref()].concat();
    (private.to_str().unwrap().to_owned(), pem("PUBLIC", &public))
}

/// A replica of identity on the same database that signs with the new key.
async fn replica(town: &Town, key: &str) -> Running<::identity::State> {
    let former = format!("{}/private/identity.pem", test_env("BAHI_TEST_KEYS"));
    let register = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml");
    let settings = [
        ("BAHI_DATABASE_URL", town.app.database.url()),
        ("BAHI_TRUST_DIR", town.public().to_str().unwrap().to_owned()),
        ("BAHI_KEY_FILE", key.to_owned()),
        ("BAHI_FORMER_KEY_FILES", former),
        ("BAHI_JOBS", "off".to_owned()),
        ("BAHI_DB_CHECKOUT_MS", "10000".to_owned()),
        ("BAHI_MIGRATE_URL", String::new()),
        ("BAHI_KAFKA", String::new()),
        ("BAHI_LISTEN", String::new()),
        ("BAHI_GRPC_LISTEN", String::new()),
        ("BAHI_REGISTER", register.to_owned()),
    ];
    let env = Env::with(settings.map(|(name, value)| (name.to_owned(), value)));
    bahi_service::start(::identity::app(), env, Clock::System)
        .await
        .unwrap()
}

/// What was answered, by status, and how many rounds each person has done.
#[derive(Default)]
struct Tally {
    answers: Mutex<BTreeMap<u16, u32>>,
    rounds: Mutex<Vec<Arc<AtomicU32>>>,
    stop: AtomicBool,
}

impl Tally {
    fn count(&self, status: u16) {
        *self.answers.lock().entry(status).or_default() += 1;
    }

    /// Waits until everybody has gone so many rounds more.
    async fn more(&self, rounds: u32) {
        let until: Vec<_> = self
            .rounds
            .lock()
            .iter()
            .map(|r| r.load(SeqCst) + rounds)
            .collect();
        eventually(|| async {
            let now = self.rounds.lock();
            let all = now
                .iter()
                .zip(&until)
                .all(|(r, until)| r.load(SeqCst) >= *until);
            all.then_some(())
        })
        .await;
    }
}

/// Rolls a new key out under load, as the runbook says or without publishing it first; what was answered meanwhile.
async fn rotate(published: bool) -> BTreeMap<u16, u32> {
    const PEOPLE: usize = 6;
    let town = Town::start().await;
    let members = join_all((0..PEOPLE).map(|_| town.register())).await;
    let tally = Arc::new(Tally::default());
    let mut load = Vec::new();
    for mut member in members {
        let (tally, rounds) = (tally.clone(), Arc::new(AtomicU32::new(0)));
        tally.rounds.lock().push(rounds.clone());
        load.push(tokio::spawn(async move {
            while !tally.stop.load(SeqCst) {
                tally.count(member.refresh().await);
                for _ in 0..5 {
                    tally.count(member.person.get(ME).await.status);
                }
                rounds.fetch_add(1, SeqCst);
            }
        }));
    }
    tally.more(5).await;
    let (private, public) = new_key(town.keys.path());
    if published {
        fs::write(town.public().join("identity.2.pem"), public).unwrap();
    }
    // The runbook waits for five minutes, the gateway looks into the folder every five seconds at most.
    eventually(|| async { (town.since.elapsed() > Duration::from_secs(6)).then_some(()) }).await;
    tally.more(5).await;
    let next = replica(&town, &private).await;
    let next_url = format!("http://{}", next.http);
    // For a while both sign.
    town.switch.targets.lock().push(next_url.clone());
    tally.more(10).await;
    *town.switch.targets.lock() = vec![next_url];
    tally.more(10).await;
    // By now nobody has a token of the old key; in production that is after 15 minutes.
    fs::remove_file(town.public().join("identity.pem")).unwrap();
    tally.more(10).await;
    tally.stop.store(true, SeqCst);
    join_all(load)
        .await
        .into_iter()
        .for_each(|done| done.unwrap());
    std::mem::take(&mut *tally.answers.lock())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_signing_key_is_rolled_out_under_load_without_one_refusal() {
    let answers = rotate(true).await;
    let all: u32 = answers.values().sum();
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&200], "{answers:?}");
    assert!(all > 6 * 40 * 6, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_key_that_nobody_was_told_of_is_seen_as_refusals() {
    // The mutant of the test above: the key is used before it is published.
    let answers = rotate(false).await;
    assert!(answers.get(&401).is_some_and(|n| *n > 0), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_refreshes_at_once_through_the_gateway_give_one_successor() {
    let town = Town::start().await;
    let owner = town.register().await;
    let body = json!({ "refresh_token": owner.refresh });
    let nobody = town.gateway.stranger();
    let replies =
        join_all((0..50).map(|_| nobody.post("/api/v1/auth/refresh", body.clone()))).await;
    let successors: std::collections::BTreeSet<_> = replies
        .into_iter()
        .map(|reply| reply.expect(200).text_at("refresh_token"))
        .collect();
    assert_eq!(successors.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_provider_through_the_gateway() {
    const BACK: &str = "https://shop.example.in/signed-in";
    let town = Town::start().await;
    let owner = town.register().await;
    let provider = TestProvider::start().await;
    let me = owner.person.get(ME).await.expect(200);
    let roles = owner.person.get("/api/v1/roles").await.expect(200);
    let roles = roles.body["items"].as_array().unwrap().clone();
    let cashier = roles.iter().find(|r| r["name"] == "cashier").unwrap()["id"].clone();
    let body = json!({ "name": "Office", "issuer": provider.issuer, "client_id": "bahi",
        "client_secret": "s3cret: with/odd+letters", "redirect_uris": [BACK], "domains": ["office.example.in"], "role_id": cashier });
    let made = owner
        .person
        .post("/api/v1/identity-providers", body)
        .await
        .expect(201);
    provider.behave(|m| {
        m.person = json!({ "sub": "7", "email": "ravi@office.example.in", "email_verified": true });
    });
    let slug = me.text_at("tenant_slug");
    let browser = town.gateway.stranger();
    let path = format!("/api/v1/auth/oidc/providers?tenant={slug}");
    let offered = browser.get(&path).await.expect(200);
    assert_eq!(offered.body["items"][0]["id"], made.body["id"]);
    let body = json!({ "tenant": slug, "provider_id": made.body["id"] });
    let begun = browser
        .post("/api/v1/auth/oidc:begin", body)
        .await
        .expect(200);
    let back = provider.consent(&begun.text_at("authorization_url")).await;
    assert_eq!(back.to, BACK);
    let body = json!({ "state": back.state, "code": back.code, "iss": back.iss, "key": begun.body["key"] });
    let tokens = browser
        .post("/api/v1/auth/oidc:complete", body)
        .await
        .expect(200);
    let ravi = browser.with_token(tokens.text_at("access_token"));
    let me = ravi.get(ME).await.expect(200);
    assert_eq!(me.body["email"], "ravi@office.example.in");
    // What a cashier may not, he may not; and nobody reads links without a token.
    assert_problem(
        &ravi.get("/api/v1/identity-providers").await,
        403,
        "FORBIDDEN",
    );
    ravi.get("/api/v1/auth/identities").await.expect(200);
    assert_problem(
        &browser.get("/api/v1/auth/identities").await,
        401,
        "UNAUTHENTICATED",
    );
    let events: Vec<Value> = town
        .app
        .events()
        .await
        .into_iter()
        .map(|e| e.payload)
        .collect();
    assert!(!serde_json::to_string(&events).unwrap().contains("s3cret"));
}
