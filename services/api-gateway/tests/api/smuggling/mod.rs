//! Requests that two parsers might cut differently, against the gateway in front of a service that writes down the bytes it got.
//! `corpus.txt` holds them and what becomes of each (`BAHI_UPDATE=1` writes that anew); what must never happen is asserted
//! whatever stands there.

mod recorder;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Fleet, Gateway};
use recorder::{Recorder, Seen};

const CORPUS: &str = include_str!("corpus.txt");
/// Cases at once.
const LANES: usize = 16;
/// What a service may learn of a request, and no more.
const HEADERS: [&str; 25] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "prefer",
    "range",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-for",
    "x-request-id",
    "x-request-timeout-ms",
];

/// A line of the corpus.
struct Case {
    verdict: &'static str,
    what: &'static str,
    text: &'static str,
}

fn corpus() -> Vec<Case> {
    let lines = CORPUS.lines();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut parts = line.splitn(3, " | ");
            let mut part = || parts.next().unwrap_or_else(|| panic!("{line}"));
            Case {
                verdict: part(),
                what: part(),
                text: part(),
            }
        })
        .collect()
}

/// The bytes of a case.
fn expand(text: &str, n: usize, token: &str) -> Vec<u8> {
    let target = format!("/api/v1/brands/case-{n:04}");
    let auth = format!("Authorization: Bearer {token}");
    let hidden = format!("GET /api/v1/brands/smuggled-{n:04} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut bytes = Vec::new();
    let text = text
        .replace("{post}", "POST {t} HTTP/1.1@Host: x@{a}@")
        .replace("{get}", "GET {t} HTTP/1.1@Host: x@{a}@")
        .replace("{t}", &target)
        .replace("{a}", &auth)
        .replace("{n}", &format!("case-{n:04}"))
        .replace("{len}", &hidden.len().to_string())
        .replace("{hex}", &format!("{:x}", hidden.len()))
        .replace('@', "\\r\\n")
        .replace("{s}", &hidden.replace("\r\n", "\\r\\n"));
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = &rest[at + 1..];
        let (byte, length) = match code.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'0' => (0, 1),
            b'x' => (u8::from_str_radix(&code[1..3], 16).unwrap(), 3),
            other => panic!("\\{}", char::from(other)),
        };
        bytes.push(byte);
        rest = &code[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// An answer of the gateway.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    /// The target that the service has read, where it is the service's answer.
    fn echo(&self) -> Option<&str> {
        self.body.strip_prefix("recorded ")
    }
}

/// The answers in what a connection said. `heads` of them have no body: they answer HEAD.
fn answers(mut said: &[u8], mut heads: usize) -> Vec<Answer> {
    let mut all = Vec::new();
    let shown = String::from_utf8_lossy(said).into_owned();
    while !said.is_empty() {
        let end = said.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("half an answer in {shown}"));
        let head = String::from_utf8(said[..end].to_vec()).unwrap();
        said = &said[end + 4..];
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .or(first.strip_prefix("HTTP/1.0 "));
        let status = status.unwrap_or_else(|| panic!("no answer begins at {first:?} in {shown}"));
        let status: u16 = status[..3].parse().unwrap();
        let header = |name: &str| {
            head.split("\r\n").skip(1).find_map(|line| {
                let (n, v) = line.split_once(": ")?;
                n.eq_ignore_ascii_case(name).then(|| v.to_owned())
            })
        };
        if status == 100 {
            continue;
        }
        let length: usize = match header("content-length") {
            Some(length) => length.parse().unwrap(),
            None if status == 204 => 0,
            None => panic!("an answer without a length in {shown}"),
        };
        let length = if heads > 0 && status < 400 { 0 } else { length };
        heads = heads.saturating_sub(1);
        assert!(said.len() >= length, "an answer breaks off in {shown}");
        all.push(Answer {
            status,
            body: String::from_utf8_lossy(&said[..length]).into_owned(),
        });
        said = &said[length..];
    }
    all
}

/// The gateway, and the service that writes down what it gets.
struct Bench {
    gateway: Gateway,
    recorder: Recorder,
    token: String,
    _fleet: Fleet,
}

