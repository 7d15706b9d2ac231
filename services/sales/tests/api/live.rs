//! What tills are told as it happens.

use std::{collections::BTreeMap, time::Duration};

use bahi_events::Topic;
use bahi_http::{Claims, Signer, token};
use bahi_testkit::{Client, test_env};
use bahi_types::{BranchId, ProductId};
use futures::{SinkExt, StreamExt};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use uuid::Uuid;

use crate::support::*;

/// A shop whose sales follows topics of its own.
struct Live {
    shop: Shop,
    prefix: String,
    /// How many events of sales are in their topics.
    published: usize,
}

impl Live {
    async fn open() -> Self {
        let kafka = test_env("BAHI_TEST_KAFKA");
        let prefix = format!("live-{}.", Uuid::now_v7().simple());
        let topics = Topic::ALL.map(|topic| format!("{prefix}{}", topic.name()));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        bahi_kafka::create_topics(&kafka, &names, 2).await.unwrap();
        let settings = [
            ("BAHI_KAFKA", kafka.as_str()),
            ("BAHI_TOPIC_PREFIX", prefix.as_str()),
        ];
        Self {
            shop: Shop::open_with(&settings).await,
            prefix,
            published: 0,
        }
    }

    /// What sales said since is in its topic.
    async fn publish(&mut self) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", test_env("BAHI_TEST_KAFKA"))
            .create()
            .unwrap();
        let topic = format!("{}{}", self.prefix, Topic::Billing.name());
        let events = self.shop.sales.events().await;
        for event in &events[self.published..] {
            if event.event_type.starts_with("audit.") {
                continue;
            }
            let value = serde_json::to_vec(&event).unwrap();
            let record = BaseRecord::to(&topic)
                .key(&event.aggregate_id)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.published = events.len();
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    async fn till(&self, of: &Client, said: Value) -> Till {
        let url = format!("ws://{}/ws/pos", self.shop.sales.running.http);
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {}", of.token());
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        let mut till = Till {
            socket,
            token: String::new(),
            seq: 0,
            heard: Vec::new(),
        };
        till.say(said).await;
        till
    }
}

/// A connected till.
struct Till {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    token: String,
    seq: u64,
    heard: Vec<Value>,
}

impl Till {
    async fn say(&mut self, said: Value) {
        self.socket
            .send(Message::text(said.to_string()))
            .await
            .unwrap();
    }

