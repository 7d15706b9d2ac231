//! The schema as clients see it, and the planner that knows where its parts are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use anyhow::Context;
use graphql_tools::{
    parser::schema::{
        Definition, Document, Field as AstField, Type as Ast, TypeDefinition, Value as Literal,
    },
    validation::{rules::default_rules_validation_plan, validate::ValidationPlan},
};
use hive_router_query_planner::{
    consumer_schema::ConsumerSchema,
    planner::{Planner, QueryPlannerOptions},
    utils::parsing::safe_parse_schema,
};

/// A type as it stands at a field or variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// A type by its name.
    Named(Arc<str>),
    /// A list.
    List(Box<Type>),
    /// What is never null.
    NonNull(Box<Type>),
}

impl Type {
    /// From the syntax tree.
    pub fn of(ast: &Ast<'static, String>) -> Self {
        match ast {
            Ast::NamedType(name) => Self::Named(name.as_str().into()),
            Ast::ListType(of) => Self::List(Box::new(Self::of(of))),
            Ast::NonNullType(of) => Self::NonNull(Box::new(Self::of(of))),
        }
    }

    /// The name inside.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Named(name) => name,
            Self::List(of) | Self::NonNull(of) => of.name(),
        }
    }

    /// Whether it is a list, null or not.
    pub fn is_list(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::List(_) => true,
            Self::NonNull(of) => of.is_list(),
        }
    }
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its type.
    pub of: Type,
    /// The rows it answers where no `first` is said; `None` for a field that takes no `first`.
    pub first: Option<i64>,
}

/// A field of an input object.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its type.
    pub of: Type,
    /// Something stands for it when it is not said.
    pub has_default: bool,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Named {
    /// A scalar.
    Scalar,
    /// Its values.
    Enum(BTreeSet<String>),
    /// An object or interface.
    Fields(HashMap<String, Field>),
    /// A union.
    Union,
    /// What is taken in; exactly one member of it, if so marked.
    Input(BTreeMap<String, Input>, bool),
}

/// The objects that something of a type may be, by its name.
type Objects = HashMap<String, Arc<[Arc<str>]>>;

/// The graph that is served.
pub struct Schema {
    /// The planner.
    pub planner: Planner,
    /// The rules of validation.
    pub rules: ValidationPlan,
    types: HashMap<String, Named>,
    possible: Objects,
    /// The same with what clients do not know.
    all: Objects,
    fields: HashSet<String>,
    fingerprints: HashMap<String, String>,
    /// Root type of queries.
    pub query: String,
    /// Root type of mutations.
    pub mutation: Option<String>,
}

impl Schema {
    /// Reads a supergraph.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(supergraph: &str) -> anyhow::Result<Self> {
        let document = safe_parse_schema(supergraph).context("the supergraph is no schema")?;
        let query = document.query_type_name().context("there is no Query")?;
        let fingerprints = fingerprints(&document);
        let (query, mutation) = (query.clone(), document.mutation_type_name().cloned());
        let planner = Planner::new_from_supergraph(&document, QueryPlannerOptions::default())
            .context("the supergraph cannot be planned")?;
        let consumer = &planner.consumer_schema.document;
        let mut types: HashMap<String, Named> = definitions(consumer).map(named).collect();
        let (possible, all) = (objects(consumer), objects(&document));
        let fields = definitions(&document).flat_map(fields_of);
        let fields = fields.map(|field| field.name.clone()).collect();
        for scalar in ["Int", "Float", "String", "Boolean", "ID"] {
            types.entry(scalar.to_owned()).or_insert(Named::Scalar);
        }
        Ok(Self {
            rules: default_rules_validation_plan(),
            possible,
            all,
            planner,
            types,
            fields,
            fingerprints,
            query,
            mutation,
        })
    }

    /// As clients see it.
    pub fn consumer(&self) -> &ConsumerSchema {
        &self.planner.consumer_schema
    }

    /// What a name stands for.
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.types.get(name)
    }

    /// A field of an object or interface.
    pub fn field(&self, of: &str, name: &str) -> Option<&Field> {
        match self.types.get(of) {
            Some(Named::Fields(fields)) => fields.get(name),
            _ => None,
        }
    }

    /// Whether any object or interface has a field of this name, which clients may not know.
    pub fn is_field(&self, name: &str) -> bool {
        self.fields.contains(name)
    }

    /// The objects that something of this type may be: itself, for an object.
    pub fn possible(&self, name: &str) -> &[Arc<str>] {
        self.possible.get(name).map_or(&[], |of| of)
    }

    /// Whether every object of `type_name` is also a `wanted`, either of which clients may not know.
    pub fn is_a(&self, type_name: &str, wanted: &str) -> bool {
        let objects = |name| self.all.get(name).map_or(&[][..], |of| of);
        let (mine, wide) = (objects(type_name), objects(wanted));
        type_name == wanted || !mine.is_empty() && mine.iter().all(|object| wide.contains(object))
    }

    /// What tells the schema that a service was composed with from another, where it was noted.
    pub fn fingerprint(&self, service: &str) -> Option<&str> {
        self.fingerprints.get(service).map(String::as_str)
    }

    /// The services that are in the graph.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let known = self.planner.supergraph.known_subgraphs.values();
        known.map(String::as_str)
    }
}