impl Bench {
    async fn start() -> Self {
        let fleet = Fleet::start().await;
        let recorder = Recorder::start().await;
        let url = recorder.url();
        let gateway = fleet
            .gateway(&[
                ("BAHI_UPSTREAM_PRODUCT", url.as_str()),
                // Then all that it gets is what we send.
                ("BAHI_JOBS", "off"),
                // A body that never comes is waited for so long.
                ("BAHI_TIME_NORMAL_MS", "1500"),
                ("BAHI_LIMIT_NORMAL", "100000/100000"),
                ("BAHI_REDIS", ""),
            ])
            .await;
        let token = gateway.user(&["*"]).token.unwrap();
        Self {
            gateway,
            recorder,
            token,
            _fleet: fleet,
        }
    }

    fn get(&self, what: &str, n: usize) -> Vec<u8> {
        let token = &self.token;
        format!(
            "GET /api/v1/brands/{what}-{n:04} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .into_bytes()
    }

    async fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.gateway.address()).await.unwrap();
        // The gateway may close before it has read all.
        let _ = socket.write_all(bytes).await;
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        let read = async {
            while let Ok(length @ 1..) = socket.read(&mut piece).await {
                said.extend_from_slice(&piece[..length]);
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read)
            .await
            .unwrap_or_else(|_| panic!("it stays open after {:?}", String::from_utf8_lossy(bytes)));
        said
    }

    /// Sends a case with a canary behind it, and another canary elsewhere. Answers what became of it; fails on what must never be.
    async fn verdict(&self, what: &str, bytes: &[u8], n: usize) -> String {
        let mut all = bytes.to_vec();
        all.extend_from_slice(&self.get("canary", n));
        let said = self.say(&all).await;
        let other = self.say(&self.get("other", n)).await;
        let tag = format!("-{n:04}");
        let shown = || {
            format!(
                "{what}\nsent {:?}\ngot {:?}\nseen {:#?}",
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&said),
                self.recorder.seen(&tag)
            )
        };
        assert_eq!(self.recorder.broken(), Vec::<String>::new(), "{}", shown());
        let seen = self.recorder.seen(&tag);
        for seen in &seen {
            self.assert_rebuilt(seen, &shown);
        }
        // On another connection nobody gets anything but his own.
        let theirs = answers(&other, 0);
        let target = format!("/api/v1/brands/other{tag}");
        let echoed: Vec<_> = theirs.iter().map(Answer::echo).collect();
        assert_eq!(echoed, [Some(target.as_str())], "{}", shown());
        let ours: Vec<&Seen> = seen.iter().filter(|s| s.target != target).collect();

