//! What an answer consists of: the fields of a query, collected for each object that may stand there (GraphQL, section
//! 6.3.2).

use std::{collections::HashMap, sync::Arc};

use graphql_tools::parser::query::{FragmentDefinition, Selection as Ast, SelectionSet, Value};

use super::{
    limits::is_introspection,
    prepare::NOTHING,
    schema::{Named, Schema, Type},
};

type Set = SelectionSet<'static, String>;

/// What is asked of a place.
#[derive(Debug)]
pub struct Selection {
    /// The fields for each object that it may be; then, of an interface, for what a service says no more of than that it is
    /// one (`@interfaceObject`).
    types: Vec<(Arc<str>, Arc<[Field]>)>,
    /// Whether it can be an object of one type only, whatever it says.
    object: bool,
}

impl Selection {
    /// The fields for an object of this type; none where it is of a type that clients do not know. What does not say its
    /// type is the first that it can be.
    pub fn of(&self, type_name: Option<&str>) -> Option<&(Arc<str>, Arc<[Field]>)> {
        match type_name {
            Some(name) if !self.object => self.types.iter().find(|(of, _)| **of == *name),
            _ => self.types.first(),
        }
    }
}

/// What stands before the name that a client gives a field, where another field has that name.
pub const CALLED: &str = "__as_";

/// The name in a client's answer of what services answer under `key`.
pub fn called(key: &str) -> &str {
    key.strip_prefix(CALLED).unwrap_or(key)
}

/// A field of an answer.
#[derive(Debug)]
pub struct Field {
    /// Its name in what services answer.
    pub key: Arc<str>,
    /// Its name in the answer.
    pub called: Arc<str>,
    /// Its name in the schema.
    pub name: Arc<str>,
    /// Its type.
    pub of: Type,
    /// What kind of thing it is.
    pub kind: Kind,
}

/// What kind of thing a field is.
#[derive(Debug)]
pub enum Kind {
    /// `__typename`.
    TypeName,
    /// A scalar.
    Scalar,
    /// One of these words.
    Enum,
    /// An object.
    Composite(Arc<Selection>),
    /// Something of the schema, with these arguments.
    Schema(Arc<Selection>, Vec<(String, Value<'static, String>)>),
}

/// Collects.
pub struct Collector<'a> {
    schema: &'a Schema,
    fragments: HashMap<&'a str, &'a FragmentDefinition<'static, String>>,
    known: HashMap<(Vec<*const Set>, Arc<str>), Arc<Selection>>,
}

/// Fields of one key: the first, and the selections of all.
struct Group<'a> {
    key: &'a str,
    name: &'a str,
    arguments: &'a [(String, Value<'static, String>)],
    sets: Vec<&'a Set>,
}

impl<'a> Collector<'a> {
    /// For a document with these fragments.
    pub fn new(
        schema: &'a Schema,
        fragments: HashMap<&'a str, &'a FragmentDefinition<'static, String>>,
    ) -> Self {
        Self {
            schema,
            fragments,
            known: HashMap::new(),
        }
    }

    /// What `sets` ask together of something of type `of`.
    pub fn selection(&mut self, sets: &[&'a Set], of: &Arc<str>) -> Arc<Selection> {
        // The same selections are met again and again below interfaces.
        let place = (
            sets.iter().map(|set| *set as *const Set).collect(),
            of.clone(),
        );
        if let Some(known) = self.known.get(&place) {
            return known.clone();
        }
        let schema = self.schema;
        let objects = schema.possible(of);
        let object = objects == [of.clone()];
        let interface = match schema.named(of) {
            Some(Named::Fields(_)) if !object => Some(of),
            _ => None,
        };
        let types = objects.iter().chain(interface);
        let types = types.map(|object| (object.clone(), self.fields(sets, object)));
        let types = types.collect();
        let selection = Arc::new(Selection { types, object });
        self.known.insert(place, selection.clone());
        selection
    }

    fn fields(&mut self, sets: &[&'a Set], object: &Arc<str>) -> Arc<[Field]> {
        let mut groups = Vec::new();
        let mut spread = Vec::new();
        for set in sets {
            self.collect(set, object, &mut groups, &mut spread);
        }
        groups.retain(|group| group.key != NOTHING);
        let fields = groups
            .into_iter()
            .filter_map(|group| self.field(group, object));
        fields.collect::<Vec<_>>().into()
    }

    fn collect(
        &self,
        set: &'a Set,
        object: &str,
        groups: &mut Vec<Group<'a>>,
        spread: &mut Vec<&'a str>,
    ) {
        for item in &set.items {
            match item {
                Ast::Field(field) => {
                    let key = field.alias.as_deref().unwrap_or(&field.name);
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => group.sets.push(&field.selection_set),
                        None => groups.push(Group {
                            key,
                            name: &field.name,
                            arguments: &field.arguments,
                            sets: vec![&field.selection_set],
                        }),
                    }
                }
                Ast::InlineFragment(fragment) => {
                    let on = fragment.type_condition.as_ref().map(AsRef::as_ref);
                    if on.is_none_or(|on: &String| self.schema.is_a(object, on)) {
                        self.collect(&fragment.selection_set, object, groups, spread);
                    }
                }
                Ast::FragmentSpread(of) => {
                    let name = of.fragment_name.as_str();
                    if spread.contains(&name) {
                        continue;
                    }
                    spread.push(name);
                    if let Some(fragment) = self.fragments.get(name)
                        && self.schema.is_a(object, fragment.type_condition.as_ref())
                    {
                        self.collect(&fragment.selection_set, object, groups, spread);
                    }
                }
            }
        }
    }

    fn field(&mut self, group: Group<'a>, object: &Arc<str>) -> Option<Field> {
        let field = |of: Type, kind| Field {
            key: group.key.into(),
            called: called(group.key).into(),
            name: group.name.into(),
            of,
            kind,
        };
        if group.name == "__typename" {
            let text = Type::NonNull(Box::new(Type::Named("String".into())));
            return Some(field(text, Kind::TypeName));
        }
        let of = self.schema.field(object, group.name)?.of.clone();
        let kind = match self.schema.named(of.name())? {
            Named::Enum(_) => Kind::Enum,
            Named::Fields(_) | Named::Union => {
                let selection = self.selection(&group.sets, of.name());
                match is_introspection(group.name) || object.starts_with("__") {
                    true => Kind::Schema(selection, group.arguments.to_vec()),
                    false => Kind::Composite(selection),
                }
            }
            _ => Kind::Scalar,
        };
        Some(field(of, kind))
    }
}
