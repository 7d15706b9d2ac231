//! Endpoints that answer, fail, hang up or keep silent, and what they see of requests.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use bahi_http::TIME_LEFT;
use bytes::Bytes;
use hyper::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;
use crate::config::Span;

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Answers(u16),
    HangsUp,
    Silent,
    /// Answers 200, after a while.
    Late,
}

/// An endpoint that counts what it sees.
struct Recorder {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
    ready: Arc<AtomicBool>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, manner)
    }

    fn on(listener: TcpListener, manner: Manner) -> Self {
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            ready: Arc::new(AtomicBool::new(true)),
            heads: Arc::default(),
        };
        let (seen, ready, heads) = (
            recorder.seen.clone(),
            recorder.ready.clone(),
            recorder.heads.clone(),
        );
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let treat = treat(socket, manner, seen.clone(), ready.clone(), heads.clone());
                tokio::spawn(treat);
            }
        });
        recorder
    }

    fn seen(&self) -> usize {
        self.seen.load(SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn treat(
    mut socket: TcpStream,
    manner: Manner,
    seen: Arc<AtomicUsize>,
    ready: Arc<AtomicBool>,
    heads: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            match socket.read(&mut piece).await? {
                0 => return Ok(()),
                n => head.extend_from_slice(&piece[..n]),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let check = head.starts_with("GET /readyz ");
        let status = match manner {
            _ if check => 200 + 303 * u16::from(!ready.load(SeqCst)),
            Manner::Answers(status) => status,
            Manner::Late => 200,
            Manner::HangsUp | Manner::Silent => 0,
        };
        if !check {
            seen.fetch_add(1, SeqCst);
            heads.lock().push(head);
        }
        if status == 0 {
            if manner == Manner::Silent {
                std::future::pending::<()>().await;
            }
            return Ok(());
        }
        if manner == Manner::Late && !check {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
        socket.write_all(answer.as_bytes()).await?;
    }
}

/// A port that nobody listens on.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn upstream(urls: &[String], with: impl FnOnce(&mut Settings)) -> Arc<Upstream> {
    let mut settings = Settings {
        urls: urls.to_vec(),
        ..Settings::default()
    };
    with(&mut settings);
    Arc::new(Upstream::new("test", settings, None).unwrap())
}

async fn send(to: &Arc<Upstream>, method: &str, again: Again) -> Result<u16, Failure> {
    send_within(to, method, again, Duration::from_secs(30)).await
}

async fn send_within(
    to: &Arc<Upstream>,
    method: &str,
    again: Again,
    time: Duration,
) -> Result<u16, Failure> {
    send_to(to, "/thing", method, again, time).await
}

async fn send_to(
    to: &Arc<Upstream>,
    path: &str,
    method: &str,
    again: Again,
    time: Duration,
) -> Result<u16, Failure> {
    let make = |endpoint: &Endpoint, left: Option<Duration>| {
        let request = Request::builder()
            .method(method)
            .uri(endpoint.uri(path).unwrap())
            .header(TIME_LEFT, left.unwrap().as_millis().to_string())
            .body(full(Bytes::from_static(b"body")));
        Some(request.map_err(|e| e.to_string()))
    };
    let answer = to.exchange(again, Instant::now() + time, Wanted::Whole(100), None, make);
    Ok(answer.await?.head.status.as_u16())
}

async fn until(what: impl Fn() -> bool) {
    let look = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look)
        .await
        .expect("it comes to pass");
}

#[tokio::test]
async fn a_change_that_was_refused_before_a_byte_was_sent_goes_to_another_endpoint() {
    let good = Recorder::start(Manner::Answers(201)).await;
    let to = upstream(&[nobody().await, good.url()], |_| {});
    for _ in 0..20 {
        assert_eq!(send(&to, "POST", Again::Change).await.unwrap(), 201);
    }
    assert_eq!(good.seen(), 20);
}

/// Sends changes to endpoints that take them and hang up; says how often each of them was seen.
async fn changes_seen(again: Again) -> (usize, usize) {
    let (a, b) = (
        Recorder::start(Manner::HangsUp).await,
        Recorder::start(Manner::HangsUp).await,
    );
    let to = upstream(&[a.url(), b.url()], |s| s.outlier.consecutive = 1_000);
    for _ in 0..8 {
        let answer = send(&to, "POST", again).await;
        assert!(matches!(answer, Err(Failure::Broken(_))), "{answer:?}");
    }
    (8, a.seen() + b.seen())
}

#[tokio::test]
async fn a_change_that_may_have_been_seen_is_not_sent_again() {
    let (sent, seen) = changes_seen(Again::Change).await;
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn a_gateway_that_repeats_changes_is_found_out() {
    let (sent, seen) = changes_seen(Again::Read).await;
    assert_ne!(seen, sent);
}

#[tokio::test]
async fn a_read_goes_to_another_endpoint_when_the_first_breaks_or_is_silent() {
    for manner in [Manner::HangsUp, Manner::Silent] {
        let (bad, good) = (
            Recorder::start(manner).await,
            Recorder::start(Manner::Answers(200)).await,
        );
        let to = upstream(&[bad.url(), good.url()], |_| {});
        for _ in 0..8 {
            let time = Duration::from_secs(4);
            let answer = send_within(&to, "GET", Again::Read, time).await;
            assert_eq!(answer.unwrap(), 200, "{manner:?}");
        }
        assert_eq!(good.seen(), 8);
        assert!(bad.seen() >= 1, "{manner:?}");
    }
}

#[tokio::test]
async fn repetitions_are_a_tenth_of_the_requests() {
    let bad = Recorder::start(Manner::HangsUp).await;
    let to = upstream(&[bad.url()], |s| {
        s.breaker.min_requests = 10_000;
        s.retry.floor = 0;
    });
    // All within the window of ten seconds, unless the machine is very slow: then fewer are granted, never more.
    for _ in 0..100 {
        assert!(send(&to, "GET", Again::Read).await.is_err());
    }
    assert!((101..=110).contains(&bad.seen()), "{}", bad.seen());
}

#[tokio::test]
async fn what_is_left_of_the_time_is_told_and_shared_between_tries() {
    let (a, b) = (
        Recorder::start(Manner::Silent).await,
        Recorder::start(Manner::Silent).await,
    );
    let to = upstream(&[a.url(), b.url()], |_| {});
    let started = Instant::now();
    let time = Duration::from_secs(2);
    let answer = send_within(&to, "GET", Again::Read, time).await;
    assert!(matches!(answer, Err(Failure::Slow)), "{answer:?}");
    assert!(started.elapsed() >= time);
    let told = |recorder: &Recorder| {
        let heads = recorder.heads.lock();
        assert_eq!(heads.len(), 1, "each is asked once");
        let told = heads[0].split_once(TIME_LEFT).unwrap().1;
        let told = told.trim_start_matches(':').trim_start();
        told[..told.find('\r').unwrap()].parse::<u64>().unwrap()
    };
    let mut told = [told(&a), told(&b)];
    told.sort_unstable();
    assert!((1..=1_000).contains(&told[0]), "{told:?}");
    assert!((1_001..=2_000).contains(&told[1]), "{told:?}");
    // Nobody else could be asked about a change: it gets all of the time, and is sent once.
    let answer = send_within(&to, "POST", Again::Change, Duration::from_millis(300)).await;
    assert!(matches!(answer, Err(Failure::Slow)), "{answer:?}");
    assert_eq!(a.seen() + b.seen(), 3);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_out_and_never_the_last() {
    let (bad, good) = (
        Recorder::start(Manner::Answers(500)).await,
        Recorder::start(Manner::Answers(200)).await,
    );
    let to = upstream(&[bad.url(), good.url()], |s| {
        s.outlier.consecutive = 3;
        s.outlier.eject = Span::secs(600);
        s.outlier.longest = Span::secs(600);
        s.breaker.min_requests = 10_000;
    });
    for _ in 0..200 {
        send(&to, "GET", Again::Change).await.unwrap();
    }
    assert_eq!(bad.seen(), 3);
    let standing = |of: &Recorder| {
        let of = of.address.to_string();
        let set = to.endpoints();
        let found = set.iter().find(|e| e.authority.as_str() == of);
        found.unwrap().standing()
    };
    assert_eq!(
        (standing(&bad), standing(&good)),
        (Standing::Ejected, Standing::Up)
    );
    let (one, two) = (
        Recorder::start(Manner::Answers(500)).await,
        Recorder::start(Manner::Answers(500)).await,
    );
    let to = upstream(&[one.url(), two.url()], |s| {
        s.outlier.consecutive = 3;
        s.breaker.min_requests = 10_000;
    });
    for _ in 0..50 {
        assert_eq!(send(&to, "GET", Again::Change).await.unwrap(), 500);
    }
    assert_eq!(one.seen() + two.seen(), 50);
}

#[tokio::test]
async fn a_breaker_gives_the_only_endpoint_a_rest_and_tries_it_again() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let listener = TcpListener::bind(address).await.unwrap();
    let bad = Recorder::on(listener, Manner::Answers(503));
    let to = upstream(&[bad.url()], |s| {
        s.breaker.min_requests = 10;
        s.breaker.open = Span::millis(200);
        s.breaker.half_open = 2;
    });
    for _ in 0..10 {
        assert_eq!(send(&to, "GET", Again::Change).await.unwrap(), 503);
    }
    assert_eq!(to.endpoints()[0].standing(), Standing::Resting);
    let mut refused = 0;
    // It is tried after each rest, with one request: the first fails, and it rests again.
    while bad.seen() < 13 {
        match send(&to, "GET", Again::Change).await {
            Ok(status) => assert_eq!(status, 503),
            Err(Failure::Away) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn nobody_is_asked_nor_blamed_when_no_time_is_left() {
    let (a, b) = (
        Recorder::start(Manner::Answers(200)).await,
        Recorder::start(Manner::Answers(200)).await,
    );
    let to = upstream(&[a.url(), b.url()], |s| {
        s.outlier.consecutive = 1;
        s.breaker.min_requests = 5;
        // However little time blames somebody.
        s.connect = Span::millis(0);
    });
    for again in [Again::Read, Again::Change] {
        for _ in 0..20 {
            let answer = send_within(&to, "GET", again, Duration::ZERO).await;
            assert!(matches!(answer, Err(Failure::Slow)), "{answer:?}");
        }
    }
    for endpoint in to.endpoints().iter() {
        assert_eq!(endpoint.standing(), Standing::Up);
        assert_eq!(endpoint.inflight(), 0);
    }
    assert_eq!(a.seen() + b.seen(), 0);
}

#[tokio::test]
async fn an_endpoint_is_blamed_for_its_silence_only_by_who_had_time_to_wait() {
    let silent = Recorder::start(Manner::Silent).await;
    let to = upstream(&[silent.url()], |s| {
        s.connect = Span::millis(300);
        s.breaker.min_requests = 3;
        s.breaker.open = Span::secs(600);
    });
    // Connecting alone may take longer than the first of them wait.
    for (time, standing) in [(30, Standing::Up), (600, Standing::Resting)] {
        for _ in 0..3 {
            let time = Duration::from_millis(time);
            let answer = send_within(&to, "GET", Again::Read, time).await;
            assert!(matches!(answer, Err(Failure::Slow)), "{answer:?}");
        }
        assert_eq!(to.endpoints()[0].standing(), standing);
        assert_eq!(to.endpoints()[0].inflight(), 0);
    }
}

#[tokio::test]
async fn one_more_than_may_be_under_way_is_refused_at_once() {
    let silent = Recorder::start(Manner::Silent).await;
    let to = upstream(&[silent.url()], |s| s.max_inflight = 4);
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let to = to.clone();
            tokio::spawn(async move { send(&to, "GET", Again::Change).await })
        })
        .collect();
    until(|| silent.seen() == 4).await;
    assert_eq!(to.endpoints()[0].inflight(), 4);
    let answer = send(&to, "GET", Again::Read).await;
    assert!(matches!(answer, Err(Failure::Full)), "{answer:?}");
    assert_eq!(silent.seen(), 4);
    // A client that goes away leaves its place.
    for one in waiting {
        one.abort();
    }
    until(|| to.endpoints()[0].inflight() == 0).await;
    let time = Duration::from_millis(50);
    let answer = send_within(&to, "GET", Again::Change, time).await;
    assert!(matches!(answer, Err(Failure::Slow)), "{answer:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_ready_gets_nothing_until_it_is() {
    let (a, b) = (
        Recorder::start(Manner::Answers(200)).await,
        Recorder::start(Manner::Answers(200)).await,
    );
    let to = upstream(&[a.url(), b.url()], |s| {
        s.health.interval = Span::millis(10);
    });
    let standing = |n: usize| to.endpoints()[n].standing();
    let tended = async {
        loop {
            to.tend();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let story = async {
        a.ready.store(false, SeqCst);
        until(|| standing(0) == Standing::Down).await;
        for _ in 0..20 {
            send(&to, "GET", Again::Read).await.unwrap();
        }
        assert_eq!((a.seen(), b.seen()), (0, 20));
        a.ready.store(true, SeqCst);
        until(|| standing(0) == Standing::Up).await;
        while a.seen() == 0 {
            send(&to, "GET", Again::Read).await.unwrap();
        }
        // Nobody is left: refused without asking.
        a.ready.store(false, SeqCst);
        b.ready.store(false, SeqCst);
        until(|| !to.is_up()).await;
        let answer = send(&to, "GET", Again::Read).await;
        assert!(matches!(answer, Err(Failure::Away)), "{answer:?}");
    };
    tokio::select! {
        () = tended => {}
        () = story => {}
    }
}

#[tokio::test]
async fn a_name_is_the_addresses_behind_it_and_keeps_the_last_when_it_cannot_be_resolved() {
    let book: Mutex<HashMap<&str, Vec<&str>>> = Mutex::new(HashMap::new());
    let resolve = async |name: String, port: u16| {
        let known = book.lock().get(name.as_str()).cloned();
        let known = known.ok_or_else(|| io::Error::other("no such name"))?;
        let addresses = known
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        Ok(addresses.collect::<Vec<_>>())
    };
    let to = upstream(&["http://sales:8003".to_owned()], |s| {
        s.discover = Discover::Dns;
    });
    let names = || {
        let mut names: Vec<String> = to
            .endpoints()
            .iter()
            .map(|e| e.authority.to_string())
            .collect();
        names.sort();
        names
    };
    to.discover(resolve).await;
    assert!(names().is_empty() && !to.is_up());
    book.lock().insert("sales", vec!["10.0.0.1", "10.0.0.2"]);
    to.discover(resolve).await;
    assert_eq!(names(), ["10.0.0.1:8003", "10.0.0.2:8003"]);
    let first = to.endpoints()[0].clone();
    for _ in 0..3 {
        first
            .state
            .lock()
            .health
            .checked(false, &to.settings.health);
    }
    // Another one comes: what is known of the first stays.
    book.lock().insert("sales", vec!["10.0.0.1", "::1"]);
    to.discover(resolve).await;
    assert_eq!(names(), ["10.0.0.1:8003", "[::1]:8003"]);
    assert!(to.endpoints().iter().any(|e| Arc::ptr_eq(e, &first)));
    assert_eq!(first.standing(), Standing::Down);
    // Neither an unknown name nor an empty answer takes the last addresses away.
    book.lock().insert("sales", vec![]);
    to.discover(resolve).await;
    book.lock().clear();
    to.discover(resolve).await;
    assert_eq!(names(), ["10.0.0.1:8003", "[::1]:8003"]);
}

#[tokio::test]
async fn the_system_resolves_names_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let recorder = Recorder::on(listener, Manner::Answers(200));
    let to = upstream(&[format!("http://localhost:{port}")], |s| {
        s.discover = Discover::Dns;
    });
    to.discover(discover::addresses).await;
    assert_eq!(send(&to, "GET", Again::Read).await.unwrap(), 200);
    assert_eq!(recorder.seen(), 1);
}

#[tokio::test]
async fn other_settings_do_not_make_an_endpoint_well_again() {
    let to = upstream(&["http://127.0.0.1:1".to_owned()], |_| {});
    for _ in 0..3 {
        let set = to.endpoints();
        set[0]
            .state
            .lock()
            .health
            .checked(false, &to.settings.health);
    }
    let settings = Settings {
        max_inflight: 7,
        ..to.settings.clone()
    };
    let heir = Upstream::new("test", settings, Some(&to)).unwrap();
    assert_eq!(heir.endpoints()[0].standing(), Standing::Down);
}

#[test]
fn the_less_busy_of_two_gets_the_request() {
    let mut loads = [0u32; 10];
    for _ in 0..10_000 {
        loads[less_busy(&loads, |load| *load)] += 1;
    }
    let (least, most) = (*loads.iter().min().unwrap(), *loads.iter().max().unwrap());
    // One of ten at random would be hundreds apart.
    assert!(most - least <= 20, "{loads:?}");
}

/// Kills one of two endpoints while reads and changes are under way. Says how many reads failed, and whether a change was
/// seen twice.
async fn killed_under_load(changes: Again) -> (usize, bool) {
    const CLIENTS: usize = 8;
    const EACH: usize = 100;
    let survivor = Recorder::start(Manner::Answers(200)).await;
    // On threads of its own, which take every connection with them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let victim = runtime.spawn(Recorder::start(Manner::Late)).await.unwrap();
    let to = upstream(&[survivor.url(), victim.url()], |_| {});
    let failed = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (to, failed) = (to.clone(), failed.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    let time = Duration::from_secs(30);
                    let read = send_to(&to, "/read", "GET", Again::Read, time).await;
                    failed.fetch_add(usize::from(read.is_err()), SeqCst);
                    let path = format!("/change/{client}/{n}");
                    let change = send_to(&to, &path, "POST", changes, time).await;
                    let known = matches!(change, Ok(200) | Err(Failure::Broken(_)));
                    assert!(known, "{change:?}");
                }
            })
        })
        .collect();
    until(|| victim.seen() > 100).await;
    runtime.shutdown_background();
    for client in clients {
        client.await.unwrap();
    }
    let mut seen: Vec<String> = [&survivor, &victim]
        .iter()
        .flat_map(|recorder| recorder.heads.lock().clone())
        .filter(|head| head.starts_with("POST"))
        .map(|head| head.lines().next().unwrap_or_default().to_owned())
        .collect();
    let all = seen.len();
    seen.sort();
    seen.dedup();
    (failed.load(SeqCst), seen.len() != all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_killed_under_load_costs_no_read_and_doubles_no_change() {
    assert_eq!(killed_under_load(Again::Change).await, (0, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_repeats_changes_doubles_one_when_an_endpoint_is_killed() {
    // Chance decides what is under way at that moment.
    for _ in 0..20 {
        if killed_under_load(Again::Read).await.1 {
            return;
        }
    }
    panic!("no change was doubled");
}
