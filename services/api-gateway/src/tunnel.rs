//! WebSockets (RFC 6455): the handshake is checked and made anew like any request, after the service's 101 bytes pass in
//! both directions and no frame is read but for where it ends.
//!
//! A browser cannot send `Authorization` with a handshake: a ticket may come as a subprotocol, `ticket.<ticket>`, beside the
//! one that is spoken, or in the address, `?ticket=<ticket>`; or the token itself as a subprotocol, `bearer.<token>`. None
//! of them goes further than here. The service is told by the internal token until when the session
//! lives and says goodbye by itself; a tunnel ends in any case when its session has ended or was revoked, when nothing
//! passes for long, and when the gateway stops: with a goodbye of the gateway's, if the service has said none.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, Version, header},
    rt, web,
};
use bahi_http::{Fault, Problem};
use bahi_service::Connection;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hyper::{header::HeaderValue, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prometheus::{IntGaugeVec, register_int_gauge_vec};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    State,
    auth::Session,
    edge,
    error::Error,
    frames::{self, Frames},
    limit::network,
    proxy::{self, Head},
    state::Target,
    upstream::{self, Again, Endpoint, Wanted},
};

/// The subprotocol that carries a token begins with this.
const BEARER: &str = "bearer.";
/// And one that carries a ticket with this.
const TICKET: &str = "ticket.";
/// The parameter of an address that carries a ticket.
const PARAMETER: &str = "ticket=";
/// How often a tunnel's session is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long what is half said is waited for when a tunnel ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most bytes that are read of a service at once.
const PIECE: usize = 4096;
/// Seconds that a service has to say goodbye after the session has ended.
const GRACE: i64 = 5;

#[allow(clippy::unwrap_used)] // Constant name and labels.
static OPEN: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "gateway_websockets",
        "WebSockets and streams of events that are open",
        &["service"]
    )
    .unwrap()
});

/// How many WebSockets and streams of events each user, and each address, has open.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<HashMap<Whose, u32>>);

/// Who has a WebSocket open; a customer of IPv6 is his network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    User(Uuid),
    Address(IpAddr),
}

/// One of them, until it is dropped.
pub(crate) struct Socket {
    state: State,
    whose: [Whose; 2],
    service: String,
}

impl Socket {
    /// One more, if there may be.
    pub fn open(state: &State, user: Uuid, client: IpAddr, service: &str) -> Result<Self, Error> {
        let config = &state.0.config;
        let whose = [
            (Whose::User(user), config.sockets_per_user),
            (Whose::Address(network(client)), config.sockets_per_address),
        ];
        let mut open = state.0.sockets.0.lock();
        for (one, most) in whose {
            if open.get(&one).is_some_and(|count| *count >= most) || most == 0 {
                return Err(Error::TooManySockets(most));
            }
        }
        for (one, _) in whose {
            *open.entry(one).or_default() += 1;
        }
        OPEN.with_label_values(&[service]).inc();
        Ok(Self {
            state: state.clone(),
            whose: whose.map(|(one, _)| one),
            service: service.to_owned(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut open = self.state.0.sockets.0.lock();
        for one in self.whose {
            if let Some(count) = open.get_mut(&one) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&one);
                }
            }
        }
        OPEN.with_label_values(&[&self.service]).dec();
    }
}

/// What a handshake says.
struct Handshake {
    key: HeaderValue,
    extensions: Vec<HeaderValue>,
    /// What is offered to be spoken.
    protocols: Vec<String>,
    /// How the client shows who it is, if not by `Authorization`.
    shown: Option<Shown>,
}

/// How a page shows who it is.
enum Shown {
    /// By its token.
    Token(String),
    /// By a ticket.
    Ticket(String),
}

