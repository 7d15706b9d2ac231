//! What every operation takes and answers beside its own: the headers of a change, and refusals, all in one shape.

use std::collections::BTreeSet;

use bahi_http::Problem;
use utoipa::{
    PartialSchema,
    openapi::{
        Content, Object, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response, Schema, Type,
        path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::operations;

const PROBLEM: &str = "Problem";

/// Adds them to every operation of `api`.
pub(super) fn add(api: &mut OpenApi) {
    let silent = silent(api);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            headers(&method, operation);
            spare(operation, &silent);
            for (status, why) in refusals(path, &method, operation) {
                let known = operation.responses.responses.entry(status.to_owned());
                known.or_insert_with(|| RefOr::T(because(why)));
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    explain(status, response);
                }
            }
        }
    }
    let components = api.components.get_or_insert_default();
    let problem = (PROBLEM.to_owned(), Problem::schema());
    components.schemas.extend([problem]);
    // The one type of others that parameters name, which no `ToSchema` of ours brings along.
    let uuid = components.schemas.entry("Uuid".to_owned());
    uuid.or_insert_with(|| super::uuid().into());
}

/// Schemas that require nothing: a body of them may be left out, as a body of `{}`.
fn silent(api: &OpenApi) -> BTreeSet<String> {
    let schemas = api.components.iter().flat_map(|all| &all.schemas);
    let silent = schemas.filter(|(_, schema)| {
        matches!(schema, RefOr::T(Schema::Object(object))
            if object.required.is_empty() && object.schema_type == Type::Object.into())
    });
    silent.map(|(name, _)| name.clone()).collect()
}

fn spare(operation: &mut Operation, silent: &BTreeSet<String>) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    if let Some(RefOr::T(content)) = body.content.get("application/json")
        && let Some(RefOr::Ref(named)) = &content.schema
        && let Some(name) = named.ref_location.rsplit('/').next()
        && silent.contains(name)
    {
        body.required = Some(Required::False);
    }
}

fn because(why: &str) -> Response {
    let mut response = Response::default();
    why.clone_into(&mut response.description);
    response
}

/// Every answer has a description, every refusal a body.
fn explain(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        response.description = match status {
            "201" => "Made",
            "202" => "Taken on",
            "204" => "Done",
            "304" => "As it was",
            _ => "As asked",
        }
        .to_owned();
    }
    if status >= "400" && response.content.is_empty() {
        let problem = RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name(PROBLEM));
        let content = RefOr::T(Content::new(Some(problem)));
        response
            .content
            .insert("application/problem+json".to_owned(), content);
    }
}

/// Whether it changes something that its caller has seen at a version.
fn amends(method: &HttpMethod, operation: &Operation) -> bool {
    match method {
        HttpMethod::Put | HttpMethod::Patch => true,
        HttpMethod::Delete => operation.responses.responses.contains_key("412"),
        _ => false,
    }
}

