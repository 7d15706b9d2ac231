//! The cases of the Autobahn test suite, run by Kosoku: a client that shares no code with the gateway or with what services
//! speak with finds the same behind the gateway as without it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Stdio};

use bahi_testkit::test_env;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_tungstenite::{
    accept_async,
    tungstenite::{
        Error,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{Fleet, Gateway, upstream_setting};

const USE: &[&str] = &["sales.pos.use"];

/// Not of the protocol, but of speed (9); of an extension that the echo does not speak (12 and 13).
const LEFT_OUT: [&str; 3] = ["9.*", "12.*", "13.*"];

/// A service that says everything back, one frame after the other however they arrive: what is found of it does not hang on
/// how the network cuts the bytes up. Tungstenite codes its frames, as it does those of the client; the gateway between them
/// does not know it, and actix-ws is asked the same below.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move { converse(client).await.ok() });
        }
    });
    address
}

async fn converse(mut client: TcpStream) -> Result<(), Error> {
    client.set_nodelay(true)?;
    let mut asked = *b"GET /readyz";
    while client.peek(&mut asked).await? < asked.len() {
        client.readable().await?;
    }
    if &asked == b"GET /readyz" {
        let well = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        client.write_all(well).await?;
        return Ok(());
    }
    let mut socket = accept_async(client).await?;
    while let Some(message) = socket.next().await {
        match message {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message).await?,
            Ok(_) => {}
            Err(error) => {
                let code = match error {
                    Error::Utf8(_) => CloseCode::Invalid,
                    _ => CloseCode::Protocol,
                };
                let reason = "".into();
                socket.close(Some(CloseFrame { code, reason })).await?;
            }
        }
    }
    // Its last words are lost where a connection ends on bytes that were never read.
    let client = socket.get_mut();
    client.shutdown().await?;
    tokio::io::copy(client, &mut tokio::io::sink()).await?;
    Ok(())
}

/// What a door does with what passes through it.
#[derive(Clone, Copy)]
enum Door {
    /// Nothing.
    Honest,
    /// Changes a bit of what the client sends.
    Spoiling,
}

/// The client can be told an address, but no token: a door in front of the address puts it into the handshake. After that
/// it hands on bytes.
async fn door(to: SocketAddr, token: &str, kind: Door) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!("authorization: Bearer {token}\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let line = line.clone();
            // Either side may hang up at any time; some cases are about that.
            tokio::spawn(async move { pass(client, to, &line, kind).await.ok() });
        }
    });
    address
}

async fn pass(
    mut client: TcpStream,
    to: SocketAddr,
    line: &str,
    kind: Door,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    head.truncate(head.len() - 2);
    server.write_all(&head).await?;
    server.write_all(line.as_bytes()).await?;
    if matches!(kind, Door::Honest) {
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let back = tokio::io::copy(&mut from_server, &mut to_client);
    let spoil = async {
        let mut bytes = vec![0; 4096];
        loop {
            let length = from_client.read(&mut bytes).await?;
            if length == 0 {
                return to_server.shutdown().await;
            }
            // The last byte is one of a payload, if there is any.
            bytes[length - 1] ^= 1;
            to_server.write_all(&bytes[..length]).await?;
        }
    };
    tokio::try_join!(back, spoil)?;
    Ok(())
}

/// What the client says of a case: of what was exchanged, of how it ended, and the code with which the server closed.
type Verdict = (String, String, Value);

/// Runs cases against the echo at an address.
async fn verdicts(at: SocketAddr, choice: &[&str]) -> BTreeMap<String, Verdict> {
    let folder = test_env("BAHI_TEST_KOSOKU");
    let reports = tempfile::tempdir().unwrap();
    let ran = Command::new("python3")
        .arg(Path::new(&folder).join("bin/kosoku"))
        .env("PYTHONPATH", &folder)
        .args(choice)
        .arg("--outdir")
        .arg(reports.path())
        .arg(format!("ws://{at}/ws/pos"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("python3 runs");
    let index = std::fs::read(reports.path().join("index.json"))
        .unwrap_or_else(|error| panic!("no verdicts ({error}): {ran:?}"));
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(&index).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases = index.into_values().flatten();
    cases
        .map(|(case, said)| {
            let close = said["remoteCloseCode"].clone();
            let verdict = (text(&said["behavior"]), text(&said["behaviorClose"]), close);
            (case, verdict)
        })
        .collect()
}

fn failed((behaviour, close, _): &Verdict) -> bool {
    let passes = |verdict: &str| matches!(verdict, "OK" | "NON-STRICT" | "INFORMATIONAL");
    !passes(behaviour) || !passes(close)
}

/// What the client says of the echo at an address, and of the same echo behind the gateway.
async fn with_and_without(
    echo: SocketAddr,
    gateway: &Gateway,
) -> (BTreeMap<String, Verdict>, BTreeMap<String, Verdict>) {
    let token = gateway.user(USE).token.unwrap();
    let direct = door(echo, &token, Door::Honest).await;
    let behind = door(gateway.address(), &token, Door::Honest).await;
    let choice: Vec<&str> = LEFT_OUT.iter().flat_map(|c| ["--exclude", *c]).collect();
    let (without, with) = tokio::join!(verdicts(direct, &choice), verdicts(behind, &choice));
    for (which, cases) in [("without", &without), ("with", &with)] {
        let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
        for (behaviour, _, _) in cases.values() {
            *tally.entry(behaviour).or_default() += 1;
        }
        println!("{which} the gateway: {tally:?}");
        let bad: Vec<_> = cases.iter().filter(|(_, v)| failed(v)).collect();
        assert!(bad.is_empty(), "{which} the gateway: {bad:#?}");
        assert!(cases.len() > 240, "{} cases", cases.len());
    }
    (with, without)
}

#[track_caller]
fn assert_same(with: &BTreeMap<String, Verdict>, without: &BTreeMap<String, Verdict>) {
    let cases = with.keys().chain(without.keys());
    let differ: BTreeMap<_, _> = cases
        .filter(|case| with.get(*case) != without.get(*case))
        .map(|case| (case, (with.get(case), without.get(case))))
        .collect();
    assert!(differ.is_empty(), "with and without: {differ:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cases_of_autobahn_pass_behind_the_gateway_as_they_do_without_it() {
    let echo = echo().await;
    let fleet = Fleet::start().await;
    let url = format!("http://{echo}");
    let gateway = fleet
        .gateway(&[(&upstream_setting("sales"), url.as_str())])
        .await;
    let (with, without) = with_and_without(echo, &gateway).await;
    assert_same(&with, &without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cases_of_autobahn_pass_with_what_the_services_speak_with() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let (mut with, mut without) = with_and_without(fleet.address("sales"), &gateway).await;
    // It reads all that has come before it answers the first of it. Whether it still echoes what came before a bad frame, or
    // only closes, is up to the network; the suite has nothing against either.
    for verdict in with.values_mut().chain(without.values_mut()) {
        if verdict.0 == "NON-STRICT" {
            "OK".clone_into(&mut verdict.0);
        }
    }
    assert_same(&with, &without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_changes_a_bit_does_not_pass_them() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let token = gateway.user(USE).token.unwrap();
    let spoiling = door(gateway.address(), &token, Door::Spoiling).await;
    let cases = verdicts(spoiling, &["--include", "1.1.2", "--include", "2.2"]).await;
    assert_eq!(cases.len(), 2);
    assert!(cases.values().all(failed), "{cases:?}");
}
