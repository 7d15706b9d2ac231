//! The merge of several schemas into one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};
use graphql_tools::parser::{
    parse_schema,
    schema::{
        Definition, Directive, Document, EnumType, Field, InputObjectType, InputValue,
        InterfaceType, ObjectType, ScalarType, Type, TypeDefinition, TypeExtension, UnionType,
        Value,
    },
};
use sha2::{Digest, Sha256};

type Doc = Document<'static, String>;
type Def = TypeDefinition<'static, String>;
type Dir = Directive<'static, String>;
type Fld = Field<'static, String>;
type Inp = InputValue<'static, String>;
type Ty = Type<'static, String>;

/// A service's part of the graph.
#[derive(Clone, Debug)]
pub struct Subgraph {
    /// Name of the service.
    pub name: String,
    /// Its schema, with the directives of federation.
    pub sdl: String,
}

/// The beginning of a supergraph: the directives by which it says what is where.
const JOIN: &str = r#"schema
  @link(url: "https://specs.apollo.dev/link/v1.0")
  @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION)
{
ROOTS}

directive @join__enumValue(graph: join__Graph!) repeatable on ENUM_VALUE
directive @join__field(graph: join__Graph, requires: join__FieldSet, provides: join__FieldSet, type: String, external: Boolean, override: String, usedOverridden: Boolean) repeatable on FIELD_DEFINITION | INPUT_FIELD_DEFINITION
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE
directive @join__type(graph: join__Graph!, key: join__FieldSet, extension: Boolean! = false, resolvable: Boolean! = true, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE | UNION | ENUM | INPUT_OBJECT | SCALAR
directive @join__unionMember(graph: join__Graph!, member: String!) repeatable on UNION
directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA

scalar join__FieldSet
scalar link__Import

enum link__Purpose {
  SECURITY
  EXECUTION
}
"#;

/// What a subgraph says of a type.
struct Part {
    graph: usize,
    def: Def,
    extension: bool,
}

/// Directives that may stand in a subgraph's schema.
const KNOWN: [&str; 8] = [
    "key",
    "shareable",
    "external",
    "requires",
    "extends",
    "deprecated",
    "specifiedBy",
    "oneOf",
];

/// Types of the machinery itself.
const MACHINERY: [&str; 5] = ["_Any", "_Entity", "_Service", "FieldSet", "link__Import"];

const ROOTS: [&str; 2] = ["Query", "Mutation"];

/// The supergraph of these subgraphs, as text.
///
/// # Errors
/// What does not fit together, and where.
pub fn compose(subgraphs: &[Subgraph]) -> anyhow::Result<String> {
    let mut types: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for (graph, subgraph) in subgraphs.iter().enumerate() {
        let doc = parse_schema::<String>(&without_links(&subgraph.sdl))
            .map_err(|error| anyhow::anyhow!("{}: {error}", subgraph.name))?
            .into_static();
        take(&mut types, graph, doc).with_context(|| subgraph.name.clone())?;
    }
    ensure!(types.contains_key("Query"), "no subgraph has a Query");
    let merge = Merge { subgraphs };
    let roots: String = ROOTS
        .iter()
        .filter(|root| types.contains_key(**root))
        .map(|root| format!("  {}: {root}\n", root.to_lowercase()))
        .collect();
    let mut text = JOIN.replace("ROOTS", &roots);
    text.push_str("\nenum join__Graph {\n");
    for subgraph in subgraphs {
        let (id, name) = (graph_id(&subgraph.name), &subgraph.name);
        text.push_str(&format!(
            "  \"{}\"\n  {id} @join__graph(name: \"{name}\", url: \"http://{name}/graphql\")\n",
            fingerprint(&subgraph.sdl)
        ));
    }
    text.push_str("}\n");
    for (name, parts) in types {
        let merged = merge.types(&name, parts).with_context(|| name.clone())?;
        let doc = Doc::new(vec![Definition::TypeDefinition(merged)]);
        text.push('\n');
        text.push_str(&doc.to_string());
    }
    Ok(text)
}

/// What tells one schema of a service from another: SHA-256, in hexadecimal digits.
pub fn fingerprint(sdl: &str) -> String {
    hex::encode(Sha256::digest(sdl.trim()))
}

/// A schema without `extend schema @link(...)`, which the parser does not know and nothing is done with.
fn without_links(sdl: &str) -> String {
    let Some((before, after)) = sdl.split_once("extend schema") else {
        return sdl.to_owned();
    };
    let mut rest = after.trim_start();
    while let Some(directive) = rest.strip_prefix('@') {
        rest = directive.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        let (mut depth, mut quoted) = (0, false);
        let end = rest.char_indices().find(|(_, c)| {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0 && !quoted
        });
        rest = end
            .map_or("", |(at, c)| &rest[at + c.len_utf8()..])
            .trim_start();
    }
    format!("{before}{rest}")
}

/// Sorts a schema into its types.
fn take(types: &mut BTreeMap<String, Vec<Part>>, graph: usize, doc: Doc) -> anyhow::Result<()> {
    for definition in doc.definitions {
        let (def, extension) = match definition {
            Definition::TypeDefinition(def) => (def, false),
            Definition::TypeExtension(extension) => match extended(extension) {
                Some(def) => (def, true),
                None => bail!("only objects are extended here"),
            },
            Definition::SchemaDefinition(_) | Definition::DirectiveDefinition(_) => continue,
        };
        let name = name_of(&def).to_owned();
        if MACHINERY.contains(&name.as_str()) {
            continue;
        }
        let parts = types.entry(name.clone()).or_default();
        match parts.iter_mut().find(|part| part.graph == graph) {
            None => parts.push(Part {
                graph,
                def,
                extension,
            }),
            Some(part) => match (&mut part.def, def) {
                (Def::Object(whole), Def::Object(more)) => {
                    part.extension &= extension;
                    whole.fields.extend(more.fields);
                    whole.directives.extend(more.directives);
                    whole
                        .implements_interfaces
                        .extend(more.implements_interfaces);
                }
                _ => bail!("{name} is defined twice"),
            },
        }
    }
    Ok(())
}

fn extended(extension: TypeExtension<'static, String>) -> Option<Def> {
    let TypeExtension::Object(object) = extension else {
        return None;
    };
    Some(Def::Object(ObjectType {
        position: object.position,
        description: None,
        name: object.name,
        implements_interfaces: object.implements_interfaces,
        directives: object.directives,
        fields: object.fields,
    }))
}

pub(crate) fn name_of(def: &Def) -> &str {
    match def {
        Def::Scalar(ScalarType { name, .. })
        | Def::Object(ObjectType { name, .. })
        | Def::Interface(InterfaceType { name, .. })
        | Def::Union(UnionType { name, .. })
        | Def::Enum(EnumType { name, .. })
        | Def::InputObject(InputObjectType { name, .. }) => name,
    }
}

fn directives_of(def: &Def) -> &[Dir] {
    match def {
        Def::Scalar(ScalarType { directives, .. })
        | Def::Object(ObjectType { directives, .. })
        | Def::Interface(InterfaceType { directives, .. })
        | Def::Union(UnionType { directives, .. })
        | Def::Enum(EnumType { directives, .. })
        | Def::InputObject(InputObjectType { directives, .. }) => directives,
    }
}

fn fields_of(def: &Def) -> &[Fld] {
    match def {
        Def::Object(ObjectType { fields, .. }) | Def::Interface(InterfaceType { fields, .. }) => {
            fields
        }
        _ => &[],
    }
}

fn interfaces_of(def: &Def) -> &[String] {
    match def {
        Def::Object(object) => &object.implements_interfaces,
        Def::Interface(interface) => &interface.implements_interfaces,
        _ => &[],
    }
}

/// The name of a subgraph in `join__Graph`.
fn graph_id(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn text_of(directive: &Dir, argument: &str) -> Option<String> {
    directive.arguments.iter().find_map(|(name, value)| {
        if name != argument {
            return None;
        }
        match value {
            Value::String(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            Value::Boolean(value) => Some(value.to_string()),
            _ => None,
        }
    })
}

fn has(directives: &[Dir], name: &str) -> bool {
    directives.iter().any(|directive| directive.name == name)
}

fn join(name: &str, arguments: Vec<(&str, Value<'static, String>)>) -> Dir {
    Dir {
        position: Default::default(),
        name: format!("join__{name}"),
        arguments: arguments
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

/// A key of an entity and whether the subgraph finds entities by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    fields: String,
    resolvable: bool,
}

fn keys(directives: &[Dir]) -> BTreeSet<Key> {
    let keys = directives.iter().filter(|d| d.name == "key");
    keys.filter_map(|key| {
        Some(Key {
            fields: text_of(key, "fields")?,
            resolvable: text_of(key, "resolvable").as_deref() != Some("false"),
        })
    })
    .collect()
}

/// The topmost fields of a set of fields.
fn heads(fields: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let mut heads = BTreeSet::new();
    for word in fields
        .replace('{', " { ")
        .replace('}', " } ")
        .split_whitespace()
    {
        match word {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth == 0 => {
                heads.insert(name.to_owned());
            }
            _ => {}
        }
    }
    heads
}

/// What of a directive a client sees.
fn kept(directives: &[Dir]) -> impl Iterator<Item = Dir> {
    let shown = ["deprecated", "specifiedBy", "oneOf"];
    directives
        .iter()
        .filter(move |d| shown.contains(&d.name.as_str()))
        .cloned()
}

struct Merge<'a> {
    subgraphs: &'a [Subgraph],
}

impl Merge<'_> {
    fn graph(&self, graph: usize) -> Value<'static, String> {
        let name = self.subgraphs.get(graph).map_or("", |s| s.name.as_str());
        Value::Enum(graph_id(name))
    }

    fn name(&self, part: &Part) -> &str {
        self.subgraphs
            .get(part.graph)
            .map_or("", |s| s.name.as_str())
    }

    fn types(&self, name: &str, parts: Vec<Part>) -> anyhow::Result<Def> {
        for part in &parts {
            let fields = fields_of(&part.def).iter().flat_map(|f| &f.directives);
            for directive in directives_of(&part.def).iter().chain(fields) {
                ensure!(
                    KNOWN.contains(&directive.name.as_str()),
                    "{}: @{} is not composed here",
                    self.name(part),
                    directive.name
                );
            }
        }
        let Some(first) = parts.first() else {
            bail!("nobody defines it");
        };
        let same_kind =
            |part: &Part| std::mem::discriminant(&part.def) == std::mem::discriminant(&first.def);
        if let Some(other) = parts.iter().find(|part| !same_kind(part)) {
            bail!("is of another kind in {}", self.name(other));
        }
        let mut merged = first.def.clone();
        match &mut merged {
            Def::Scalar(scalar) => {
                scalar.directives = self.joins(&parts, false);
                scalar.directives.extend(kept(directives_of(&first.def)));
            }
            Def::Object(object) => {
                if !ROOTS.contains(&name) {
                    self.same_keys(&parts)?;
                }
                object.directives = self.joins(&parts, true);
                object.implements_interfaces = self.interfaces(&parts, &mut object.directives);
                object.fields = self.fields(name, &parts)?;
            }
            Def::Interface(interface) => {
                interface.directives = self.joins(&parts, true);
                interface.implements_interfaces =
                    self.interfaces(&parts, &mut interface.directives);
                interface.fields = self.fields(name, &parts)?;
            }
            Def::Union(union) => {
                union.directives = self.joins(&parts, false);
                let mut types = BTreeSet::new();
                for part in &parts {
                    let Def::Union(members) = &part.def else {
                        continue;
                    };
                    for member in &members.types {
                        types.insert(member.clone());
                        union.directives.push(join(
                            "unionMember",
                            vec![
                                ("graph", self.graph(part.graph)),
                                ("member", Value::String(member.clone())),
                            ],
                        ));
                    }
                }
                union.types = types.into_iter().collect();
            }
            Def::Enum(whole) => {
                whole.directives = self.joins(&parts, false);
                let words = |def: &Def| match def {
                    Def::Enum(of) => of.values.iter().map(|v| v.name.clone()).collect(),
                    _ => BTreeSet::new(),
                };
                self.all_alike(&parts, words, "values")?;
                for value in &mut whole.values {
                    let graphs = parts
                        .iter()
                        .map(|part| join("enumValue", vec![("graph", self.graph(part.graph))]));
                    value.directives = graphs.chain(kept(&value.directives)).collect();
                }
                whole.values.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Def::InputObject(input) => {
                let one_of = has(&input.directives, "oneOf");
                input.directives = self.joins(&parts, false);
                if one_of {
                    input.directives.extend(kept(directives_of(&first.def)));
                }
                let fields = |def: &Def| match def {
                    Def::InputObject(of) => of.fields.iter().map(signature).collect(),
                    _ => BTreeSet::new(),
                };
                self.all_alike(&parts, fields, "fields")?;
                for field in &mut input.fields {
                    field.directives = kept(&field.directives).collect();
                }
                input.fields.sort_by(|a, b| a.name.cmp(&b.name));
            }
        }
        Ok(merged)
    }

    /// Refuses a type that is not an entity and differs between subgraphs.
    fn all_alike(
        &self,
        parts: &[Part],
        of: impl Fn(&Def) -> BTreeSet<String>,
        what: &str,
    ) -> anyhow::Result<()> {
        let mut parts = parts.iter();
        let Some(first) = parts.next() else {
            return Ok(());
        };
        for part in parts {
            let (a, b) = (of(&first.def), of(&part.def));
            let difference: Vec<_> = a.symmetric_difference(&b).cloned().collect();
            ensure!(
                difference.is_empty(),
                "its {what} differ between {} and {}: {}",
                self.name(first),
                self.name(part),
                difference.join(", ")
            );
        }
        Ok(())
    }

    /// Refuses an entity whose keys differ between subgraphs.
    fn same_keys(&self, parts: &[Part]) -> anyhow::Result<()> {
        let keys = |def: &Def| {
            let keys = keys(directives_of(def)).into_iter();
            keys.map(|key| key.fields).collect()
        };
        self.all_alike(parts, keys, "keys")
    }

    /// Where a type is, and by which keys.
    fn joins(&self, parts: &[Part], keyed: bool) -> Vec<Dir> {
        let mut joins = Vec::new();
        for part in parts {
            let keys = if keyed {
                keys(directives_of(&part.def))
            } else {
                BTreeSet::new()
            };
            let graph = || ("graph", self.graph(part.graph));
            if keys.is_empty() {
                joins.push(join("type", vec![graph()]));
            }
            for key in keys {
                let mut arguments = vec![graph(), ("key", Value::String(key.fields))];
                if part.extension || has(directives_of(&part.def), "extends") {
                    arguments.push(("extension", Value::Boolean(true)));
                }
                if !key.resolvable {
                    arguments.push(("resolvable", Value::Boolean(false)));
                }
                joins.push(join("type", arguments));
            }
        }
        joins
    }

    fn interfaces(&self, parts: &[Part], directives: &mut Vec<Dir>) -> Vec<String> {
        let mut all = BTreeSet::new();
        for part in parts {
            for interface in interfaces_of(&part.def) {
                all.insert(interface.clone());
                directives.push(join(
                    "implements",
                    vec![
                        ("graph", self.graph(part.graph)),
                        ("interface", Value::String(interface.clone())),
                    ],
                ));
            }
        }
        all.into_iter().collect()
    }

    fn fields(&self, name: &str, parts: &[Part]) -> anyhow::Result<Vec<Fld>> {
        let mut all: BTreeMap<&str, Vec<(&Part, &Fld)>> = BTreeMap::new();
        for part in parts {
            for field in fields_of(&part.def) {
                if !field.name.starts_with('_') {
                    all.entry(&field.name).or_default().push((part, field));
                }
            }
        }
        let mut fields = Vec::new();
        for (field, says) in all {
            let merged = self.field(name, parts, &says);
            fields.push(merged.with_context(|| field.to_owned())?);
        }
        Ok(fields)
    }

    fn field(&self, name: &str, parts: &[Part], says: &[(&Part, &Fld)]) -> anyhow::Result<Fld> {
        let Some((first_part, first)) = says.first() else {
            bail!("nobody defines it");
        };
        let mut merged = (*first).clone();
        for (part, field) in says {
            ensure!(
                first
                    .arguments
                    .iter()
                    .map(signature)
                    .collect::<BTreeSet<_>>()
                    == field
                        .arguments
                        .iter()
                        .map(signature)
                        .collect::<BTreeSet<_>>(),
                "its arguments differ between {} and {}",
                self.name(first_part),
                self.name(part)
            );
            merged.field_type =
                looser(&merged.field_type, &field.field_type).with_context(|| {
                    format!(
                        "its types differ: {} in {}",
                        field.field_type,
                        self.name(part)
                    )
                })?;
            merged.description = merged.description.or_else(|| field.description.clone());
        }
        let is_key = |part: &Part| {
            let keys = keys(directives_of(&part.def)).into_iter();
            keys.flat_map(|key| heads(&key.fields))
                .any(|head| head == first.name)
        };
        // The key of a type that is extended is said to be external, and is its own all the same.
        let external =
            |part: &Part, field: &Fld| has(&field.directives, "external") && !is_key(part);
        let resolving: Vec<_> = says.iter().filter(|(p, f)| !external(p, f)).collect();
        ensure!(!resolving.is_empty(), "every subgraph says it is external");
        let interface = matches!(first_part.def, Def::Interface(_));
        if resolving.len() > 1 && !interface {
            for (part, field) in &resolving {
                ensure!(
                    is_key(part)
                        || has(&field.directives, "shareable")
                        || has(directives_of(&part.def), "shareable"),
                    "is answered by several subgraphs, and {} does not share it",
                    self.name(part)
                );
            }
        }
        let mut joins = Vec::new();
        let plain = says.len() == parts.len();
        let special = says.iter().any(|(part, field)| {
            external(part, field)
                || has(&field.directives, "requires")
                || field.field_type != merged.field_type
        });
        if special || !plain || (ROOTS.contains(&name) && self.subgraphs.len() > 1) {
            for (part, field) in says {
                let mut arguments = vec![("graph", self.graph(part.graph))];
                if field.field_type != merged.field_type {
                    arguments.push(("type", Value::String(field.field_type.to_string())));
                }
                if external(part, field) {
                    arguments.push(("external", Value::Boolean(true)));
                }
                let requires = field.directives.iter().find(|d| d.name == "requires");
                if let Some(fields) = requires.and_then(|d| text_of(d, "fields")) {
                    arguments.push(("requires", Value::String(fields)));
                }
                joins.push(join("field", arguments));
            }
        }
        merged.directives = joins.into_iter().chain(kept(&first.directives)).collect();
        merged.arguments.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(merged)
    }
}

/// An argument or input field, as far as subgraphs must agree on it.
fn signature(input: &Inp) -> String {
    match &input.default_value {
        None => format!("{}: {}", input.name, input.value_type),
        Some(value) => format!("{}: {} = {value}", input.name, input.value_type),
    }
}

/// The type that both are: null where one of them may be.
fn looser(a: &Ty, b: &Ty) -> Option<Ty> {
    match (a, b) {
        (Type::NonNullType(a), Type::NonNullType(b)) => {
            Some(Type::NonNullType(Box::new(looser(a, b)?)))
        }
        (Type::NonNullType(a), b) | (b, Type::NonNullType(a)) => looser(a, b),
        (Type::ListType(a), Type::ListType(b)) => Some(Type::ListType(Box::new(looser(a, b)?))),
        (Type::NamedType(a), Type::NamedType(b)) => (a == b).then(|| Type::NamedType(a.clone())),
        _ => None,
    }
}
