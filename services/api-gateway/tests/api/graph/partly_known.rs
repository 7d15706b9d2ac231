//! Objects of which a service, or a client, does not know all: what is one for one service is an interface for another
//! (`@interfaceObject`), and what clients must not see (`@inaccessible`).

use serde_json::{Value, json};

use super::Site;

/// As a composer writes it; ours composes neither of the two.
const SUPERGRAPH: &str = r#"
schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION)
  @link(url: "https://specs.apollo.dev/inaccessible/v0.2", for: SECURITY) { query: Query }
directive @inaccessible on OBJECT
directive @join__field(graph: join__Graph, requires: join__FieldSet, external: Boolean) repeatable on FIELD_DEFINITION
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE
directive @join__type(graph: join__Graph!, key: join__FieldSet, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE | SCALAR
directive @link(url: String, for: link__Purpose) repeatable on SCHEMA
scalar join__FieldSet
enum link__Purpose { SECURITY EXECUTION }
enum join__Graph { REVIEWS @join__graph(name: "reviews", url: "") USERS @join__graph(name: "users", url: "") }
type Query @join__type(graph: REVIEWS) @join__type(graph: USERS) {
  marked: [Thing] @join__field(graph: USERS)
  shown: [Thing] @join__field(graph: REVIEWS)
}
interface Thing @join__type(graph: REVIEWS, key: "id") @join__type(graph: USERS, key: "id", isInterfaceObject: true) {
  id: ID!
  title: String @join__field(graph: REVIEWS)
  mark: Int @join__field(graph: USERS)
}
type Book implements Thing @join__implements(graph: REVIEWS, interface: "Thing") @join__type(graph: REVIEWS, key: "id") {
  id: ID!
  title: String
  pages: Int
  mark: Int @join__field
}
type Film implements Thing @join__implements(graph: REVIEWS, interface: "Thing") @join__type(graph: REVIEWS, key: "id") {
  id: ID!
  title: String
  mark: Int @join__field
}
type Draft implements Thing @join__implements(graph: REVIEWS, interface: "Thing") @join__type(graph: REVIEWS, key: "id") @inaccessible {
  id: ID!
  title: String
  mark: Int @join__field
}
"#;

async fn site(users: &'static str, reviews: &'static str) -> Site {
    Site::saying(SUPERGRAPH, users, reviews).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_service_knows_as_an_interface_alone_is_shown_with_what_that_has() {
    let site = site(
        r#"{"data":{"marked":[{"__typename":"Thing","id":"1","mark":5,"again":5},{"__typename":"Thing","id":"2","mark":null,"again":null}]}}"#,
        r#"{"data":{"_entities":[{"__typename":"Book","pages":90},{"__typename":"Film"}]}}"#,
    )
    .await;
    let marked = |answer: &Value| answer["data"]["marked"].clone();
    let answer = site
        .ask("{ marked { id mark ... on Thing { again: mark } } }")
        .await;
    assert_eq!(
        marked(&answer),
        json!([{ "id": "1", "mark": 5, "again": 5 }, { "id": "2", "mark": null, "again": null }]),
        "{answer}"
    );
    assert_eq!(site.asked().len(), 1);
    // Who asks what it is gets to know it from the service that knows.
    let answer = site
        .ask("{ marked { __typename mark ... on Book { pages } } }")
        .await;
    assert_eq!(
        marked(&answer),
        json!([{ "__typename": "Book", "mark": 5, "pages": 90 }, { "__typename": "Film", "mark": null }]),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_clients_must_not_see_is_null_and_what_a_service_needs_of_it_is_sent() {
    let site = site(
        r#"{"data":{"_entities":[{"mark":1},{"mark":2}]}}"#,
        r#"{"data":{"shown":[{"__typename":"Draft","id":"1","title":"Secret"},{"__typename":"Book","id":"2","title":"B"}]}}"#,
    )
    .await;
    for query in [
        "{ shown { __typename title } }",
        "{ shown { __typename title mark } }",
    ] {
        let answer = site.ask(query).await;
        assert_eq!(answer["data"]["shown"][0], Value::Null, "{answer}");
        assert_eq!(answer["data"]["shown"][1]["__typename"], "Book");
        let text = answer.to_string();
        assert!(
            !text.contains("Draft") && !text.contains("Secret"),
            "{text}"
        );
    }
    let asked = site.asked();
    let sent: Vec<&Value> = asked
        .iter()
        .filter(|asked| asked.part == "users")
        .flat_map(|asked| asked.body["variables"]["representations"].as_array())
        .flatten()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(sent, ["1", "2"], "{asked:?}");
    let answer = site.ask("{ __type(name: \"Draft\") { name } }").await;
    assert_eq!(answer["data"], json!({ "__type": null }));
}
