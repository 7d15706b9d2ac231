//! Requests under way while the configuration is replaced again and again.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use bahi_testkit::TestEdge;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A service that says yes to everything, a little late, so that requests are under way.
async fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(yes(socket));
        }
    });
    address
}

async fn yes(mut socket: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            match socket.read(&mut piece).await? {
                0 => return Ok(()),
                n => head.extend_from_slice(&piece[..n]),
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        socket.write_all(answer).await?;
    }
}

const CLIENTS: usize = 16;
const EACH: usize = 250;

/// Sends thousands of requests while `change` is done again and again; says how many changes were made and how many
/// requests did not end well.
async fn under_load(change: impl AsyncFn(&Gateway)) -> (usize, usize) {
    let url = format!("http://{}", service().await);
    let settings = [
        ("BAHI_UPSTREAM_IDENTITY", url.as_str()),
        ("BAHI_LIMIT_NORMAL", "1000000/1000000"),
        ("BAHI_JOBS", "off"),
    ];
    let edge = TestEdge::start(crate::app(), &settings).await;
    let (wrong, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..CLIENTS {
        let (wrong, running) = (wrong.clone(), running.clone());
        let url = format!("{}/.well-known/jwks.json", edge.url());
        running.fetch_add(1, SeqCst);
        tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            for _ in 0..EACH {
                let answer = http.get(&url).send().await;
                let well = answer.is_ok_and(|answer| answer.status().is_success());
                wrong.fetch_add(usize::from(!well), SeqCst);
            }
            running.fetch_sub(1, SeqCst);
        });
    }
    let mut changes = 0;
    while running.load(SeqCst) > 0 {
        change(&edge.running.state).await;
        changes += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (changes, wrong.load(SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_configuration_is_replaced_under_load() {
    let (changes, wrong) = under_load(async |gateway| gateway.change(true).await).await;
    assert!(changes >= 10, "{changes} changes");
    assert_eq!(wrong, 0, "of {} requests", CLIENTS * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_clears_its_routes_before_the_new_ones_are_there_is_found_out() {
    let clears = async |gateway: &Gateway| {
        let build = || {
            let gateway = gateway.clone();
            tokio::task::spawn_blocking(move || gateway.build(true).unwrap().unwrap())
        };
        let process = &gateway.0;
        let mut empty = build().await.unwrap().with(&process.lasting, 0);
        empty.targets.clear();
        process.now.store(Arc::new(empty));
        let new = build().await.unwrap().with(&process.lasting, 0);
        process.now.store(Arc::new(new));
    };
    let (_, wrong) = under_load(clears).await;
    assert!(wrong > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_written_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[classes.normal]\nbody = '1KiB'");
    let settings = [
        ("BAHI_CONFIG_FILE", file.to_str().unwrap()),
        ("BAHI_JOBS", "off"),
    ];
    let edge = TestEdge::start(crate::app(), &settings).await;
    let gateway = &edge.running.state;
    let look = async || {
        gateway.follow().await.unwrap();
        let state = gateway.now();
        let limits = state.0.config.classes[&bahi_register::Class::Normal];
        (state.0.generation, limits.body)
    };
    assert_eq!(look().await, (1, 1024));
    // As an editor may write it: empty, half, whole. Each of them could be served.
    write("");
    assert_eq!(look().await, (1, 1024));
    write("[classes.normal]");
    assert_eq!(look().await, (1, 1024));
    write("[classes.normal]\nbody = '2KiB'");
    assert_eq!(look().await, (1, 1024));
    assert_eq!(look().await, (2, 2048));
    assert_eq!(look().await, (2, 2048));
    // What was refused is not tried again and again.
    write("wrong");
    look().await;
    look().await;
    let first = gateway.standing().1.unwrap();
    look().await;
    assert_eq!(gateway.standing().1.unwrap().at, first.at);
    assert_eq!(look().await, (2, 2048));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_the_same_in_a_new_configuration_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("");
    let settings = [
        ("BAHI_CONFIG_FILE", file.to_str().unwrap()),
        ("BAHI_JOBS", "off"),
    ];
    let edge = TestEdge::start(crate::app(), &settings).await;
    let gateway = &edge.running.state;
    let next = async |text: &str| {
        let before = gateway.now();
        write(text);
        gateway.change(true).await;
        let after = gateway.now();
        assert_eq!(after.0.generation, before.0.generation + 1);
        let (a, b) = (&before.0, &after.0);
        let upstream = |name: &str| Arc::ptr_eq(&a.upstreams[name], &b.upstreams[name]);
        let plans = Arc::ptr_eq(&a.graph.plans, &b.graph.plans);
        let buckets = Arc::ptr_eq(&a.limits, &b.limits);
        (buckets, upstream("sales"), upstream("product"), plans)
    };
    let sales = "[upstreams.sales]\nmax_inflight = 7\n";
    assert_eq!(next("").await, (true, true, true, true));
    assert_eq!(next(sales).await, (true, false, true, true));
    let classes = format!("{sales}[classes.normal]\nrate = '1/1'\n");
    assert_eq!(next(&classes).await, (false, true, true, true));
    let graph = format!("{classes}[graph]\nmode = 'development'");
    assert_eq!(next(&graph).await, (true, true, true, false));
}
