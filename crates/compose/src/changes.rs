//! How a supergraph differs from the one before it, for a client.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use graphql_tools::parser::{
    parse_schema,
    schema::{Definition, InputValue, Type, TypeDefinition},
};

use crate::merge::name_of;

type Def = TypeDefinition<'static, String>;
type Ty = Type<'static, String>;

/// A change that breaks clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The type, field, argument or value.
    pub what: String,
    /// What became of it.
    pub how: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.how)
    }
}

/// What a client may use of a type: fields, arguments, values, with their types.
#[derive(Default)]
struct Shape {
    kind: &'static str,
    /// What is given out, with its type.
    given: BTreeMap<String, Ty>,
    /// What is taken in, with its type and whether it must be said.
    taken: BTreeMap<String, (Ty, bool)>,
    /// Values of an enumeration, members of a union, interfaces.
    names: BTreeSet<String>,
}

/// The changes from one supergraph to another that break clients.
///
/// # Errors
/// When one of them is no schema.
pub fn changes(before: &str, after: &str) -> anyhow::Result<Vec<Change>> {
    let (before, after) = (shapes(before)?, shapes(after)?);
    let mut found = Vec::new();
    let mut note = |what: String, how: String| found.push(Change { what, how });
    for (name, old) in &before {
        let Some(new) = after.get(name) else {
            note(name.clone(), "is gone".into());
            continue;
        };
        if old.kind != new.kind {
            note(
                name.clone(),
                format!("was {} and is {}", old.kind, new.kind),
            );
            continue;
        }
        for value in old.names.difference(&new.names) {
            note(format!("{name}.{value}"), "is gone".into());
        }
        for (field, ty) in &old.given {
            match new.given.get(field) {
                None => note(format!("{name}.{field}"), "is gone".into()),
                Some(now) if !gives(ty, now) => {
                    note(format!("{name}.{field}"), format!("was {ty} and is {now}"));
                }
                Some(_) => {}
            }
        }
        for (field, (ty, _)) in &old.taken {
            match new.taken.get(field) {
                // Whoever has lost the field too has been told.
                None if lost(old, new, field) => {}
                None => note(format!("{name}.{field}"), "is gone".into()),
                Some((now, _)) if !gives(now, ty) => {
                    note(format!("{name}.{field}"), format!("was {ty} and is {now}"));
                }
                Some(_) => {}
            }
        }
        for (field, (_, must)) in &new.taken {
            let known = |head: &str| old.given.contains_key(head);
            let of_old = field.split_once('(').is_none_or(|(head, _)| known(head));
            if *must && of_old && !old.taken.get(field).is_some_and(|(_, must)| *must) {
                note(format!("{name}.{field}"), "must be said now".into());
            }
        }
    }
    Ok(found)
}

fn lost(old: &Shape, new: &Shape, argument: &str) -> bool {
    argument
        .split_once('(')
        .is_some_and(|(field, _)| old.given.contains_key(field) && !new.given.contains_key(field))
}

/// Whether what reads `before` can read `after`.
fn gives(before: &Ty, after: &Ty) -> bool {
    match (before, after) {
        (Type::NonNullType(a), Type::NonNullType(b)) | (Type::ListType(a), Type::ListType(b)) => {
            gives(a, b)
        }
        (Type::NonNullType(_), _) => false,
        (a, Type::NonNullType(b)) => gives(a, b),
        (Type::NamedType(a), Type::NamedType(b)) => a == b,
        _ => false,
    }
}

fn shapes(sdl: &str) -> anyhow::Result<BTreeMap<String, Shape>> {
    let doc = parse_schema::<String>(sdl)
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .into_static();
    let types = doc.definitions.into_iter().filter_map(|d| match d {
        Definition::TypeDefinition(def) => Some(def),
        _ => None,
    });
    let own = |def: &Def| {
        let name = name_of(def);
        name.starts_with("join__") || name.starts_with("link__")
    };
    Ok(types
        .filter(|def| !own(def))
        .map(|def| (name_of(&def).to_owned(), shape(def)))
        .collect())
}

fn shape(def: Def) -> Shape {
    let mut shape = Shape::default();
    match def {
        Def::Scalar(_) => shape.kind = "a scalar",
        Def::Object(object) => {
            shape.kind = "an object";
            shape.names.extend(object.implements_interfaces);
            fields(&mut shape, object.fields);
        }
        Def::Interface(interface) => {
            shape.kind = "an interface";
            fields(&mut shape, interface.fields);
        }
        Def::Union(union) => {
            shape.kind = "a union";
            shape.names.extend(union.types);
        }
        Def::Enum(of) => {
            shape.kind = "an enumeration";
            shape.names.extend(of.values.into_iter().map(|v| v.name));
        }
        Def::InputObject(input) => {
            shape.kind = "an input";
            for field in input.fields {
                shape.taken.insert(field.name.clone(), taken(field));
            }
        }
    }
    shape
}

fn fields(shape: &mut Shape, fields: Vec<graphql_tools::parser::schema::Field<'static, String>>) {
    for field in fields {
        for argument in field.arguments {
            let name = format!("{}({})", field.name, argument.name);
            shape.taken.insert(name, taken(argument));
        }
        shape.given.insert(field.name, field.field_type);
    }
}

fn taken(input: InputValue<'static, String>) -> (Ty, bool) {
    let must = matches!(input.value_type, Type::NonNullType(_)) && input.default_value.is_none();
    (input.value_type, must)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str, after: &str) -> Vec<String> {
        let changes = changes(before, after).unwrap();
        changes.iter().map(Change::to_string).collect()
    }

    #[test]
    fn what_a_client_may_use_must_stay() {
        let before = "type Query { a(x: Int, y: Int): String! b: [Int!] e: E } enum E { ONE TWO } input I { p: Int }";
        assert!(found(before, before).is_empty());
        let after = "type Query { a(x: Int!, z: Int!): String b: [Int] } enum E { ONE } input I { p: Int q: Int! }";
        assert_eq!(
            found(before, after),
            [
                "E.TWO is gone",
                "I.q must be said now",
                "Query.a was String! and is String",
                "Query.b was [Int!] and is [Int]",
                "Query.e is gone",
                "Query.a(x) was Int and is Int!",
                "Query.a(y) is gone",
                "Query.a(x) must be said now",
                "Query.a(z) must be said now",
            ]
        );
    }

    #[test]
    fn more_is_no_break() {
        let before = "type Query { a(x: Int!): String }";
        let after = "type Query { a(x: Int, y: Int): String! c: D } type D { d: Int }";
        assert!(found(before, after).is_empty());
    }
}
