//! What each operation asks of its caller: as the service's OpenAPI document says, before anything else of a request is read.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{Caller, Fault};

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
    /// The internal token of a person, with this permission where there is one: no API key, no service.
    Person(Option<String>),
    /// The internal token of a service on its own account.
    Service,
}

/// Said under `security` beside permissions, or in their place, by what only a person may do.
const PERSON: &str = "person";
/// The same of services.
const SERVICE: &str = "service";

/// The operations of a service, by method and path template: `GET /api/v1/users/{id}`.
#[derive(Debug)]
pub struct Operations(HashMap<String, Needs>);

impl Operations {
    /// Reads what an OpenAPI document says under `security`: `{}` for everybody, `bearer` with a permission or
    /// none, and `person` or `service` where it must be one.
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

    /// Refuses a caller who does not hold what the operation asks for, or is not who may use it; everybody, where it is not
    /// described.
    pub(crate) fn admit(&self, operation: &str, caller: &Caller) -> Result<(), Fault> {
        let needs = self.0.get(operation);
        let needs =
            needs.ok_or_else(|| Fault::Forbidden("an operation that is described".into()))?;
        if let Needs::Permission(permission) | Needs::Person(Some(permission)) = needs
            && !caller.grants.allow(permission)
        {
            return Err(Fault::Forbidden(permission.clone().into()));
        }
        match needs {
            Needs::Person(_) => caller.user().map(|_| ()),
            Needs::Service => caller.service().map(|_| ()),
            _ => Ok(()),
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
        [one] => Some(match one.as_str()? {
            PERSON => Needs::Person(None),
            SERVICE => Needs::Service,
            permission => Needs::Permission(permission.to_owned()),
        }),
        [permission, who] if who == PERSON => {
            Some(Needs::Person(Some(permission.as_str()?.to_owned())))
        }
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
    use uuid::Uuid;

    use super::*;
    use crate::token::API_KEY;

    fn caller(issuer: &str, subject: &str, grants: &[&str]) -> Caller {
        let claims = json!({
            "iss": issuer, "sub": subject, "aud": "internal", "tid": Uuid::nil(), "perms": grants, "iat": 0, "exp": 0,
            "jti": Uuid::nil(),
        });
        Caller::from_claims(serde_json::from_value(claims).unwrap()).unwrap()
    }

    fn api(security: Value) -> Value {
        json!({ "paths": { "/a/{id}": { "get": { "security": security } } } })
    }

    #[test]
    fn who_may_use_an_operation_is_said_by_the_operation() {
        let admits = |security: Value, caller: &Caller| {
            let operations = Operations::of(&api(security)).unwrap();
            operations.admit("GET /a/{id}", caller).is_ok()
        };
        let person = |grants: &[&str]| caller("api-gateway", &Uuid::nil().to_string(), grants);
        assert!(admits(json!([{}]), &person(&[])));
        assert!(admits(json!([{ "bearer": [] }]), &person(&[])));
        let one = json!([{ "bearer": ["shop.thing.read"] }]);
        assert!(admits(one.clone(), &person(&["shop.thing.read"])));
        assert!(admits(one.clone(), &person(&["shop.*"])));
        assert!(!admits(one, &person(&["shop.thing.write"])));
    }

    #[test]
    fn what_is_for_persons_or_services_is_for_nobody_else() {
        let person = caller("api-gateway", &Uuid::nil().to_string(), &["shop.*"]);
        let key = caller(
            "api-gateway",
            &format!("{API_KEY}{}", Uuid::nil()),
            &["shop.*"],
        );
        let service = caller("sales", "sales", &[]);
        let admitted = |security: Value| {
            let operations = Operations::of(&api(security)).unwrap();
            [&person, &key, &service].map(|who| operations.admit("GET /a/{id}", who).is_ok())
        };
        let of = |bearer: Value| admitted(json!([{ "bearer": bearer }]));
        assert_eq!(of(json!([])), [true, true, true]);
        assert_eq!(of(json!(["shop.thing.read"])), [true, true, false]);
        assert_eq!(of(json!(["person"])), [true, false, false]);
        assert_eq!(
            of(json!(["shop.thing.read", "person"])),
            [true, false, false]
        );
        assert_eq!(
            of(json!(["stock.thing.read", "person"])),
            [false, false, false]
        );
        assert_eq!(of(json!(["service"])), [false, false, true]);
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
        let all = caller("api-gateway", &Uuid::nil().to_string(), &["*"]);
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
