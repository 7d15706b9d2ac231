//! The clients: many that read and change, two that ask for more than they may, two that listen; and the load balancer between
//! them and the gateways, which asks these whether they are ready.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bahi_http::{Claims, Signer, token};
use bahi_types::TenantId;
use futures::StreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Client, Method};
use serde::Deserialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};
use uuid::Uuid;

use super::{
    book::{Book, Came, End, LIMITS, Pass, Try},
    place::fill,
};
use crate::plan::BEHIND;

/// Clients that read and change.
pub const CLIENTS: usize = 16;
/// Clients of a tenant.
const OF_TENANT: usize = 4;
/// How long a client waits for an answer. A gateway answers before that, whatever happens behind it.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer longer than what a gateway reads before it passes it on.
const LONG: u64 = 150_000;
/// What is asked of each service, in the order of the services.
const PATHS: [&str; BEHIND.len()] = ["/api/v1/brands", "/api/v1/sales/invoices", "/api/v1/users"];

/// The two gateways, as a load balancer sees them.
pub struct Gateways {
    /// Where they listen.
    pub addresses: [SocketAddr; 2],
    /// Where they tell those who run them.
    pub admins: [SocketAddr; 2],
    ready: [AtomicBool; 2],
    /// Clients stop when it is set.
    pub over: AtomicBool,
}

