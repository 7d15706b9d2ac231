//! Who may do what: every operation of a service, asked for by everybody there is, and the pages that say so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use bahi_http::{Grants, Needs, described, needs};
use bahi_service::App;
use bahi_types::TenantId;
use reqwest::{Method, Response};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, TestApp, client};

/// The roles that every tenant begins with, and their grants.
fn roles() -> BTreeMap<String, Vec<String>> {
    read("deploy/roles.json")
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(path: &str) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(file(path)).expect("a file of the repository");
    serde_json::from_str(&text).expect("lists by name")
}

/// Asks for every operation of a service without a token, as each role, as an API key with and without the permission,
/// and as a service on its own account. Who does not hold what the operation asks for, or is not whom it is for, is refused
/// and told what it is before anything else of his request is looked at; everybody else is not. Then what the owner of a
/// tenant finds in each list is looked for by the owner of another, who must find none of it.
///
/// # Panics
/// With the list of those for whom it is otherwise.
pub async fn assert_operations<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    described_by: fn() -> App<S>,
    owner: &Client,
) {
    let api = serde_json::to_value(described_by().openapi()).expect("a document");
    let operations = described(&api);
    assert!(!operations.is_empty());
    let mut wrong = nowhere(&api);
    let stranger = app.client(TenantId::new(), &["*"]);
    for (name, operation) in &operations {
        let needs = needs(operation).expect("it says who may use it");
        let (method, template) = name.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let path = with_ids(template, &Uuid::now_v7().to_string());
        for asker in everybody(app, owner, asked(&needs)) {
            let reply = owner
                .with_token(&asker.token)
                .request(method.clone(), &path);
            let reply = reply.send().await.expect("an answer");
            if let Some(what) = differs(reply, &needs, &asker).await {
                wrong.push(format!("{} {name}: {what}", asker.name));
            }
        }
        let open = matches!(needs, Needs::Nothing | Needs::Service);
        if method == Method::GET && !template.contains('{') && !open {
            wrong.extend(found_by(&stranger, owner, name, &operations).await);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a document refers to and does not hold: schemas, and operations that links lead to.
pub fn nowhere(api: &Value) -> Vec<String> {
    let known: BTreeSet<&str> = described(api)
        .values()
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let mut lost = BTreeSet::new();
    visit(api, &mut |object| {
        let target = object.get("$ref").and_then(Value::as_str);
        if let Some(target) = target
            && target
                .strip_prefix('#')
                .and_then(|at| api.pointer(at))
                .is_none()
        {
            lost.insert(format!("{target} leads nowhere"));
        }
        let links = object.get("links").and_then(Value::as_object);
        for link in links.into_iter().flat_map(Map::values) {
            if let Some(id) = link["operationId"].as_str()
                && !known.contains(id)
            {
                lost.insert(format!("a link to {id} leads nowhere"));
            }
        }
    });
    lost.into_iter().collect()
}

fn visit<'a>(value: &'a Value, look: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            look(object);
            object.values().for_each(|value| visit(value, look));
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, look)),
        _ => {}
    }
}

fn with_ids(path: &str, id: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| {
        let rest = part.split_once('}').map_or("", |(_, rest)| rest);
        format!("{path}{id}{rest}")
    })
}

/// Kinds of callers with a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Person,
    Key,
    Service,
}

/// Who asks.
struct Asker {
    name: String,
    token: String,
    /// `None` without a token.
    kind: Option<Kind>,
    /// Whether it holds the permission.
    holds: bool,
}

