//! The endpoints behind the gateways: small servers that write down every request, and misbehave when they are told to. They
//! speak HTTP/1.1 by hand, because a server that keeps to the protocol cannot be made to break it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bahi_http::{Keys, token};
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    Mutant,
    book::{Book, Did},
};
use crate::plan::{BEHIND, Manner, service_of};

/// Between two events of a stream, and two messages of a WebSocket.
const BEAT: Duration = Duration::from_millis(300);
/// Longest head of a request.
const HEAD: usize = 64 * 1024;

/// What all endpoints share.
pub struct Ground {
    /// Where requests are written down.
    pub book: Arc<Book>,
    /// What the gateways sign with.
    pub keys: Keys,
    /// What is wrong on purpose.
    pub mutant: Option<Mutant>,
    /// Tokens that were looked at: tenant and user.
    known: Mutex<HashMap<String, (String, String)>>,
}

impl Ground {
    /// With nothing known.
    pub fn new(book: Arc<Book>, keys: Keys, mutant: Option<Mutant>) -> Self {
        Self {
            book,
            keys,
            mutant,
            known: Mutex::default(),
        }
    }

    /// Tenant and user that an internal token speaks of; nobody where there is none, or a bad one.
    fn who(&self, authorization: Option<&str>) -> (String, String) {
        let Some(token) = authorization.and_then(|a| a.strip_prefix("Bearer ")) else {
            return Default::default();
        };
        if let Some(known) = self.known.lock().get(token) {
            return known.clone();
        }
        let claims = self
            .keys
            .verify(token, token::INTERNAL, token::AUDIENCE_INTERNAL);
        let who = claims.map(|c| (c.tid.to_string(), c.sub));
        let who = who.unwrap_or_default();
        self.known.lock().insert(token.to_owned(), who.clone());
        who
    }
}

/// An endpoint.
pub struct Place {
    /// Its number.
    pub number: usize,
    address: SocketAddr,
    ground: Arc<Ground>,
    manner: watch::Sender<Option<Manner>>,
    listens: watch::Sender<bool>,
}

impl Place {
    /// Starts one that behaves.
    pub fn start(number: usize, address: SocketAddr, ground: &Arc<Ground>) -> Arc<Self> {
        let place = Arc::new(Self {
            number,
            address,
            ground: ground.clone(),
            manner: watch::Sender::new(None),
            listens: watch::Sender::new(false),
        });
        tokio::spawn(place.clone().run());
        place
    }

    /// How it behaves from now on.
    pub fn behave(&self, manner: Option<Manner>) {
        self.manner.send_replace(manner);
    }

    /// Waits until it takes connections, or does not.
    pub async fn listens(&self, wanted: bool) {
        let mut listens = self.listens.subscribe();
        // The sender lives as long as we do.
        listens.wait_for(|is| *is == wanted).await.ok();
    }

