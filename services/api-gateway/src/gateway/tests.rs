//! Requests under way while the configuration is replaced again and again.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use bahi_http::{Signer, token};
use bahi_register::Class;
use bahi_testkit::{TestEdge, test_env};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use super::*;
use crate::limit::Who;

/// What a service answers to everything.
type Said = Arc<Mutex<String>>;

/// A service that says it, a little late, so that requests are under way.
async fn service(said: &Said) -> SocketAddr {
    let said = said.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answers(socket, said.clone()));
        }
    });
    address
}

async fn answers(mut socket: TcpStream, said: Said) -> std::io::Result<()> {
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
        let said = said.lock().clone();
        let length = said.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{said}");
        socket.write_all(answer.as_bytes()).await?;
    }
}

const CLIENTS: usize = 16;
const EACH: usize = 250;

/// Sends thousands of requests while `change` is done again and again; says how many changes were made and how many
/// requests did not end well.
async fn under_load(change: impl AsyncFn(&Gateway)) -> (usize, usize) {
    let said = Arc::new(Mutex::new("{}".to_owned()));
    let url = format!("http://{}", service(&said).await);
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
    // Nor if it is another file that it names.
    let named = folder.path().join("graph.graphql");
    std::fs::write(&named, "wrong").unwrap();
    write(&format!("[graph]\nsupergraph = '{}'", named.display()));
    look().await;
    look().await;
    let second = gateway.standing().1.unwrap();
    assert_ne!(second.at, first.at);
    for _ in 0..4 {
        assert_eq!(look().await.0, 2);
    }
    assert_eq!(gateway.standing().1.unwrap().at, second.at);
    // Once that file is another one it is.
    let here = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../proto/graphql/supergraph.graphql"
    );
    std::fs::copy(here, &named).unwrap();
    look().await;
    assert_eq!(look().await.0, 3);
    assert!(gateway.standing().1.is_none());
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
        let tickets = Arc::ptr_eq(&a.tickets, &b.tickets);
        (tickets, upstream("sales"), upstream("product"), plans)
    };
    let sales = "[upstreams.sales]\nmax_inflight = 7\n";
    assert_eq!(next("").await, (true, true, true, true));
    assert_eq!(next(sales).await, (true, false, true, true));
    let classes = format!("{sales}[classes.normal]\nrate = '1/1'\n");
    assert_eq!(next(&classes).await, (true, true, true, true));
    let graph = format!("{classes}[graph]\nmode = 'development'");
    assert_eq!(next(&graph).await, (true, true, true, false));
    let redis = format!("{graph}\n[redis]\npatience = '90ms'");
    assert_eq!(next(&redis).await, (false, true, true, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_up_is_not_there_again_in_a_new_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[classes.normal]\nrate = '1/90'").unwrap();
    let settings = [
        ("BAHI_CONFIG_FILE", file.to_str().unwrap()),
        ("BAHI_REDIS", ""),
        ("BAHI_JOBS", "off"),
    ];
    let edge = TestEdge::start(crate::app(), &settings).await;
    let gateway = &edge.running.state;
    let who = Who::Address([192, 0, 2, 7].into());
    let count = async || {
        let limits = gateway.now().0.limits.clone();
        limits.ordinary(Class::Normal, who, None).await.unwrap()
    };
    for _ in 0..90 {
        count().await;
    }
    for (text, limit) in [
        ("[classes.normal]\nrate = '1/90'\nbody = '1KiB'", 90),
        ("[classes.normal]\nrate = '1/80'", 80),
        ("[classes]\nnormal.rate = '1/90'\ntenant = '7/7'", 90),
    ] {
        std::fs::write(&file, text).unwrap();
        gateway.change(true).await;
        assert!(gateway.standing().1.is_none(), "{text}");
        let standing = count().await;
        // A few have filled in meanwhile, on the slowest of machines.
        assert_eq!(standing.limit, limit);
        assert!(standing.remaining < 60, "{standing:?} by {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_withdrawn_is_good_no_longer() {
    let keys = test_env("BAHI_TEST_KEYS");
    let trusted = tempfile::tempdir().unwrap();
    let copy = |name: &str, to: &str| {
        let from = format!("{keys}/public/{name}.pem");
        std::fs::copy(from, trusted.path().join(to)).unwrap();
    };
    copy("identity", "identity.pem");
    copy("sales", "identity.2.pem");
    let said = Arc::new(Mutex::new(String::new()));
    let url = format!("http://{}", service(&said).await);
    let settings = [
        ("BAHI_UPSTREAM_IDENTITY", url.as_str()),
        ("BAHI_TRUST_DIR", trusted.path().to_str().unwrap()),
        ("BAHI_JOBS", "off"),
    ];
    let edge = TestEdge::start(crate::app(), &settings).await;
    let state = edge.running.state.now();
    let signed = |private: &str, kid: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{kid}.pem"));
        std::fs::copy(format!("{keys}/private/{private}.pem"), &file).unwrap();
        let now = Clock::System.now().timestamp();
        let claims = json!({
            "iss": "identity", "aud": token::AUDIENCE_API, "sub": Uuid::now_v7(), "tid": Uuid::now_v7(),
            "iat": now, "exp": now + 900,
        });
        let signer = Signer::from_file(&file).unwrap();
        signer.sign(token::ACCESS, &claims).unwrap()
    };
    let good = |token: &str| state.0.auth.verified(token).is_ok();
    // Sales' key plays identity's second, which is in the folder, and its third, which identity publishes.
    let (filed, published) = (signed("sales", "identity.2"), signed("sales", "identity.3"));
    let pem = std::fs::read_to_string(format!("{keys}/public/sales.pem")).unwrap();
    let der: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let der = STANDARD.decode(der).unwrap();
    let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
    let says = |keys: serde_json::Value| *said.lock() = json!({ "keys": keys }).to_string();
    says(json!([{ "kid": "identity.3", "x": x }]));
    state.refresh_keys().await.unwrap();
    assert!(good(&filed) && good(&published));
    // What cannot be read withdraws nothing.
    says(json!("nothing"));
    state.refresh_keys().await.unwrap_err();
    says(json!([{ "kid": "identity.3", "x": "wrong" }]));
    state.refresh_keys().await.unwrap_err();
    assert!(good(&signed("sales", "identity.3")));
    // Whose token was good a moment ago is refused as well.
    says(json!([]));
    state.refresh_keys().await.unwrap();
    assert!(good(&filed) && !good(&published));
    // Another key by the same name is another key; and the folder does not wait for identity.
    says(json!("nothing"));
    copy("identity", "identity.2.pem");
    state.refresh_keys().await.unwrap_err();
    assert!(!good(&filed) && good(&signed("identity", "identity.2")));
    std::fs::remove_file(trusted.path().join("identity.2.pem")).unwrap();
    state.refresh_keys().await.unwrap_err();
    assert!(!good(&signed("identity", "identity.2")));
    std::fs::remove_dir_all(trusted.path()).unwrap();
    state.refresh_keys().await.unwrap_err();
    assert!(good(&signed("identity", "identity")));
}