    /// The next frame; its number is the next.
    async fn frame(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next());
            match next.await.expect("a frame").unwrap().unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(frame["seq"], self.seq, "{frame}");
                    self.seq += 1;
                    frame["token"].as_str().unwrap().clone_into(&mut self.token);
                    return frame;
                }
                Message::Close(why) => panic!("closed: {why:?}"),
                _ => {}
            }
        }
    }

    async fn ready(&mut self) -> bool {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "ready", "{frame}");
        frame["resumed"].as_bool().unwrap()
    }

    /// Reads until something was told that fits.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) {
        while !self.heard.iter().any(&fits) {
            let frame = self.frame().await;
            let events = frame["events"].as_array().unwrap();
            self.heard.extend(events.iter().cloned());
        }
    }

    async fn level(&mut self, product: ProductId, available: &str) {
        self.until(|e| {
            e["kind"] == "stock"
                && e["product_id"] == json!(product)
                && e["available"] == json!(available)
        })
        .await;
    }

    /// The code with which the server closes.
    async fn closed(mut self) -> u16 {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next());
            match next.await.expect("an end") {
                Some(Ok(Message::Close(why))) => return why.unwrap().code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn everything() -> Value {
    json!({ "type": "subscribe" })
}

fn basket(session: &str, product: ProductId, qty: &str, paid: &str) -> Value {
    json!({
        "session_id": session,
        "lines": [{ "product_id": product, "qty": qty }],
        "tenders": [{ "method": "cash", "amount": paid }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_at_one_till_lowers_the_stock_at_every_other_and_nobody_else_hears_of_it() {
    let mut live = Live::open().await;
    let tea = live.shop.goods("10").await;
    let session = live.shop.open_till(live.shop.till, "0").await;
    live.publish().await;
    let mut tills = Vec::new();
    for _ in 0..10 {
        let mut till = live.till(&live.shop.owner, everything()).await;
        assert!(!till.ready().await, "there was nothing to resume");
        tills.push(till);
    }
    let stranger = live.shop.sales.tenant();
    let mut stranger = live.till(&stranger, everything()).await;
    stranger.ready().await;
    let mut elsewhere = live
        .till(
            &live.shop.owner,
            json!({ "type": "subscribe", "branches": [Uuid::now_v7()] }),
        )
        .await;
    elsewhere.ready().await;
    // Who works for another branch, whatever he asks for.
    let of_other = live.shop.owner.at_branches(&["*"], &[BranchId::new()]);
    let mut curious = live.till(&of_other, everything()).await;
    curious.ready().await;
    let (branch, till) = (live.shop.branch, live.shop.till);
    let asked = json!({ "type": "subscribe", "branches": [branch], "tills": [till] });
    let mut insistent = live.till(&of_other, asked).await;
    insistent.ready().await;
    live.shop
        .sell(basket(&session, tea, "3", "30"))
        .await
        .expect(201);
    live.publish().await;
    for till in &mut tills {
        till.level(tea, "7").await;
    }
    live.shop
        .sell(basket(&session, tea, "1", "10"))
        .await
        .expect(201);
    let lines = json!([{ "product_id": tea, "qty": "1" }]);
    let held = json!({ "session_id": session, "basket": { "lines": lines } });
    live.shop
        .owner
        .post("/api/v1/pos/hold", held)
        .await
        .expect(201);
    live.publish().await;
    for till in &mut tills {
        till.level(tea, "6").await;
    }
    tills[0].until(|e| e["event"] == "pos.bill_held").await;
    // None of these was told anything: the next they hear is the answer to what they ask.
    for till in [&mut stranger, &mut elsewhere, &mut curious, &mut insistent] {
        till.socket.send(Message::Ping("?".into())).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), till.socket.next());
        let next = next.await.unwrap().unwrap().unwrap();
        assert!(next.is_pong() || next.is_ping(), "{next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_is_told_what_was_missed() {
    let mut live = Live::open().await;
    let (tea, salt) = (live.shop.goods("100").await, live.shop.goods("100").await);
    let session = live.shop.open_till(live.shop.till, "0").await;
    live.publish().await;
    let mut till = live.till(&live.shop.owner, everything()).await;
    till.ready().await;
    let mut levels: BTreeMap<ProductId, i64> = [(tea, 100), (salt, 100)].into();
    for round in 0..5 {
        let product = if round % 2 == 0 { tea } else { salt };
        live.shop
            .sell(basket(&session, product, "1", "10"))
            .await
            .expect(201);
        *levels.get_mut(&product).unwrap() -= 1;
        live.publish().await;
        till.level(product, &levels[&product].to_string()).await;
        // The cable is pulled; two sales happen meanwhile.
        let resume = till.token.clone();
        drop(till);
        for product in [tea, salt] {
            live.shop
                .sell(basket(&session, product, "1", "10"))
                .await
                .expect(201);
            *levels.get_mut(&product).unwrap() -= 1;
        }
        live.publish().await;
        till = live
            .till(
                &live.shop.owner,
                json!({ "type": "subscribe", "resume": resume }),
            )
            .await;
        assert!(till.ready().await, "round {round}");
        let mut missing = levels.clone();
        while !missing.is_empty() {
            let frame = till.frame().await;
            for event in frame["events"].as_array().unwrap() {
                missing.retain(|product, level| {
                    event["product_id"] != json!(product)
                        || event["available"] != json!(level.to_string())
                });
            }
        }
    }
    // A place that no cluster of ours has.
    let foreign = json!({ "type": "subscribe", "resume": "AQAAgIAE" });
    let mut till = live.till(&live.shop.owner, foreign).await;
    assert!(!till.ready().await, "load anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_with_a_code_and_a_session_that_is_over_with_another() {
    let live = Live::open().await;
    let owner = &live.shop.owner;
    for garbage in [
        json!("hello"),
        json!({ "type": "sell everything" }),
        json!({ "type": "subscribe", "resume": "what?" }),
        json!({ "type": "subscribe", "products": vec![Uuid::nil(); 5_001] }),
    ] {
        assert_eq!(live.till(owner, garbage).await.closed().await, 4400);
    }
    let mut binary = live.till(owner, everything()).await;
    binary.ready().await;
    binary.socket.send(Message::binary(vec![0])).await.unwrap();
    assert_eq!(binary.closed().await, 4400);
    let mut long = live.till(owner, everything()).await;
    long.ready().await;
    // The server may be gone before all of it is sent.
    let _ = long.socket.send(Message::text("x".repeat(10 << 20))).await;
    while let Some(Ok(message)) = long.socket.next().await {
        if let Message::Close(Some(why)) = message {
            assert_eq!(u16::from(why.code), 4400);
        }
    }
    // The gateway says until when the session lives.
    let file = format!("{}/private/api-gateway.pem", test_env("BAHI_TEST_KEYS"));
    let gateway = Signer::from_file(file.as_ref()).unwrap();
    let iat = chrono::Utc::now().timestamp();
    let claims = Claims {
        iss: "api-gateway".into(),
        aud: token::AUDIENCE_INTERNAL.into(),
        sub: Uuid::now_v7().to_string(),
        tid: owner.tenant,
        sid: None,
        perms: vec!["sales.pos.use".into()],
        branches: bahi_types::Scope::default(),
        name: None,
        rate: None,
        amr: Vec::new(),
        txn: None,
        sxp: Some(iat + 2),
        iat,
        exp: iat + 60,
    };
    let short = owner.with_token(&gateway.sign(token::INTERNAL, &claims).unwrap());
    let mut till = live.till(&short, everything()).await;
    till.ready().await;
    assert_eq!(till.closed().await, 4401);
}
