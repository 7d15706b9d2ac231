//! Where an answer leads: from what was made or listed to the operations on one of it, which lie beside it (`/things` and
//! `/things/{id}`, `/things/{id}:close`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{OpenApi, RefOr, link::Link};

use super::{operations, placeholders};

/// An operation on one thing of a collection.
struct Target {
    id: String,
    /// The placeholder that names the thing.
    placeholder: String,
    /// It needs the version that was seen.
    amends: bool,
}

/// Adds them to every operation of `api`.
pub(super) fn add(api: &mut OpenApi) {
    let document = serde_json::to_value(&*api).unwrap_or_default();
    for (path, item) in &mut api.paths.paths {
        if path.contains(':') {
            continue;
        }
        let targets = targets(&document, path);
        for (_, operation) in operations(item) {
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else {
                    continue;
                };
                if !status.starts_with('2') {
                    continue;
                }
                let schema = response.content.get("application/json");
                let schema = serde_json::to_value(schema).unwrap_or_default();
                let Some((at, versioned)) = id_in(&document, path, &schema["schema"]) else {
                    continue;
                };
                for target in &targets {
                    let link = link(path, target, &at, versioned);
                    response.links.insert(target.id.clone(), RefOr::T(link));
                }
            }
        }
    }
}

fn link(path: &str, target: &Target, at: &str, versioned: bool) -> Link {
    let outer = placeholders(path).map(|name| (name.to_owned(), format!("$request.path.{name}")));
    let own = (target.placeholder.clone(), format!("$response.body#{at}"));
    let seen = (target.amends && versioned)
        .then(|| ("If-Match".to_owned(), "$response.header.ETag".to_owned()));
    let parameters = outer.chain([own]).chain(seen);
    let parameters: BTreeMap<String, Value> = parameters.map(|(k, v)| (k, json!(v))).collect();
    let mut link = Link::default();
    link.operation_id.clone_from(&target.id);
    link.parameters = parameters;
    link
}

/// The operations on one thing of the collection `path`.
fn targets(document: &Value, path: &str) -> Vec<Target> {
    let mut all = Vec::new();
    let beside = format!("{path}/{{");
    for (place, item) in document["paths"].as_object().into_iter().flatten() {
        let Some((placeholder, rest)) = place
            .strip_prefix(&beside)
            .and_then(|rest| rest.split_once('}'))
        else {
            continue;
        };
        if rest.contains('{') {
            continue;
        }
        for operation in item.as_object().into_iter().flat_map(|i| i.values()) {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            let mut headers = operation["parameters"].as_array().into_iter().flatten();
            all.push(Target {
                id: id.to_owned(),
                placeholder: placeholder.to_owned(),
                amends: headers.any(|p| p["name"] == "If-Match"),
            });
        }
    }
    all
}

/// Where a body of the collection `path` says the id of what it holds, first of them where it holds a list, and whether its
/// version is told with it.
fn id_in(document: &Value, path: &str, schema: &Value) -> Option<(String, bool)> {
    let one = properties(document, schema);
    let (at, one, list) = match one.get("items") {
        Some(items) => ("/items/0/", properties(document, &items["items"]), true),
        None => ("/", one, false),
    };
    let name = ids(path).into_iter().find(|name| one.contains_key(name))?;
    Some((format!("{at}{name}"), !list && one.contains_key("version")))
}

/// How the id of one of a collection may be called: of `/credit-notes`, `id`, `credit_note_id` or `note_id`.
fn ids(path: &str) -> [String; 3] {
    let whole = path.rsplit('/').next().unwrap_or_default();
    let one = match whole.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => whole.strip_suffix('s').unwrap_or(whole).to_owned(),
    };
    let last = one.rsplit('-').next().unwrap_or_default();
    let named = format!("{}_id", one.replace('-', "_"));
    ["id".to_owned(), named, format!("{last}_id")]
}