        let heads = usize::from(bytes.starts_with(b"HEAD "));
        let answers = answers(&said, heads);
        let canary = format!("/api/v1/brands/canary{tag}");
        // The service's answers are those to what it has seen, in that order, and the canary's is the last.
        let echoed: Vec<&str> = answers.iter().filter_map(Answer::echo).collect();
        let targets: Vec<&str> = ours.iter().map(|s| s.target.as_str()).collect();
        if heads == 0 {
            let mut rest = targets.iter();
            let in_order = echoed.iter().all(|echo| rest.any(|target| target == echo));
            assert!(in_order, "{}", shown());
        }
        let survived = echoed.last() == Some(&canary.as_str());
        assert_eq!(
            echoed.iter().filter(|e| **e == canary).count(),
            usize::from(survived),
            "{}",
            shown()
        );
        assert!(
            survived || !targets.contains(&canary.as_str()),
            "{}",
            shown()
        );
        let cases: Vec<String> = ours
            .iter()
            .filter(|s| s.target != canary)
            .map(|s| format!("forwarded {} {}", s.method, s.body.len()))
            .collect();
        if !cases.is_empty() {
            return cases.join(", ");
        }
        let refused = answers.iter().filter(|a| a.echo().is_none()).count();
        match survived || refused > 1 {
            true => "refused".to_owned(),
            false => "closed".to_owned(),
        }
    }

    /// Whatever was sent, the service gets a request of the gateway's own making.
    fn assert_rebuilt(&self, seen: &Seen, shown: &impl Fn() -> String) {
        assert!(!seen.target.contains("smuggled"), "{}", shown());
        let places = ["case-", "canary-", "other-"];
        let known = seen.target.strip_prefix("/api/v1/brands/");
        assert!(
            known.is_some_and(|t| places.iter().any(|p| t.starts_with(p))),
            "{}",
            shown()
        );
        for (name, value) in &seen.headers {
            assert!(HEADERS.contains(&name.as_str()), "{name}: {}", shown());
            assert!(!value.contains(&self.token), "{}", shown());
        }
        let header = |name: &str| {
            seen.headers
                .iter()
                .filter(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(header("x-forwarded-for"), ["127.0.0.1"], "{}", shown());
        assert_eq!(header("host"), [self.recorder.authority()], "{}", shown());
        assert_eq!(header("authorization").len(), 1, "{}", shown());
        assert_eq!(header("x-request-id").len(), 1, "{}", shown());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_refused_or_seen_alike_by_the_gateway_and_the_service() {
    let cases = corpus();
    assert!(cases.len() >= 150, "{}", cases.len());
    let bench = Bench::start().await;
    let run = stream::iter(cases.iter().enumerate()).map(|(n, case)| {
        let bench = &bench;
        async move {
            let bytes = expand(case.text, n, &bench.token);
            // All that fail are told, not only the first.
            let run = AssertUnwindSafe(bench.verdict(case.what, &bytes, n))
                .catch_unwind()
                .await;
            (case, run.unwrap_or_else(|_| "FAILED".to_owned()))
        }
    });
    let found: Vec<(&Case, String)> = run.buffered(LANES).collect().await;
    if std::env::var_os("BAHI_UPDATE").is_some() {
        let mut verdicts = found.iter();
        let lines = CORPUS.lines().map(|line| match line.split_once(" | ") {
            Some((_, rest)) if !line.starts_with('#') => {
                format!("{} | {rest}\n", verdicts.next().unwrap().1)
            }
            _ => format!("{line}\n"),
        });
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/api/smuggling/corpus.txt"
        );
        std::fs::write(file, lines.collect::<String>()).unwrap();
        return;
    }
    let wrong: Vec<String> = found
        .iter()
        .filter(|(case, verdict)| case.verdict != verdict)
        .map(|(case, verdict)| format!("{verdict}, not {}: {}", case.verdict, case.what))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How a case is changed.
#[derive(Clone, Debug)]
enum Change {
    /// A byte is put in.
    Insert(usize, u8),
    /// A byte is taken out.
    Delete(usize),
    /// A line break loses its CR.
    Bare(usize),
    /// A line stands twice.
    Twice(usize),
    /// A letter changes its case.
    Case(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |n: usize, length: usize| if length == 0 { 0 } else { n % length };
        let breaks: Vec<usize> = (1..bytes.len())
            .filter(|i| bytes[i - 1] == b'\r' && bytes[*i] == b'\n')
            .collect();
        match *self {
            Self::Insert(n, byte) => bytes.insert(at(n, bytes.len() + 1), byte),
            Self::Delete(n) if !bytes.is_empty() => {
                bytes.remove(at(n, bytes.len()));
            }
            Self::Bare(n) if !breaks.is_empty() => {
                bytes.remove(breaks[at(n, breaks.len())] - 1);
            }
            Self::Twice(n) if breaks.len() > 1 => {
                let line = at(n, breaks.len() - 1);
                let copy = bytes[breaks[line] + 1..=breaks[line + 1]].to_vec();
                let end = breaks[line + 1] + 1;
                bytes.splice(end..end, copy);
            }
            Self::Case(n) if !bytes.is_empty() => {
                let n = at(n, bytes.len());
                if bytes[n].is_ascii_alphabetic() {
                    bytes[n] ^= 0x20;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_a_case_makes_the_two_see_different_requests() {
    const RUNS: usize = 400;
    let cases = corpus();
    let bench = Bench::start().await;
    let odd = prop::sample::select(b"\r\n\0\t :;,0a\x0b\x7f\xff+-\"".to_vec());
    let change = prop_oneof![
        3 => (any::<usize>(), odd).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => any::<usize>().prop_map(Change::Delete),
        2 => any::<usize>().prop_map(Change::Bare),
        2 => any::<usize>().prop_map(Change::Twice),
        1 => any::<usize>().prop_map(Change::Case),
    ];
    let changed = (0..cases.len(), prop::collection::vec(change, 1..4));
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let runs: Vec<_> = (0..RUNS)
        .map(|_| changed.new_tree(&mut runner).unwrap().current())
        .collect();
    let run = stream::iter(runs.into_iter().enumerate()).map(|(n, (case, changes))| {
        let (bench, case) = (&bench, &cases[case]);
        async move {
            let mut bytes = expand(case.text, n, &bench.token);
            // The token stays whole: what must not be forwarded has none.
            changes.iter().for_each(|change| change.apply(&mut bytes));
            let what = format!("{} with {changes:?}", case.what);
            bench.loose(&what, &bytes, n).await;
        }
    });
    run.buffer_unordered(LANES).collect::<Vec<()>>().await;
}

impl Bench {
    /// As [`Bench::verdict`], for a case whose target and answers are not known: nothing hidden reaches the service, what does is
    /// of the gateway's making, and nobody gets another's answer.
    async fn loose(&self, what: &str, bytes: &[u8], n: usize) {
        let mut all = bytes.to_vec();
        all.extend_from_slice(&self.get("canary", n));
        let said = self.say(&all).await;
        let other = self.say(&self.get("other", n)).await;
        let shown = || {
            format!(
                "{what}\nsent {:?}\ngot {:?}",
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&said)
            )
        };
        assert_eq!(self.recorder.broken(), Vec::<String>::new(), "{}", shown());
        let hidden = self.recorder.seen("smuggled");
        assert!(hidden.is_empty(), "{} {hidden:#?}", shown());
        let target = format!("/api/v1/brands/other-{n:04}");
        let theirs = answers(&other, 0);
        let echoed: Vec<_> = theirs.iter().map(Answer::echo).collect();
        assert_eq!(echoed, [Some(target.as_str())], "{}", shown());
        let heads = usize::from(bytes.to_ascii_uppercase().starts_with(b"HEAD "));
        for answer in answers(&said, heads) {
            if let Some(echo) = answer.echo() {
                assert!(
                    !echo.contains("other-") && !echo.contains("smuggled"),
                    "{}",
                    shown()
                );
                // A canary's answer is this connection's.
                assert!(
                    !echo.contains("canary-") || echo.ends_with(&format!("-{n:04}")),
                    "{}",
                    shown()
                );
            } else {
                assert!(answer.status >= 400 || answer.status == 204, "{}", shown());
            }
        }
        for seen in self.recorder.seen("") {
            for (name, value) in &seen.headers {
                assert!(
                    HEADERS.contains(&name.as_str()) && !value.contains(&self.token),
                    "{name} {}",
                    shown()
                );
            }
        }
    }
}

#[test]
fn the_server_is_one_that_refuses_what_it_must() {
    let lock = include_str!("../../../../../Cargo.lock");
    let mut versions = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"actix-http\"\n"))
        .map(|package| {
            let line = package.lines().find_map(|l| l.strip_prefix("version = \""));
            let version = line.unwrap().trim_end_matches('"');
            let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
            numbers
        })
        .peekable();
    assert!(versions.peek().is_some());
    for version in versions {
        assert!(
            version >= vec![3, 18, 11],
            "actix-http {version:?} cuts requests wrongly"
        );
    }
}

/// A parser that is wrong in the ways that smuggling needs is seen by the recorder: the test can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_passes_bytes_on_is_caught() {
    let recorder = Recorder::start().await;
    let bytes = expand(
        "{post}Content-Length: 6@Transfer-Encoding: chunked@@0@@{s}",
        1,
        "t",
    );
    let mut socket = TcpStream::connect(recorder.authority()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let mut said = Vec::new();
    socket.read_to_end(&mut said).await.unwrap();
    assert!(!recorder.broken().is_empty());
    // Without the conflict it believes the length, and sees what was hidden.
    let bytes = expand("{post}Content-Length: 0@@{s}", 2, "t");
    let mut socket = TcpStream::connect(recorder.authority()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    bahi_testkit::eventually(async || (recorder.seen("smuggled-0002").len() == 1).then_some(()))
        .await;
}
