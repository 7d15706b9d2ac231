//! Clients who take their time, and clients who take too much.

use std::{net::Ipv4Addr, time::Duration};

use bahi_testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::{Fleet, Gateway};

/// Sends a beginning, then a byte now and then until the gateway ends the connection; what it said by then.
async fn trickle(gateway: &Gateway, beginning: String, piece: &[u8]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(gateway.address())
        .await
        .unwrap()
        .into_split();
    let piece = piece.to_vec();
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(beginning.as_bytes()).await;
        // As slow as one who wants to stay: the pace is the matter here.
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            if writer.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut piece).await {
            said.extend_from_slice(&piece[..length]);
        }
    };
    tokio::time::timeout(Duration::from_secs(45), reading)
        .await
        .expect("the gateway ends the connection");
    writing.abort();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_head_does_not_keep_a_connection_that_was_kept_alive() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_KEEP_ALIVE_SECONDS", "1")]).await;
    let beginning = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX: ";
    let said = trickle(&gateway, beginning.to_owned(), b"x").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_trickles_a_head_or_a_body_is_sent_away_and_others_go_on() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_TIME_NORMAL_MS", "1000"),
            ("BAHI_TIME_BULK_MS", "1000"),
        ])
        .await;
    let user = gateway.user(&["*"]);
    let token = user.token.clone().unwrap();
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n")
    };
    let brands = post("/api/v1/brands");
    let bulk = post("/api/v1/products/bulk-import");
    let length = "Content-Length: 5000\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let (head, plain, chunks, streamed, streamed_chunks, ()) = tokio::join!(
        trickle(
            &gateway,
            "GET /api/v1/brands HTTP/1.1\r\nX: ".to_owned(),
            b"x"
        ),
        trickle(&gateway, format!("{brands}{length}"), b"x"),
        trickle(&gateway, format!("{brands}{chunked}"), b"1\r\nx\r\n"),
        trickle(&gateway, format!("{bulk}{length}"), b"x"),
        trickle(&gateway, format!("{bulk}{chunked}"), b"1\r\nx\r\n"),
        async {
            for _ in 0..20 {
                user.get("/api/v1/units").await.expect(201);
            }
        },
    );
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    for said in [plain, chunks, streamed, streamed_chunks] {
        assert!(
            said.starts_with("HTTP/1.1 408") && said.contains("BODY_TIMEOUT"),
            "{said}"
        );
    }
    let seen = fleet.seen();
    let brands = seen.iter().filter(|s| s.target == "/api/v1/brands");
    assert_eq!(brands.count(), 0, "{seen:#?}");
}

/// A client at this address, which takes in little that it has not read.
pub async fn connect_from(ip: Ipv4Addr, gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.bind((ip, 0).into()).unwrap();
    socket.connect(gateway.address()).await.unwrap()
}

/// Asks whether the gateway lives; whether it answers that it does.
pub async fn asks(socket: &mut TcpStream) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answer = [0; 12];
    let asked = socket.write_all(request).await.is_ok();
    asked && socket.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/1.1 200"
}

/// Asks for an answer of so many megabytes on a connection that ends with it, and reads how it begins.
async fn asked_for_much(gateway: &Gateway, ip: Ipv4Addr, megabytes: usize) -> TcpStream {
    let token = gateway.user(&["*"]).token.unwrap();
    let mut socket = connect_from(ip, gateway).await;
    let head = format!(
        "GET /api/v1/brands?megabytes={megabytes} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut begins = [0; 12];
    socket.read_exact(&mut begins).await.unwrap();
    assert_eq!(&begins, b"HTTP/1.1 200");
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_of_an_answer_is_sent_away() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_STREAM_IDLE_MS", "1000"),
            ("BAHI_CONNECTIONS_PER_ADDRESS", "1"),
        ])
        .await;
    let ip = Ipv4Addr::new(127, 9, 9, 7);
    let _deaf = asked_for_much(&gateway, ip, 64).await;
    assert!(!asks(&mut connect_from(ip, &gateway).await).await);
    // The connection does not count any longer: it is closed, though its client does nothing.
    eventually(async || {
        let mut next = connect_from(ip, &gateway).await;
        asks(&mut next).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_gets_the_whole_of_an_answer() {
    const MEGABYTES: usize = 16;
    let idle = Duration::from_secs(3);
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_STREAM_IDLE_MS", "3000")]).await;
    let ip = Ipv4Addr::new(127, 9, 9, 6);
    let mut slow = asked_for_much(&gateway, ip, MEGABYTES).await;
    let (began, mut length, mut last) = (Instant::now(), 0, Vec::new());
    let mut piece = vec![0; 128 * 1024];
    // The pace is the matter here: all of it takes longer than a client may read nothing.
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    loop {
        pace.tick().await;
        let read = slow.read(&mut piece).await.expect("it does not break off");
        if read == 0 {
            break;
        }
        length += read;
        last.extend_from_slice(&piece[..read]);
        last.drain(..last.len().saturating_sub(5));
    }
    assert!(length > MEGABYTES << 20, "{length}");
    assert_eq!(last, b"0\r\n\r\n");
    assert!(began.elapsed() > idle, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[("BAHI_CONNECTIONS_PER_ADDRESS", "4")])
        .await;
    let connect = async |ip: Ipv4Addr| connect_from(ip, &gateway).await;
    let greedy = Ipv4Addr::new(127, 9, 9, 9);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(greedy).await;
        assert!(asks(&mut socket).await);
        held.push(socket);
    }
    for _ in 0..3 {
        assert!(!asks(&mut connect(greedy).await).await);
    }
    // The others are not the fewer for it.
    assert!(asks(&mut connect(Ipv4Addr::new(127, 9, 9, 8)).await).await);
    drop(held.pop());
    eventually(async || asks(&mut connect(greedy).await).await.then_some(())).await;
    let metrics = gateway.operator().get("/metrics").await.text;
    assert!(
        metrics.contains("gateway_connections_refused_total"),
        "{metrics}"
    );
}
