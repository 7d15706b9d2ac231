//! Thousands of idle WebSockets through one gateway: what each costs in memory.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{StreamExt, stream};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async, tungstenite::client::IntoClientRequest,
};

use super::{
    Args,
    goals::{Aim, Goals},
    site::Site,
};

/// One of them.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Caps that hold so many of one user from one address.
pub const CAPS: [(&str, &str); 4] = [
    ("BAHI_CONNECTIONS_PER_ADDRESS", "100000"),
    ("BAHI_WEBSOCKETS_PER_USER", "100000"),
    ("BAHI_WEBSOCKETS_PER_ADDRESS", "100000"),
    ("BAHI_WEBSOCKET_IDLE_MS", "3600000"),
];

/// Connected at once.
const AT_ONCE: usize = 32;
/// Files that a process needs beside.
const BESIDE: usize = 500;
/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(5);

/// Opens them, and looks what they have added.
///
/// # Errors
/// When one is refused.
pub async fn measure(site: &Site, args: &Args, goals: &mut Goals) -> anyhow::Result<()> {
    // Each takes two files of the gateway.
    let fit = files()?.saturating_sub(BESIDE) / 2;
    let count = args.sockets.min(fit);
    if count < args.sockets {
        println!(
            "\na process may open too few files here for {} WebSockets: {count} instead, judged by what one takes",
            args.sockets
        );
    }
    let gateway = site.gateway("sockets", &CAPS).await?;
    let before = gateway.resident();
    let sockets = open(gateway.port, &site.token()?, count).await?;
    tokio::time::sleep(SETTLE).await;
    let after = gateway.resident();
    ensure!(
        sockets.len() == count,
        "{} of {count} are open",
        sockets.len()
    );
    #[allow(clippy::float_arithmetic)] // memory, not money
    let (added, each) = {
        let added = after.saturating_sub(before) as f64 / 1024.0;
        (added, added * 1024.0 / count as f64)
    };
    println!(
        "\n{count} idle WebSockets: {added:.1} MiB more than {} MiB before, {each:.1} KiB each",
        before / 1024
    );
    #[allow(clippy::float_arithmetic)]
    goals.note(
        "MB that 10,000 idle WebSockets add",
        Aim::Most(200.0),
        each * 1024.0 / 100.0,
    );
    drop(sockets);
    gateway.end().await;
    Ok(())
}

/// Opens so many.
///
/// # Errors
/// When one is refused.
pub async fn open(port: u16, token: &str, count: usize) -> anyhow::Result<Vec<Socket>> {
    let address = format!("ws://127.0.0.1:{port}/ws/pos");
    let each = (0..count).map(|_| async {
        let mut request = address.as_str().into_client_request()?;
        let bearer = format!("Bearer {token}").parse()?;
        request.headers_mut().insert("authorization", bearer);
        let (socket, _) = connect_async(request)
            .await
            .context("a WebSocket is refused")?;
        anyhow::Ok(socket)
    });
    let mut open = Vec::new();
    let mut coming = stream::iter(each).buffer_unordered(AT_ONCE);
    while let Some(socket) = coming.next().await {
        open.push(socket?);
    }
    Ok(open)
}

/// Files that a process may have open.
fn files() -> anyhow::Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    Ok(soft
        .context("no limit of files")?
        .parse()
        .unwrap_or(usize::MAX))
}
