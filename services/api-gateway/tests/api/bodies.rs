//! Bodies: their limits, and that long ones pass in constant memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::StreamExt;
use reqwest::{Body, Method};
use tokio::io::AsyncWriteExt;

use crate::support::{CHUNK, Fleet, Gateway, assert_problem, send};

const NORMAL: &str = "/api/v1/brands";
const BULK: &str = "/api/v1/products/bulk-import";
const KIB: usize = 1024;

/// A body without a length, in pieces.
fn chunked(pieces: usize, piece: Bytes) -> Body {
    Body::wrap_stream(futures::stream::iter(
        (0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
    ))
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * KIB
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_long_is_refused_with_and_without_a_length() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_BODY_BULK", "1048576")]).await;
    let user = gateway.user(&["*"]);
    for (path, limit) in [(NORMAL, 256 * KIB), (BULK, 1024 * KIB)] {
        let post = |body: Body| user.request(Method::POST, path).body(body);
        let exact = send(post(vec![b'x'; limit].into())).await.expect(201);
        assert_eq!(exact.body["length"], limit);
        let before = fleet.seen().len();
        assert_problem(
            &send(post(vec![b'x'; limit + 1].into())).await,
            413,
            "TOO_LARGE",
        );
        assert_eq!(
            fleet.seen().len(),
            before,
            "nothing of it reaches a service"
        );
        let exact = send(post(chunked(limit / KIB, CHUNK.slice(..KIB))))
            .await
            .expect(201);
        assert_eq!(exact.body["length"], limit);
        // One byte more, and eight times more than allowed.
        let one_more = futures::stream::iter(
            [CHUNK.slice(..limit), CHUNK.slice(..1)].map(Ok::<_, std::io::Error>),
        );
        for body in [
            Body::wrap_stream(one_more),
            chunked(8, CHUNK.slice(..limit)),
        ] {
            let refused = send(post(body)).await;
            assert_problem(&refused, 413, "TOO_LARGE");
            assert!(
                refused.text_at("detail").contains(&limit.to_string()),
                "{}",
                refused.text
            );
        }
    }
    user.get(NORMAL).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_TIME_NORMAL_MS", "200")]).await;
    let token = gateway.user(&["*"]).token.unwrap();
    let head = format!(
        "POST {NORMAL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\nabc"
    );
    let answer = gateway.raw(head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("BODY_TIMEOUT"),
        "{answer}"
    );
    assert!(fleet.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_continue_is_answered_here() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let token = gateway.user(&["*"]).token.unwrap();
    let request = format!(
        "POST {NORMAL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n\
         Connection: close\r\nContent-Length: 3\r\n\r\nabc"
    );
    let answer = gateway.raw(request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 ") && answer.contains("HTTP/1.1 201 "),
        "{answer}"
    );
    assert_eq!(fleet.only().header("expect"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_half_way_leaves_no_whole_request_behind() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let token = user.token.clone().unwrap();
    for path in [NORMAL, BULK] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9\r\n\r\nabc"
        );
        let mut socket = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        drop(socket);
    }
    user.get(NORMAL).await.expect(201);
    assert!(
        fleet
            .seen()
            .iter()
            .all(|s| s.method == "GET" || s.target == BULK)
    );
}

/// Sends `count` megabytes, and tells the largest growth of memory on the way.
async fn growth_while_sending(gateway: &Gateway, count: usize) -> usize {
    let user = gateway.user(&["*"]);
    let start = resident();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let pieces = futures::stream::iter(0..count).map(move |_| {
        seen.fetch_max(resident().saturating_sub(start), Ordering::Relaxed);
        Ok::<_, std::io::Error>(CHUNK)
    });
    let reply = send(
        user.request(Method::POST, BULK)
            .body(Body::wrap_stream(pieces)),
    )
    .await
    .expect(201);
    assert_eq!(reply.body["length"], count << 20);
    most.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_bodies_pass_both_ways_in_constant_memory() {
    const MEGABYTES: usize = 48;
    const ALLOWED: usize = 24 << 20;
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    growth_while_sending(&gateway, 4).await;
    let grown = growth_while_sending(&gateway, MEGABYTES).await;
    assert!(grown < ALLOWED, "{grown} bytes more while sending");
    assert_eq!(fleet.seen()[0].header("transfer-encoding"), "chunked");

    let user = gateway.user(&["*"]);
    let start = resident();
    let request = user.request(Method::GET, &format!("{BULK}?megabytes={MEGABYTES}"));
    let mut answer = request.send().await.unwrap().bytes_stream();
    let (mut length, mut most) = (0, 0);
    while let Some(piece) = answer.next().await {
        length += piece.unwrap().len();
        most = most.max(resident().saturating_sub(start));
    }
    assert_eq!(length, MEGABYTES << 20);
    assert!(most < ALLOWED, "{most} bytes more while receiving");
}
