//! WebSockets through the gateway: the same bytes as without it, and nobody who may not.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use bahi_http::{Claims, token};
use bahi_testkit::{Reply, eventually};
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    slow::{asks, connect_from},
    support::{FLOODED, Fleet, Gateway, Person, assert_problem, send, sign},
};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const USE: &[&str] = &["sales.pos.use"];

async fn connect(gateway: &Gateway, user: &Person, query: &str) -> Result<Socket, Box<Error>> {
    connect_to(gateway.address(), user, query).await
}

pub async fn connect_to(at: SocketAddr, user: &Person, query: &str) -> Result<Socket, Box<Error>> {
    let url = format!("ws://{at}/ws/pos{query}");
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", user.token.as_deref().unwrap());
    request
        .headers_mut()
        .insert("authorization", bearer.parse().unwrap());
    connect_async(request)
        .await
        .map(|(s, _)| s)
        .map_err(Box::new)
}

/// The handshake as any client of HTTP could send it.
fn handshake(user: &Person, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let usual = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut request = user.request(Method::GET, "/ws/pos");
    for (name, value) in usual {
        let other = headers.iter().find(|(n, _)| *n == name);
        match other.map_or(value, |(_, v)| v) {
            "" => {}
            value => request = request.header(name, value),
        }
    }
    for (name, value) in headers {
        if usual.iter().all(|(n, _)| n != name) {
            request = request.header(*name, *value);
        }
    }
    request
}

async fn ended(socket: &mut Socket) {
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .expect("the tunnel ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_every_kind_and_size_pass_in_both_directions() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let mut socket = connect(&gateway, &gateway.user(USE), "").await.unwrap();
    for n in 0..2_000 {
        socket.send(Message::text(format!("{n}"))).await.unwrap();
    }
    for n in 0..2_000 {
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::text(format!("{n}"))
        );
    }
    for size in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message, "{size}");
    }
    socket.send(Message::Ping("there?".into())).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong("there?".into())
    );
    let why = CloseFrame {
        code: CloseCode::Library(4000),
        reason: "enough".into(),
    };
    socket.close(Some(why.clone())).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Close(Some(why))
    );
    assert!(socket.next().await.is_none());
    // What reached the service is the gateway's own handshake.
    let seen = fleet.only();
    assert_eq!(
        (seen.header("upgrade"), seen.header("connection")),
        ("websocket", "upgrade")
    );
    let said = seen
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap();
    let said = crate::support::keys()
        .verify(said, token::INTERNAL, token::AUDIENCE_INTERNAL)
        .unwrap();
    assert!(
        said.sxp.unwrap() > said.exp,
        "the session lives on after the token"
    );
}

/// A frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