/// The properties of a schema and of all that it is made of.
fn properties<'a>(document: &'a Value, schema: &'a Value) -> BTreeMap<String, &'a Value> {
    let schema = resolved(document, schema);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let own = schema["properties"].as_object().into_iter().flatten();
    parts
        .flat_map(|part| properties(document, part))
        .chain(own.map(|(name, said)| (name.clone(), said)))
        .collect()
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    target
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Value {
        let json = |schema: Value| json!({ "application/json": { "schema": schema } });
        let thing = json!({ "$ref": "#/components/schemas/Thing" });
        let list = json!({ "type": "object", "properties": { "items": { "type": "array", "items": thing } } });
        let named = |id: &str| json!({ "operationId": id, "responses": {} });
        json!({
            "openapi": "3.1.0", "info": { "title": "a", "version": "1" },
            "paths": {
                "/things": {
                    "get": { "operationId": "list", "responses": { "200": { "description": "", "content": json(list) } } },
                    "post": { "operationId": "make", "responses": {
                        "201": { "description": "", "content": json(thing) }, "409": { "description": "" } } },
                },
                "/things/{id}": { "get": named("read"), "put": { "operationId": "change", "responses": {},
                    "parameters": [{ "name": "If-Match", "in": "header", "required": true, "schema": { "type": "string" } }] } },
                "/things/{id}:close": { "post": named("close") },
                "/things/{id}/parts": { "post": { "operationId": "part", "responses": {
                    "201": { "description": "", "content": json(json!({ "$ref": "#/components/schemas/Thing" })) } } } },
                "/things/{id}/parts/{part}": { "get": named("read_part") },
                "/things-of-others/{id}": { "get": named("other") },
            },
            "components": { "schemas": { "Thing": { "type": "object", "properties": { "id": {"type": "string"}, "version": { "type": "integer" } } } } },
        })
    }

    #[test]
    fn an_id_has_its_own_name_or_that_of_its_noun_and_may_stand_in_a_part() {
        let api = json!({ "components": { "schemas": {
            "Note": { "allOf": [{ "$ref": "#/components/schemas/Head" }, { "type": "object", "properties": { "lines": {} } }] },
            "Head": { "properties": { "note_id": {}, "customer_id": {}, "version": {} } },
        } } });
        let note = json!({ "$ref": "#/components/schemas/Note" });
        let found = |path: &str| id_in(&api, path, &note);
        assert_eq!(
            found("/a/credit-notes"),
            Some(("/note_id".to_owned(), true))
        );
        assert_eq!(found("/a/notes"), Some(("/note_id".to_owned(), true)));
        assert_eq!(found("/a/orders"), None);
        assert_eq!(ids("/a/categories")[1], "category_id");
    }

    fn linked() -> Value {
        let mut api: OpenApi = serde_json::from_value(api()).unwrap();
        add(&mut api);
        serde_json::to_value(api).unwrap()
    }

    #[test]
    fn what_was_made_leads_to_what_can_be_done_with_it() {
        let api = linked();
        let links = &api["paths"]["/things"]["post"]["responses"]["201"]["links"];
        let names: Vec<&String> = links.as_object().unwrap().keys().collect();
        assert_eq!(names, ["change", "close", "part", "read"]);
        assert_eq!(
            links["read"]["parameters"],
            json!({ "id": "$response.body#/id" })
        );
        assert_eq!(
            links["change"]["parameters"],
            json!({ "id": "$response.body#/id", "If-Match": "$response.header.ETag" })
        );
        assert_eq!(
            api["paths"]["/things"]["post"]["responses"]["409"].get("links"),
            None
        );
    }

    #[test]
    fn a_list_leads_to_its_first_and_a_part_keeps_the_whole() {
        let api = linked();
        let links = &api["paths"]["/things"]["get"]["responses"]["200"]["links"];
        assert_eq!(
            links["change"]["parameters"],
            json!({ "id": "$response.body#/items/0/id" })
        );
        let part =
            &api["paths"]["/things/{id}/parts"]["post"]["responses"]["201"]["links"]["read_part"];
        assert_eq!(
            part["parameters"],
            json!({ "id": "$request.path.id", "part": "$response.body#/id" })
        );
    }
}
