//! One OpenAPI document of the whole fleet, merged from those of the services.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use bahi_http::Problem;
use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use utoipa::PartialSchema;

use crate::{State, search, ticket};

/// The merged document, and until when it is served.
#[derive(Default)]
pub struct Documents(Mutex<Option<(Instant, String)>>);

/// For how long a document is served that is whole.
const FRESH: Duration = Duration::from_secs(30);
/// And one in which a service is missing: nobody may keep the others busy meanwhile.
const PARTIAL: Duration = Duration::from_secs(5);

/// The document. A service that does not answer is left out until it does.
pub(crate) async fn document(state: State) -> HttpResponse {
    let mut kept = state.0.documents.0.lock().await;
    let text = match kept.as_ref().filter(|(until, _)| Instant::now() < *until) {
        Some((_, text)) => text.clone(),
        None => {
            let (merged, complete) = merged(&state).await;
            let fresh = if complete { FRESH } else { PARTIAL };
            *kept = Some((Instant::now() + fresh, merged.clone()));
            merged
        }
    };
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text)
}

async fn merged(state: &State) -> (String, bool) {
    let (mut paths, mut schemas, mut complete) = (Map::new(), Map::new(), true);
    let upstreams = state.0.upstreams.values();
    let asked = upstreams.map(|upstream| async move {
        let answer = upstream.get("/openapi.json", None).await;
        (upstream, answer)
    });
    for (upstream, answer) in join_all(asked).await {
        let document = answer.ok().and_then(|b| serde_json::from_slice(&b).ok());
        let Some(document) = document else {
            complete = false;
            continue;
        };
        merge(&upstream.name, document, &mut paths, &mut schemas, |path| {
            state.target(path).is_some()
        });
    }
    paths.insert(ticket::PATH.to_owned(), own());
    paths.insert(search::PATH.to_owned(), search::described(&state.0.finders));
    schemas.insert("Problem".to_owned(), json!(Problem::schema()));
    let items = paths.values_mut().filter_map(Value::as_object_mut);
    for operation in items.flat_map(Map::values_mut) {
        refused_here(operation);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Bahi", "version": env!("CARGO_PKG_VERSION"),
                  "description": "Sign in at /api/v1/auth/login and send the access token as a bearer token." },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
        "security": [{ "bearer": [] }],
    });
    (document.to_string(), complete)
}

/// With what the gateway refuses any request that it would else have passed on.
const REFUSALS: [(&str, &str); 9] = [
    ("400", "The path, a header or the body cannot be read."),
    ("401", "No good token."),
    (
        "403",
        "A permission is not held, or the business is suspended.",
    ),
    ("408", "The body did not come in time."),
    ("413", "The body is too long."),
    ("429", "Too many requests: come back when Retry-After says."),
    ("502", "The connection broke; it may have been carried out."),
    (
        "503",
        "The service is away or busy: come back when Retry-After says.",
    ),
    (
        "504",
        "The service was too slow; it may have been carried out.",
    ),
];

/// Adds them to an operation, in the one shape of all refusals.
fn refused_here(operation: &mut Value) {
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (status, why) in REFUSALS {
        let own = responses.entry(status);
        own.or_insert_with(|| json!({ "description": why }));
    }
    for (status, response) in responses {
        let Some(response) = response.as_object_mut() else {
            continue;
        };
        if status.as_str() >= "400" && !response.contains_key("content") {
            let shape = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            response.insert("content".to_owned(), shape);
        }
    }
}

/// What the gateway answers itself.
fn own() -> Value {
    json!({ "post": {
        "operationId": "api-gateway.ws_ticket",
        "summary": "A ticket for one WebSocket",
        "description": "Shown as the subprotocol `ticket.<ticket>` or as `?ticket=<ticket>`, once, while it is good.",
        "responses": {
            "201": {
                "description": "The ticket, and for how many seconds it is good",
                "content": { "application/json": { "schema": {
                    "type": "object",
                    "required": ["ticket", "expires_in"],
                    "properties": { "ticket": { "type": "string" }, "expires_in": { "type": "integer" } },
                } } },
            },
            "401": { "description": "Nobody is signed in" },
            "429": { "description": "Too many were asked for" },
        },
    } })
}

