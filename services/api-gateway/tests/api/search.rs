//! One search through every service.

use std::collections::BTreeSet;

use bahi_http::token;
use bahi_testkit::Reply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fleet, Person, assert_problem, keys};

const PATH: &str = "/api/v1/search";

fn hit(kind: &str, title: &str, score: u8) -> Value {
    let id = Uuid::now_v7();
    json!({ "kind": kind, "id": id, "title": title, "subtitle": null, "score": score, "url": format!("/api/v1/things/{id}") })
}

impl Fleet {
    fn finds(&self, path: &str, hits: &[(&str, &str, u8)], more: bool) {
        let items: Vec<Value> = hits
            .iter()
            .map(|(kind, title, score)| hit(kind, title, *score))
            .collect();
        let said = json!({ "items": items, "more": more });
        self.desk.searches.lock().insert(path.to_owned(), said);
    }

    fn says(&self, path: &str, said: Value) {
        self.desk.searches.lock().insert(path.to_owned(), said);
    }

    /// The paths that were asked.
    fn asked(&self) -> BTreeSet<String> {
        let seen = self.seen().into_iter();
        seen.filter_map(|s| {
            Some(
                s.target
                    .strip_prefix("/internal/v1/search/")?
                    .split('?')
                    .next()?
                    .to_owned(),
            )
        })
        .collect()
    }
}

async fn search(person: &Person, body: Value) -> Reply {
    person.post(PATH, body).await
}

