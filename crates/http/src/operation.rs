//! What each operation asks of its caller: as the service's OpenAPI document says, before anything else of a request is read.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{Fault, Grants};

/// Where the graph is asked: each of its fields asks for its own permission.
const GRAPH: [&str; 2] = ["GET /graphql", "POST /graphql"];

/// What an operation asks of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// No token.
    Nothing,
    /// An internal token, whatever it holds.
    Token,
    /// An internal token that holds this permission.
    Permission(String),
}

/// The operations of a service, by method and path template: `GET /api/v1/users/{id}`.
#[derive(Debug)]
pub struct Operations(HashMap<String, Needs>);

impl Operations {
    /// Reads what an OpenAPI document says under `security`: `{}` for everybody, `bearer` with a permission or none.
    ///
    /// # Errors
    /// Names the operations that do not say who may use them.
    pub fn of(api: &Value) -> anyhow::Result<Self> {
        let mut silent = Vec::new();
        let mut all: HashMap<String, Needs> =
            GRAPH.map(|name| (name.to_owned(), Needs::Token)).into();
        for (name, operation) in described(api) {
            match needs(operation) {
                Some(needs) => {
                    all.insert(name, needs);
                }
                None => silent.push(name),
            }
        }
        anyhow::ensure!(
            silent.is_empty(),
            "it is not said who may use {}",
            silent.join(", ")
        );
        Ok(Self(all))
    }

    /// The methods that a path takes, for the `Allow` of a 405.
    pub(crate) fn methods(&self, path: &str) -> String {
        let known = self.0.keys().filter_map(|name| name.split_once(' '));
        let mut methods: Vec<&str> = known
            .filter(|(_, template)| fits(template, path))
            .map(|(method, _)| method)
            .collect();
        methods.sort_unstable();
        methods.join(", ")
    }

    /// Refuses a caller who does not hold what the operation asks for; everybody, where it is not described.
    pub(crate) fn admit(&self, operation: &str, grants: &Grants) -> Result<(), Fault> {
        match self.0.get(operation) {
            Some(Needs::Permission(permission)) if !grants.allow(permission) => {
                Err(Fault::Forbidden(permission.clone().into()))
            }
            Some(_) => Ok(()),
            None => Err(Fault::Forbidden("an operation that is described".into())),
        }
    }
}

/// Whether `path` is one of those that `template` stands for; a placeholder takes no verb (`:close`).
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if segment_fits(wanted, given) => {}
            _ => return false,
        }
    }
}

fn segment_fits(wanted: &str, given: &str) -> bool {
    let (Some(from), Some(to)) = (wanted.find('{'), wanted.rfind('}')) else {
        return wanted == given;
    };
    let id = given.strip_prefix(&wanted[..from]);
    let id = id.and_then(|rest| rest.strip_suffix(&wanted[to + 1..]));
    id.is_some_and(|id| !id.is_empty() && !id.contains(':'))
}

/// The operations of an OpenAPI document, by method and path.
pub fn described(api: &Value) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    for (path, item) in api["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            all.insert(format!("{} {path}", method.to_uppercase()), operation);
        }
    }
    all
}

/// What a described operation asks for; `None` when it does not say it in a way that we know.
pub fn needs(operation: &Value) -> Option<Needs> {
    let [one] = operation["security"].as_array()?.as_slice() else {
        return None;
    };
    let one = one.as_object()?;
    if one.is_empty() {
        return Some(Needs::Nothing);
    }
    match one.get("bearer")?.as_array()?.as_slice() {
        [] => Some(Needs::Token),
        [permission] => Some(Needs::Permission(permission.as_str()?.to_owned())),
        _ => None,
    }
}

/// The name of an operation by its method and the pattern that it is routed by: `{id:[^:/]+}` is `{id}` in the document.
pub(crate) fn name(method: &str, pattern: &str) -> String {
    let mut name = format!("{} ", if method == "HEAD" { "GET" } else { method });
    let (mut depth, mut rule) = (0, false);
    for c in pattern.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' if depth == 1 => rule = true,
            _ => {}
        }
        rule &= depth > 0;
        if !rule {
            name.push(c);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn api(security: Value) -> Value {
        json!({ "paths": { "/a/{id}": { "get": { "security": security } } } })
    }

    #[test]
    fn who_may_use_an_operation_is_said_by_the_operation() {
        let admits = |security: Value, grants: &[&str]| {
            let grants = Grants::new(grants.iter().map(|g| (*g).to_owned()).collect());
            let operations = Operations::of(&api(security)).unwrap();
            operations.admit("GET /a/{id}", &grants).is_ok()
        };
        assert!(admits(json!([{}]), &[]));
        assert!(admits(json!([{ "bearer": [] }]), &[]));
        let one = json!([{ "bearer": ["shop.thing.read"] }]);
        assert!(admits(one.clone(), &["shop.thing.read"]) && admits(one.clone(), &["shop.*"]));
        assert!(!admits(one, &["shop.thing.write"]));
    }

    #[test]
    fn what_says_nothing_does_not_start_and_what_is_not_described_is_closed() {
        for silent in [
            json!(null),
            json!([]),
            json!([{ "basic": [] }]),
            json!([{ "bearer": ["a.b.c", "a.b.d"] }]),
            json!([{ "bearer": ["a.b.c"] }, {}]),
        ] {
            let refused = Operations::of(&api(silent)).unwrap_err().to_string();
            assert!(refused.contains("GET /a/{id}"), "{refused}");
        }
        let operations = Operations::of(&api(json!([{}]))).unwrap();
        let all = Grants::new(vec!["*".to_owned()]);
        assert!(operations.admit("POST /a/{id}", &all).is_err());
        assert!(operations.admit("POST /graphql", &all).is_ok());
    }

    #[test]
    fn a_path_tells_its_methods() {
        let one = json!({ "security": [{}] });
        let api = json!({ "paths": {
            "/a": { "get": one, "post": one },
            "/a/{id}": { "get": one, "put": one },
            "/a/{id}:close": { "post": one },
            "/a/{id}.pdf": { "get": one },
        } });
        let operations = Operations::of(&api).unwrap();
        assert_eq!(operations.methods("/a"), "GET, POST");
        assert_eq!(operations.methods("/a/1"), "GET, PUT");
        assert_eq!(operations.methods("/a/1:close"), "POST");
        assert_eq!(operations.methods("/a/"), "");
        assert_eq!(operations.methods("/b/1"), "");
    }

    #[test]
    fn the_rule_of_a_placeholder_is_not_part_of_its_name() {
        assert_eq!(name("POST", "/a/{id:[^:/]+}:cancel"), "POST /a/{id}:cancel");
        assert_eq!(name("HEAD", "/a/{id:x{2}:}/b"), "GET /a/{id}/b");
        assert_eq!(name("GET", "/a:b/{id}.pdf"), "GET /a:b/{id}.pdf");
    }
}