/// Adds a service's document: only paths that the gateway routes, each schema and operation under its service's name.
fn merge(
    service: &str,
    document: Value,
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
    routed: impl Fn(&str) -> bool,
) {
    let text = document.to_string().replace(
        "#/components/schemas/",
        &format!("#/components/schemas/{service}."),
    );
    let Ok(mut document) = serde_json::from_str::<Value>(&text) else {
        return;
    };
    if let Some(Value::Object(mut own)) = document.get_mut("paths").map(Value::take) {
        let items = own.values_mut().filter_map(Value::as_object_mut);
        for operation in items.flat_map(Map::values_mut) {
            named_after(service, operation);
            let responses = operation
                .get_mut("responses")
                .and_then(Value::as_object_mut);
            let links = responses
                .into_iter()
                .flat_map(Map::values_mut)
                .filter_map(|response| response.get_mut("links")?.as_object_mut());
            for link in links.flat_map(Map::values_mut) {
                named_after(service, link);
            }
        }
        paths.extend(own.into_iter().filter(|(path, _)| routed(path)));
    }
    if let Some(Value::Object(own)) = document.pointer_mut("/components/schemas").map(Value::take) {
        schemas.extend(
            own.into_iter()
                .map(|(name, schema)| (format!("{service}.{name}"), schema)),
        );
    }
}

/// Puts the service's name before the id of an operation, or of the operation that a link leads to.
fn named_after(service: &str, said: &mut Value) {
    if let Some(Value::String(id)) = said.get_mut("operationId") {
        id.insert_str(0, &format!("{service}."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_operation_by_its_new_name() {
        let links = json!({ "read": { "operationId": "read" } });
        let document = json!({ "paths": {
            "/a": { "post": { "operationId": "make", "responses": { "201": { "links": links } } } },
            "/a/{id}": { "get": { "operationId": "read" } },
        } });
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        merge("shop", document, &mut paths, &mut schemas, |_| true);
        assert_eq!(paths["/a/{id}"]["get"]["operationId"], "shop.read");
        let link = &paths["/a"]["post"]["responses"]["201"]["links"]["read"];
        assert_eq!(link["operationId"], "shop.read");
    }

    #[test]
    fn what_the_gateway_refuses_is_said_of_every_operation_and_covers_nothing() {
        let own = json!({ "application/json": {} });
        let mut operation = json!({ "responses": {
            "200": { "description": "ok" }, "429": { "description": "LOCKED" }, "401": { "description": "", "content": own },
        } });
        refused_here(&mut operation);
        let responses = &operation["responses"];
        let shape = &json!({ "$ref": "#/components/schemas/Problem" });
        assert_eq!(responses["429"]["description"], "LOCKED");
        assert_eq!(
            &responses["429"]["content"]["application/problem+json"]["schema"],
            shape
        );
        assert_eq!(
            &responses["502"]["content"]["application/problem+json"]["schema"],
            shape
        );
        assert_eq!(responses["401"]["content"], own);
        assert_eq!(responses["200"].get("content"), None);
    }

    #[test]
    fn equal_names_of_two_services_do_not_clash() {
        let document = |field: &str| {
            json!({
                "paths": { format!("/{field}"): { "get": { "operationId": "list", "$ref": "#/components/schemas/Thing" } }, "/hidden": {} },
                "components": { "schemas": { "Thing": { "title": field } } },
            })
        };
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        for service in ["a", "b"] {
            merge(
                service,
                document(service),
                &mut paths,
                &mut schemas,
                |path| path != "/hidden",
            );
        }
        assert_eq!(paths.keys().collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(paths["/b"]["get"]["$ref"], "#/components/schemas/b.Thing");
        assert_eq!(paths["/b"]["get"]["operationId"], "b.list");
        assert_eq!(schemas["a.Thing"]["title"], "a");
    }
}
