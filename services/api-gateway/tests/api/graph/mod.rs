//! The graph through the gateway, over parts that are put together here: the same data as from one schema.

mod carrying;
mod generate;
mod over_http;
mod partly_known;
mod reentry;
mod world;

use std::sync::Arc;

use async_graphql::dynamic::Schema;
use bahi_testkit::{TestEdge, eventually};
use futures::StreamExt;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use self::{
    generate::{Made, Maker},
    world::{Asked, Mood, Parts, WHOLE, World, supergraph, whole},
};

/// A gateway in front of the parts of a world.
struct Site {
    edge: TestEdge<api_gateway::Gateway>,
    parts: Parts,
    world: Arc<World>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::of(&supergraph(), settings).await
    }

    /// With a supergraph of `users` and `reviews`, which say this whatever they are asked.
    async fn saying(supergraph: &str, users: &'static str, reviews: &'static str) -> Self {
        let site = Self::of(supergraph, &[]).await;
        let mut moods = site.parts.desk.moods.lock();
        moods.insert("users", Mood::Says(users));
        moods.insert("reviews", Mood::Says(reviews));
        drop(moods);
        site
    }

    /// With a supergraph that names some of the parts.
    async fn of(supergraph: &str, settings: &[(&str, &str)]) -> Self {
        let world = World::new();
        let parts = Parts::serve(&world).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supergraph.graphql");
        std::fs::write(&file, supergraph).unwrap();
        let mut all = vec![
            ("BAHI_GRAPHQL_SUPERGRAPH", file.to_str().unwrap()),
            ("BAHI_GRAPHQL_SUBGRAPHS", &parts.settings),
            ("BAHI_GRAPHQL_MODE", "development"),
            ("BAHI_GRAPHQL_OPEN", "true"),
            ("BAHI_LIMIT_NORMAL", "100000/100000"),
        ];
        all.extend_from_slice(settings);
        let edge = TestEdge::start(api_gateway::app(), &all).await;
        Self {
            edge,
            parts,
            world,
            http: reqwest::Client::new(),
            _folder: folder,
        }
    }

    async fn post(&self, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/graphql", self.edge.url());
        let request = self.http.post(url).json(&body);
        let request = request.header("accept", "application/graphql-response+json");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The requests that reached the parts since the last look.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.parts.desk.asked.lock())
    }

    /// Asserts that a query has the same answer as from one schema.
    async fn agrees(&self, one: &Schema, query: &str, variables: Map<String, Value>, seed: u64) {
        let variables = json!(variables);
        let request = async_graphql::Request::new(query)
            .variables(async_graphql::Variables::from_json(variables.clone()));
        let expected = serde_json::to_value(one.execute(request).await).unwrap();
        let body = json!({ "query": query, "variables": variables });
        let (status, answer) = self.post(body).await;
        let told =
            format!("seed {seed}: {query} {variables}\nexpected {expected}\nanswered {answer}");
        assert_eq!(status, 200, "{told}");
        assert_eq!(answer, expected, "{told}");
    }

    async fn ask(&self, query: &str) -> Value {
        let (status, body) = self.post(json!({ "query": query })).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

fn seeds() -> u64 {
    std::env::var("BAHI_GRAPH_QUERIES").map_or(3000, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_query_has_the_same_answer_as_from_one_schema() {
    let site = Site::start(&[]).await;
    let one = whole(&site.world);
    let compared = futures::stream::iter(0..seeds()).map(|seed| {
        let (site, one) = (&site, &one);
        async move {
            let Made { query, variables } = Maker::new(WHOLE).make(seed);
            site.agrees(one, &query, variables, seed).await;
        }
    });
    compared.buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_may_be_called_like_another_that_the_plan_needs() {
    let site = Site::start(&[]).await;
    let one = whole(&site.world);
    for query in [
        r#"{ book(id: "i2") { shipping id: title } }"#,
        r#"{ book(id: "i2") { id: title shipping } }"#,
        r#"{ book(id: "i2") { title: price label } }"#,
        "{ users { id: email reviews { id: text author { id: nick name } } } }",
        "{ stocks { sku: place place: sku keeper { id: name email } } }",
        "{ me { id reviews { __nothing: stars __as_id: text } } }",
        "{ items { ... on Film { id: title shipping } ... on Book { id: title } } }",
        "mutation { fail: rename(id: \"u1\", name: \"Other\") { id: name reviews { stars } } }",
        "{ __schema { queryType { kind: name name: kind } } }",
    ] {
        site.agrees(&one, query, Map::new(), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_is_told_where_the_client_asks_for_it_by_a_name_of_his_own_alone() {
    let site = Site::start(&[]).await;
    let one = whole(&site.world);
    for query in [
        "{ items { kind: __typename } }",
        "{ priced { kind: __typename again: __typename } node(id: \"f1\") { kind: __typename } }",
        "{ latest { item { kind: __typename ... on Book { title: __typename } } } }",
        "{ found { ...F kind: __typename } top: __typename } fragment F on Stock { sku: __typename }",
    ] {
        site.agrees(&one, query, Map::new(), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_different_types_may_be_asked_for_different_things_under_one_name() {
    let site = Site::start(&[]).await;
    let one = whole(&site.world);
    for query in [
        "{ items { ... on Book { r: reviews(first: 1) { stars } } ... on Film { r: reviews(first: 3) { stars author { nick } } } } }",
        "{ priced { ...F title ...B } } fragment B on Book { r: reviews(first: 1) { id } n: pages } fragment F on Film { r: reviews(first: 2) { id } n: minutes }",
        "{ latest { item { ... on Book { r: reviews(first: 1) { stars } } ... on Film { r: reviews(first: 2) { stars } } } } }",
    ] {
        site.agrees(&one, query, Map::new(), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_schema_has_changed_shows() {
    let site = Site::start(&[]).await;
    let url = format!("{}/metrics", site.edge.admin_url());
    eventually(|| async {
        let text = site.http.get(&url).send().await.ok()?.text().await.ok()?;
        let of = |service: &str, value: u8| {
            text.contains(&format!(
                "gateway_subgraph_drift{{service=\"{service}\"}} {value}"
            ))
        };
        (of("users", 0) && of("reviews", 0) && of("shipping", 1)).then_some(())
    })
    .await;
    // What is served is what was composed.
    assert_eq!(
        site.ask("{ me { name } }").await["data"]["me"]["name"],
        "Name 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_told_as_one_schema_tells_it() {
    let site = Site::start(&[]).await;
    let query = "{ __schema { queryType { name } mutationType { name } types { kind name fields(includeDeprecated: true) { name args { name type { ...T } defaultValue } type { ...T } } inputFields { name type { ...T } } interfaces { name } enumValues { name } possibleTypes { name } } } }
        fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
    let answer = site.ask(query).await;
    let expected = serde_json::to_value(whole(&site.world).execute(query).await).unwrap();
    let of = |answer: &Value| {
        let types = answer["data"]["__schema"]["types"].as_array().unwrap();
        let mut own: Vec<Value> = types
            .iter()
            .filter(|t| !t["name"].as_str().unwrap().starts_with("__") && t["kind"] != "SCALAR")
            .cloned()
            .collect();
        for of in &mut own {
            // An interface of no interfaces has none; it is not unknown which.
            if of["kind"] == "INTERFACE" {
                of["interfaces"] = Value::Null;
            }
            for list in [
                "fields",
                "inputFields",
                "interfaces",
                "enumValues",
                "possibleTypes",
            ] {
                if let Some(list) = of[list].as_array_mut() {
                    for field in list.iter_mut() {
                        if let Some(args) = field["args"].as_array_mut() {
                            args.sort_by_key(|a| a["name"].to_string());
                        }
                    }
                    list.sort_by_key(|f| f["name"].to_string());
                }
            }
        }
        own.sort_by_key(|t| t["name"].to_string());
        own
    };
    for (told, wanted) in of(&answer).iter().zip(of(&expected).iter()) {
        assert_eq!(told, wanted);
    }
    assert_eq!(of(&answer).len(), of(&expected).len());
}