/// Opens a WebSocket, and reads as far as the answer's head.
async fn open(socket: &mut TcpStream, token: &str, query: &str) {
    let address = socket.peer_addr().unwrap();
    let head = format!(
        "GET /ws/pos{query} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).await.unwrap(), 1, "{said:?}");
        said.push(byte[0]);
    }
    let head = String::from_utf8(said).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

/// What a server answers to these bytes after the handshake, up to its end.
async fn answer(address: SocketAddr, token: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    open(&mut socket, token, "").await;
    for frame in frames {
        // A server that has closed need not take the rest.
        if socket.write_all(frame).await.is_err() {
            break;
        }
    }
    let mut said = Vec::new();
    let read = socket.read_to_end(&mut said);
    let _ = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the connection ends");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn well_and_ill_formed_frames_are_answered_as_without_the_gateway() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let token = user.token.clone().unwrap();
    let close = |code: u16| frame(0x88, &code.to_be_bytes());
    let cases: [(&str, Vec<Vec<u8>>); 17] = [
        ("text", vec![frame(0x81, b"Hello"), close(1000)]),
        ("empty text", vec![frame(0x81, b""), close(1000)]),
        ("126 bytes", vec![frame(0x82, &[1; 126]), close(1000)]),
        (
            "in three fragments",
            vec![
                frame(0x01, b"He"),
                frame(0x00, b"l"),
                frame(0x80, b"lo"),
                close(1000),
            ],
        ),
        (
            "a ping between fragments",
            vec![
                frame(0x01, b"He"),
                frame(0x89, b"?"),
                frame(0x80, b"llo"),
                close(1000),
            ],
        ),
        (
            "a ping of 125 bytes",
            vec![frame(0x89, &[9; 125]), close(1000)],
        ),
        ("a ping too long", vec![frame(0x89, &[9; 126]), close(1000)]),
        ("an unasked pong", vec![frame(0x8a, b"!"), close(1000)]),
        ("a fragmented ping", vec![frame(0x09, b"?"), close(1000)]),
        ("a reserved bit", vec![frame(0xc1, b"Hello"), close(1000)]),
        (
            "a reserved opcode",
            vec![frame(0x83, b"Hello"), close(1000)],
        ),
        ("no UTF-8", vec![frame(0x81, &[0xff, 0xfe]), close(1000)]),
        (
            "a continuation of nothing",
            vec![frame(0x80, b"lo"), close(1000)],
        ),
        (
            "not masked",
            vec![vec![0x81, 0x02, b'H', b'i'], close(1000)],
        ),
        ("a close without a reason", vec![frame(0x88, b"")]),
        ("a close of one byte", vec![frame(0x88, b"x")]),
        ("a close of its own code", vec![close(4321)]),
    ];
    let direct = fleet.address("sales");
    for (name, frames) in cases {
        let without = answer(direct, &token, &frames).await;
        let with = answer(gateway.address(), &token, &frames).await;
        assert_eq!(with, without, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_or_asks_for_something_else_is_refused_before_the_service_hears_of_it() {
    let fleet = Fleet::start().await;
    let origins = [("BAHI_CORS_ORIGINS", "https://shop.example")];
    let gateway = fleet.gateway(&origins).await;
    let user = gateway.user(USE);
    let refused = async |person: &Person, headers: &[(&str, &str)], status: u16, code: &str| {
        let reply: Reply = send(handshake(person, headers)).await;
        assert_problem(&reply, status, code);
    };
    refused(&gateway.stranger(), &[], 401, "UNAUTHENTICATED").await;
    refused(&gateway.user(&["sales.pos.read"]), &[], 403, "FORBIDDEN").await;
    for other in [
        ("upgrade", ""),
        ("upgrade", "h2c"),
        ("upgrade", "websocket, h2c"),
        ("connection", "keep-alive"),
        ("sec-websocket-version", ""),
        ("sec-websocket-version", "8"),
    ] {
        refused(&user, &[other], 426, "WEBSOCKET_REQUIRED").await;
    }
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQdGhlIHNhbXBsZSBub25jZQ==",
    ] {
        refused(&user, &[("sec-websocket-key", key)], 400, "MALFORMED").await;
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://shop.example.evil.example",
    ] {
        refused(&user, &[("origin", origin)], 403, "FOREIGN_ORIGIN").await;
    }
    let post = user.post("/ws/pos", json!({})).await;
    assert_problem(&post, 426, "WEBSOCKET_REQUIRED");
    assert!(fleet.seen().is_empty(), "{:?}", fleet.seen());
    // Elsewhere the wish to switch is not heard.
    let brands = user.request(Method::GET, "/api/v1/brands");
    let plain = brands
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert_eq!(
        send(plain).await.status,
        403,
        "no permission, and no tunnel"
    );
    for origin in [
        "https://shop.example",
        &format!("http://{}", gateway.address()),
    ] {
        let reply = handshake(&user, &[("origin", origin)])
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 101, "{origin}");
    }
    // A service's own refusal comes back whole.
    let mut refusal = handshake(&user, &[]).build().unwrap();
    refusal.url_mut().set_query(Some("refuse"));
    let reply = user.http.execute(refusal).await.unwrap();
    assert_eq!(reply.status(), 403);
    assert!(reply.text().await.unwrap().contains("NOT_TODAY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_s_token_comes_as_a_subprotocol_and_goes_no_further() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let offer = format!("bahi.v1, bearer.{}", user.token.as_deref().unwrap());
    let browser = Person {
        token: None,
        ..user.clone()
    };
    let reply = handshake(&browser, &[("sec-websocket-protocol", &offer)])
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 101);
    let seen = fleet.only();
    assert_eq!(seen.header("sec-websocket-protocol"), "bahi.v1");
    assert!(!format!("{seen:?}").contains(user.token.as_deref().unwrap()));
    let wrong = format!("bahi.v1, bearer.{}x", user.token.as_deref().unwrap());
    let reply = send(handshake(&browser, &[("sec-websocket-protocol", &wrong)])).await;
    assert_problem(&reply, 401, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_ends_with_its_session() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let (revoked, other) = (gateway.user(USE), gateway.user(USE));
    let mut socket = connect(&gateway, &revoked, "").await.unwrap();
    let mut stays = connect(&gateway, &other, "").await.unwrap();
    *fleet.desk.revocations.lock() = json!({ "sessions": [revoked.claims.sid], "users": [] });
    ended(&mut socket).await;
    // One whose session is over in a moment: the service has five seconds more to say goodbye.
    let short = Claims {
        exp: revoked.claims.iat + 3,
        ..other.claims.clone()
    };
    let short = other.with_token(sign("identity", token::ACCESS, &short));
    let mut socket = connect(&gateway, &short, "").await.unwrap();
    ended(&mut socket).await;
    assert!(connect(&gateway, &short, "").await.is_err());
    stays.send(Message::text("still here")).await.unwrap();
    assert_eq!(
        stays.next().await.unwrap().unwrap(),
        Message::text("still here")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_in_which_nothing_passes_is_closed() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_WEBSOCKET_IDLE_MS", "2000")]).await;
    let user = gateway.user(USE);
    let mut silent = connect(&gateway, &user, "").await.unwrap();
    let mut busy = connect(&gateway, &user, "").await.unwrap();
    let talk = async {
        loop {
            busy.send(Message::Ping("".into())).await.unwrap();
            busy.next().await.unwrap().unwrap();
        }
    };
    tokio::select! {
        () = ended(&mut silent) => {}
        () = talk => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_tunnels_and_no_more() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_WEBSOCKETS_PER_USER", "2")]).await;
    let (user, other) = (gateway.user(USE), gateway.user(USE));
    let mut first = connect(&gateway, &user, "").await.unwrap();
    let _second = connect(&gateway, &user, "").await.unwrap();
    let third = send(handshake(&user, &[])).await;
    assert_problem(&third, 429, "TOO_MANY_WEBSOCKETS");
    connect(&gateway, &other, "").await.unwrap();
    first.close(None).await.unwrap();
    ended(&mut first).await;
    eventually(async || connect(&gateway, &user, "").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_up_the_service_and_fills_no_memory() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    // What the services said, in MiB, once they got nothing more out for two hundred looks.
    let said = async || {
        let (mut last, mut looks) = (0, 0);
        eventually(|| {
            let said = FLOODED.load(Ordering::SeqCst);
            looks = if said == last { looks + 1 } else { 0 };
            last = said;
            std::future::ready((looks > 200).then_some(said))
        })
        .await
    };
    let direct = connect_to(fleet.address("sales"), &user, "?flood")
        .await
        .unwrap();
    let without = said().await;
    // Its service notices, and ends.
    drop(direct);
    let before = said().await;
    let socket = connect(&gateway, &user, "?flood").await.unwrap();
    let with = said().await - before;
    assert!(
        0 < without && with <= without + 16,
        "{with} MiB are on the way to somebody who reads nothing, and {without} without the gateway"
    );
    drop(socket);
}

/// A WebSocket over which the service talks without end to somebody who does not read, at the user's address.
async fn deaf(gateway: &Gateway, user: &Person) -> TcpStream {
    let mut socket = connect_from(user.ip, gateway).await;
    open(&mut socket, user.token.as_deref().unwrap(), "?babble").await;
    socket
}

/// Whether the user's address may have another connection.
async fn connects(gateway: &Gateway, user: &Person) -> bool {
    asks(&mut connect_from(user.ip, gateway).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off_and_has_its_place_until_then() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_WEBSOCKET_IDLE_MS", "2000"),
            ("BAHI_WEBSOCKETS_PER_USER", "1"),
            ("BAHI_CONNECTIONS_PER_ADDRESS", "1"),
        ])
        .await;
    let user = gateway.user(USE);
    let _deaf = deaf(&gateway, &user).await;
    assert!(!connects(&gateway, &user).await);
    // The same user, from elsewhere.
    let _next = eventually(async || connect(&gateway, &user, "").await.ok()).await;
    assert!(
        connects(&gateway, &user).await,
        "the place is free, and the connection is there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off_when_its_session_is_revoked() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[("BAHI_CONNECTIONS_PER_ADDRESS", "1")])
        .await;
    let user = gateway.user(USE);
    let _deaf = deaf(&gateway, &user).await;
    assert!(!connects(&gateway, &user).await);
    *fleet.desk.revocations.lock() = json!({ "sessions": [user.claims.sid], "users": [] });
    eventually(async || connects(&gateway, &user).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_ipv6_has_the_tunnels_of_one_address() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_TRUSTED_PROXIES", "127.0.0.0/8"),
            ("BAHI_WEBSOCKETS_PER_ADDRESS", "1"),
        ])
        .await;
    let user = gateway.user(USE);
    let connect = async |address: &str| {
        let url = format!("ws://{}/ws/pos", gateway.address());
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {}", user.token.as_deref().unwrap());
        let headers = request.headers_mut();
        headers.insert("authorization", bearer.parse().unwrap());
        headers.insert("x-forwarded-for", address.parse().unwrap());
        connect_async(request).await.ok().map(|(socket, _)| socket)
    };
    let mut first = connect("2001:db8::1").await.expect("it is the first");
    let second = handshake(&user, &[("x-forwarded-for", "2001:db8::2:0:0:2")]);
    assert_problem(&send(second).await, 429, "TOO_MANY_WEBSOCKETS");
    connect("2001:db8:0:1::1").await.expect("of another one");
    // The place that was left is the network's as well.
    first.close(None).await.unwrap();
    ended(&mut first).await;
    eventually(async || connect("2001:db8::3").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_ends_its_tunnels_at_once() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let mut socket = connect(&gateway, &gateway.user(USE), "").await.unwrap();
    let began = tokio::time::Instant::now();
    gateway.edge.running.stop().await;
    ended(&mut socket).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
