//! Identity in the graph: the same data, rights, refusals and idempotency as in REST, and no query per row.

use bahi_testkit::Client;
use bahi_types::TenantId;
use serde_json::{Value, json};

use crate::{
    organisation::{site, till},
    support::*,
};

/// What a query answers, which must be without errors.
async fn ask(client: &Client, query: &str, variables: Value) -> Value {
    let reply = client.graphql(query, variables).await.expect(200);
    assert_eq!(reply.body["errors"], Value::Null, "{}", reply.text);
    reply.body["data"].clone()
}

/// The extensions of the first error.
async fn refused(client: &Client, query: &str, variables: Value) -> Value {
    let reply = client.graphql(query, variables).await.expect(200);
    reply.body["errors"][0]["extensions"].clone()
}

/// Runs a query of so many rows three times, and asserts that many need no more statements than two.
async fn assert_flat(app: &App, owner: &Client, query: &str, variables: impl Fn(usize) -> Value) {
    let ask = async |rows: usize| {
        ask(owner, query, variables(rows)).await;
    };
    bahi_testkit::assert_flat(&app.db, ask).await;
}

const TILLS: &str = "query($n: Int!, $after: String) { tills(first: $n, after: $after) {
    edges { node { id code branch { name } location { name branch { code } } } }
    pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }";

