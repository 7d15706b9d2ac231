//! A part of the graph that makes its answers up: what a field says follows from its object and its name alone, so that whoever
//! asks, in whatever words, is told the same.

use std::{
    collections::{BTreeMap, HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use anyhow::{Context, bail};
use async_graphql::{
    Positioned,
    parser::{
        parse_query, parse_schema,
        types::{
            BaseType, DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet, Type,
            TypeKind, TypeSystemDefinition,
        },
    },
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// Rows of a list that does not say how many.
const FEW: usize = 2;
/// Rows of a page that does not say how many.
const PAGE: usize = 20;

/// The types of a part of the graph.
pub struct Part {
    objects: BTreeMap<String, BTreeMap<String, Type>>,
    enums: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Request {
    query: String,
    #[serde(default)]
    variables: Option<Map<String, Json>>,
}

/// Where an answer is being made.
struct Making<'a> {
    part: &'a Part,
    document: &'a ExecutableDocument,
    variables: Map<String, Json>,
}

/// An object: which one, and how many rows its list of edges has.
struct Object<'a> {
    kind: &'a str,
    key: String,
    rows: usize,
}

impl Part {
    /// Reads the types from a schema.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(sdl: &str) -> anyhow::Result<Self> {
        let (mut objects, mut enums) = (BTreeMap::new(), BTreeMap::new());
        for definition in parse_schema(sdl)?.definitions {
            let TypeSystemDefinition::Type(one) = definition else {
                continue;
            };
            let name = one.node.name.node.to_string();
            match one.node.kind {
                TypeKind::Object(object) => {
                    let fields = object.fields.into_iter().map(|field| {
                        let field = field.node;
                        (field.name.node.to_string(), field.ty.node)
                    });
                    objects.insert(name, fields.collect());
                }
                TypeKind::Enum(choice) => {
                    let first = choice.values.first().context("an empty enumeration")?;
                    enums.insert(name, first.node.value.node.to_string());
                }
                _ => {}
            }
        }
        Ok(Self { objects, enums })
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// When the request is none, or about what this part does not have.
    pub fn answer(&self, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Request { query, variables } = serde_json::from_slice(body)?;
        let document = parse_query(query)?;
        let operation = match &document.operations {
            DocumentOperations::Single(one) => one,
            DocumentOperations::Multiple(many) => many.values().next().context("no operation")?,
        };
        let mut given = variables.unwrap_or_default();
        for variable in &operation.node.variable_definitions {
            if let Some(default) = &variable.node.default_value {
                let default = default.node.clone().into_json()?;
                given
                    .entry(variable.node.name.node.as_str())
                    .or_insert(default);
            }
        }
        let making = Making {
            part: self,
            document: &document,
            variables: given,
        };
        let root = Object {
            kind: "Query",
            key: String::new(),
            rows: FEW,
        };
        let mut out = Map::new();
        making.select(&root, &operation.node.selection_set.node, &mut out)?;
        Ok(serde_json::to_vec(&json!({ "data": out }))?)
    }
}

impl Making<'_> {
    fn select(
        &self,
        object: &Object<'_>,
        set: &SelectionSet,
        out: &mut Map<String, Json>,
    ) -> anyhow::Result<()> {
        for item in &set.items {
            match &item.node {
                Selection::Field(Positioned { node: field, .. }) => {
                    if self.skips(field)? {
                        continue;
                    }
                    let name = field.alias.as_ref().unwrap_or(&field.name).node.to_string();
                    let value = self.field(object, field)?;
                    match out.get_mut(&name) {
                        Some(there) => merge(there, value),
                        None => drop(out.insert(name, value)),
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = self.document.fragments.get(name).context("no fragment")?;
                    if fragment.node.type_condition.node.on.node == object.kind {
                        self.select(object, &fragment.node.selection_set.node, out)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref();
                    if on.is_none_or(|on| on.node.on.node == object.kind) {
                        self.select(object, &fragment.node.selection_set.node, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn skips(&self, field: &Field) -> anyhow::Result<bool> {
        for directive in &field.directives {
            let condition = directive
                .node
                .get_argument("if")
                .map(|v| self.value(&v.node));
            let holds = condition
                .transpose()?
                .is_some_and(|v| v == Json::Bool(true));
            match directive.node.name.node.as_str() {
                "skip" if holds => return Ok(true),
                "include" if !holds => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// A variable, a number, a condition: all that is asked for by arguments that matter here.
    fn value(&self, written: &impl std::fmt::Display) -> anyhow::Result<Json> {
        let written = written.to_string();
        Ok(match written.strip_prefix('$') {
            Some(name) => self.variables.get(name).cloned().unwrap_or_default(),
            None => serde_json::from_str(&written)?,
        })
    }

    fn field(&self, object: &Object<'_>, field: &Field) -> anyhow::Result<Json> {
        let name = field.name.node.as_str();
        let set = &field.selection_set.node;
        if name == "__typename" {
            return Ok(object.kind.into());
        }
        if name == "_entities" {
            let them = field.get_argument("representations").context("of what?")?;
            let Json::Array(them) = self.value(&them.node)? else {
                bail!("representations are a list");
            };
            let them = them.iter().map(|one| self.entity(one, set));
            return Ok(Json::Array(them.collect::<anyhow::Result<_>>()?));
        }
        let types = self.part.objects.get(object.kind);
        let kind = types.and_then(|fields| fields.get(name));
        let kind = kind.with_context(|| format!("{} has no {name}", object.kind))?;
        let first = field.get_argument("first").map(|v| self.value(&v.node));
        let first = first
            .transpose()?
            .and_then(|v| usize::try_from(v.as_u64()?).ok());
        self.shape(object, name, &kind.base, first, set)
    }

    fn shape(
        &self,
        object: &Object<'_>,
        name: &str,
        base: &BaseType,
        first: Option<usize>,
        set: &SelectionSet,
    ) -> anyhow::Result<Json> {
        let key = format!("{}.{name}", object.key);
        match base {
            BaseType::List(of) => {
                let rows = if name == "edges" { object.rows } else { FEW };
                let each = (0..rows).map(|n| {
                    let row = Object {
                        kind: object.kind,
                        key: format!("{}[{n}]", object.key),
                        rows: FEW,
                    };
                    self.shape(&row, name, &of.base, None, set)
                });
                Ok(Json::Array(each.collect::<anyhow::Result<_>>()?))
            }
            BaseType::Named(kind) if self.part.objects.contains_key(kind.as_str()) => {
                let inner = Object {
                    kind: kind.as_str(),
                    // An id of this length is as long as ours.
                    key: format!("{:016x}-{:016x}", hash(&key, 1), hash(&key, 2)),
                    rows: first.unwrap_or(PAGE),
                };
                let mut out = Map::new();
                self.select(&inner, set, &mut out)?;
                Ok(Json::Object(out))
            }
            BaseType::Named(kind) => Ok(self.scalar(object, name, kind.as_str())),
        }
    }

    /// An object that another part has told of.
    fn entity(&self, said: &Json, set: &SelectionSet) -> anyhow::Result<Json> {
        let text = |name: &str| said.get(name).and_then(Json::as_str);
        let object = Object {
            kind: text("__typename").context("of no type")?,
            key: text("id").context("without an id")?.to_owned(),
            rows: FEW,
        };
        let mut out = Map::new();
        self.select(&object, set, &mut out)?;
        Ok(Json::Object(out))
    }

    fn scalar(&self, object: &Object<'_>, name: &str, kind: &str) -> Json {
        let drawn = hash(&(object.kind, &object.key, name), 0);
        match kind {
            "ID" if name == "id" => object.key.clone().into(),
            "ID" => format!("{drawn:016x}-{drawn:016x}").into(),
            "Int" => (drawn % 1000).into(),
            "Boolean" => drawn.is_multiple_of(2).into(),
            "Decimal" => format!("{}.50", drawn % 1000).into(),
            "DateTime" => "2026-11-22T10:00:00Z".into(),
            "NaiveDate" => "2026-11-22".into(),
            kind => match self.part.enums.get(kind) {
                Some(first) => first.as_str().into(),
                None => format!("{name} {}", drawn % 100_000).into(),
            },
        }
    }
}

/// Two selections of the same field.
fn merge(there: &mut Json, more: Json) {
    match (there, more) {
        (Json::Object(there), Json::Object(more)) => {
            for (name, value) in more {
                match there.get_mut(&name) {
                    Some(old) => merge(old, value),
                    None => drop(there.insert(name, value)),
                }
            }
        }
        (Json::Array(there), Json::Array(more)) => {
            for (old, value) in there.iter_mut().zip(more) {
                merge(old, value);
            }
        }
        _ => {}
    }
}

fn hash(what: &impl Hash, salt: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, what).hash(&mut hasher);
    hasher.finish()
}

/// Answers that were made before, by service and body: what is measured is not how fast they are made up.
#[derive(Default)]
pub struct Answers(HashMap<(usize, bytes::Bytes), bytes::Bytes>);

/// Answers that are kept.
const KEPT: usize = 20_000;

impl Answers {
    /// The answer of a part to a body.
    ///
    /// # Errors
    /// As [`Part::answer`].
    pub fn of(
        &mut self,
        service: usize,
        part: &Part,
        body: bytes::Bytes,
    ) -> anyhow::Result<bytes::Bytes> {
        let asked = (service, body);
        if let Some(known) = self.0.get(&asked) {
            return Ok(known.clone());
        }
        let made = bytes::Bytes::from(part.answer(&asked.1)?);
        if self.0.len() < KEPT {
            self.0.insert(asked, made.clone());
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "scalar Decimal enum Kind { GOODS SERVICE } type Product @key(fields: \"id\") { id: ID! name: String! kind: Kind! }
        type Edge { node: Product! } type Page { edges: [Edge!]! totalCount: Int! } type Query { products(first: Int! = 20): Page! }";
    const B: &str = "scalar Decimal type Product @key(fields: \"id\") { id: ID! stock: Decimal! }";

    fn ask(part: &str, body: &Json) -> Json {
        let part = Part::read(part).unwrap();
        let said = part.answer(body.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&said).unwrap()
    }

    #[test]
    fn the_same_object_says_the_same_in_whatever_words_and_parts() {
        let one = ask(
            A,
            &json!({ "query": "query($n: Int!) { products(first: $n) { totalCount edges { node { id name kind } } } }", "variables": { "n": 3 } }),
        );
        let rows = one["data"]["products"]["edges"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        let node = &rows[2]["node"];
        assert_ne!(rows[1]["node"]["id"], node["id"]);
        assert_eq!(node["kind"], "GOODS");
        let other = ask(
            A,
            &json!({ "query": "fragment F on Product { label: name } { products(first: 3) { edges { node { ...F } } edges { node { ... on Product { id } } } } }" }),
        );
        let same = &other["data"]["products"]["edges"][2]["node"];
        assert_eq!((&same["label"], &same["id"]), (&node["name"], &node["id"]));
        // Of another part, and again of the first by its id.
        let asked = json!({ "query": "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on Product { id stock } } }",
            "variables": { "r": [{ "__typename": "Product", "id": node["id"] }] } });
        let there = ask(B, &asked);
        assert_eq!(there["data"]["_entities"][0]["id"], node["id"]);
        assert!(there["data"]["_entities"][0]["stock"].is_string());
        let asked = json!({ "query": "query($r: [_Any!]!) { _entities(representations: $r) { ... on Product { name } } }",
            "variables": { "r": [{ "__typename": "Product", "id": node["id"] }] } });
        assert_eq!(ask(A, &asked)["data"]["_entities"][0]["name"], node["name"]);
    }

    #[test]
    fn what_is_not_there_is_no_answer() {
        let part = Part::read(A).unwrap();
        for query in ["{ nothing }", "{", "{ products { cost } }"] {
            let body = json!({ "query": query }).to_string();
            assert!(part.answer(body.as_bytes()).is_err(), "{query}");
        }
    }

    #[test]
    fn a_part_is_skipped_or_included_as_its_condition_says() {
        let query = "query($no: Boolean!) { products(first: 1) { totalCount @skip(if: $no) edges @include(if: $no) { node { id } } } }";
        let whether = |no: bool| ask(A, &json!({ "query": query, "variables": { "no": no } }));
        assert!(
            whether(true)["data"]["products"]
                .get("totalCount")
                .is_none()
        );
        assert!(whether(false)["data"]["products"].get("edges").is_none());
    }
}
