//! Services to stand behind the gateway, users to stand before it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bahi_http::{Claims, Keys, Signer, token};
use bahi_testkit::{Reply, TestEdge, test_env};
use bahi_types::{Clock, TenantId};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

const SERVICES: [&str; 4] = ["identity", "product", "inventory", "sales"];

/// A request as a service received it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What the stand-ins saw, and what they say.
#[derive(Default)]
pub struct Desk {
    pub seen: Mutex<Vec<Seen>>,
    pub revocations: Mutex<Value>,
    pub jwks: Mutex<Value>,
    /// What a search of a path finds: the hits; null keeps silent, a number is a status.
    pub searches: Mutex<BTreeMap<String, Value>>,
    /// What identity says of API keys.
    pub keys: Mutex<BTreeMap<String, Value>>,
    /// How often it was asked about one.
    pub asked: AtomicUsize,
    /// How often a service was asked for its document.
    pub documents: AtomicUsize,
    /// Lets requests for `?hold` be answered.
    pub released: tokio::sync::Notify,
    /// `Authorization` of those who asked for revocations.
    pub asked_by: Mutex<Option<String>>,
    ports: Mutex<BTreeMap<u16, &'static str>>,
}

/// Four services in one server, told apart by their ports.
pub struct Fleet {
    pub desk: Arc<Desk>,
    urls: Vec<(String, String)>,
}

pub const CHUNK: Bytes = Bytes::from_static(&[b'x'; 1 << 20]);

impl Fleet {
    pub async fn start() -> Self {
        let desk = Arc::new(Desk::default());
        *desk.revocations.lock() = json!({ "sessions": [], "users": [] });
        *desk.jwks.lock() = json!({ "keys": [] });
        let data = web::Data::from(desk.clone());
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .default_service(web::to(stand_in))
        })
        .workers(1)
        .disable_signals();
        for _ in SERVICES {
            server = server.bind("127.0.0.1:0").unwrap();
        }
        let mut urls = Vec::new();
        for (name, address) in SERVICES.into_iter().zip(server.addrs()) {
            desk.ports.lock().insert(address.port(), name);
            urls.push((upstream_setting(name), format!("http://{address}")));
        }
        tokio::spawn(server.run());
        Self { desk, urls }
    }

    /// A gateway in front of them.
    pub async fn gateway(&self, settings: &[(&str, &str)]) -> Gateway {
        self.gateway_at(settings, Clock::System).await
    }

    /// A gateway whose clock is another one.
    pub async fn gateway_at(&self, settings: &[(&str, &str)], clock: Clock) -> Gateway {
        let mut all: Vec<(&str, &str)> = self
            .urls
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        // Tests share two cores; how fast Redis answers then is not what they are after.
        all.push(("BAHI_REDIS_PATIENCE_MS", "5000"));
        all.extend_from_slice(settings);
        Gateway {
            edge: TestEdge::start_at(api_gateway::app(), &all, clock).await,
        }
    }

    /// Where a service listens.
    pub fn address(&self, service: &str) -> SocketAddr {
        let setting = upstream_setting(service);
        let url = self.urls.iter().find(|(name, _)| *name == setting);
        let (_, url) = url.unwrap();
        url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// The requests that reached a service, health checks and the gateway's own questions left out.
    pub fn seen(&self) -> Vec<Seen> {
        self.desk.seen.lock().clone()
    }

    /// The only request that reached a service.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.into_iter().next().unwrap()
    }
}

pub fn upstream_setting(service: &str) -> String {
    format!("BAHI_UPSTREAM_{}", service.to_uppercase())
}