fn titles(reply: &Reply) -> Vec<&str> {
    let items = reply.body["items"].as_array().unwrap().iter();
    items.map(|hit| hit["title"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_asked_with_the_user_s_own_token_and_codes_come_first() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    fleet.finds(
        "products",
        &[
            ("product", "p1", 80),
            ("product", "p2", 40),
            ("product", "p3", 40),
        ],
        true,
    );
    fleet.finds(
        "customers",
        &[("customer", "c1", 40), ("customer", "c2", 40)],
        false,
    );
    fleet.finds("documents/invoices", &[("invoice", "i1", 100)], false);
    let user = gateway.user(&["*"]);
    let found = search(
        &user,
        json!({ "q": " rice & पानी ", "limit": 3, "page": 2 }),
    )
    .await
    .expect(200);
    // Of equal scores the register's order decides, and the first of each kind comes before the second of any.
    assert_eq!(titles(&found), ["i1", "p1", "c1", "p2", "c2", "p3"]);
    assert_eq!(found.body["more"], json!(["product"]));
    assert_eq!(found.body["partial"], json!([]));
    assert!(found.header("ratelimit-remaining").is_some());
    assert!(fleet.asked().len() >= 8, "{:?}", fleet.asked());
    for seen in fleet.seen() {
        assert_eq!(seen.method, "GET");
        let query = seen.target.split_once('?').unwrap().1;
        assert_eq!(
            query,
            "q=rice%20%26%20%E0%A4%AA%E0%A4%BE%E0%A4%A8%E0%A5%80&limit=3&offset=3"
        );
        let token = seen
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap();
        let claims = keys()
            .verify(token, token::INTERNAL, token::AUDIENCE_INTERNAL)
            .unwrap();
        assert_eq!(
            (claims.tid, &claims.sub),
            (user.claims.tid, &user.claims.sub)
        );
        assert!(!seen.header("x-request-id").is_empty());
        assert_eq!(seen.header("x-forwarded-for"), user.ip.to_string());
    }
    // Asked again, it is the same answer.
    let again = search(&user, json!({ "q": "rice", "limit": 3 }))
        .await
        .expect(200);
    assert_eq!(titles(&again), titles(&found));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_may_not_read_is_not_asked_and_not_named() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    fleet.finds("products", &[("product", "p", 80)], false);
    fleet.finds("customers", &[("customer", "c", 100)], false);
    fleet.says("documents/invoices", Value::Null);
    let clerk = gateway.user(&["product.product.read"]);
    let found = search(&clerk, json!({ "q": "x" })).await.expect(200);
    assert_eq!(found.body["partial"], json!([]));
    assert_eq!(titles(&found), ["p"]);
    assert_eq!(fleet.asked(), BTreeSet::from(["products".to_owned()]));
    // Neither is it when it is asked for by name.
    let found = search(
        &clerk,
        json!({ "q": "x", "kinds": ["customer", "invoice"] }),
    )
    .await
    .expect(200);
    assert_eq!(
        found.body,
        json!({ "items": [], "more": [], "partial": [] })
    );
    assert_eq!(fleet.asked().len(), 1);
    // A service that knows better has the last word.
    fleet.says("products", json!(403));
    let found = search(&clerk, json!({ "q": "x" })).await.expect(200);
    assert_eq!(
        found.body,
        json!({ "items": [], "more": [], "partial": [] })
    );
    // Kinds can be chosen.
    let both = gateway.user(&["*"]);
    let found = search(&both, json!({ "q": "x", "kinds": ["customer"] }))
        .await
        .expect(200);
    assert_eq!(titles(&found), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_named_and_the_rest_is_there() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_SEARCH_BUDGET_MS", "700"),
            // Nobody listens there.
            ("BAHI_UPSTREAM_INVENTORY", "http://127.0.0.1:1"),
        ])
        .await;
    fleet.finds("products", &[("product", "p", 80)], false);
    fleet.says("customers", Value::Null);
    fleet.says("documents/invoices", json!(500));
    fleet.says("documents/orders", json!({ "items": "many" }));
    // One that speaks of what is not its own is not believed.
    fleet.finds("documents/receipts", &[("invoice", "x", 100)], false);
    let found = search(&gateway.user(&["*"]), json!({ "q": "x" }))
        .await
        .expect(200);
    assert_eq!(titles(&found), ["p"]);
    let partial: BTreeSet<(&str, &str)> = found.body["partial"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["kind"].as_str().unwrap(), p["reason"].as_str().unwrap()))
        .collect();
    let wanted = BTreeSet::from([
        ("serial", "unavailable"),
        ("customer", "timeout"),
        ("invoice", "failed"),
        ("order", "failed"),
        ("receipt", "failed"),
    ]);
    assert_eq!(partial, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_refused_before_any_service_hears_of_it() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    for (body, field) in [
        (json!({ "q": "" }), "q"),
        (json!({ "q": "   " }), "q"),
        (json!({ "q": "a\u{0}b" }), "q"),
        (json!({ "q": "a\nb" }), "q"),
        (json!({ "q": "x".repeat(101) }), "q"),
        (json!({ "q": "x", "limit": 0 }), "limit"),
        (json!({ "q": "x", "limit": 51 }), "limit"),
        (json!({ "q": "x", "page": 0 }), "page"),
        (json!({ "q": "x", "page": 21 }), "page"),
        (json!({ "q": "x", "kinds": [] }), "kinds"),
        (
            json!({ "q": "x", "kinds": ["product", "secret"] }),
            "kinds[1]",
        ),
    ] {
        let reply = search(&user, body.clone()).await;
        assert_problem(&reply, 400, "INVALID");
        assert_eq!(reply.body["errors"][0]["field"], field, "{body}");
    }
    for body in [
        json!({}),
        json!([]),
        json!({ "q": 1 }),
        json!({ "q": "x", "more": 1 }),
        json!({ "q": "x", "limit": -1 }),
    ] {
        assert_problem(&search(&user, body).await, 400, "MALFORMED");
    }
    let long = json!({ "q": "x", "kinds": vec!["product"; 1000] });
    assert_eq!(search(&user, long).await.status, 413);
    let form = user.request(reqwest::Method::POST, PATH).body("q=x");
    assert_eq!(crate::support::send(form).await.status, 415);
    assert_problem(
        &gateway.stranger().post(PATH, json!({ "q": "x" })).await,
        401,
        "UNAUTHENTICATED",
    );
    let read = user.get(PATH).await;
    assert_problem(&read, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(read.header("allow"), Some("POST"));
    assert!(fleet.seen().is_empty(), "{:?}", fleet.seen());
    // Nor is a service's own path open.
    assert_eq!(
        user.get("/internal/v1/search/products?q=x&limit=1")
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_counts_against_the_user_s_limit() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_NORMAL", "1/3")]).await;
    let user = gateway.user(&["*"]);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(search(&user, json!({ "q": "x" })).await.status);
    }
    assert!(
        statuses.starts_with(&[200, 200, 200]) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_in_the_merged_document() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let document = gateway
        .stranger()
        .get("/api/openapi.json")
        .await
        .expect(200)
        .body;
    let post = &document["paths"][PATH]["post"];
    let kinds = &post["requestBody"]["content"]["application/json"]["schema"]["properties"]["kinds"]
        ["items"]["enum"];
    assert!(
        kinds.as_array().unwrap().contains(&json!("product")),
        "{post}"
    );
    assert!(post["responses"]["200"].is_object());
}