fn headers(method: &HttpMethod, operation: &mut Operation) {
    if amends(method, operation) {
        let version = text()
            .pattern(Some(r#"^(W/)?("[0-9]{1,18}"|[0-9]{1,18})$"#))
            .build();
        let why = "The version that was seen, as its `ETag` told it.";
        take(operation, "If-Match", Required::True, version, why);
    }
    if *method == HttpMethod::Post {
        let key = text()
            .min_length(Some(1))
            .max_length(Some(200))
            .pattern(Some("^[!-~]+$"))
            .build();
        let why = "Who sends the same command again under the same key gets the first answer.";
        take(operation, "Idempotency-Key", Required::False, key, why);
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn take(operation: &mut Operation, name: &str, required: Required, schema: Object, why: &str) {
    let parameters = operation.parameters.get_or_insert_default();
    let known = |p: &RefOr<Parameter>| matches!(p, RefOr::T(p) if p.name.eq_ignore_ascii_case(name) && p.parameter_in == ParameterIn::Header);
    if parameters.iter().any(known) {
        return;
    }
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(why))
        .schema(Some(schema))
        .build();
    parameters.push(RefOr::T(parameter));
}

/// What any operation like this one may be refused with: status and why.
fn refusals(
    path: &str,
    method: &HttpMethod,
    operation: &Operation,
) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        (
            "400",
            "It cannot be read, or fields of it are wrong: `errors`.",
        ),
        ("503", "Something behind it is away; try again."),
    ];
    if secured(operation) {
        all.push(("401", "No good token."));
        all.push(("403", "The `permission` is not held."));
    }
    if path.contains('{') {
        all.push(("404", "There is no such thing."));
    }
    if operation.request_body.is_some() {
        all.push(("413", "The body is too long."));
        all.push(("415", "The body is of another type."));
    }
    if *method != HttpMethod::Get {
        all.push(("404", "Something it names is not there."));
        all.push(("409", "The state of things stands against it."));
        all.push(("422", "A rule of the business refuses it."));
    }
    if amends(method, operation) {
        all.push(("412", "STALE_VERSION"));
        all.push(("428", "VERSION_REQUIRED"));
    }
    all
}

/// Whether it asks for a token.
fn secured(operation: &Operation) -> bool {
    let said = serde_json::to_value(&operation.security).unwrap_or_default();
    let mut ways = said.as_array().into_iter().flatten();
    !ways.any(|way| way.as_object().is_some_and(serde_json::Map::is_empty))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn completed(method: &str, operation: Value) -> Value {
        let mut item = serde_json::Map::new();
        item.insert(method.to_owned(), operation);
        let api = json!({
            "openapi": "3.1.0", "info": { "title": "a", "version": "1" },
            "paths": { "/things/{id}": item },
        });
        let mut api: OpenApi = serde_json::from_value(api).unwrap();
        add(&mut api);
        let api = serde_json::to_value(api).unwrap();
        assert_eq!(api["components"]["schemas"]["Problem"]["type"], "object");
        api["paths"]["/things/{id}"][method].clone()
    }

    fn statuses(operation: &Value) -> Vec<&str> {
        let all = operation["responses"].as_object().unwrap();
        all.keys().map(String::as_str).collect()
    }

    #[test]
    fn who_needs_no_token_is_not_refused_for_want_of_one() {
        let open = json!({ "security": [{}], "responses": { "200": { "description": "ok" } } });
        assert_eq!(
            statuses(&completed("get", open)),
            ["200", "400", "404", "503"]
        );
        let closed = json!({ "security": [{ "bearer": ["a.b.c"] }], "responses": { "204": {} } });
        let closed = completed("get", closed);
        assert_eq!(
            statuses(&closed),
            ["204", "400", "401", "403", "404", "503"]
        );
        assert_eq!(closed["responses"]["204"]["description"], "Done");
    }

    #[test]
    fn a_refusal_of_its_own_keeps_its_words_and_gets_the_shape() {
        let own = json!({
            "security": [{ "bearer": [] }],
            "responses": { "409": { "description": "NAME_TAKEN" },
                           "401": { "description": "own", "content": { "application/json": {} } } },
        });
        let put = completed("put", own);
        let taken = &put["responses"]["409"];
        assert_eq!(taken["description"], "NAME_TAKEN");
        assert_eq!(
            taken["content"]["application/problem+json"]["schema"]["$ref"],
            "#/components/schemas/Problem"
        );
        let own = &put["responses"]["401"]["content"];
        assert!(own.get("application/problem+json").is_none(), "{own}");
        assert!(statuses(&put).contains(&"428"));
    }

    #[test]
    fn a_change_says_what_was_seen_and_a_command_what_it_is() {
        let headers = |method: &str, statuses: &[&str]| {
            let answers = statuses.iter().map(|s| ((*s).to_owned(), json!({})));
            let answers: serde_json::Map<_, _> = answers.collect();
            let said = json!({ "security": [{ "bearer": [] }], "responses": answers });
            completed(method, said)["parameters"].clone()
        };
        let amends = headers("put", &[]);
        assert_eq!(
            (&amends[0]["name"], &amends[0]["required"]),
            (&json!("If-Match"), &json!(true))
        );
        assert_eq!(headers("delete", &["412"])[0]["name"], "If-Match");
        assert_eq!(headers("delete", &["204"]), Value::Null);
        let command = headers("post", &[]);
        assert_eq!(
            (&command[0]["name"], &command[0]["required"]),
            (&json!("Idempotency-Key"), &json!(false))
        );
    }
}