async fn stand_in(
    req: HttpRequest,
    mut payload: web::Payload,
    desk: web::Data<Desk>,
) -> HttpResponse {
    let service = desk.ports.lock()[&req.app_config().local_addr().port()];
    let authorization = req
        .headers()
        .get("authorization")
        .map(|v| v.to_str().unwrap().to_owned());
    match req.path() {
        "/readyz" => return HttpResponse::Ok().body("ok"),
        "/internal/v1/revocations" => {
            *desk.asked_by.lock() = authorization;
            return HttpResponse::Ok().json(&*desk.revocations.lock());
        }
        "/internal/v1/api-keys:verify" => {
            desk.asked.fetch_add(1, Ordering::SeqCst);
            *desk.asked_by.lock() = authorization;
            let mut body = Vec::new();
            while let Some(Ok(piece)) = payload.next().await {
                body.extend_from_slice(&piece);
            }
            let body: Value = serde_json::from_slice(&body).unwrap();
            let known = desk.keys.lock().get(body["key"].as_str().unwrap()).cloned();
            return match known {
                Some(Value::Null) => HttpResponse::InternalServerError().finish(),
                Some(said) => HttpResponse::Ok().json(said),
                None => HttpResponse::NotFound().finish(),
            };
        }
        "/.well-known/jwks.json" => return HttpResponse::Ok().json(&*desk.jwks.lock()),
        "/openapi.json" => {
            desk.documents.fetch_add(1, Ordering::SeqCst);
            return HttpResponse::Ok().json(document(service));
        }
        // The gateway looks whether our schema is the one it knows.
        "/graphql" => return HttpResponse::NotFound().finish(),
        _ => {}
    }
    let target = req.uri().path_and_query().unwrap().to_string();
    let headers = req.headers().iter();
    let headers = headers.map(|(n, v)| {
        (
            n.to_string(),
            String::from_utf8_lossy(v.as_bytes()).into_owned(),
        )
    });
    let method = req.method().to_string();
    let seen = Seen {
        method: method.clone(),
        target: target.clone(),
        headers: headers.collect(),
    };
    desk.seen.lock().push(seen);
    if let Some(path) = req.path().strip_prefix("/internal/v1/search/") {
        let said = desk.searches.lock().get(path).cloned();
        return match said {
            Some(Value::Null) => std::future::pending().await,
            Some(Value::Number(status)) => {
                let status = u16::try_from(status.as_u64().unwrap()).unwrap();
                HttpResponse::build(status.try_into().unwrap()).finish()
            }
            Some(said) => HttpResponse::Ok().json(said),
            None => HttpResponse::Ok().json(json!({ "items": [], "more": false })),
        };
    }
    if req.path() == "/ws/pos" {
        return socket(&req, payload);
    }
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        match chunk {
            Ok(bytes) => length += bytes.len(),
            Err(_) => return HttpResponse::BadRequest().body("the body breaks off"),
        }
    }
    let script = req.query_string().to_owned();
    let script = script.as_str();
    if script == "hold" {
        desk.released.notified().await;
    }
    if script.contains("slow") {
        std::future::pending::<()>().await;
    }
    if let Some(count) = script.strip_prefix("megabytes=") {
        let count: usize = count.parse().unwrap();
        let body = futures::stream::iter((0..count).map(|_| Ok::<_, std::io::Error>(CHUNK)));
        return HttpResponse::Ok().streaming(body);
    }
    if let Some(length) = script.strip_prefix("text=") {
        let text = text(length.parse().unwrap());
        return HttpResponse::Ok()
            .content_type("application/json")
            .body(text);
    }
    if let Some(length) = script.strip_prefix("pieces=") {
        let text = Bytes::from(text(length.parse().unwrap()));
        let pieces = (0..text.len()).step_by(1000);
        let pieces = pieces.map(move |at| text.slice(at..(at + 1000).min(text.len())));
        let pieces = futures::stream::iter(pieces.map(Ok::<_, std::io::Error>));
        return HttpResponse::Ok()
            .content_type("text/csv")
            .streaming(pieces);
    }
    if script == "events" {
        // One at once, and one more each time that it is let.
        let events = futures::stream::unfold(0, move |n| {
            let desk = desk.clone();
            async move {
                if n > 0 {
                    desk.released.notified().await;
                }
                let event = Bytes::from(format!("data: {n}\n\n"));
                Some((Ok::<_, std::io::Error>(event), n + 1))
            }
        });
        return HttpResponse::Ok()
            .content_type("text/event-stream")
            .streaming(events);
    }
    if script == "short" {
        // Promises ten bytes, sends three.
        let body = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"abc"))]);
        return HttpResponse::Ok().body(actix_web::body::SizedStream::new(10, body));
    }
    HttpResponse::Created()
        .insert_header(("etag", "\"7\""))
        .insert_header(("keep-alive", "timeout=9"))
        .insert_header(("access-control-allow-origin", "*"))
        .insert_header(("x-request-id", "theirs"))
        .insert_header(("vary", "accept"))
        .json(json!({ "service": service, "method": method, "target": target, "length": length }))
}

/// Text that gets shorter.
pub fn text(length: usize) -> String {
    let words = "{\"name\":\"a brand of tea\",\"number\":7},";
    words.chars().cycle().take(length).collect()
}

