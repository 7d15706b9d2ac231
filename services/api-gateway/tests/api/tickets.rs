//! Tickets for WebSockets: good once, for half a minute, at any gateway, and for nothing else.

use std::sync::Arc;

use bahi_testkit::{eventually, test_env};
use futures::future::join_all;
use redis::AsyncCommands;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Barrier;

use crate::{
    own_redis::OwnRedis,
    support::{Fleet, Gateway, Person, Process, assert_problem, send},
};

const PATH: &str = "/api/v1/auth/ws-ticket";
const USE: &[&str] = &["sales.pos.use"];

async fn ticket(user: &Person) -> String {
    let reply = user.post(PATH, json!({})).await.expect(201);
    assert_eq!(reply.body["expires_in"], 30);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let ticket = reply.text_at("ticket");
    assert_eq!(ticket.len(), 43);
    ticket
}

/// A handshake by somebody who shows nothing but what is in it.
fn handshake(who: &Person, query: &str, protocols: &str) -> reqwest::RequestBuilder {
    let nobody = Person {
        token: None,
        ..who.clone()
    };
    let request = nobody
        .request(Method::GET, &format!("/ws/pos{query}"))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    match protocols {
        "" => request,
        said => request.header("sec-websocket-protocol", said),
    }
}

async fn opened(request: reqwest::RequestBuilder) -> Response {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    answer
}