/// Everybody there is, before an operation that asks for a permission.
fn everybody<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    owner: &Client,
    asked: Option<&str>,
) -> Vec<Asker> {
    let tenant = owner.tenant;
    let asker = |name: &str, token: String, kind, holds| Asker {
        name: name.to_owned(),
        token,
        kind,
        holds,
    };
    let mut all = vec![asker("anonymous", "none".to_owned(), None, false)];
    for (role, grants) in roles() {
        let held: Vec<&str> = grants.iter().map(String::as_str).collect();
        let token = owner.with_permissions(&held).token().to_owned();
        let holds = asked.is_none_or(|p| Grants::new(grants.clone()).allow(p));
        all.push(asker(&role, token, Some(Kind::Person), holds));
    }
    let key = |grants: &[&str]| client::key_token(tenant, grants);
    let (with, without) = (key(asked.as_slice()), key(&[]));
    all.push(asker(
        "API key without",
        without,
        Some(Kind::Key),
        asked.is_none(),
    ));
    all.push(asker("API key", with, Some(Kind::Key), true));
    let service = app.service_token("sales", tenant);
    all.push(asker(
        "service",
        service,
        Some(Kind::Service),
        asked.is_none(),
    ));
    all
}

/// The permission that an operation asks for.
fn asked(needs: &Needs) -> Option<&str> {
    match needs {
        Needs::Permission(permission) | Needs::Person(Some(permission)) => Some(permission),
        _ => None,
    }
}

/// What one of this kind is told to lack before an operation, first of all what it does not hold.
fn lacks(needs: &Needs, kind: Kind, holds: bool) -> Option<&str> {
    match needs {
        Needs::Permission(permission) | Needs::Person(Some(permission)) if !holds => {
            Some(permission)
        }
        Needs::Person(_) if kind != Kind::Person => Some("a person's session"),
        Needs::Service if kind != Kind::Service => Some("a service on its own account"),
        _ => None,
    }
}

/// How an answer is not what it must be.
async fn differs(reply: Response, needs: &Needs, asker: &Asker) -> Option<String> {
    let status = reply.status().as_u16();
    if *needs == Needs::Nothing {
        return None;
    }
    let Some(kind) = asker.kind else {
        return (status != 401).then(|| format!("{status}"));
    };
    // A body that never ends is not waited for.
    let body: Value = match status {
        403 => reply.json().await.unwrap_or_default(),
        _ => Value::Null,
    };
    let told = body["permission"].as_str();
    let right = match lacks(needs, kind, asker.holds) {
        Some(lacking) => told == Some(lacking),
        // It may still lack what this use of the operation asks for besides.
        None => status != 401 && (told.is_none() || told != asked(needs)),
    };
    (!right).then(|| format!("{status} {body}"))
}

/// What the owner's list holds and a stranger gets to see, in his own list or by its id.
async fn found_by(
    stranger: &Client,
    owner: &Client,
    name: &str,
    operations: &BTreeMap<String, &Value>,
) -> Vec<String> {
    let path = name.strip_prefix("GET ").unwrap_or(name);
    // Tokens live for a minute, and this takes longer than that on a slow machine.
    let (owner, stranger) = (
        owner.with_permissions(&["*"]),
        stranger.with_permissions(&["*"]),
    );
    let list = owner.request(Method::GET, path).send().await;
    let list = list.expect("an answer");
    let kind = list.headers().get("content-type");
    if kind.is_none_or(|kind| kind != "application/json") {
        return Vec::new();
    }
    let list: Value = list.json().await.unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let ids: Vec<String> = items
        .iter()
        .filter_map(|item| item["id"].as_str().map(str::to_owned))
        .collect();
    let mut found = Vec::new();
    let others = stranger.get(path).await;
    for id in &ids {
        if others.text.contains(id) {
            found.push(format!("stranger {name}: {id}"));
        }
    }
    if let (Some(id), true) = (
        ids.first(),
        operations.contains_key(&format!("GET {path}/{{id}}")),
    ) {
        let one = format!("{path}/{id}");
        if owner.get(&one).await.status != 200 || stranger.get(&one).await.status != 404 {
            found.push(format!("stranger GET {one}"));
        }
    }
    found
}

