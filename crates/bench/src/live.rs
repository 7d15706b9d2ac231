//! Fifty tills that are connected: how long after a sale every one of them is told that less is left.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bahi_demo::{
    client::{Client, text},
    setup,
};
use bahi_types::Quantity;
use futures::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{shop, step::microseconds};

const TILLS: usize = 50;
/// Tills at which one person is signed in: a user may have twenty sockets.
const TILLS_OF_ONE: usize = 10;
const PRODUCTS: usize = 200;
/// Sales, each of a product of its own: a level then says which sale it follows.
const SALES: usize = 100;
/// Sales a second.
const RATE: u32 = 10;
/// How long after the last sale a till may still be told; what comes later never came.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a till may take to be connected.
const CONNECT: Duration = Duration::from_secs(20);
/// Half of what is aimed at.
const MOST: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A sale.
struct Sale {
    product: Uuid,
    sent: Instant,
    answered: Instant,
}

/// What tills were told of sales.
pub struct Told {
    /// Microseconds from a sale's sending until a till knew, for each sale and till.
    since_sent: Histogram<u64>,
    /// Microseconds from its answer; zero where the till knew before.
    since_answer: Histogram<u64>,
    missed: usize,
}

/// Sells at fifty tills of a new business, while each of them listens.
///
/// # Errors
/// When something is refused, or a till is cut off.
pub async fn measure(url: &str) -> anyhow::Result<Told> {
    let client = shop::newcomer(url).await?;
    let (location, tills) = setup::organisation(&client, TILLS).await?;
    let products = shop::stock(&client, &location, PRODUCTS).await?;
    let products: Vec<Uuid> = products
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()?;
    let sessions = setup::open_tills(&client, &tills).await?;
    // Each till and each product is sold with once: sales then knows them all, and a sale is made at the first attempt.
    let mut firsts = JoinSet::new();
    for (session, products) in sessions.iter().zip(products.chunks(PRODUCTS / TILLS)) {
        let (client, session, products) = (client.clone(), session.clone(), products.to_vec());
        firsts.spawn(async move { sell(&client, &session, &products).await });
    }
    while let Some(first) = firsts.join_next().await {
        first??;
    }

    let branches = client.walk("/api/v1/branches").await?;
    let branch = text(branches.first().context("no branch")?, "id")?.to_owned();
    let address = format!("{}/ws/pos", url.replacen("http", "ws", 1));
    // One was sold already, and the tills may hear of that late.
    let left = Quantity::from(shop::PLENTY - 2);
    let over = CancellationToken::new();
    let mut listening = JoinSet::new();
    for tills in tills.chunks(TILLS_OF_ONE) {
        let token = cashier(&client).await?;
        for till in tills {
            let wants = json!({ "type": "subscribe", "branches": [branch], "tills": [till], "products": products });
            let socket = connect(&address, &token, &wants).await?;
            listening.spawn(hear(socket, left, SALES, over.clone()));
        }
    }

    let mut selling = JoinSet::new();
    let chosen = rand::seq::index::sample(&mut rand::rng(), PRODUCTS, SALES);
    let began = Instant::now();
    for (n, product) in (0..).zip(chosen) {
        let due = began + Duration::from_secs(1) * n / RATE;
        tokio::time::sleep_until(due.into()).await;
        let session = sessions[n as usize % TILLS].clone();
        let (client, product) = (client.clone(), products[product]);
        selling.spawn(async move {
            let sent = Instant::now();
            sell(&client, &session, &[product]).await?;
            anyhow::Ok(Sale {
                product,
                sent,
                answered: Instant::now(),
            })
        });
    }
    let mut sales = Vec::new();
    while let Some(sale) = selling.join_next().await {
        sales.push(sale??);
    }
    let mut heard = Vec::new();
    let all = async {
        while let Some(till) = listening.join_next().await {
            heard.push(till??);
        }
        anyhow::Ok(())
    };
    match timeout(PATIENCE, all).await {
        Ok(all) => all?,
        Err(_) => {
            over.cancel();
            while let Some(till) = listening.join_next().await {
                heard.push(till??);
            }
        }
    }
    Told::of(&sales, &heard)
}

/// Sells one of each.
async fn sell(client: &Client, session: &str, products: &[Uuid]) -> anyhow::Result<()> {
    let lines: Vec<Value> = products
        .iter()
        .map(|p| json!({ "product_id": p, "qty": "1" }))
        .collect();
    let body = json!({ "session_id": session, "lines": lines,
                       "tenders": [{ "method": "cash", "amount": format!("{}.00", 119 * products.len()) }] });
    let key = Uuid::now_v7().to_string();
    client.post("/api/v1/pos/invoice", &key, &body).await?;
    Ok(())
}

