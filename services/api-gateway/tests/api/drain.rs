//! A gateway's process that is told to stop, or to read its configuration again.

use std::time::Duration;

use bahi_testkit::eventually;
use futures::StreamExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::{
    support::{Fleet, Process},
    tunnel::connect_to,
};

const BRANDS: &str = "/api/v1/brands";
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_that_it_goes_ends_what_is_idle_and_finishes_what_is_under_way() {
    let fleet = Fleet::start().await;
    let mut process = Process::start(&fleet, &[("BAHI_DRAIN_MS", "6000")]).await;
    let user = process.somebody();
    let mut idle = TcpStream::connect(process.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut piece = [0; 4096];
    assert!(idle.read(&mut piece).await.unwrap() > 0);
    let mut socket = connect_to(process.address, &user, "?quiet").await.unwrap();
    let late = user.clone();
    let late = tokio::spawn(async move { late.post(&format!("{BRANDS}?hold"), json!({})).await });
    let held = || {
        fleet
            .seen()
            .into_iter()
            .any(|seen| seen.target.ends_with("?hold"))
    };
    eventually(|| async { held().then_some(()) }).await;

    process.signal("TERM");
    // No more traffic is wanted, and what comes all the same is answered.
    eventually(|| async { (user.get("/readyz").await.status == 503).then_some(()) }).await;
    user.get(BRANDS).await.expect(201);
    let bye = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("the WebSocket ends without a word: {other:?}"),
            }
        }
    };
    let bye = tokio::time::timeout(LONG, bye).await.unwrap();
    assert_eq!(bye.code, CloseCode::Away);
    assert_eq!(bye.reason.as_str(), "the gateway stops");
    let end = tokio::time::timeout(LONG, idle.read(&mut piece))
        .await
        .unwrap();
    assert_eq!(end.unwrap_or(0), 0, "the idle connection is closed");
    // Another thread listens than the one that closed it.
    eventually(|| async { TcpStream::connect(process.address).await.err() }).await;

    fleet.desk.released.notify_one();
    late.await.unwrap().expect(201);
    let ended = tokio::time::timeout(LONG, process.child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ends_is_not_waited_for_for_ever() {
    let fleet = Fleet::start().await;
    let mut process = Process::start(&fleet, &[("BAHI_TIME_NORMAL_MS", "600000")]).await;
    let user = process.somebody();
    let never = user.request(reqwest::Method::GET, &format!("{BRANDS}?slow"));
    let never = tokio::spawn(never.send());
    eventually(|| async { (!fleet.seen().is_empty()).then_some(()) }).await;
    process.signal("TERM");
    let ended = tokio::time::timeout(2 * LONG, process.child.wait()).await;
    assert!(ended.expect("it ends").unwrap().success());
    assert!(never.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_makes_it_read_its_configuration_again() {
    let fleet = Fleet::start().await;
    let process = Process::start(&fleet, &[]).await;
    let user = process.somebody();
    let generation = async || process.operator().get("/configz").await.body["generation"].clone();
    assert_eq!(generation().await, 1);
    process.signal("HUP");
    eventually(|| async { (generation().await == 2).then_some(()) }).await;
    user.get(BRANDS).await.expect(201);
}