/// The handshake of a request (RFC 6455, 4.2.1), or why it is none.
fn handshake(req: &HttpRequest) -> Result<Handshake, Error> {
    let headers = req.headers();
    let lists = |name: header::HeaderName| {
        let values = headers.get_all(name).filter_map(|v| v.to_str().ok());
        values
            .flat_map(|v| v.split(','))
            .map(|item| item.trim().to_owned())
            .collect::<Vec<String>>()
    };
    let upgrades = lists(header::UPGRADE);
    let asks = *req.method() == Method::GET
        && req.version() == Version::HTTP_11
        && upgrades.len() == 1
        && upgrades[0].eq_ignore_ascii_case("websocket")
        && lists(header::CONNECTION)
            .iter()
            .any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !asks || lists(header::SEC_WEBSOCKET_VERSION) != ["13"] {
        return Err(Error::NoWebSocket);
    }
    let malformed = |text: &str| Error::from(Fault::Malformed(text.to_owned()));
    if headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length != "0")
    {
        return Err(malformed("a handshake has no body"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY);
    let key = keys
        .next()
        .filter(|key| key.len() == 24 && key.as_bytes().ends_with(b"=="))
        .filter(|_| keys.next().is_none())
        .ok_or_else(|| malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let own = |value: &header::HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let (tokens, protocols): (Vec<String>, Vec<String>) = lists(header::SEC_WEBSOCKET_PROTOCOL)
        .into_iter()
        .filter(|name| !name.is_empty())
        .partition(|name| name.starts_with(BEARER) || name.starts_with(TICKET));
    let parameters = req.query_string().split('&');
    let parameters = parameters.filter_map(|p| p.strip_prefix(PARAMETER));
    let mut shown = tokens
        .iter()
        .map(|token| match token.strip_prefix(TICKET) {
            Some(ticket) => Shown::Ticket(ticket.to_owned()),
            None => Shown::Token(token[BEARER.len()..].to_owned()),
        })
        .chain(parameters.map(|ticket| Shown::Ticket(ticket.to_owned())));
    let first = shown.next();
    if shown.next().is_some() {
        return Err(malformed("a client shows once who it is"));
    }
    Ok(Handshake {
        key: own(key).ok_or_else(|| malformed("Sec-WebSocket-Key"))?,
        extensions: headers
            .get_all(header::SEC_WEBSOCKET_EXTENSIONS)
            .filter_map(own)
            .collect(),
        protocols,
        shown: first,
    })
}

/// A page of a foreign origin may not speak for the user who is signed in there (ASVS 4.4.2). A client that is no browser
/// sends no origin.
fn origin_allowed(req: &HttpRequest, origins: &[String]) -> bool {
    let Some(origin) = req.headers().get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let host = req
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    origins.iter().any(|known| known == origin) || (authority.is_some() && authority == host)
}

/// Where the handshake goes: a ticket goes no further than here.
fn without_ticket(req: &HttpRequest) -> Cow<'_, str> {
    let whole = proxy::path(req);
    let Some((path, query)) = whole.split_once('?') else {
        return whole;
    };
    let parameters = query.split('&').filter(|p| !p.starts_with(PARAMETER));
    let rest: Vec<&str> = parameters.collect();
    match rest.join("&") {
        rest if rest == query => whole,
        rest if rest.is_empty() => Cow::Owned(path.to_owned()),
        rest => Cow::Owned(format!("{path}?{rest}")),
    }
}

/// Opens the WebSocket that a request asks for, where its route allows one.
pub(crate) async fn open(
    req: &HttpRequest,
    payload: web::Payload,
    state: &State,
    target: &Target,
) -> Result<HttpResponse, Problem> {
    let asked = handshake(req)?;
    if !origin_allowed(req, &state.0.config.origins) {
        return Err(Error::ForeignOrigin.into());
    }
    let client = edge::client(req, &state.0.config.proxies);
    let session = match &asked.shown {
        Some(Shown::Token(token)) => state.speaker(token, client).await?,
        Some(Shown::Ticket(ticket)) => state.admitted(ticket, client).await?,
        None => state.session(req.headers(), client).await?,
    };
    let standing = proxy::count(state, target, Some(&session), client).await;
    if let Some(refused) = proxy::refused(standing) {
        return Ok(refused);
    }
    proxy::authorise(&target.route, Some(&session), req.method())?;
    let upstream = &target.upstream;
    if !upstream.is_up() {
        return Err(Error::Down(upstream.name.clone()).into());
    }
    let socket = Socket::open(state, session.principal, client, &upstream.name)?;

    let head = Head {
        req,
        method: hyper::Method::GET,
        upstream,
        state,
        target,
        session: Some(session.clone()),
        path: without_ticket(req),
        token: Some(state.0.auth.internal(&session)?),
        client,
    };
    let offered = match asked.protocols.is_empty() {
        true => None,
        false => Some(
            HeaderValue::try_from(asked.protocols.join(", "))
                .map_err(|e| Fault::Malformed(e.to_string()))?,
        ),
    };
    let make = |endpoint: &Endpoint, left| {
        let request = head.with(endpoint, left, upstream::full(Bytes::new()));
        Some(request.map(|mut request| {
            let headers = request.headers_mut();
            headers.insert("connection", HeaderValue::from_static("upgrade"));
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
            headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
            headers.insert("sec-websocket-key", asked.key.clone());
            for extension in &asked.extensions {
                headers.append("sec-websocket-extensions", extension.clone());
            }
            if let Some(offered) = &offered {
                headers.insert("sec-websocket-protocol", offered.clone());
            }
            request
        }))
    };
    let deadline = Instant::now() + target.limits.time;
    let mut answer = upstream
        .exchange(Again::Change, deadline, Wanted::Head, None, make)
        .await
        .map_err(|failure| proxy::refusal(&upstream.name, failure))?;
    if answer.head.status != hyper::StatusCode::SWITCHING_PROTOCOLS {
        // Its refusal, as of any request.
        return Ok(proxy::answer_of(&head, answer).await?);
    }
    let mut out = HttpResponseBuilder::new(StatusCode::SWITCHING_PROTOCOLS);
    out.upgrade("websocket");
    for name in [
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
    ] {
        for value in answer.head.headers.get_all(name) {
            out.append_header((name, value.as_bytes()));
        }
    }
    let switched = answer.head.extensions.remove::<OnUpgrade>();
    let broken = || Error::Broken(upstream.name.clone());
    let upgraded = switched.ok_or_else(broken)?.await.map_err(|error| {
        tracing::warn!(service = upstream.name, %error, "the service did not switch");
        broken()
    })?;
    let connection = upgraded.downcast::<TokioIo<TcpStream>>();
    let connection = connection.map_err(|_| broken())?;
    let (reads, writes) = connection.io.into_inner().into_split();
    // Even of nothing it would hold the whole buffer that the head of the answer was read into.
    let begun = match connection.read_buf.is_empty() {
        true => Bytes::new(),
        false => connection.read_buf,
    };
    let life = Arc::new(Life {
        ended: CancellationToken::new(),
        gone: CancellationToken::new(),
        passed: AtomicBool::new(true),
        why: OnceLock::new(),
    });
    let client = Connection::of(req);
    if let Some(client) = &client {
        client.patience(state.0.config.socket_idle);
    }
    rt::spawn(upwards(payload, writes, life.clone()));
    rt::spawn(watch(state.clone(), session, life.clone(), socket, client));
    Ok(out.streaming(downwards(begun, reads, life)))
}

/// What both directions of a tunnel share.
struct Life {
    ended: CancellationToken,
    /// The way to the client is let go of, and what the service says with it.
    gone: CancellationToken,
    /// Since it was last looked at.
    passed: AtomicBool,
    /// What a client is told, where the gateway ends it.
    why: OnceLock<Option<Goodbye>>,
}

/// The code of a goodbye (RFC 6455, 7.4.1), and its reason.
type Goodbye = (u16, &'static str);

/// From the client to the service.
async fn upwards(mut payload: web::Payload, mut writes: OwnedWriteHalf, life: Arc<Life>) {
    let pump = async {
        while let Some(Ok(bytes)) = payload.next().await {
            life.passed.store(true, Ordering::Relaxed);
            if writes.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    life.ended.run_until_cancelled(pump).await;
    writes.shutdown().await.ok();
    life.ended.cancel();
}

/// From the service to the client; ends when the service ends it, or the tunnel does: then with a goodbye, where the gateway
/// ends it and the service has not said it.
fn downwards(
    begun: Bytes,
    reads: OwnedReadHalf,
    life: Arc<Life>,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let down = Down {
        begun,
        reads,
        frames: Frames::default(),
        _guard: Ends(life.clone()),
        life,
        over: false,
        until: None,
    };
    futures::stream::unfold(down, async |mut down| {
        let piece = down.next().await?;
        Some((piece, down))
    })
}

/// The way from a service to a client.
struct Down {
    /// What came with the head of its answer.
    begun: Bytes,
    reads: OwnedReadHalf,
    frames: Frames,
    life: Arc<Life>,
    over: bool,
    /// When the wait for what is half said ends.
    until: Option<Instant>,
    _guard: Ends,
}

impl Down {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        if self.over {
            return None;
        }
        tokio::select! {
            biased;
            () = self.life.ended.cancelled() => {}
            piece = read(&mut self.begun, &self.reads) => {
                self.life.passed.store(true, Ordering::Relaxed);
                return self.followed(piece);
            }
        }
        let (code, reason) = (*self.life.why.get()?)?;
        // What is half said is said to its end, if that does not take long.
        if !self.frames.may_say_goodbye() && !self.frames.has_closed() {
            let until = *self
                .until
                .get_or_insert_with(|| Instant::now() + LAST_WORDS);
            let more = read(&mut self.begun, &self.reads);
            let piece = tokio::time::timeout_at(until, more).await.ok()?;
            return self.followed(piece);
        }
        self.over = true;
        let goodbye = self.frames.may_say_goodbye();
        goodbye.then(|| Ok(frames::goodbye(code, reason).into()))
    }

    /// A piece on its way to the client, if the service has not ended.
    fn followed(&mut self, piece: std::io::Result<Bytes>) -> Option<std::io::Result<Bytes>> {
        if let Ok(bytes) = &piece {
            self.frames.follow(bytes);
        }
        Some(piece).filter(|piece| !matches!(piece, Ok(bytes) if bytes.is_empty()))
    }
}

/// What a service says next, nothing at its end. There is no buffer while nothing is said: most WebSockets are idle most of
/// the time.
async fn read(begun: &mut Bytes, reads: &OwnedReadHalf) -> std::io::Result<Bytes> {
    if !begun.is_empty() {
        return Ok(std::mem::take(begun));
    }
    loop {
        reads.readable().await?;
        let mut piece = BytesMut::with_capacity(PIECE);
        match reads.try_read_buf(&mut piece) {
            Ok(_) => return Ok(piece.freeze()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends a tunnel when the answer's stream is over or dropped: the client is gone then.
struct Ends(Arc<Life>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.ended.cancel();
        self.0.gone.cancel();
    }
}

/// Ends the tunnel when its session is over, when nothing passes, and when the gateway stops. It counts until the way to the
/// client is let go of.
async fn watch(
    state: State,
    session: Arc<Session>,
    life: Arc<Life>,
    socket: Socket,
    client: Option<Arc<Connection>>,
) {
    let looks = async {
        let (mut quiet, mut ticks) = (Duration::ZERO, tokio::time::interval(LOOK));
        loop {
            ticks.tick().await;
            quiet = if life.passed.swap(false, Ordering::Relaxed) {
                Duration::ZERO
            } else {
                quiet + LOOK
            };
            let over = !state.0.auth.lives(&session, GRACE);
            if over {
                return (1008, "the session has ended");
            }
            if quiet >= state.0.config.socket_idle {
                return (1001, "nothing was said for long");
            }
        }
    };
    let why = tokio::select! {
        why = looks => Some(why),
        () = state.0.leave.cancelled() => Some((1001, "the gateway stops")),
        () = life.ended.cancelled() => None,
    };
    // The server asks for the goodbye, and lets go, only once the client reads: it has as long for that as the service has
    // for what is half said.
    if let (Some(_), Some(client)) = (why, &client) {
        client.ends_within(LAST_WORDS * 2);
    }
    // It would keep the connection open.
    drop(client);
    let _ = life.why.set(why);
    life.ended.cancel();
    life.gone.cancelled().await;
    drop(socket);
}