/// Takes on somebody who may sell; the access token.
async fn cashier(client: &Client) -> anyhow::Result<String> {
    let roles = client.walk("/api/v1/roles").await?;
    let role = roles.iter().find(|role| role["name"] == "cashier");
    let role = text(role.context("no role of cashiers")?, "id")?;
    let key = Uuid::now_v7().to_string();
    let body = json!({ "email": format!("till-{key}@bahi.example"), "name": "Cashier", "role_ids": [role] });
    let invited = client.post("/api/v1/users", &key, &body).await?;
    let body = json!({ "token": text(&invited, "token")?, "password": "a long bench password" });
    let path = "/api/v1/auth/invitations:accept";
    let signed = client.post(path, &key, &body).await?;
    Ok(text(&signed, "access_token")?.to_owned())
}

/// What a till reads of a frame.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

/// An event; only those of stock have both.
#[derive(Deserialize)]
struct Event {
    product_id: Option<Uuid>,
    available: Option<Quantity>,
}

/// Connects a till and says what it wants to be told; returns when that holds.
async fn connect(address: &str, token: &str, wants: &Value) -> anyhow::Result<Socket> {
    let mut request = address.into_client_request()?;
    let bearer = format!("Bearer {token}").parse()?;
    request.headers_mut().insert("authorization", bearer);
    let ready = async {
        let (mut socket, _) = connect_async(request).await?;
        socket.send(Message::text(wants.to_string())).await?;
        let first = frame(&mut socket).await?;
        ensure!(first.kind == "ready", "{} came before ready", first.kind);
        anyhow::Ok(socket)
    };
    timeout(CONNECT, ready)
        .await
        .context("a till does not get ready")?
        .context("a till cannot be connected")
}

/// The next frame of the service; its pings are answered on the way.
async fn frame(socket: &mut Socket) -> anyhow::Result<Frame> {
    loop {
        match socket.next().await.context("a till was cut off")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(why) => bail!("a till was closed: {why:?}"),
            _ => {}
        }
    }
}

/// When a till was first told, of each product, that no more than this is left. Returns when it was told of `count`
/// products, or when it is `over`.
async fn hear(
    mut socket: Socket,
    left: Quantity,
    count: usize,
    over: CancellationToken,
) -> anyhow::Result<BTreeMap<Uuid, Instant>> {
    let mut heard = BTreeMap::new();
    while heard.len() < count {
        let Some(frame) = over.run_until_cancelled(frame(&mut socket)).await else {
            break;
        };
        let (events, now) = (frame?.events, Instant::now());
        for event in events {
            if let (Some(product), Some(available)) = (event.product_id, event.available)
                && available <= left
            {
                heard.entry(product).or_insert(now);
            }
        }
    }
    Ok(heard)
}

impl Told {
    fn of(sales: &[Sale], tills: &[BTreeMap<Uuid, Instant>]) -> anyhow::Result<Self> {
        let mut told = Self {
            since_sent: microseconds()?,
            since_answer: microseconds()?,
            missed: 0,
        };
        for sale in sales {
            for till in tills {
                let Some(at) = till.get(&sale.product) else {
                    told.missed += 1;
                    continue;
                };
                for (times, from) in [
                    (&mut told.since_sent, sale.sent),
                    (&mut told.since_answer, sale.answered),
                ] {
                    let took = at.saturating_duration_since(from).as_micros();
                    times.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
                }
            }
        }
        Ok(told)
    }

    /// The times.
    #[allow(clippy::float_arithmetic)] // times, not money
    pub fn print(&self) {
        let name = format!("stock told to {TILLS} tills");
        println!(
            "\n{name:28} {:>9} {:>9} {:>9} {:>9}",
            "p50 ms", "p95 ms", "max ms", "missed"
        );
        for (name, times) in [
            ("from a sale's answer", &self.since_answer),
            ("from its sending", &self.since_sent),
        ] {
            let millis = |micros: u64| micros as f64 / 1000.0;
            println!(
                "{name:28} {:>9.1} {:>9.1} {:>9.1} {:>9}",
                millis(times.value_at_quantile(0.5)),
                millis(times.value_at_quantile(0.95)),
                millis(times.max()),
                self.missed
            );
        }
    }

