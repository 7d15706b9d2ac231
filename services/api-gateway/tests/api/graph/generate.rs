//! Queries made up at random: valid ones, of everything that a query may be made of.

use std::collections::BTreeMap;

use graphql_tools::parser::{
    parse_schema,
    schema::{Definition, Field, Type, TypeDefinition},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

type Types = BTreeMap<String, TypeDefinition<'static, String>>;

pub struct Maker {
    types: Types,
    rng: StdRng,
    aliases: usize,
    conditions: usize,
    fragments: Vec<String>,
    variables: BTreeMap<String, (&'static str, Value)>,
}

/// A query and its variables.
pub struct Made {
    pub query: String,
    pub variables: Map<String, Value>,
}

impl Maker {
    pub fn new(sdl: &str) -> Self {
        let doc = parse_schema::<String>(sdl).unwrap().into_static();
        let types = doc.definitions.into_iter().filter_map(|d| match d {
            Definition::TypeDefinition(TypeDefinition::Object(o)) => {
                Some((o.name.clone(), TypeDefinition::Object(o)))
            }
            Definition::TypeDefinition(TypeDefinition::Interface(o)) => {
                Some((o.name.clone(), TypeDefinition::Interface(o)))
            }
            Definition::TypeDefinition(TypeDefinition::Union(o)) => {
                Some((o.name.clone(), TypeDefinition::Union(o)))
            }
            _ => None,
        });
        Self {
            types: types.collect(),
            rng: StdRng::seed_from_u64(0),
            aliases: 0,
            conditions: 0,
            fragments: Vec::new(),
            variables: BTreeMap::new(),
        }
    }

    /// The query of a seed.
    pub fn make(&mut self, seed: u64) -> Made {
        self.rng = StdRng::seed_from_u64(seed);
        (self.aliases, self.conditions) = (0, 0);
        self.fragments.clear();
        self.variables.clear();
        let depth = self.rng.random_range(1..5);
        let selection = self.selection("Query", depth, "");
        let declared: Vec<String> = self
            .variables
            .iter()
            .map(|(name, (of, _))| format!("${name}: {of}"))
            .collect();
        let declared = match declared.is_empty() {
            true => String::new(),
            false => format!("({})", declared.join(", ")),
        };
        let fragments = self.fragments.concat();
        let variables = self
            .variables
            .iter()
            .map(|(n, (_, v))| (n.clone(), v.clone()));
        Made {
            query: format!("query Q{declared} {selection} {fragments}"),
            variables: variables.filter(|(_, v)| *v != json!("absent")).collect(),
        }
    }

    fn chance(&mut self, of: u32, in_all: u32) -> bool {
        self.rng.random_ratio(of, in_all)
    }

    fn fields(&self, of: &str) -> Vec<Field<'static, String>> {
        match self.types.get(of) {
            // The planner fails where `@requires` leads back to the service that the query began at.
            Some(TypeDefinition::Object(o)) => {
                let fields = o.fields.iter().filter(|f| f.name != "average");
                fields.cloned().collect()
            }
            Some(TypeDefinition::Interface(o)) => o.fields.clone(),
            _ => Vec::new(),
        }
    }

    fn possible(&self, of: &str) -> Vec<String> {
        match self.types.get(of) {
            Some(TypeDefinition::Union(u)) => u.types.clone(),
            Some(TypeDefinition::Interface(_)) => {
                let all = self.types.values().filter_map(|t| match t {
                    TypeDefinition::Object(o)
                        if o.implements_interfaces.iter().any(|i| i == of) =>
                    {
                        Some(o.name.clone())
                    }
                    _ => None,
                });
                all.collect()
            }
            _ => vec![of.to_owned()],
        }
    }

    /// `mark` is put before the names of fields in fragments, so that fields of different types are never called alike.
    fn selection(&mut self, of: &str, depth: usize, mark: &str) -> String {
        let mut parts = Vec::new();
        let mut fields = self.fields(of);
        // What a client calls like another field is not that field.
        let shadow = match mark.is_empty() && self.chance(1, 3) {
            true => fields.choose(&mut self.rng).map(|f| f.name.clone()),
            false => None,
        };
        fields.retain(|field| Some(&field.name) != shadow.as_ref());
        let wanted = self.rng.random_range(1..=4).min(fields.len().max(1));
        if self.chance(1, 3) || fields.is_empty() {
            parts.push("__typename".to_owned());
        }
        for nth in 0..wanted {
            let Some(field) = fields.choose(&mut self.rng).cloned() else {
                continue;
            };
            let alias = shadow.as_deref().filter(|_| nth == 0);
            if let Some(part) = self.field(&field, depth, mark, alias) {
                parts.push(part);
            }
        }
        let possible = self.possible(of);
        if possible.len() > 1 || possible.first().is_some_and(|p| p != of) || self.chance(1, 6) {
            for on in possible {
                if self.chance(2, 3) {
                    let condition = self.condition();
                    let mark = format!("{mark}{}_", on.to_lowercase());
                    let below = self.selection(&on, depth.saturating_sub(1), &mark);
                    parts.push(self.fragment(&on, &condition, below));
                }
            }
            self.alike(of, depth, mark, &mut parts);
        }
        // Where everything is skipped, the one schema says null instead of an empty object, which is wrong.
        if parts
            .iter()
            .all(|part| part.contains('@') || part.starts_with("..."))
        {
            parts.push("__typename".to_owned());
        }
        format!("{{ {} }}", parts.join(" "))
    }

    /// One name for what is asked of each type in another way, which no object has twice.
    fn alike(&mut self, of: &str, depth: usize, mark: &str, parts: &mut Vec<String>) {
        let reviewed = |on: &String| self.fields(on).iter().any(|f| f.name == "reviews");
        let types: Vec<String> = self.possible(of).into_iter().filter(reviewed).collect();
        let room = self.aliases + types.len() <= 28;
        if types.len() < 2 || depth == 0 || !room || !self.chance(1, 2) {
            return;
        }
        let name = format!("{mark}same{}", self.aliases);
        self.aliases += types.len();
        for on in types {
            let first = self.rng.random_range(0..4);
            let below = format!("{{ {name}: reviews(first: {first}) {{ id stars }} }}");
            parts.push(self.fragment(&on, "", below));
        }
    }

    fn fragment(&mut self, on: &str, condition: &str, below: String) -> String {
        if self.chance(1, 3) {
            let name = format!("F{}", self.fragments.len());
            self.fragments
                .push(format!("fragment {name} on {on} {below} "));
            return format!("...{name}{condition}");
        }
        format!("... on {on}{condition} {below}")
    }

    fn condition(&mut self) -> String {
        if self.conditions >= 15 || !self.chance(1, 6) {
            return String::new();
        }
        self.conditions += 1;
        let word = *["skip", "include"].choose(&mut self.rng).unwrap();
        let value = self.rng.random_bool(0.5);
        if self.chance(1, 2) {
            return format!(" @{word}(if: {value})");
        }
        let name = format!("c{}", self.rng.random_range(0..3));
        self.variables
            .entry(name.clone())
            .or_insert(("Boolean!", json!(value)));
        format!(" @{word}(if: ${name})")
    }

    fn field(
        &mut self,
        field: &Field<'static, String>,
        depth: usize,
        mark: &str,
        alias: Option<&str>,
    ) -> Option<String> {
        let of = inner(&field.field_type).to_owned();
        let composite = self.types.contains_key(&of);
        if composite && depth == 0 || self.aliases >= 28 {
            return None;
        }
        let arguments = self.arguments(field);
        let mut name = field.name.clone();
        // The same field with other arguments is another field.
        if let Some(alias) = alias {
            self.aliases += 1;
            name = format!("{alias}: {name}");
        } else if !arguments.is_empty() || composite || !mark.is_empty() || self.chance(1, 8) {
            self.aliases += 1;
            name = format!("{mark}a{}: {name}", self.aliases);
        }
        let condition = self.condition();
        let below = match composite {
            true => self.selection(&of, depth - 1, ""),
            false => String::new(),
        };
        Some(format!("{name}{arguments}{condition} {below}"))
    }

    fn arguments(&mut self, field: &Field<'static, String>) -> String {
        let mut said = Vec::new();
        for argument in &field.arguments {
            let must = matches!(argument.value_type, Type::NonNullType(_));
            if !must && self.chance(1, 2) {
                continue;
            }
            let (of, value): (&'static str, Value) =
                match (inner(&argument.value_type), argument.name.as_str()) {
                    ("ID", _) => (
                        "ID!",
                        json!(format!(
                            "{}{}",
                            ["u", "i"][usize::from(field.name != "user")],
                            self.rng.random_range(0..7)
                        )),
                    ),
                    ("Int", "list") => ("[Int!]", json!([1, 2, self.rng.random_range(0..9)])),
                    ("Int", _) => ("Int", json!(self.rng.random_range(0..5))),
                    ("Filter", _) => ("Filter", json!({ "max": self.rng.random_range(0..500) })),
                    ("Role", _) => ("Role", json!("EDITOR")),
                    _ => ("String", json!("te\"xt")),
                };
            if of == "Filter" || of == "Role" || self.chance(1, 2) {
                let name = format!("v{}", self.variables.len());
                let value = match of {
                    "Int" | "String" if self.chance(1, 4) => json!("absent"),
                    _ => value,
                };
                self.variables.insert(name.clone(), (of, value));
                said.push(format!("{}: ${name}", argument.name));
            } else {
                said.push(format!("{}: {value}", argument.name));
            }
        }
        match said.is_empty() {
            true => String::new(),
            false => format!("({})", said.join(", ")),
        }
    }
}

fn inner<'a>(of: &'a Type<'static, String>) -> &'a str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(of) | Type::NonNullType(of) => inner(of),
    }
}