impl Gateways {
    /// Of these addresses; none is ready.
    pub fn new(addresses: [SocketAddr; 2], admins: [SocketAddr; 2]) -> Self {
        Self {
            addresses,
            admins,
            ready: Default::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Whether it is to get requests.
    pub fn is_ready(&self, gateway: usize) -> bool {
        self.ready[gateway].load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The URL of a path.
    pub fn url(&self, gateway: usize, path: &str) -> String {
        format!("http://{}{path}", self.addresses[gateway])
    }

    /// Asks a gateway on and on whether it is ready.
    pub async fn balance(self: Arc<Self>, gateway: usize) {
        let http = client(None);
        loop {
            let asked = http.get(self.url(gateway, "/readyz")).send();
            let answer = timeout(Duration::from_secs(1), asked).await;
            let ready = matches!(answer, Ok(Ok(answer)) if answer.status().is_success());
            self.ready[gateway].store(ready, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a gateway is ready.
    ///
    /// # Errors
    /// When it is not within a minute.
    pub async fn come_up(&self, gateway: usize) -> anyhow::Result<()> {
        let ready = async {
            while !self.is_ready(gateway) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), ready)
            .await
            .with_context(|| format!("gateway {} does not come up", gateway + 1))
    }

    /// One that is ready, if any; chance says which where both are.
    fn choose(&self, rng: &mut StdRng) -> Option<usize> {
        let first = rng.random_range(0..2);
        [first, 1 - first].into_iter().find(|g| self.is_ready(*g))
    }
}

fn client(from: Option<Ipv4Addr>) -> Client {
    let client = Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .local_address(from.map(IpAddr::V4));
    // It fails only where there is no TLS, which is not used.
    client.build().unwrap_or_default()
}

/// Somebody who has signed in.
struct Person {
    token: String,
    tenant: String,
    user: String,
}

impl Person {
    fn new(signer: &Signer, tenant: TenantId, rate: Option<u32>) -> anyhow::Result<Self> {
        let iat = chrono::Utc::now().timestamp();
        let id = Uuid::now_v7();
        let claims = Claims {
            iss: "identity".to_owned(),
            aud: token::AUDIENCE_API.to_owned(),
            sub: match rate {
                Some(_) => format!("{}{id}", token::API_KEY),
                None => id.to_string(),
            },
            tid: tenant,
            sid: rate.is_none().then(Uuid::now_v7),
            perms: vec!["*".to_owned()],
            branches: bahi_types::Scope::default(),
            name: None,
            rate,
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat,
            exp: iat + 86_400,
        };
        Ok(Self {
            token: signer.sign(token::ACCESS, &claims)?,
            tenant: tenant.to_string(),
            user: claims.sub,
        })
    }
}

/// An answer of an endpoint.
#[derive(Deserialize)]
struct Answer {
    id: u64,
    service: String,
    tenant: String,
    user: String,
    method: String,
    fill: String,
}

/// A refusal of a gateway.
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    code: String,
}

/// What one client needs.
struct Caller {
    gateways: Arc<Gateways>,
    book: Arc<Book>,
    http: Client,
    person: Option<Person>,
    rng: StdRng,
}

/// What is asked.
#[derive(Clone, Copy)]
struct Question {
    service: usize,
    path: &'static str,
    post: bool,
    size: u64,
}

impl Caller {
    async fn ask(&self, gateway: usize, what: Question) -> Try {
        let id = self.book.number();
        let size = what.size;
        let url = self
            .gateways
            .url(gateway, &format!("{}?id={id}&size={size}", what.path));
        let method = if what.post { Method::POST } else { Method::GET };
        let mut request = self.http.request(method.clone(), url);
        if let Some(person) = &self.person {
            request = request.bearer_auth(&person.token);
        }
        if what.post {
            let body = serde_json::json!({ "id": id, "fill": fill(id, 300) });
            request = request.header("idempotency-key", id).json(&body);
        }
        let begun = self.book.now();
        let came = match request.send().await {
            Err(error) if error.is_connect() => Came::Unsent,
            Err(_) => Came::Nothing,
            Ok(answer) => {
                let status = answer.status().as_u16();
                match answer.bytes().await {
                    Err(_) => Came::BrokenOff,
                    Ok(body) => self.came(id, what, &method, status, &body),
                }
            }
        };
        Try {
            id,
            gateway,
            service: what.service,
            post: what.post,
            long: size >= LONG,
            begun,
            ended: self.book.now(),
            came,
        }
    }

    fn came(&self, id: u64, what: Question, method: &Method, status: u16, body: &[u8]) -> Came {
        if status != 200 {
            let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
            return Came::Answer {
                status,
                code: refusal.code,
                right: false,
            };
        }
        let nobody = (String::new(), String::new());
        let person = self.person.as_ref();
        let who = person.map_or(nobody, |p| (p.tenant.clone(), p.user.clone()));
        let right = serde_json::from_slice::<Answer>(body).is_ok_and(|answer| {
            answer.id == id
                && answer.service == BEHIND[what.service].0
                && (answer.tenant, answer.user) == who
                && answer.method == method.as_str()
                && answer.fill == fill(id, what.size)
        });
        Came::Answer {
            status,
            code: String::new(),
            right,
        }
    }

    /// Reads and changes until told to stop.
    async fn work(mut self) {
        while !self.gateways.is_over() {
            let pause = Duration::from_millis(self.rng.random_range(20..80));
            sleep(pause).await;
            let Some(gateway) = self.gateways.choose(&mut self.rng) else {
                continue;
            };
            let service = self.rng.random_range(0..BEHIND.len());
            let post = self.rng.random_bool(0.4);
            let size = match self.rng.random_range(0..12) {
                0 if !post => LONG,
                1..4 => 3_000,
                _ => 100,
            };
            let question = Question {
                service,
                path: PATHS[service],
                post,
                size,
            };
            let tried = self.ask(gateway, question).await;
            self.book.tried(tried);
        }
    }

    /// Asks for more than it may, of one gateway.
    async fn press(self, gateway: usize, limit: usize, question: Question) {
        while !self.gateways.is_over() {
            sleep(Duration::from_millis(60)).await;
            if !self.gateways.is_ready(gateway) {
                continue;
            }
            let tried = self.ask(gateway, question).await;
            match &tried.came {
                Came::Answer { status: 429, .. } => self.book.limited(None),
                // Whatever else came, the limit had let it pass.
                Came::Answer { .. } | Came::BrokenOff => self.book.limited(Some(Pass {
                    limit,
                    begun: tried.begun,
                    ended: tried.ended,
                })),
                Came::Unsent | Came::Nothing => {}
            }
            self.book.tried(tried);
        }
    }

    /// Listens to events through one gateway.
    async fn follow(self, gateway: usize) {
        while !self.gateways.is_over() {
            sleep(Duration::from_millis(200)).await;
            if !self.gateways.is_ready(gateway) {
                continue;
            }
            let id = self.book.number();
            let url = self
                .gateways
                .url(gateway, &format!("{}?id={id}&events=1", PATHS[0]));
            let token = self.person.as_ref().map_or("", |p| p.token.as_str());
            // A stream of events may last longer than any other answer.
            let asked = self.http.get(url).bearer_auth(token);
            let asked = asked.timeout(Duration::from_secs(86_400)).send();
            let Ok(Ok(answer)) = timeout(PATIENCE, asked).await else {
                continue;
            };
            if answer.status() != 200 {
                continue;
            }
            let mut pieces = answer.bytes_stream();
            let goodbye = loop {
                match pieces.next().await {
                    Some(Ok(_)) if self.gateways.is_over() => return,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => break false,
                    None => break true,
                }
            };
            self.end(gateway, 0, false, goodbye);
        }
    }

    /// Holds a WebSocket through one gateway.
    async fn hold(self, gateway: usize) {
        while !self.gateways.is_over() {
            sleep(Duration::from_millis(200)).await;
            if !self.gateways.is_ready(gateway) {
                continue;
            }
            let url = format!("ws://{}/ws/pos", self.gateways.addresses[gateway]);
            let Ok(mut request) = url.into_client_request() else {
                return;
            };
            let token = self.person.as_ref().map_or("", |p| p.token.as_str());
            let Ok(bearer) = format!("Bearer {token}").parse() else {
                return;
            };
            request.headers_mut().insert("authorization", bearer);
            let Ok(Ok((mut socket, _))) = timeout(PATIENCE, connect_async(request)).await else {
                continue;
            };
            let goodbye = loop {
                match socket.next().await {
                    Some(Ok(Message::Close(why))) => {
                        break why.is_some_and(|frame| frame.code == CloseCode::Away);
                    }
                    Some(Ok(_)) if self.gateways.is_over() => return,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break false,
                }
            };
            self.end(gateway, 1, true, goodbye);
        }
    }

    fn end(&self, gateway: usize, service: usize, socket: bool, goodbye: bool) {
        self.book.ended(End {
            gateway,
            service,
            socket,
            at: self.book.now(),
            goodbye,
        });
    }
}

/// All clients; they stop when the gateways are said to be over.
///
/// # Errors
/// When no token can be signed.
pub fn start(
    seed: u64,
    gateways: &Arc<Gateways>,
    book: &Arc<Book>,
    signer: &Signer,
) -> anyhow::Result<JoinSet<()>> {
    let mut all = JoinSet::new();
    let caller = |number: usize, from: Option<Ipv4Addr>, person: Option<Person>| Caller {
        gateways: gateways.clone(),
        book: book.clone(),
        http: client(from),
        person,
        rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000) + number as u64),
    };
    let mut tenant = TenantId::new();
    for number in 0..CLIENTS {
        if number % OF_TENANT == 0 {
            tenant = TenantId::new();
        }
        let person = Person::new(signer, tenant, None)?;
        all.spawn(caller(number, None, Some(person)).work());
    }
    // One key and one address at two gateways: each bucket is shared.
    let key = Person::new(signer, tenant, Some(LIMITS[0].rate * 60))?;
    for gateway in 0..2 {
        let person = Person {
            token: key.token.clone(),
            tenant: key.tenant.clone(),
            user: key.user.clone(),
        };
        let read = Question {
            service: 0,
            path: PATHS[0],
            post: false,
            size: 10,
        };
        all.spawn(caller(100, None, Some(person)).press(gateway, 0, read));
        let sign_in = Question {
            service: 2,
            path: "/api/v1/auth/login",
            post: true,
            size: 10,
        };
        let address = Ipv4Addr::new(127, 8, 8, 8);
        all.spawn(caller(101, Some(address), None).press(gateway, 1, sign_in));
        let listener = Person::new(signer, tenant, None)?;
        all.spawn(caller(102, None, Some(listener)).follow(gateway));
        let holder = Person::new(signer, tenant, None)?;
        all.spawn(caller(103, None, Some(holder)).hold(gateway));
    }
    Ok(all)
}

/// Notes how long the run itself stands still, for as long as it lasts: what the machine cannot do in time, no gateway can.
pub async fn watch_the_clock(book: Arc<Book>) {
    const BEAT: Duration = Duration::from_millis(50);
    loop {
        let before = Instant::now();
        sleep(BEAT).await;
        book.lagged(before.elapsed().saturating_sub(BEAT));
    }
}