    /// # Errors
    /// When a till missed a sale, or was told late.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let all = u64::try_from(SALES * TILLS)?;
        ensure!(
            self.missed == 0 && self.since_sent.len() == all,
            "of {all} times that a till is to be told of a sale {} were missed",
            self.missed
        );
        let most = Duration::from_micros(self.since_sent.max());
        ensure!(
            most < MOST,
            "a till was told of a sale after {most:?}, more than {MOST:?}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A service that says these frames to whoever connects, and after them `over`, when all were read.
    async fn says(frames: Vec<Value>, over: CancellationToken) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}/ws/pos", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let said = socket.next().await.unwrap().unwrap();
            assert!(said.to_text().unwrap().contains("subscribe"), "{said}");
            for frame in frames {
                socket.send(Message::text(frame.to_string())).await.unwrap();
            }
            socket.send(Message::Ping("read?".into())).await.unwrap();
            let answer = socket.next().await.unwrap().unwrap();
            assert!(answer.is_pong(), "{answer}");
            over.cancel();
            // Stays until the till goes.
            while let Some(Ok(_)) = socket.next().await {}
        });
        address
    }

    fn stock(product: Uuid, available: &str) -> Value {
        json!({ "kind": "stock", "location_id": Uuid::nil(), "product_id": product, "available": available })
    }

    fn told(events: &[Value]) -> Value {
        json!({ "type": "events", "seq": 1, "token": "AQ", "events": events })
    }

    #[tokio::test]
    async fn a_till_is_told_when_the_level_has_fallen_and_what_never_comes_is_missed() {
        let [tea, salt, rice] = [1, 2, 3].map(Uuid::from_u128);
        let frames = vec![
            json!({ "type": "ready", "seq": 0, "token": "AQ", "resumed": false }),
            // Of sales before: not what is waited for.
            told(&[stock(tea, "9"), stock(salt, "9.000"), stock(rice, "9")]),
            told(&[
                json!({ "kind": "product", "product_id": salt }),
                stock(tea, "8"),
            ]),
            told(&[
                json!({ "kind": "session", "event": "pos.session_opened" }),
                stock(rice, "7.000"),
            ]),
        ];
        let over = CancellationToken::new();
        let address = says(frames, over.clone()).await;
        let sent = Instant::now();
        let wants = json!({ "type": "subscribe" });
        let socket = connect(&address, "a", &wants).await.unwrap();
        let heard = hear(socket, Quantity::from(8), 3, over).await.unwrap();
        assert_eq!(heard.keys().copied().collect::<Vec<_>>(), [tea, rice]);
        let sale = |product| Sale {
            product,
            sent,
            answered: sent + Duration::from_secs(3600),
        };
        let told = Told::of(&[sale(tea), sale(salt), sale(rice)], &[heard]).unwrap();
        assert_eq!((told.since_sent.len(), told.missed), (2, 1));
        assert!(told.since_sent.max() > 0);
        assert_eq!(told.since_answer.max(), 0, "known before the answer");
        assert!(told.verdict().is_err());
    }

    #[tokio::test]
    async fn a_till_that_is_refused_or_cut_off_is_an_error() {
        let over = CancellationToken::new();
        let address = says(vec![told(&[])], over.clone()).await;
        let wants = json!({ "type": "subscribe" });
        let early = connect(&address, "a", &wants).await.unwrap_err();
        assert!(format!("{early:#}").contains("before ready"), "{early:#}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}/ws/pos", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let ready = json!({ "type": "ready", "seq": 0, "token": "AQ", "resumed": false });
            socket.send(Message::text(ready.to_string())).await.unwrap();
            socket.close(None).await.unwrap();
        });
        let socket = connect(&address, "a", &wants).await.unwrap();
        let cut = hear(socket, Quantity::from(8), 1, CancellationToken::new()).await;
        assert!(format!("{:#}", cut.unwrap_err()).contains("closed"));
    }

    #[test]
    fn one_late_push_fails_the_run() {
        let sent = Instant::now();
        let products: Vec<Uuid> = (0..SALES).map(|_| Uuid::now_v7()).collect();
        let sales: Vec<Sale> = products
            .iter()
            .map(|product| Sale {
                product: *product,
                sent,
                answered: sent,
            })
            .collect();
        let soon = sent + Duration::from_millis(300);
        let till: BTreeMap<Uuid, Instant> = products.iter().map(|p| (*p, soon)).collect();
        let mut tills = vec![till; TILLS];
        Told::of(&sales, &tills).unwrap().verdict().unwrap();
        tills[7].insert(products[3], sent + Duration::from_millis(2_100));
        assert!(Told::of(&sales, &tills).unwrap().verdict().is_err());
    }
}