#[tokio::test(flavor = "multi_thread")]
async fn tills_are_walked_as_a_connection_with_where_they_stand() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    for n in 0..3 {
        let body = till(&site, &format!("t{n}"), &format!("T{n}"));
        shop.owner.post("/api/v1/tills", body).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    for (more, before) in [(true, false), (false, true)] {
        let asked = json!({ "n": 2, "after": after });
        let list = ask(&shop.owner, TILLS, asked).await["tills"].clone();
        assert_eq!(list["totalCount"], 3);
        assert_eq!(list["pageInfo"]["hasNextPage"], more);
        assert_eq!(list["pageInfo"]["hasPreviousPage"], before);
        for edge in list["edges"].as_array().unwrap() {
            let node = &edge["node"];
            seen.push(node["code"].clone());
            assert_eq!(node["branch"]["name"], "Main");
            assert_eq!(node["location"]["branch"]["code"], "MAIN");
        }
        after = list["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, ["T0", "T1", "T2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_need_no_more_statements_than_two() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let mut site = site(&shop.owner).await;
    let mut keys = Vec::new();
    for n in 0..50 {
        let place = json!({ "branch_id": site.branch, "code": format!("l{n}"), "name": "Shelf" });
        let made = shop.owner.post("/api/v1/locations", place).await;
        site.location = made.expect(201).text_at("id");
        let body = till(&site, &format!("t{n}"), &format!("T{n}"));
        let made = shop.owner.post("/api/v1/tills", body).await.expect(201);
        let user = shop.invite("cashier").await.body["user"]["id"].clone();
        keys.push((made.text_at("id"), site.location.clone(), user));
    }
    assert_flat(&app, &shop.owner, TILLS, |rows| json!({ "n": rows })).await;
    let users = "query($n: Int!) { users(first: $n) { edges { node { name roleIds } } } }";
    assert_flat(&app, &shop.owner, users, |rows| json!({ "n": rows })).await;
    let entities = "query($r: [_Any!]!) { _entities(representations: $r) {
        ... on Till { code branch { name } } ... on Location { code branch { name } } ... on User { name roleIds } } }";
    let asked = |kinds: &[&str], rows: usize| {
        let of = keys[..rows].iter().flat_map(|(till, location, user)| {
            [
                json!({ "__typename": "Till", "id": till }),
                json!({ "__typename": "Location", "id": location }),
                json!({ "__typename": "User", "id": user }),
            ]
        });
        let of = of.filter(|r| kinds.iter().any(|kind| r["__typename"] == *kind));
        json!({ "r": of.collect::<Vec<_>>() })
    };
    // Kind by kind: which of several is answered first decides whether what they lead to is asked for at once.
    for kind in ["Till", "Location", "User"] {
        assert_flat(&app, &shop.owner, entities, |rows| asked(&[kind], rows)).await;
    }
    let asked = |rows| asked(&["Till", "Location", "User"], rows);
    let found = ask(&shop.owner, entities, asked(50)).await;
    assert_eq!(found["_entities"][149]["name"], "Ravi");
    // Another tenant finds nothing by the same keys.
    let stranger = app.client(TenantId::new(), &["*"]);
    let reply = stranger.graphql(entities, asked(1)).await;
    assert_eq!(reply.body["data"]["_entities"], json!([null, null, null]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_for_by_each_field() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let reader = shop.owner.with_permissions(&["identity.organisation.read"]);
    let id = shop.owner.user;
    ask(
        &reader,
        "{ company { legalName } branches { totalCount } }",
        json!({}),
    )
    .await;
    for query in [
        "{ users { totalCount } }".to_owned(),
        format!("{{ user(id: \"{id}\") {{ email }} }}"),
        format!("mutation {{ disableUser(id: \"{id}\") {{ id }} }}"),
        "mutation { updateCompany(version: 1, input: { legalName: \"X\", currency: \"INR\" }) { version } }".to_owned(),
        format!("mutation {{ createLocation(input: {{ branchId: \"{id}\", code: \"a\", name: \"A\" }}) {{ id }} }}"),
    ] {
        let code = refused(&reader, &query, json!({})).await["code"].clone();
        assert_eq!(code, "FORBIDDEN", "{query}");
    }
    let nobody = shop.owner.with_permissions(&[]);
    for query in [
        "{ company { legalName } }",
        "{ branches { totalCount } }",
        "{ locations { totalCount } }",
        "{ tills { totalCount } }",
    ] {
        let code = refused(&nobody, query, json!({})).await["code"].clone();
        assert_eq!(code, "FORBIDDEN", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organisation_is_changed_by_the_rules_of_rest() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let owner = &shop.owner;
    let create =
        "mutation($i: BranchInput!) { createBranch(input: $i) { id code version active } }";
    let input = json!({ "registrationId": site.registration, "code": "west", "name": "West" });
    let body = json!({ "query": create, "variables": { "i": input } });
    let first = owner.post_with_key("/graphql", body.clone(), "k").await;
    let again = owner.post_with_key("/graphql", body, "k").await;
    assert_eq!(first.body, again.body);
    let made = first.body["data"]["createBranch"].clone();
    assert_eq!(made["code"], "WEST", "{}", first.text);
    let taken = refused(owner, create, json!({ "i": input })).await;
    assert_eq!(
        (&taken["code"], &taken["status"]),
        (&json!("CODE_TAKEN"), &json!(409))
    );
    let mut wrong = input.clone();
    wrong["upiVpa"] = json!("no address");
    let wrong = refused(owner, create, json!({ "i": wrong })).await;
    assert_eq!(wrong["errors"][0]["field"], "upi_vpa");
    let update = "mutation($id: ID!, $v: Int!, $i: BranchChange!) { updateBranch(id: $id, version: $v, input: $i) { name active version } }";
    let change = json!({ "code": "west", "name": "Far West", "active": false });
    let asked = |version: i64| json!({ "id": made["id"], "v": version, "i": change });
    let stale = refused(owner, update, asked(9)).await;
    assert_eq!(stale["code"], "STALE_VERSION");
    let closed = ask(owner, update, asked(1)).await;
    assert_eq!(
        closed["updateBranch"],
        json!({ "name": "Far West", "active": false, "version": 2 })
    );
    let add = "mutation($i: LocationInput!) { createLocation(input: $i) { id } }";
    let asked = json!({ "i": { "branchId": made["id"], "code": "l", "name": "L" } });
    let refusal = refused(owner, add, asked).await;
    assert_eq!(refusal["code"], "CLOSED_REFERENCE");
    let add = "mutation($i: TillInput!) { createTill(input: $i) { series roundToRupee location { id } } }";
    let input = json!({ "branchId": site.branch, "locationId": site.location, "code": "t", "name": "T", "series": "p1" });
    let made = ask(owner, add, json!({ "i": input })).await;
    assert_eq!(
        made["createTill"],
        json!({ "series": "P1", "roundToRupee": false, "location": { "id": site.location } })
    );
    let company = "mutation($v: Int!, $i: CompanyInput!) { updateCompany(version: $v, input: $i) { legalName pan version } }";
    let input = json!({ "legalName": "U Foods", "pan": "aapfu0939f", "currency": "INR" });
    let version =
        ask(owner, "{ company { version } }", json!({})).await["company"]["version"].clone();
    let done = ask(owner, company, json!({ "v": version, "i": input })).await;
    assert_eq!(done["updateCompany"]["pan"], "AAPFU0939F");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_shut_out_and_let_in_and_no_token_is_ever_shown() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let id = json!({ "id": hired.id });
    let disable = "mutation($id: ID!) { disableUser(id: $id, reason: \"gone\") { status } }";
    let enable = "mutation($id: ID!) { enableUser(id: $id) { status } }";
    let done = ask(&shop.owner, disable, id.clone()).await;
    assert_eq!(done["disableUser"]["status"], "disabled");
    let done = ask(&shop.owner, enable, id.clone()).await;
    assert_eq!(done["enableUser"]["status"], "active");
    let last = refused(&shop.owner, disable, json!({ "id": shop.owner.user })).await;
    assert_eq!(last["code"], "LAST_OWNER");
    let stranger = app.client(TenantId::new(), &["*"]);
    assert_eq!(refused(&stranger, disable, id).await["code"], "NOT_FOUND");
    let sdl = identity::app().sdl().unwrap().to_lowercase();
    for word in ["token", "password", "ticket", "login", "pin"] {
        assert!(!sdl.contains(word), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_code() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for query in [
        "{ branches(first: 101) { totalCount } }",
        "{ locations(after: \"no\") { totalCount } }",
        "{ tills(sort: \"series\") { totalCount } }",
        "{ users(sort: \"name:sideways\") { totalCount } }",
        "{ user(id: \"no\") { name } }",
    ] {
        let status = refused(&shop.owner, query, json!({})).await["status"].clone();
        assert_eq!(status, 400, "{query}");
    }
}
