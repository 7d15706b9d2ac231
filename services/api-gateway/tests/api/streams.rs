//! What passes in pieces: a gigabyte both ways, events, answers made shorter.

use std::{io::Read, time::Duration};

use bahi_testkit::{eventually, most_resident};
use futures::StreamExt;
use reqwest::{Body, Method, Response};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::{CHUNK, Fleet, Gateway, Person, Process, assert_problem, send, text};

const BRANDS: &str = "/api/v1/brands";
const BULK: &str = "/api/v1/products/bulk-import";

fn gigabyte() -> Body {
    const MEGABYTES: usize = 1024;
    Body::wrap_stream(futures::stream::iter(
        (0..MEGABYTES).map(|_| Ok::<_, std::io::Error>(CHUNK)),
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_both_ways_and_the_process_does_not_grow() {
    const ALLOWED: usize = 64 << 20;
    let fleet = Fleet::start().await;
    let settings = [
        ("BAHI_BODY_BULK", "2147483648"),
        // Less than a gigabyte takes: it is the pieces that have to come in time.
        ("BAHI_TIME_BULK_MS", "30000"),
    ];
    let process = Process::start(&fleet, &settings).await;
    let pid = process.child.id().unwrap();
    let user = process.somebody();
    user.get(&format!("{BULK}?megabytes=2")).await.expect(200);
    let before = most_resident(pid);
    let sent = send(user.request(Method::POST, BULK).body(gigabyte())).await;
    assert_eq!(sent.expect(201).body["length"], 1 << 30);
    let up = most_resident(pid).saturating_sub(before);
    assert!(up < ALLOWED, "{up} bytes more while sending");
    let request = user.request(Method::GET, &format!("{BULK}?megabytes=1024"));
    let mut answer = request.send().await.unwrap().bytes_stream();
    let mut length = 0;
    while let Some(piece) = answer.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, 1 << 30);
    let down = most_resident(pid).saturating_sub(before);
    assert!(down < ALLOWED, "{down} bytes more while receiving");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_pieces_may_take_long_as_long_as_pieces_come() {
    let fleet = Fleet::start().await;
    let settings = [
        ("BAHI_TIME_BULK_MS", "2000"),
        ("BAHI_STREAM_IDLE_MS", "3000"),
    ];
    let gateway = fleet.gateway(&settings).await;
    let user = gateway.user(&["*"]);
    let slowly = |pieces: usize| {
        Body::wrap_stream(futures::stream::unfold(0, move |n| async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            (n < pieces).then(|| (Ok::<_, std::io::Error>(CHUNK.slice(..32_768)), n + 1))
        }))
    };
    // Twice as long as an answer may take.
    let sent = send(user.request(Method::POST, BULK).body(slowly(10))).await;
    assert_eq!(sent.expect(201).body["length"], 327_680);
    assert_eq!(fleet.only().header("x-request-timeout-ms"), "");
    let never = Body::wrap_stream(futures::stream::pending::<std::io::Result<&[u8]>>());
    let refused = send(user.request(Method::POST, BULK).body(never)).await;
    assert_problem(&refused, 408, "BODY_TIMEOUT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_break_off_do_not_bring_a_service_down() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[("BAHI_LIMIT_BULK", "1000/1000"), ("BAHI_BODY_BULK", "1000")])
        .await;
    let user = gateway.user(&["*"]);
    let token = user.token.as_deref().unwrap();
    let head = format!(
        "POST {BULK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 900\r\n\r\nabc"
    );
    let begun = || fleet.seen().iter().filter(|s| s.method == "POST").count();
    for n in 1..=30 {
        let mut socket = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        eventually(|| async { (begun() == n).then_some(()) }).await;
        drop(socket);
    }
    for _ in 0..30 {
        let long = Body::wrap_stream(futures::stream::iter(
            (0..2).map(|_| Ok::<_, std::io::Error>(CHUNK.slice(..900))),
        ));
        let refused = send(user.request(Method::POST, BULK).body(long)).await;
        assert_problem(&refused, 413, "TOO_LARGE");
    }
    user.get(BRANDS).await.expect(201);
    let health = gateway.stranger().get("/health/ready").await.expect(200);
    assert_eq!(health.body["endpoints"]["product"], json!(["up"]));
}

/// A stream of events, and what has come of it.
struct Events {
    answer: Response,
    come: String,
}

impl Events {
    async fn open(user: &Person) -> Self {
        let request = user.request(Method::GET, &format!("{BRANDS}?events"));
        let request = request.header("accept-encoding", "gzip, br, zstd");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("content-encoding").is_none());
        Self {
            answer,
            come: String::new(),
        }
    }

    async fn until(&mut self, what: &str) {
        let comes = async {
            while !self.come.contains(what) {
                let piece = self.answer.chunk().await.unwrap().expect("it goes on");
                self.come.push_str(std::str::from_utf8(&piece).unwrap());
            }
        };
        let comes = tokio::time::timeout(Duration::from_secs(30), comes);
        comes.await.expect("the event comes");
    }

    async fn ends(mut self) {
        let end = async { while let Ok(Some(_)) = self.answer.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(30), end)
            .await
            .expect("it ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_passes_at_once_and_a_stream_of_them_ends_with_the_session() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_TIME_NORMAL_MS", "2000")]).await;
    let user = gateway.user(&["*"]);
    let mut events = Events::open(&user).await;
    // The service does not say the next before the last has come: nothing is held back.
    for n in 0..5 {
        events.until(&format!("data: {n}\n\n")).await;
        // Longer in all than the head of an answer may take.
        tokio::time::sleep(Duration::from_millis(500)).await;
        fleet.desk.released.notify_one();
    }
    let session = user.claims.sid;
    *fleet.desk.revocations.lock() = json!({ "sessions": [session], "users": [] });
    events.ends().await;
    let open = gateway.operator().get("/metrics").await.text;
    assert!(open.contains("gateway_websockets{"), "they are counted");
    // Nobody's session that lives is touched.
    let mut others = Events::open(&gateway.user(&["*"])).await;
    others.until("data: 0\n\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_in_which_nothing_happens_is_ended_and_so_is_one_of_a_gateway_that_stops()
 {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_STREAM_IDLE_MS", "500")]).await;
    Events::open(&gateway.user(&["*"])).await.ends().await;
    let gateway = fleet.gateway(&[]).await;
    let mut events = Events::open(&gateway.user(&["*"])).await;
    events.until("data: 0\n\n").await;
    let stops = tokio::spawn(gateway.edge.running.stop());
    events.ends().await;
    tokio::time::timeout(Duration::from_secs(10), stops)
        .await
        .expect("nothing is waited for")
        .unwrap();
}

fn read(coding: &str, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    match coding {
        "zstd" => zstd::stream::copy_decode(bytes, &mut out).unwrap(),
        "br" => brotli::BrotliDecompress(&mut &*bytes, &mut out).unwrap(),
        "gzip" => {
            let mut decoder = flate2::read::GzDecoder::new(bytes);
            decoder.read_to_end(&mut out).unwrap();
        }
        _ => out.extend_from_slice(bytes),
    }
    String::from_utf8(out).unwrap()
}

/// The coding and the whole of an answer, and whether it varies by what is accepted.
async fn got(request: reqwest::RequestBuilder, accept: &str) -> (String, Vec<u8>, bool) {
    let answer = request.header("accept-encoding", accept).send().await;
    let answer = answer.unwrap();
    let all = |name: &str| {
        let all = answer.headers().get_all(name).iter();
        let all: Vec<&str> = all.map(|v| v.to_str().unwrap()).collect();
        all.join(", ")
    };
    let (coding, varies) = (
        all("content-encoding"),
        all("vary").contains("accept-encoding"),
    );
    (coding, answer.bytes().await.unwrap().to_vec(), varies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_are_made_shorter_for_clients_that_can_read_them() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let get = |query: &str| user.request(Method::GET, &format!("{BRANDS}?{query}"));
    for coding in ["zstd", "br", "gzip"] {
        for query in ["text=20000", "text=300000", "pieces=300000"] {
            let (said, bytes, varies) = got(get(query), coding).await;
            assert_eq!(said, coding);
            let length = query.split_once('=').unwrap().1.parse().unwrap();
            assert!(bytes.len() < length / 10, "{query}: {}", bytes.len());
            assert!(read(coding, &bytes) == text(length), "{coding} {query}");
            assert!(varies);
        }
    }
    // Who accepts nothing is told that others may get something else.
    let (said, bytes, varies) = got(get("text=20000"), "identity").await;
    assert_eq!((said.as_str(), bytes.len(), varies), ("", 20_000, true));
    for (query, why) in [
        ("text=1000", "short"),
        ("megabytes=1", "of no known kind"),
        ("", "a version"),
    ] {
        let (said, _, varies) = got(get(query), "gzip").await;
        assert_eq!((said.as_str(), varies), ("", false), "{why}");
    }
    let (said, ..) = got(
        user.request(Method::POST, &format!("{BRANDS}?text=20000")),
        "gzip",
    )
    .await;
    assert_eq!(said, "", "what changes something is answered as it is");
    for secret in [
        "/api/v1/auth/sessions",
        "/api/v1/api-keys",
        "/.well-known/jwks.json/x",
    ] {
        let (said, bytes, _) = got(
            user.request(Method::GET, &format!("{secret}?text=20000")),
            "gzip",
        )
        .await;
        assert_eq!((said.as_str(), bytes.len()), ("", 20_000), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_under_way_until_its_last_piece_has_passed() {
    let fleet = Fleet::start().await;
    let gateway: Gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let inflight = async || {
        let page = gateway.operator().get("/configz").await;
        page.body["upstreams"]["product"]["endpoints"][0]["inflight"].clone()
    };
    let request = user.request(Method::GET, &format!("{BULK}?megabytes=64"));
    let mut answer = request.send().await.unwrap();

    assert!(answer.chunk().await.unwrap().is_some());
    assert_eq!(inflight().await, 1);
    drop(answer);
    eventually(|| async { (inflight().await == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_reads_is_given_up_and_is_not_taken_for_a_whole_one() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_STREAM_IDLE_MS", "1000")]).await;
    let user = gateway.user(&["*"]);
    let inflight = async || {
        let page = gateway.operator().get("/configz").await;
        page.body["upstreams"]["product"]["endpoints"][0]["inflight"].clone()
    };
    let request = user.request(Method::GET, &format!("{BULK}?megabytes=256"));
    let answer = request.send().await.unwrap();
    eventually(|| async { (inflight().await == 0).then_some(()) }).await;
    assert!(answer.bytes().await.is_err(), "it breaks off");
    // One that is read is whole.
    let request = user.request(Method::GET, &format!("{BULK}?megabytes=2"));
    assert_eq!(
        request.send().await.unwrap().bytes().await.unwrap().len(),
        2 << 20
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_streams_of_events_and_no_more() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_WEBSOCKETS_PER_USER", "2")]).await;
    let user = gateway.user(&["*"]);
    let first = Events::open(&user).await;
    let _second = Events::open(&user).await;
    let third = user.get(&format!("{BRANDS}?events")).await;
    assert_problem(&third, 429, "TOO_MANY_WEBSOCKETS");
    drop(first);
    // That a client is gone shows when something is said to it.
    eventually(|| async {
        fleet.desk.released.notify_waiters();
        let request = user.request(Method::GET, &format!("{BRANDS}?events"));
        let answer = request.send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}