/// `scripts/compose` notes SHA-256 of each service's schema beside its name.
fn fingerprints(document: &Document<'static, String>) -> HashMap<String, String> {
    let graphs = document.definitions.iter().find_map(|d| match d {
        Definition::TypeDefinition(TypeDefinition::Enum(of)) if of.name == "join__Graph" => {
            Some(&of.values)
        }
        _ => None,
    });
    let noted = graphs.into_iter().flatten().filter_map(|value| {
        let name = value.directives.iter().find(|d| d.name == "join__graph")?;
        let name = name.arguments.iter().find_map(|(of, value)| match value {
            Literal::String(name) if of == "name" => Some(name.clone()),
            _ => None,
        })?;
        Some((name, value.description.clone()?))
    });
    noted.collect()
}

fn definitions<'a>(
    document: &'a Document<'static, String>,
) -> impl Iterator<Item = &'a TypeDefinition<'static, String>> {
    document.definitions.iter().filter_map(|of| match of {
        Definition::TypeDefinition(definition) => Some(definition),
        _ => None,
    })
}

/// What each type may be: an object itself, an interface who implements it, a union its members.
fn objects(document: &Document<'static, String>) -> Objects {
    let mut members: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for definition in definitions(document) {
        match definition {
            TypeDefinition::Object(object) => {
                let interfaces = object.implements_interfaces.iter();
                for of in interfaces.chain([&object.name]) {
                    members.entry(of).or_default().insert(&object.name);
                }
            }
            TypeDefinition::Union(union) => {
                let of = members.entry(&union.name).or_default();
                of.extend(union.types.iter().map(String::as_str));
            }
            _ => {}
        }
    }
    let members = members.into_iter();
    let members =
        members.map(|(name, of)| (name.to_owned(), of.into_iter().map(Arc::from).collect()));
    members.collect()
}

fn fields_of<'a>(of: &'a TypeDefinition<'static, String>) -> &'a [AstField<'static, String>] {
    match of {
        TypeDefinition::Object(of) => &of.fields,
        TypeDefinition::Interface(of) => &of.fields,
        _ => &[],
    }
}

fn named(definition: &TypeDefinition<'static, String>) -> (String, Named) {
    let fields = |fields: &[AstField<'static, String>]| {
        let fields = fields.iter().map(|field| {
            let first = field.arguments.iter().find(|a| a.name == "first");
            let first = first.map(|a| match &a.default_value {
                Some(Literal::Int(n)) => n.as_i64().unwrap_or(0),
                _ => 0,
            });
            let of = Type::of(&field.field_type);
            (field.name.clone(), Field { of, first })
        });
        Named::Fields(fields.collect())
    };
    match definition {
        TypeDefinition::Scalar(scalar) => (scalar.name.clone(), Named::Scalar),
        TypeDefinition::Object(object) => (object.name.clone(), fields(&object.fields)),
        TypeDefinition::Interface(of) => (of.name.clone(), fields(&of.fields)),
        TypeDefinition::Union(union) => (union.name.clone(), Named::Union),
        TypeDefinition::Enum(of) => {
            let values = of.values.iter().map(|value| value.name.clone()).collect();
            (of.name.clone(), Named::Enum(values))
        }
        TypeDefinition::InputObject(input) => {
            let fields = input.fields.iter().map(|field| {
                let taken = Input {
                    of: Type::of(&field.value_type),
                    has_default: field.default_value.is_some(),
                };
                (field.name.clone(), taken)
            });
            let one_of = input.directives.iter().any(|d| d.name == "oneOf");
            (input.name.clone(), Named::Input(fields.collect(), one_of))
        }
    }
}