/// A WebSocket that says everything back. `?refuse` refuses, `?flood` talks without end, and so does `?babble`, which nobody
/// counts; `?quiet` never says anything.
fn socket(req: &HttpRequest, payload: web::Payload) -> HttpResponse {
    let script = req.query_string().to_owned();
    if script == "refuse" {
        return HttpResponse::Forbidden().json(json!({ "code": "NOT_TODAY" }));
    }
    let (response, mut session, messages) = actix_ws::handle(req, payload).unwrap();
    let mut messages = messages.max_frame_size(4 << 20).aggregate_continuations();
    actix_web::rt::spawn(async move {
        if script == "babble" {
            while session.binary(CHUNK).await.is_ok() {}
            return;
        }
        if script == "flood" {
            while session.binary(CHUNK).await.is_ok() {
                FLOODED.fetch_add(1, Ordering::SeqCst);
            }
            return;
        }
        let mut reason = None;
        while let Some(Ok(message)) = messages.next().await {
            use actix_ws::AggregatedMessage as Message;
            let said = match message {
                _ if script == "quiet" => Ok(()),
                Message::Text(text) => session.text(text).await,
                Message::Binary(bytes) => session.binary(bytes).await,
                Message::Ping(bytes) => session.pong(&bytes).await,
                Message::Pong(_) => Ok(()),
                Message::Close(why) => {
                    reason = why;
                    break;
                }
            };
            if said.is_err() {
                break;
            }
        }
        session.close(reason).await.ok();
    });
    response
}

/// Megabytes that were said into a flood.
pub static FLOODED: AtomicUsize = AtomicUsize::new(0);

fn document(service: &str) -> Value {
    let thing = json!({ "$ref": "#/components/schemas/Thing" });
    let path = match service {
        "product" => "/api/v1/brands/{id}",
        "sales" => "/api/v1/sales/invoices",
        _ => "/api/v1/users",
    };
    json!({
        "openapi": "3.1.0",
        "paths": { path: { "get": { "x": thing } }, "/internal/v1/secret": { "get": {} } },
        "components": { "schemas": { "Thing": { "title": service } } },
    })
}

/// A gateway, and clients of it.
pub struct Gateway {
    pub edge: TestEdge<api_gateway::Gateway>,
}

impl Gateway {
    pub fn address(&self) -> SocketAddr {
        self.edge.running.http
    }

    /// Whoever runs the gateway: what he asks does not come through the door.
    pub fn operator(&self) -> Person {
        Person {
            base: self.edge.admin_url(),
            ..self.stranger()
        }
    }

    /// Somebody who has not signed in, at an address of their own.
    pub fn stranger(&self) -> Person {
        let ip = Ipv4Addr::new(
            127,
            rand::random_range(1..255),
            rand::random_range(1..255),
            rand::random_range(2..255),
        );
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let http = http.local_address(IpAddr::V4(ip)).build().unwrap();
        Person {
            base: self.edge.url(),
            http,
            ip,
            token: None,
            claims: claims(&[]),
        }
    }

    /// A signed-in user with these permissions.
    pub fn user(&self, permissions: &[&str]) -> Person {
        let claims = claims(permissions);
        Person {
            token: Some(sign("identity", token::ACCESS, &claims)),
            claims,
            ..self.stranger()
        }
    }