    async fn run(self: Arc<Self>) {
        let mut manner = self.manner.subscribe();
        loop {
            let here = |m: &Option<Manner>| *m != Some(Manner::Gone);
            if manner.wait_for(here).await.is_err() {
                return;
            }
            let Ok(listener) = TcpListener::bind(self.address).await else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            self.listens.send_replace(true);
            // They end with this.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    taken = listener.accept() => {
                        if let Ok((stream, _)) = taken {
                            connections.spawn(self.clone().serve(stream));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                    gone = manner.wait_for(|m| !here(m)) => {
                        if gone.is_err() { return }
                        break;
                    }
                }
            }
            drop(listener);
            connections.shutdown().await;
            self.listens.send_replace(false);
        }
    }

    async fn speaks(&self) {
        let mut manner = self.manner.subscribe();
        let speaks = |m: &Option<Manner>| *m != Some(Manner::Silent);
        manner.wait_for(speaks).await.ok();
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let mut rest = Vec::new();
        loop {
            let Some(request) = self.read(&mut stream, &mut rest).await else {
                return;
            };
            if request.path == "/ws/pos" && request.key.is_some() {
                self.socket(stream, &request).await;
                return;
            }
            let Some(answer) = self.own(&request) else {
                if !self.answer(&mut stream, &request).await {
                    return;
                }
                continue;
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// The next request of a connection, its body left out.
    async fn read(&self, stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<Request> {
        let end = loop {
            self.speaks().await;
            if let Some(at) = rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if rest.len() > HEAD || stream.read_buf(rest).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let request = Request::of(&head)?;
        while rest.len() < end + request.length {
            if stream.read_buf(rest).await.ok()? == 0 {
                return None;
            }
        }
        rest.drain(..end + request.length);
        Some(request)
    }

    /// What a gateway asks on its own account.
    fn own(&self, request: &Request) -> Option<Vec<u8>> {
        let body = match request.path.as_str() {
            "/readyz" => "{}",
            "/internal/v1/revocations" => r#"{"sessions":[],"users":[]}"#,
            "/.well-known/jwks.json" => r#"{"keys":[]}"#,
            "/graphql" => return Some(whole("404 Not Found", "{}")),
            _ => return None,
        };
        Some(whole("200 OK", body))
    }

    /// Answers a client's request, or does something else; whether the connection goes on.
    async fn answer(&self, stream: &mut TcpStream, request: &Request) -> bool {
        let book = &self.ground.book;
        let post = request.method == "POST";
        let id = request.number("id");
        let place = book.see(id, self.number, post);
        let mut manner = *self.manner.borrow();
        if post && manner.is_some() && self.ground.mutant == Some(Mutant::Repeating) {
            // The wrong layer: it asks the next endpoint for what this one has begun.
            book.did(place, Did::Broke);
            book.see(id, self.number, post);
            manner = None;
        }
        if request.number("events") > 0 {
            self.events(stream).await;
            return false;
        }
        let service = BEHIND[service_of(self.number)].0;
        let (tenant, user) = self.ground.who(request.authorization.as_deref());
        let fill = fill(id, request.number("size"));
        let body = json!({
            "id": id, "service": service, "tenant": tenant, "user": user,
            "method": request.method, "fill": fill,
        });
        let answer = whole("200 OK", &body.to_string());
        let (bytes, did) = match manner {
            Some(Manner::Fails) => (
                whole("500 Internal Server Error", r#"{"title":"on purpose"}"#),
                Did::Failed,
            ),
            Some(Manner::HalfHead) => (answer[..20].to_vec(), Did::Broke),
            Some(Manner::HalfBody) => (answer[..answer.len() - 20].to_vec(), Did::Broke),
            Some(Manner::HangsUp) => (Vec::new(), Did::Broke),
            Some(Manner::Resets) => {
                book.did(place, Did::Broke);
                // Nothing is said any more, and what was sent to us is thrown back.
                stream.set_zero_linger().ok();
                return false;
            }
            Some(Manner::Slow) => {
                sleep(Duration::from_millis(200 + id % 400)).await;
                (answer, Did::Answered)
            }
            Some(Manner::Gone | Manner::Silent) | None => (answer, Did::Answered),
        };
        book.did(place, did);
        let sent = stream.write_all(&bytes).await.is_ok();
        sent && did != Did::Broke
    }

    /// Events until nobody listens.
    async fn events(&self, stream: &mut TcpStream) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            self.speaks().await;
            let chunk: &[u8] = b"9\r\ndata: 7\n\n\r\n";
            sent = stream.write_all(chunk).await;
            let mut ignored = [0; 64];
            tokio::select! {
                () = sleep(BEAT) => {}
                // The gateway has gone.
                read = stream.read(&mut ignored) => if read.unwrap_or(0) == 0 { return },
            }
        }
    }

    /// A WebSocket that says something now and then.
    async fn socket(&self, mut stream: TcpStream, request: &Request) {
        let accept = derive_accept_key(request.key.as_deref().unwrap_or_default().as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        loop {
            self.speaks().await;
            if socket.send(Message::text("tick")).await.is_err() {
                return;
            }
            tokio::select! {
                () = sleep(BEAT) => {}
                said = socket.next() => if !matches!(said, Some(Ok(_))) { return },
            }
        }
    }
}

/// What an answer is filled with: it tells whose it is to the last byte.
pub fn fill(id: u64, size: u64) -> String {
    let text = format!("{id}.");
    let size = usize::try_from(size).unwrap_or_default();
    text.chars().cycle().take(size).collect()
}

fn whole(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What is needed of a request.
struct Request {
    method: String,
    path: String,
    query: String,
    length: usize,
    authorization: Option<String>,
    /// `Sec-WebSocket-Key`.
    key: Option<String>,
}

impl Request {
    /// Of a head that a gateway has written: it is well-formed.
    fn of(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: HashMap<String, &str> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .collect();
        let text = |name: &str| headers.get(name).map(|v| (*v).to_owned());
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            length: text("content-length").map_or(Some(0), |l| l.parse().ok())?,
            authorization: text("authorization"),
            key: text("sec-websocket-key"),
        })
    }

    /// A number of the query; 0 where there is none.
    fn number(&self, name: &str) -> u64 {
        let mut pairs = self.query.split('&').filter_map(|p| p.split_once('='));
        let found = pairs.find(|(n, _)| *n == name);
        found.and_then(|(_, v)| v.parse().ok()).unwrap_or_default()
    }
}