/// Asserts that what can be granted in a service is in `deploy/permissions.json`, and that the page of who may do what
/// (`docs/permissions.md`) says of each of its operations what it says itself. `BAHI_UPDATE=1` writes both.
///
/// # Panics
/// When they differ.
pub fn assert_permissions_written_down<S: Clone + Send + Sync + 'static>(app: &App<S>) {
    let name = app.name();
    let catalogue = app.catalogue();
    let own = format!("{name}.");
    for permission in catalogue.keys() {
        assert!(permission.starts_with(&own), "{permission} of {name}");
    }
    let (path, page_path) = ("deploy/permissions.json", "docs/permissions.md");
    let mut all = read(path);
    let page = std::fs::read_to_string(file(page_path)).expect("the page");
    let section = section(app);
    let (begin, end) = (format!("## {name}\n"), "\n## ");
    let from = page.find(&begin).unwrap_or(page.len());
    let to = page[from..]
        .find(end)
        .map_or(page.len(), |at| from + at + 1);
    if std::env::var("BAHI_UPDATE").is_ok() {
        all.retain(|permission, _| !permission.starts_with(&own));
        all.extend(catalogue);
        let text = serde_json::to_string_pretty(&all).expect("json") + "\n";
        std::fs::write(file(path), text).expect("written");
        let before = page[..from].trim_end();
        let text = format!("{before}\n\n{section}\n{}", &page[to..]);
        std::fs::write(file(page_path), format!("{}\n", text.trim_end())).expect("written");
        return;
    }
    all.retain(|permission, _| permission.starts_with(&own));
    assert_eq!(all, catalogue, "BAHI_UPDATE=1 writes it");
    assert_eq!(
        page[from..to].trim(),
        section.trim(),
        "BAHI_UPDATE=1 writes it"
    );
}

/// Columns of the page.
const COLUMNS: [&str; 6] = [
    "anonymous",
    "cashier",
    "accountant",
    "auditor",
    "manager",
    "owner",
];

fn section<S: Clone + Send + Sync + 'static>(app: &App<S>) -> String {
    let api = serde_json::to_value(app.openapi()).expect("a document");
    let roles = roles();
    let mut text = format!("## {}\n\n| Operation | Needs |", app.name());
    text += &COLUMNS.map(|column| format!(" {column} |")).concat();
    text += " API key | service |\n|---|---|";
    text += &":-:|".repeat(COLUMNS.len() + 2);
    let mark = |may: bool| if may { " ● |" } else { " |" };
    for (name, operation) in described(&api) {
        let needs = needs(operation).expect("it says who may use it");
        let what = match &needs {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Token => "a token".to_owned(),
            Needs::Permission(permission) => format!("`{permission}`"),
            Needs::Person(None) => "a person's session".to_owned(),
            Needs::Person(Some(permission)) => format!("`{permission}`, a person's session"),
            Needs::Service => "a service".to_owned(),
        };
        text += &format!("\n| `{name}` | {what} |");
        for column in COLUMNS {
            let grants = Grants::new(roles.get(column).cloned().unwrap_or_default());
            let holds = asked(&needs).is_none_or(|permission| grants.allow(permission));
            text += mark(match column {
                "anonymous" => needs == Needs::Nothing,
                _ => lacks(&needs, Kind::Person, holds).is_none(),
            });
        }
        text += match (&needs, lacks(&needs, Kind::Key, true)) {
            (_, Some(_)) => " |",
            (Needs::Permission(_), None) => " with it |",
            (_, None) => " ● |",
        };
        let holds = asked(&needs).is_none();
        text += mark(lacks(&needs, Kind::Service, holds).is_none());
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::nowhere;

    #[test]
    fn what_leads_nowhere_is_named() {
        let links = json!({ "read": { "operationId": "read" }, "gone": { "operationId": "gone" } });
        let api = json!({
            "paths": { "/a": { "get": { "operationId": "read", "responses": { "200": { "links": links } },
                "parameters": [{ "schema": { "$ref": "#/components/schemas/Kept" } }, { "schema": { "$ref": "#/components/schemas/Lost" } }] } } },
            "components": { "schemas": { "Kept": {} } },
        });
        assert_eq!(
            nowhere(&api),
            [
                "#/components/schemas/Lost leads nowhere",
                "a link to gone leads nowhere"
            ]
        );
    }
}