    /// Sends bytes and reads what comes back until the gateway closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address()).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
        // A reset after the answer is an end as well.
        let _ = ended.expect("the gateway closes the connection");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The claims of an access token of a fresh user.
pub fn claims(permissions: &[&str]) -> Claims {
    let iat = chrono::Utc::now().timestamp();
    Claims {
        iss: "identity".into(),
        aud: token::AUDIENCE_API.into(),
        sub: Uuid::now_v7().to_string(),
        tid: TenantId::new(),
        sid: Some(Uuid::now_v7()),
        perms: permissions.iter().map(|p| (*p).to_owned()).collect(),
        branches: bahi_types::Scope::new(Some(vec![bahi_types::BranchId::new()])),
        name: Some("Asha".into()),
        rate: None,
        amr: vec!["pwd".into()],
        txn: None,
        sxp: None,
        iat,
        exp: iat + 900,
    }
}

/// Signs claims with a key of the fleet.
pub fn sign(key: &str, typ: &str, claims: &Claims) -> String {
    let file = format!("{}/private/{key}.pem", test_env("BAHI_TEST_KEYS"));
    Signer::from_file(file.as_ref())
        .unwrap()
        .sign(typ, claims)
        .unwrap()
}

/// The fleet's public keys.
pub fn keys() -> Keys {
    Keys::from_folder(format!("{}/public", test_env("BAHI_TEST_KEYS")).as_ref()).unwrap()
}

/// Somebody with a client.
#[derive(Clone)]
pub struct Person {
    pub base: String,
    pub http: reqwest::Client,
    pub ip: Ipv4Addr,
    pub token: Option<String>,
    pub claims: Claims,
}

impl Person {
    /// The same person with another token.
    pub fn with_token(&self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// The same person, of this address, at another gateway.
    pub fn at(&self, gateway: &Gateway) -> Self {
        Self {
            base: gateway.edge.url(),
            ..self.clone()
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        send(self.request(Method::POST, path).json(&body)).await
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.expect("the gateway answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a whole body");
    Reply {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}

/// Asserts that an answer is a problem document with this status and code.
#[track_caller]
pub fn assert_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!(
        (reply.status, reply.code()),
        (status, code),
        "{}",
        reply.text
    );
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(reply.body["status"], status);
    assert_eq!(
        reply.body["request_id"].as_str(),
        reply.header("x-request-id")
    );
    for member in ["type", "title", "detail"] {
        assert!(
            reply.body[member].is_string(),
            "no {member} in {}",
            reply.text
        );
    }
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

/// A service that reads a request's head and then answers, or hangs up.
pub struct Rough {
    pub address: SocketAddr,
    /// API requests begun.
    pub begun: Arc<AtomicUsize>,
}

/// What a rough service does with the requests of one connection.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Answers everything.
    Answers,
    /// Hangs up on every API request.
    HangsUp,
    /// Answers the first API request of a connection and hangs up on the second.
    HangsUpOnSecond,
    /// Answers half a head and hangs up.
    Stammers,
    /// Promises ten bytes, sends three and hangs up.
    BreaksOff,
}

impl Rough {
    pub async fn start(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(treat(socket, manner, count.clone()));
            }
        });
        Self { address, begun }
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

async fn treat(mut socket: TcpStream, manner: Manner, begun: Arc<AtomicUsize>) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut here = 0;
    loop {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            match socket.read(&mut piece).await {
                Ok(n) if n > 0 => head.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        if String::from_utf8_lossy(&head)
            .lines()
            .next()
            .unwrap_or_default()
            .contains(" /api/")
        {
            begun.fetch_add(1, Ordering::SeqCst);
            here += 1;
            match manner {
                Manner::Answers => {}
                Manner::HangsUp => return,
                Manner::HangsUpOnSecond if here == 2 => return,
                Manner::HangsUpOnSecond => {}
                Manner::Stammers => {
                    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
                    return;
                }
                Manner::BreaksOff => {
                    let part = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
                    let _ = socket.write_all(part).await;
                    return;
                }
            }
        }
        if socket.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// One that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A gateway as a process of its own; it is killed when it is dropped.
pub struct Process {
    pub child: tokio::process::Child,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    /// In front of the fleet, once it takes traffic.
    pub async fn start(fleet: &Fleet, settings: &[(&str, &str)]) -> Self {
        Self::start_with_log(fleet, settings, "/dev/stderr".as_ref()).await
    }

    /// The same, with everything it says in a file.
    pub async fn start_with_log(
        fleet: &Fleet,
        settings: &[(&str, &str)],
        log: &std::path::Path,
    ) -> Self {
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).append(true).open(log).unwrap();
        let (address, admin) = (free_address(), free_address());
        let keys = test_env("BAHI_TEST_KEYS");
        let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_api-gateway"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .env("BAHI_LISTEN", address.to_string())
            .env("BAHI_ADMIN_LISTEN", admin.to_string())
            .env("BAHI_TRUST_DIR", format!("{keys}/public"))
            .env("BAHI_KEY_FILE", format!("{keys}/private/api-gateway.pem"))
            .env("BAHI_LOG", "warn")
            .envs(fleet.urls.iter().map(|(n, v)| (n, v)))
            .envs(settings.iter().copied())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = Self {
            child,
            address,
            admin,
        };
        bahi_testkit::eventually(|| async {
            let ready = process.somebody().http.get(process.url("/readyz"));
            let answer = ready.send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        process
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Whoever runs it.
    pub fn operator(&self) -> Person {
        Person {
            base: format!("http://{}", self.admin),
            ..self.somebody()
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        assert!(bahi_testkit::signal(self.child.id().unwrap(), name));
    }

    /// A user with every permission.
    pub fn somebody(&self) -> Person {
        let claims = claims(&["*"]);
        Person {
            base: self.url(""),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            ip: Ipv4Addr::LOCALHOST,
            token: Some(sign("identity", token::ACCESS, &claims)),
            claims,
        }
    }
}
