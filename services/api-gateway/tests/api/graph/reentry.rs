//! Fields that lead back to the top of the graph: what is asked for there goes where they stand.

use serde_json::{Value, json};

use super::Site;

/// As a composer writes it. Only `reviews` knows a user, and only `users` makes a change.
const SUPERGRAPH: &str = r#"
schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION) {
  query: Query
  mutation: Mutation
}
directive @join__field(graph: join__Graph, requires: join__FieldSet, external: Boolean) repeatable on FIELD_DEFINITION
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__type(graph: join__Graph!, key: join__FieldSet) repeatable on OBJECT | INTERFACE | SCALAR
directive @link(url: String, for: link__Purpose) repeatable on SCHEMA
scalar join__FieldSet
enum link__Purpose { SECURITY EXECUTION }
enum join__Graph { REVIEWS @join__graph(name: "reviews", url: "") USERS @join__graph(name: "users", url: "") }
type Query @join__type(graph: REVIEWS) @join__type(graph: USERS) {
  user(id: ID!): User @join__field(graph: REVIEWS)
  well: Boolean! @join__field(graph: USERS)
}
type Mutation @join__type(graph: REVIEWS) @join__type(graph: USERS) {
  change: Changed! @join__field(graph: USERS)
  changes: [Changed!]! @join__field(graph: USERS)
  other: Boolean @join__field(graph: REVIEWS)
}
type Changed @join__type(graph: USERS) {
  ok: Boolean!
  query: Query
}
type User @join__type(graph: REVIEWS) {
  id: ID!
  name: String!
}
"#;

async fn site(users: &'static str, reviews: &'static str) -> Site {
    Site::saying(SUPERGRAPH, users, reviews).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_at_the_top_again_stands_where_the_field_stands() {
    let site = site(
        r#"{"data":{"change":{"ok":true,"info":{"__typename":"Query","well":true}}}}"#,
        r#"{"data":{"user":{"name":"A"}}}"#,
    )
    .await;
    let answer = site
        .ask("mutation { change { ok info: query { well user(id: 1) { name } } } }")
        .await;
    let info = json!({ "well": true, "user": { "name": "A" } });
    assert_eq!(
        answer,
        json!({ "data": { "change": { "ok": true, "info": info } } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_for_once_and_an_error_tells_each_place() {
    let site = site(
        r#"{"data":{"changes":[{"query":{"__typename":"Query"}},{"query":null},{"query":{"__typename":"Query"}}]}}"#,
        r#"{"data":{"user":null},"errors":[{"message":"No user.","path":["user"],"extensions":{"code":"NO_USER","status":409}}]}"#,
    )
    .await;
    let answer = site
        .ask("mutation { changes { query { user(id: 1) { name } } } }")
        .await;
    let none = json!({ "query": { "user": null } });
    assert_eq!(
        answer["data"],
        json!({ "changes": [none, { "query": null }, none] })
    );
    let errors = answer["errors"].as_array().unwrap().iter();
    let paths: Vec<&Value> = errors.map(|e| &e["path"]).collect();
    assert_eq!(
        paths,
        [
            &json!(["changes", 0, "query", "user"]),
            &json!(["changes", 2, "query", "user"])
        ]
    );
    let asked = site.asked();
    let parts: Vec<&str> = asked.iter().map(|a| a.part.as_str()).collect();
    assert_eq!(parts, ["users", "reviews"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_where_the_field_is_null() {
    let site = site(
        r#"{"data":{"change":{"ok":false,"query":null}}}"#,
        r#"{"data":{"user":{"name":"A"}}}"#,
    )
    .await;
    let answer = site
        .ask("mutation { change { ok query { user(id: 1) { name } } } }")
        .await;
    assert_eq!(
        answer,
        json!({ "data": { "change": { "ok": false, "query": null } } })
    );
    let asked = site.asked();
    let parts: Vec<&str> = asked.iter().map(|a| a.part.as_str()).collect();
    assert_eq!(parts, ["users"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_alone_may_be_asked_for_there() {
    let site = site(
        r#"{"data":{"change":{"query":{"__nothing":"Query","__typename":"Query"}}}}"#,
        "{}",
    )
    .await;
    let answer = site
        .ask("mutation { change { query { __schema { queryType { name } } } } }")
        .await;
    let query = json!({ "__schema": { "queryType": { "name": "Query" } } });
    assert_eq!(answer, json!({ "data": { "change": { "query": query } } }));
}
