//! How a plan is carried out: what goes to the services, what is null when one of them fails, and what is never done.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Site,
    world::{Asked, Mood},
};

fn by_part(asked: &[Asked]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for one in asked {
        *counts.entry(one.part.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_is_asked_about_once_wherever_it_stands() {
    let site = Site::start(&[]).await;
    let answer = site
        .ask("{ latest(first: 5) { author { nick } } users(first: 3) { friends { nick } } }")
        .await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    let asked = site.asked();
    let entities: Vec<&Asked> = asked
        .iter()
        .filter(|a| a.body["variables"]["representations"].is_array())
        .collect();
    assert_eq!(entities.len(), 1, "{asked:?}");
    let sent = entities[0].body["variables"]["representations"]
        .as_array()
        .unwrap();
    // Four authors, one of the five reviews being nobody's.
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(sent.iter().all(|one| one["__typename"] == "User"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_field_requires_is_fetched_first_and_sent_along() {
    let site = Site::start(&[]).await;
    let answer = site
        .ask("{ latest(first: 2) { item { ... on Film { shipping } ... on Book { shipping label } } } }")
        .await;
    let items = &answer["data"]["latest"];
    assert_eq!(items[0]["item"], json!({ "shipping": 200 }));
    assert_eq!(
        items[1]["item"],
        json!({ "shipping": 600, "label": "<Title 2 é>" })
    );
    let asked = site.asked();
    let sent = asked
        .iter()
        .filter(|a| a.part == "shipping")
        .map(|a| a.body.to_string());
    assert!(
        sent.collect::<String>().contains("\"weight\":2"),
        "{asked:?}"
    );
    // A key of two fields finds what one of them would not.
    let answer = site
        .ask("{ book(id: \"i2\") { stock { amount keeper { nick } } } }")
        .await;
    assert_eq!(
        answer["data"]["book"]["stock"],
        json!({ "amount": 2, "keeper": { "nick": "n2" } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_that_must_not_be_takes_what_holds_it() {
    let site = Site::start(&[]).await;
    let says = |text| {
        site.parts
            .desk
            .moods
            .lock()
            .insert("users", Mood::Says(text))
    };
    // A nick is never null: the person is null where a person may be.
    says(r#"{"data":{"user":{"name":"A","nick":null}}}"#);
    let answer = site.ask("{ user(id: \"u4\") { name nick } }").await;
    assert_eq!(answer["data"], json!({ "user": null }));
    assert_eq!(answer["errors"][0]["path"], json!(["user", "nick"]));
    assert_eq!(
        answer["errors"][0]["extensions"]["code"],
        "NULL_FOR_NON_NULL"
    );
    // Where the list holds no nulls, it takes the list; where the list must be there too, everything.
    says(r#"{"data":{"users":[{"nick":"a"},{"nick":null}]}}"#);
    let answer = site.ask("{ users { nick } }").await;
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["users", 1, "nick"]));
    // An email may be null, and is alone.
    says(r#"{"data":{"users":[{"email":"a"},{"email":null},{}]}}"#);
    let answer = site.ask("{ users { email } }").await;
    assert_eq!(
        answer,
        json!({ "data": { "users": [{ "email": "a" }, { "email": null }, { "email": null }] } })
    );
    // The same at a distance: one author of several cannot be told, and is null; who is told says so once.
    says(
        r#"{"data":{"_entities":[{"__typename":"User","nick":"a"},null]},"errors":[{"message":"No nick.","extensions":{"code":"NO_NICK","status":409}}]}"#,
    );
    let answer = site
        .ask("{ latest(first: 3) { stars author { nick } } }")
        .await;
    assert_eq!(answer["data"]["latest"][0]["author"]["nick"], "a");
    assert_eq!(
        answer["data"]["latest"][2],
        json!({ "stars": 2, "author": null })
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_where_in_the_answer_it_is() {
    let site = Site::start(&[]).await;
    let moods = &site.parts.desk.moods;
    moods.lock().insert("users", Mood::Says(r#"{"data":{"user":null},"errors":[{"message":"No nick.","path":["user","nick"],"extensions":{"code":"NO_NICK","status":409}}]}"#));
    let answer = site.ask("{ user(id: \"u4\") { name nick } }").await;
    let error = &answer["errors"][0];
    assert_eq!(
        (&error["path"], &error["message"]),
        (&json!(["user", "nick"]), &json!("No nick."))
    );
    assert_eq!(
        error["extensions"],
        json!({ "code": "NO_NICK", "status": 409 })
    );
    // Of an entity it is said where that stands in the client's answer, not in what the service was sent.
    moods.lock().insert("users", Mood::Says(r#"{"data":{"_entities":[{"__typename":"User","name":"A"},null]},"errors":[{"message":"No nick.","path":["_entities",1,"nick"],"extensions":{"code":"NO_NICK","status":409}}]}"#));
    let answer = site
        .ask("{ latest(first: 3) { stars author { name } } }")
        .await;
    assert_eq!(
        answer["data"]["latest"][0],
        json!({ "stars": 0, "author": { "name": "A" } })
    );
    assert_eq!(
        answer["data"]["latest"][2],
        json!({ "stars": 2, "author": null })
    );
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["latest", 2, "author", "nick"]),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_about_what_stands_in_several_places_is_told_in_each() {
    let site = Site::start(&[]).await;
    // The third of five authors is the last of the first book's reviews and the second of the other's.
    site.parts.desk.moods.lock().insert("users", Mood::Says(r#"{"data":{"_entities":[{"__typename":"User","name":"A"},{"__typename":"User","name":"B"},null,{"__typename":"User","name":"D"},{"__typename":"User","name":"E"}]},"errors":[{"message":"No name.","path":["_entities",2,"name"],"extensions":{"code":"NO_NAME","status":409}}]}"#));
    let answer = site
        .ask("{ items { ... on Book { reviews(first: 3) { author { name } } } } }")
        .await;
    let asked = site.asked();
    let sent = asked.iter().filter(|a| a.part == "users");
    let sent: Vec<&Value> = sent
        .map(|a| &a.body["variables"]["representations"])
        .collect();
    let ids = ["u5", "u0", "u2", "u4", "u3"];
    let ids = ids.map(|id| json!({ "__typename": "User", "id": id }));
    assert_eq!(sent, [&json!(ids)]);
    let items = &answer["data"]["items"];
    assert_eq!(items[0]["reviews"][2], json!({ "author": null }));
    assert_eq!(items[1]["reviews"][1], json!({ "author": null }));
    let errors = answer["errors"].as_array().unwrap().iter();
    let told: Vec<_> = errors.map(|e| (&e["message"], &e["path"])).collect();
    let message = json!("No name.");
    assert_eq!(
        told,
        [
            (
                &message,
                &json!(["items", 0, "reviews", 2, "author", "name"])
            ),
            (
                &message,
                &json!(["items", 1, "reviews", 1, "author", "name"])
            ),
        ],
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_does_not_say_is_not_passed_on() {
    let site = Site::start(&[]).await;
    let moods = &site.parts.desk.moods;
    for (says, data) in [
        (
            r#"{"data":{"user":{"role":"WIZARD"}}}"#,
            json!({ "user": { "role": null } }),
        ),
        (r#"{"data":{"user":"somebody"}}"#, json!({ "user": null })),
        (
            r#"{"data":{"user":[{"role":"READER"}]}}"#,
            json!({ "user": null }),
        ),
        (
            r#"{"data":{"user":{"role":"READER","secret":1}}}"#,
            json!({ "user": { "role": "READER" } }),
        ),
        (r#"{"data":null}"#, json!({ "user": null })),
        (r#"{}"#, json!({ "user": null })),
    ] {
        moods.lock().insert("users", Mood::Says(says));
        let answer = site.ask("{ user(id: \"u4\") { role } }").await;
        assert_eq!(answer["data"], data, "{says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_costs_its_own_fields_and_tells_nothing_of_itself() {
    let site = Site::start(&[]).await;
    let query = "{ users(first: 2) { name reviews { stars } } latest { stars } book(id: \"i0\") { title } }";
    for (mood, code, again) in [
        (Mood::Broken, "CONNECTION_BROKEN", false),
        (Mood::Garbled, "MALFORMED_ANSWER", false),
        (Mood::Abrupt, "CONNECTION_BROKEN", true),
        (Mood::Talkative, "INTERNAL", false),
        (Mood::Refusing, "FORBIDDEN", false),
    ] {
        site.parts.desk.moods.lock().insert("reviews", mood);
        let optional = site
            .ask("{ found { __typename } book(id: \"i0\") { title } }")
            .await;
        assert_eq!(
            optional["data"],
            json!({ "found": null, "book": { "title": "Title 0 é" } }),
            "{mood:?}"
        );
        assert_eq!(
            optional["errors"][0]["extensions"]["code"], code,
            "{mood:?}: {optional}"
        );
        assert!(!optional.to_string().contains("insides"), "{optional}");
        // What only reads is asked again once where nothing came of it.
        let asked = site.asked();
        assert_eq!(
            by_part(&asked)["reviews"],
            if again { 2 } else { 1 },
            "{mood:?}"
        );
        // The lists of reviews must be there, so nothing is.
        let must = site.ask(query).await;
        assert_eq!(must["data"], Value::Null, "{mood:?}");
        site.asked();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_of_a_request_that_it_does_not_answer_is_told() {
    let site = Site::start(&[]).await;
    let moods = &site.parts.desk.moods;
    let change = "mutation { rename(id: \"u1\", name: \"X\") { name } }";
    let read = "{ user(id: \"u1\") { name } }";
    for (status, code) in [
        (400, "MALFORMED"),
        (401, "UNAUTHENTICATED"),
        (413, "TOO_LARGE"),
        (503, "DATABASE_BUSY"),
        (504, "TIMEOUT"),
    ] {
        moods.lock().insert("users", Mood::Problem(status, code));
        for query in [change, read] {
            let answer = site.ask(query).await;
            let error = &answer["errors"][0];
            assert_eq!(error["message"], "It is refused.", "{answer}");
            assert_eq!(
                error["extensions"],
                json!({ "code": code, "status": status, "request_id": "r1" })
            );
        }
    }
    // What went wrong inside is not for clients, whoever writes it down.
    for status in [500, 502] {
        moods
            .lock()
            .insert("users", Mood::Problem(status, "SECRET"));
        let answer = site.ask(change).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "CONNECTION_BROKEN");
        assert!(!answer.to_string().contains("SECRET"), "{answer}");
        assert!(!answer.to_string().contains("refused"), "{answer}");
    }
    // The same where one field had no time.
    moods.lock().insert("users", Mood::Says(r#"{"data":{"user":null},"errors":[{"message":"Too late.","path":["user"],"extensions":{"code":"TIMEOUT","status":504}}]}"#));
    let answer = site.ask(read).await;
    assert_eq!(answer["errors"][0]["message"], "Too late.", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_learns_the_name_that_the_client_gave_a_change() {
    let site = Site::start(&[]).await;
    // Each of them is a field elsewhere in the graph.
    let answer = site
        .ask(
            "mutation { users: rename(id: \"u1\", name: \"A\") { id: name } ...F }
             fragment F on Mutation {
               users: rename(id: \"u1\", name: \"A\") { nick }
               fail: rename(id: \"u2\", name: \"B\") { reviews(first: 1) { id: stars } }
               ... { me: review(item: \"i1\", stars: 1) { id: text } }
               ... on Mutation { __nothing: rename(id: \"u3\", name: \"C\") { nick } }
             }",
        )
        .await;
    assert_eq!(
        answer,
        json!({ "data": {
            "users": { "id": "Name 1", "nick": "n1" },
            "fail": { "reviews": [{ "id": 2 }] },
            "me": { "id": "text \"3\"\n" },
            "__nothing": { "nick": "n3" },
        } })
    );
    assert_eq!(site.world.changes.lock().len(), 4);
    let asked = site.asked();
    let queries = asked.iter().filter_map(|a| a.body["query"].as_str());
    let mut sent: String = queries.collect();
    sent.retain(|c| !c.is_whitespace());
    for named in ["users:rename(", "fail:rename(", "me:review("] {
        assert_eq!(sent.matches(named).count(), 1, "{named}: {sent}");
    }
    for renamed in ["__as_users", "__as_fail", "__as_me"] {
        assert!(!sent.contains(renamed), "{renamed}: {sent}");
    }
    // Keys stand beside what is below, and such a name always was another.
    for named in ["__as_id:name", "__as_id:stars", "__as___nothing:rename("] {
        assert!(sent.contains(named), "{named}: {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_are_carried_out_one_after_another_and_never_again() {
    let site = Site::start(&[]).await;
    let query = "mutation { a: rename(id: \"u1\", name: \"A\") { name } b: review(item: \"i1\", stars: 1) { stars author { nick } } c: rename(id: \"u2\", name: \"C\") { reviews { stars } } fail { name } d: rename(id: \"u3\", name: \"D\") { name } }";
    let answer = site.ask(query).await;
    assert_eq!(answer["data"]["fail"], Value::Null);
    assert_eq!(answer["data"]["d"]["name"], "Name 3");
    assert!(answer["data"]["c"]["reviews"].is_array(), "{answer}");
    let changes = site.world.changes.lock().clone();
    let order: Vec<&str> = changes
        .iter()
        .map(|c| c.split(' ').next().unwrap())
        .collect();
    assert_eq!(order, ["rename", "review", "rename", "rename"]);
    assert!(
        changes[2].contains("u2") && changes[3].contains("u3"),
        "{changes:?}"
    );
    site.asked();
    // The connection breaks after the change was made: it is told, and not repeated.
    site.parts.desk.moods.lock().insert("users", Mood::Abrupt);
    let answer = site
        .ask("mutation { rename(id: \"u1\", name: \"X\") { name } }")
        .await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"],
        "CONNECTION_BROKEN"
    );
    assert_eq!(site.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_in_time_with_what_there_is() {
    let site = Site::start(&[("BAHI_GRAPHQL_BUDGET_MS", "300")]).await;
    site.parts.desk.moods.lock().insert("reviews", Mood::Silent);
    let answer = site.ask("{ found { __typename } me { name } }").await;
    assert_eq!(
        answer["data"],
        json!({ "found": null, "me": { "name": "Name 0" } })
    );
    assert_eq!(answer["errors"][0]["extensions"]["code"], "TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_decide_what_is_asked_of_the_services() {
    let site = Site::start(&[]).await;
    let query = "query($with: Boolean!) { me { name reviews @include(if: $with) { stars } } }";
    for (with, parts) in [(true, 2), (false, 1), (true, 2)] {
        let body = json!({ "query": query, "variables": { "with": with } });
        let (_, answer) = site.post(body).await;
        assert_eq!(answer["data"]["me"]["reviews"].is_array(), with, "{answer}");
        assert_eq!(by_part(&site.asked()).len(), parts);
    }
    // An object of which nothing is wanted is there, and empty.
    let answer = site
        .ask("{ me { name @skip(if: true) } user(id: \"none\") { id @skip(if: true) } }")
        .await;
    assert_eq!(answer["data"], json!({ "me": {}, "user": null }));
    // A query of nothing asks nobody.
    site.asked();
    let answer = site
        .ask("{ __typename ... { t: __typename } me @skip(if: true) { name } }")
        .await;
    assert_eq!(
        answer["data"],
        json!({ "__typename": "Query", "t": "Query" })
    );
    assert!(site.asked().is_empty());
}