fn redis() -> redis::Client {
    redis::Client::open(test_env("BAHI_TEST_REDIS")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_websocket_and_goes_no_further() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let one = ticket(&user).await;
    let protocols = format!("bahi.v1, ticket.{one}");
    let _open = opened(handshake(&user, "?quiet", &protocols)).await;
    let seen = fleet.only();
    assert_eq!(seen.target, "/ws/pos?quiet");
    assert_eq!(seen.header("sec-websocket-protocol"), "bahi.v1");
    assert!(seen.header("authorization").starts_with("Bearer "));
    // Once.
    let again = send(handshake(&user, "", &protocols)).await;
    assert_problem(&again, 401, "UNAUTHENTICATED");
    // In the address, among other words.
    for (query, target) in [
        ("?a=1&ticket=T&b=2", "/ws/pos?a=1&b=2"),
        ("?ticket=T", "/ws/pos"),
    ] {
        let query = query.replace('T', &ticket(&user).await);
        let _open = opened(handshake(&user, &query, "")).await;
        assert_eq!(fleet.seen().last().unwrap().target, target);
    }
    // Twice at once is nobody's way of showing who he is.
    let two = format!("?ticket={}", ticket(&user).await);
    let refused = send(handshake(&user, &two, &format!("ticket.{one}"))).await;
    assert_problem(&refused, 400, "MALFORMED");
    assert_eq!(fleet.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_good_for_nothing_else_and_for_nobody_without_permission() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let one = ticket(&user).await;
    let bearer = user.with_token(one);
    let asked = bearer.get("/api/v1/sales/invoices").await;
    assert_problem(&asked, 401, "UNAUTHENTICATED");
    let asked = bearer.post(PATH, json!({})).await;
    assert_problem(&asked, 401, "UNAUTHENTICATED");
    assert_problem(
        &gateway.stranger().post(PATH, json!({})).await,
        401,
        "UNAUTHENTICATED",
    );
    assert_problem(&user.get(PATH).await, 405, "METHOD_NOT_ALLOWED");
    for made_up in [
        "",
        "x",
        &"x".repeat(43),
        &"\u{e9}".repeat(43),
        &"x".repeat(4_000),
    ] {
        let refused = send(handshake(&user, "", &format!("ticket.{made_up}"))).await;
        assert!([400, 401].contains(&refused.status), "{}", refused.text);
    }
    let other = gateway.user(&["product.brand.read"]);
    let theirs = format!("?ticket={}", ticket(&other).await);
    assert_problem(
        &send(handshake(&other, &theirs, "")).await,
        403,
        "FORBIDDEN",
    );
    assert!(fleet.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_one_gateway_is_taken_once_by_any_of_them() {
    let fleet = Fleet::start().await;
    let settings = [("BAHI_WEBSOCKETS_PER_USER", "100")];
    let gateways = [
        fleet.gateway(&settings).await,
        fleet.gateway(&settings).await,
    ];
    let user = gateways[0].user(USE);
    for _ in 0..5 {
        let query = format!("?quiet&ticket={}", ticket(&user).await);
        let tries = (0..40).map(|n| {
            let there = user.at(&gateways[n % 2]);
            handshake(&there, &query, "").send()
        });
        let answers = join_all(tries).await;
        let statuses = answers
            .iter()
            .map(|a| a.as_ref().unwrap().status().as_u16());
        let (mut open, mut refused) = (0, 0);
        for status in statuses {
            match status {
                101 => open += 1,
                401 => refused += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!((open, refused), (1, 39));
    }
}

/// What a gateway would do that looks first and takes away afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_first_and_taking_away_afterwards_lets_several_in() {
    let key = format!("bahi:test:{}", uuid::Uuid::now_v7());
    let mut redis = redis().get_multiplexed_async_connection().await.unwrap();
    let _: () = redis.set_ex(&key, "session", 30).await.unwrap();
    let all = Arc::new(Barrier::new(10));
    let tries = (0..10).map(|_| {
        let (mut redis, key, all) = (redis.clone(), key.clone(), all.clone());
        async move {
            let found: Option<String> = redis.get(&key).await.unwrap();
            all.wait().await;
            let _: () = redis.del(&key).await.unwrap();
            usize::from(found.is_some())
        }
    });
    assert!(join_all(tries).await.into_iter().sum::<usize>() > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_no_ticket_and_keeps_it_for_half_a_minute() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let one = ticket(&user).await;
    let key = format!(
        "bahi:ticket:{}",
        hex::encode(Sha256::digest(one.as_bytes()))
    );
    let mut redis = redis().get_multiplexed_async_connection().await.unwrap();
    let left: i64 = redis.ttl(&key).await.unwrap();
    assert!((1..=30).contains(&left), "{left}");
    let kept: String = redis.get(&key).await.unwrap();
    assert!(!kept.contains(&one));
    // What stands for a ticket is no token, and what somebody else has written is no session.
    let as_token = user.with_token(kept).get("/api/v1/sales/invoices").await;
    assert_problem(&as_token, 401, "UNAUTHENTICATED");
    let access = user.token.clone().unwrap();
    let _: () = redis.set_ex(&key, access, 30).await.unwrap();
    let refused = send(handshake(&user, &format!("?ticket={one}"), "")).await;
    assert_problem(&refused, 401, "UNAUTHENTICATED");
    // One that has run out is gone.
    let two = ticket(&user).await;
    let key = format!(
        "bahi:ticket:{}",
        hex::encode(Sha256::digest(two.as_bytes()))
    );
    let _: () = redis.pexpire(&key, 1).await.unwrap();
    eventually(|| async {
        let mut redis = redis.clone();
        let there: bool = redis.exists(&key).await.unwrap();
        (!there).then_some(())
    })
    .await;
    let late = send(handshake(&user, &format!("?ticket={two}"), "")).await;
    assert_problem(&late, 401, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_ticket_is_taken_where_it_was_given() {
    let fleet = Fleet::start().await;
    for redis in ["", "redis://127.0.0.1:1/0"] {
        let settings = [("BAHI_REDIS", redis), ("BAHI_REDIS_PATIENCE_MS", "300")];
        let gateway = fleet.gateway(&settings).await;
        let user = gateway.user(USE);
        let query = format!("?quiet&ticket={}", ticket(&user).await);
        let _open = opened(handshake(&user, &query, "")).await;
        let again = send(handshake(&user, &query, "")).await;
        match redis {
            "" => assert_problem(&again, 401, "UNAUTHENTICATED"),
            // Somebody else may have given it; nobody can say just now.
            _ => assert_problem(&again, 503, "SERVICE_UNAVAILABLE"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_a_session_that_has_ended_opens_nothing() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(USE);
    let query = format!("?ticket={}", ticket(&user).await);
    let revoked = json!({ "sessions": [user.claims.sid], "users": [] });
    *fleet.desk.revocations.lock() = revoked;
    eventually(|| async {
        let reply = user.get("/api/v1/sales/invoices").await;
        (reply.status == 401).then_some(())
    })
    .await;
    assert_problem(
        &send(handshake(&user, &query, "")).await,
        401,
        "UNAUTHENTICATED",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_gets_so_many_tickets_and_so_many_websockets() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_LIMIT_STRICT", "1/5"),
            ("BAHI_WEBSOCKETS_PER_ADDRESS", "2"),
        ])
        .await;
    let user = gateway.user(USE);
    let other = Person {
        ip: user.ip,
        http: user.http.clone(),
        ..gateway.user(USE)
    };
    let mut given = 0;
    let refused = loop {
        let reply = user.post(PATH, json!({})).await;
        if reply.status != 201 {
            break reply;
        }
        given += 1;
        assert!(given < 60, "there is no end of tickets");
    };
    assert!(given >= 5);
    assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
    gateway.user(USE).post(PATH, json!({})).await.expect(201);
    // The third at once from one address is one too many, whosever it is.
    let mut open = Vec::new();
    for who in [&user, &other] {
        let protocols = format!("bearer.{}", who.token.as_deref().unwrap());
        open.push(opened(handshake(who, "?quiet", &protocols)).await);
    }
    let protocols = format!("bearer.{}", other.token.as_deref().unwrap());
    let third = send(handshake(&other, "?quiet", &protocols)).await;
    assert_problem(&third, 429, "TOO_MANY_WEBSOCKETS");
    drop(open);
    eventually(|| async {
        let answer = handshake(&other, "?quiet", &protocols)
            .send()
            .await
            .unwrap();
        (answer.status() == 101).then_some(())
    })
    .await;
}

/// How often Redis was asked for a ticket.
async fn taken(redis: &OwnRedis) -> usize {
    let mut connection = redis.connection().await;
    let mut info = redis::cmd("INFO");
    let info: String = info
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let calls = info.split("cmdstat_getdel:calls=").nth(1);
    calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_tickets_up_is_refused_soon_and_without_asking_redis() {
    let fleet = Fleet::start().await;
    let redis = OwnRedis::start().await;
    let (url, made_up) = (redis.url(), format!("?ticket={}", "x".repeat(43)));
    let settings = [("BAHI_REDIS", url.as_str()), ("BAHI_LIMIT_NORMAL", "1/5")];
    let gateway = fleet.gateway(&settings).await;
    let guesser = gateway.stranger();
    let mut refused = 0;
    for _ in 0..200 {
        let reply = send(handshake(&guesser, &made_up, "")).await;
        match reply.status {
            401 => assert_problem(&reply, 401, "UNAUTHENTICATED"),
            _ => {
                assert_problem(&reply, 429, "TOO_MANY_REQUESTS");
                refused += 1;
            }
        }
    }
    let asked = taken(&redis).await;
    assert!(
        refused > 100 && (5..100).contains(&asked),
        "{asked} asked, {refused} refused"
    );
    // It is that address alone.
    let user = gateway.user(USE);
    let query = format!("?quiet&ticket={}", ticket(&user).await);
    let _open = opened(handshake(&user, &query, "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ticket_is_in_the_log_however_much_is_written_there() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let settings = [("BAHI_LOG", "trace")];
    let process = Process::start_with_log(&fleet, &settings, &log).await;
    let user = process.somebody();
    let (one, two) = (ticket(&user).await, ticket(&user).await);
    let _open = opened(handshake(&user, &format!("?quiet&ticket={one}"), "")).await;
    let _other = opened(handshake(&user, "?quiet", &format!("ticket.{two}"))).await;
    let again = send(handshake(&user, &format!("?ticket={one}"), "")).await;
    assert_problem(&again, 401, "UNAUTHENTICATED");
    let written = eventually(|| async {
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("hyper").then_some(text)
    })
    .await;
    for secret in [&one, &two, user.token.as_ref().unwrap()] {
        assert!(!written.contains(secret.as_str()), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_tells_of_tickets() {
    let fleet = Fleet::start().await;
    let gateway: Gateway = fleet.gateway(&[]).await;
    let document = gateway
        .stranger()
        .get("/api/openapi.json")
        .await
        .expect(200);
    assert!(document.body["paths"][PATH]["post"]["summary"].is_string());
}
