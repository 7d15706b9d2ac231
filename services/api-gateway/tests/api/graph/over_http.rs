//! GraphQL over HTTP: types of answers, statuses, limits, persisted documents, who may ask.

use bahi_http::token;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Site, world::Mood};
use crate::support::{claims, sign};

const RESPONSE: &str = "application/graphql-response+json";

impl Site {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.edge.url()))
    }
}

async fn answered(request: RequestBuilder) -> (u16, String, Value) {
    let answer = request.send().await.unwrap();
    let kind = answer.headers().get("content-type");
    let kind = kind.map_or("", |v| v.to_str().unwrap()).to_owned();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (
        status,
        kind,
        serde_json::from_str(&text).unwrap_or(Value::Null),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_shows_in_the_status_where_the_client_knows_graphql() {
    let site = Site::start(&[]).await;
    for (body, plain, code) in [
        (json!({ "query": "{ me { name } }" }), 200, ""),
        (json!({ "query": "{" }), 200, "GRAPHQL_PARSE_FAILED"),
        (json!({ "query": "" }), 200, "GRAPHQL_PARSE_FAILED"),
        (
            json!({ "query": "{ nothing }" }),
            200,
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "query($x: ID!) { user(id: $x) { name } }" }),
            200,
            "BAD_USER_INPUT",
        ),
        (
            json!({ "query": "query($x: ID!) { user(id: $x) { name } }", "variables": { "x": {} } }),
            200,
            "BAD_USER_INPUT",
        ),
        (
            json!({ "query": "query A { me { name } } query B { me { nick } }" }),
            200,
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            json!({ "query": "{ me { name } }", "operationName": "C" }),
            200,
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (
            json!({ "query": "subscription { x }" }),
            200,
            "SUBSCRIPTION_NOT_SUPPORTED",
        ),
        (
            json!({ "documentId": "unknown" }),
            200,
            "PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "0" } } }),
            200,
            "PERSISTED_QUERY_NOT_FOUND",
        ),
        (json!({}), 400, "MALFORMED"),
        (json!({ "query": 7 }), 400, "MALFORMED"),
        (
            json!({ "query": "{ me { name } }", "variables": "x" }),
            400,
            "MALFORMED",
        ),
        (
            json!({ "query": "{ me { name } }", "extensions": [] }),
            400,
            "MALFORMED",
        ),
        (json!([{ "query": "{ me { name } }" }]), 400, "MALFORMED"),
    ] {
        let post = || site.request(Method::POST, "/graphql").json(&body);
        let (status, kind, answer) = answered(post().header("accept", "application/json")).await;
        assert_eq!(
            (status, kind.as_str()),
            (plain, "application/json; charset=utf-8"),
            "{body}"
        );
        assert_eq!(
            answer["errors"][0]["extensions"]["code"]
                .as_str()
                .unwrap_or(""),
            code,
            "{answer}"
        );
        let (status, kind, answer) = answered(post().header("accept", RESPONSE)).await;
        assert_eq!(status, if code.is_empty() { 200 } else { 400 }, "{body}");
        assert!(kind.starts_with(RESPONSE));
        // What was not carried out has no data, not even null.
        assert_eq!(answer.get("data").is_some(), code.is_empty(), "{answer}");
    }
    let named = json!({ "query": "query A { me { name } } query B { me { nick } }", "operationName": "B", "variables": null, "extensions": null });
    let (_, kind, answer) = answered(site.request(Method::POST, "/graphql").json(&named)).await;
    assert_eq!(answer, json!({ "data": { "me": { "nick": "n0" } } }));
    assert_eq!(kind, "application/json; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_send_what_needs_no_asking() {
    let site = Site::start(&[]).await;
    let body = r#"{ "query": "{ me { name } }" }"#;
    for (kind, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=\"UTF-8\"", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data", 415),
        ("application/json; charset=utf-16", 415),
        ("", 415),
    ] {
        let post = site
            .request(Method::POST, "/graphql")
            .body(body)
            .header("content-type", kind);
        assert_eq!(answered(post).await.0, status, "{kind}");
    }
    for (method, status) in [
        (Method::PUT, 405),
        (Method::DELETE, 405),
        (Method::HEAD, 405),
    ] {
        assert_eq!(answered(site.request(method, "/graphql")).await.0, status);
    }
    let strange = site
        .request(Method::POST, "/graphql")
        .header("accept", "image/png");
    assert_eq!(answered(strange.body(body)).await.0, 406);
    let long = json!({ "query": format!("{{ me {{ name }} }} #{}", "x".repeat(300_000)) });
    assert_eq!(
        answered(site.request(Method::POST, "/graphql").json(&long))
            .await
            .0,
        413
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_a_limit_is_told_which() {
    let site = Site::start(&[]).await;
    let deep = |n: usize| format!("{{ me {}{{ id }}{} }}", "{ best ".repeat(n), "}".repeat(n));
    let aliases = |n: usize| {
        let all: String = (0..n).map(|n| format!("a{n}: name ")).collect();
        format!("{{ me {{ {all} }} }}")
    };
    let cost = |n: usize| {
        format!("{{ users(first: 100) {{ reviews(first: {n}) {{ author {{ id }} }} }} }}")
    };
    // Ten times ten times ten, by a text of thirty aliases.
    let ten = |what: &str| {
        (0..10)
            .map(|n| format!("a{n}: {what} "))
            .collect::<String>()
    };
    let schema = format!(
        "{{ __schema {{ types {{ fields {{ ...A }} }} }} }} fragment A on __Field {{ {} }}
         fragment B on __Field {{ {} }} fragment C on __Field {{ {} }}",
        ten("type { fields { ...B } }"),
        ten("type { fields { ...C } }"),
        ten("name"),
    );
    for (query, limit) in [
        (schema, Some("objects and members of the schema")),
        (deep(8), None),
        (deep(9), Some("nested fields")),
        (aliases(30), None),
        (aliases(31), Some("aliases")),
        (cost(10), None),
        (cost(100), Some("rows to come to")),
        ("{ me { name ".repeat(1400), Some("tokens")),
        ("{a".repeat(100), Some("nested brackets")),
    ] {
        let (_, answer) = site.post(json!({ "query": query })).await;
        let error = &answer["errors"][0]["extensions"];
        assert_eq!(error["limit"].as_str(), limit, "{answer}");
        assert_eq!(
            error["code"].as_str(),
            limit.map(|_| "QUERY_LIMIT_EXCEEDED")
        );
    }
    // What a variable says counts as if it stood there.
    let query = "query($n: Int) { users(first: 100) { reviews(first: $n) { author { id } } } }";
    let (_, answer) = site
        .post(json!({ "query": query, "variables": { "n": 100 } }))
        .await;
    assert_eq!(
        answer["errors"][0]["extensions"]["limit"],
        "rows to come to"
    );
    assert!(
        site.asked()
            .iter()
            .all(|a| !a.body.to_string().contains("100000"))
    );
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(text);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// A gateway for production with two documents, and their ids.
async fn production() -> (Site, tempfile::TempDir, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "query Me { me { name } }",
        "mutation M { rename(id: \"u1\", name: \"N\") { name } }",
    ];
    std::fs::write(folder.path().join("me.graphql"), texts[0]).unwrap();
    std::fs::create_dir(folder.path().join("till")).unwrap();
    std::fs::write(folder.path().join("till/rename.graphql"), texts[1]).unwrap();
    let settings = [
        ("BAHI_GRAPHQL_MODE", "production"),
        ("BAHI_GRAPHQL_DOCUMENTS", folder.path().to_str().unwrap()),
    ];
    let site = Site::start(&settings).await;
    (site, folder, texts.map(sha256))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_only_known_documents_are_answered() {
    let (site, _folder, [me, rename]) = production().await;
    let name = json!({ "data": { "me": { "name": "Name 0" } } });
    for body in [
        json!({ "documentId": me }),
        json!({ "documentId": format!("sha256:{me}") }),
        json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": me } } }),
        // Whatever is sent beside the id, the known text counts.
        json!({ "documentId": me, "query": "{ users { email } }" }),
    ] {
        assert_eq!(site.post(body.clone()).await.1, name, "{body}");
    }
    for (body, code) in [
        (
            json!({ "query": "query Me { me { name } }" }),
            "PERSISTED_QUERY_REQUIRED",
        ),
        (
            json!({ "query": "{ __schema { queryType { name } } }" }),
            "PERSISTED_QUERY_REQUIRED",
        ),
        (
            json!({ "documentId": "sha256:00" }),
            "PERSISTED_QUERY_NOT_FOUND",
        ),
    ] {
        let (status, answer) = site.post(body).await;
        assert_eq!(
            (
                status.as_u16(),
                answer["errors"][0]["extensions"]["code"].as_str()
            ),
            (400, Some(code))
        );
    }
    // An address can be written down anywhere: it reads, and only what is known.
    let get = |query: String| {
        site.request(Method::GET, &format!("/graphql?{query}"))
            .header("accept", RESPONSE)
    };
    assert_eq!(answered(get(format!("documentId={me}"))).await.2, name);
    let apq =
        format!("extensions={{\"persistedQuery\":{{\"version\":1,\"sha256Hash\":\"{me}\"}}}}");
    assert_eq!(answered(get(apq)).await.2, name);
    assert_eq!(answered(get(format!("documentId={rename}"))).await.0, 405);
    assert!(site.world.changes.lock().is_empty());
    assert_eq!(answered(get("query={me{name}}".into())).await.0, 400);
    assert_eq!(
        answered(get(format!("documentId={me}&variables=x")))
            .await
            .0,
        400
    );
    let page = site
        .request(Method::GET, "/graphql")
        .header("accept", "text/html");
    assert_eq!(answered(page).await.0, 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_any_query_is_taken_it_may_come_beside_its_hash() {
    let site = Site::start(&[]).await;
    let query = "{ me { name } }";
    let hash = sha256(query);
    let beside = |hash: &str| {
        let persisted = json!({ "version": 1, "sha256Hash": hash });
        json!({ "query": query, "extensions": { "persistedQuery": persisted } })
    };
    let (status, answer) = site.post(beside(&hash)).await;
    assert_eq!(
        (status.as_u16(), answer),
        (200, json!({ "data": { "me": { "name": "Name 0" } } }))
    );
    let other = beside(&sha256("{ me { nick } }"));
    for accept in [RESPONSE, "application/json"] {
        let post = site.request(Method::POST, "/graphql").json(&other);
        let (status, _, answer) = answered(post.header("accept", accept)).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(
            answer["errors"][0]["extensions"]["code"],
            "PERSISTED_QUERY_HASH_MISMATCH"
        );
    }
    // An address has to be known all the same, and so has everything in production.
    let get = format!(
        "/graphql?query={query}&extensions={}",
        beside(&hash)["extensions"]
    );
    let get = site.request(Method::GET, &get).header("accept", RESPONSE);
    let (production, _folder, _) = production().await;
    let (_, refused) = production.post(beside(&hash)).await;
    for answer in [answered(get).await.2, refused] {
        assert_eq!(
            answer["errors"][0]["extensions"]["code"],
            "PERSISTED_QUERY_NOT_FOUND"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_operations_only_the_one_that_is_named_must_be_served() {
    let site = Site::start(&[]).await;
    let body = |name: &str| {
        let query = "query Q { me { name } } subscription S { x }";
        json!({ "query": query, "operationName": name })
    };
    let (status, answer) = site.post(body("Q")).await;
    assert_eq!(
        (status.as_u16(), answer),
        (200, json!({ "data": { "me": { "name": "Name 0" } } }))
    );
    for (name, code) in [
        ("S", "SUBSCRIPTION_NOT_SUPPORTED"),
        ("", "OPERATION_RESOLUTION_FAILURE"),
    ] {
        let (status, answer) = site.post(body(name)).await;
        let told = answer["errors"][0]["extensions"]["code"].as_str();
        assert_eq!((status.as_u16(), told), (400, Some(code)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn developers_have_a_page_to_try_queries_on() {
    let site = Site::start(&[]).await;
    let page = site
        .request(Method::GET, "/graphql")
        .header("accept", "text/html");
    let (status, kind, _) = answered(page).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    let get = site
        .request(Method::GET, "/graphql?query={me{name}}")
        .header("accept", RESPONSE);
    let (status, _, answer) = answered(get).await;
    assert_eq!(
        (status, &answer["errors"][0]["extensions"]["code"]),
        (400, &json!("PERSISTED_QUERY_REQUIRED"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_learn_who_asks_from_a_token_of_the_gateway() {
    let site = Site::start(&[("BAHI_GRAPHQL_OPEN", "false")]).await;
    let body =
        json!({ "query": "mutation { rename(id: \"u1\", name: \"A\") { reviews { stars } } }" });
    let post = || site.request(Method::POST, "/graphql").json(&body);
    assert_eq!(answered(post()).await.0, 401);
    assert_eq!(answered(post().bearer_auth("forged")).await.0, 401);
    assert!(site.asked().is_empty());
    let claims = claims(&["*"]);
    let token = sign("identity", token::ACCESS, &claims);
    let sent = post()
        .bearer_auth(&token)
        .header("idempotency-key", "k1")
        .header("x-user-id", "me");
    assert_eq!(answered(sent).await.0, 200);
    let asked = site.asked();
    assert_eq!(asked.len(), 2);
    for one in &asked {
        let inner = one.authorization.as_deref().unwrap();
        assert_ne!(inner, format!("Bearer {token}"));
        let said = crate::support::keys()
            .verify(
                inner.strip_prefix("Bearer ").unwrap(),
                token::INTERNAL,
                token::AUDIENCE_INTERNAL,
            )
            .unwrap();
        assert_eq!((said.sub, said.tid), (claims.sub.clone(), claims.tid));
    }
    // The key is a promise about the change, not about what is read after it.
    assert_eq!(
        (asked[0].key.as_deref(), asked[1].key.as_deref()),
        (Some("k1"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_made_shorter_for_whoever_has_signed_in() {
    use std::io::Read;
    let query = json!({ "query": "{ __schema { types { name fields { name type { name } } } } }" });
    let ask = async |site: &Site, body: &Value| {
        let token = sign("identity", token::ACCESS, &claims(&["*"]));
        let request = site.request(Method::POST, "/graphql").json(body);
        let request = request.bearer_auth(token).header("accept-encoding", "gzip");
        let answer = request.send().await.unwrap();
        let coding = answer.headers().get("content-encoding");
        let shorter = coding.is_some_and(|coding| coding == "gzip");
        (shorter, answer.bytes().await.unwrap().to_vec())
    };
    let open = Site::start(&[]).await;
    let (shorter, whole) = ask(&open, &query).await;
    assert!(!shorter && whole.len() > 1024);
    let site = Site::start(&[("BAHI_GRAPHQL_OPEN", "false")]).await;
    let (shorter, bytes) = ask(&site, &query).await;
    assert!(shorter && bytes.len() < whole.len() / 2);
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&*bytes)
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == whole);
    let (shorter, _) = ask(&site, &json!({ "query": "{ __typename }" })).await;
    assert!(!shorter, "what is short stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_many_parts_arrives_whole() {
    use std::io::Read;
    // Digits of hashes do not get shorter than half.
    let name: String = (0..4_000).map(|n: u32| sha256(&n.to_string())).collect();
    let answer = json!({ "data": { "me": { "name": name } } }).to_string();
    let site = Site::start(&[("BAHI_GRAPHQL_OPEN", "false")]).await;
    let says = Mood::Says(answer.clone().leak());
    site.parts.desk.moods.lock().insert("users", says);
    let token = sign("identity", token::ACCESS, &claims(&["*"]));
    for coding in ["identity", "gzip"] {
        let body = json!({ "query": "{ me { name } }" });
        let request = site.request(Method::POST, "/graphql").json(&body);
        let request = request.bearer_auth(&token);
        let request = request.header("accept-encoding", coding);
        let got = request.send().await.unwrap();
        let length = got.headers()["content-length"].to_str().unwrap();
        let length: usize = length.parse().unwrap();
        let bytes = got.bytes().await.unwrap();
        assert!(bytes.len() == length && length > 4 * 16 * 1024, "{length}");
        let mut read = bytes.to_vec();
        if coding == "gzip" {
            read.clear();
            let mut decoder = flate2::read::GzDecoder::new(&*bytes);
            decoder.read_to_end(&mut read).unwrap();
        }
        assert!(read == answer.as_bytes());
    }
}
