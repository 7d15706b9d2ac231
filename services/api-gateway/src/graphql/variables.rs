//! Variables: taken as their types say (GraphQL, section 6.1.2), so that services get what they expect.

use graphql_tools::parser::query::Value as Literal;
use serde_json::{Map, Value};

use super::{
    error::Refused,
    schema::{Named, Schema, Type},
};

/// A variable of an operation.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// What stands for it when it is not said.
    pub default: Option<Value>,
}

/// Reads what a client says of the variables of an operation; what no variable is called is passed over.
///
/// # Errors
/// The first that is wrong.
pub fn coerce(
    schema: &Schema,
    variables: &[Variable],
    said: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Refused> {
    let mut taken = Map::new();
    for variable in variables {
        let Variable { name, of, default } = variable;
        let value = match (said.remove(name), default) {
            (None, Some(default)) => default.clone(),
            (Some(value), _) => one(schema, of, value)
                .map_err(|why| Refused::Variable(format!("Variable \"${name}\" {why}.")))?,
            (None, None) if matches!(of, Type::NonNull(_)) => {
                let why = format!("Variable \"${name}\" of type {} is missing.", shown(of));
                return Err(Refused::Variable(why));
            }
            (None, None) => continue,
        };
        taken.insert(name.clone(), value);
    }
    Ok(taken)
}

/// A type as it is written.
fn shown(of: &Type) -> String {
    match of {
        Type::Named(name) => name.to_string(),
        Type::List(of) => format!("[{}]", shown(of)),
        Type::NonNull(of) => format!("{}!", shown(of)),
    }
}

fn one(schema: &Schema, of: &Type, value: Value) -> Result<Value, String> {
    match (of, value) {
        (Type::NonNull(of), Value::Null) => Err(format!("must not be null: it is {}!", shown(of))),
        (Type::NonNull(of), value) => one(schema, of, value),
        (_, Value::Null) => Ok(Value::Null),
        (Type::List(of), Value::Array(items)) => {
            let items = items.into_iter().enumerate();
            let items = items
                .map(|(at, item)| one(schema, of, item).map_err(|why| format!("at [{at}] {why}")));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        (Type::List(of), value) => Ok(Value::Array(vec![one(schema, of, value)?])),
        (Type::Named(name), value) => named(schema, name, value),
    }
}

fn named(schema: &Schema, name: &str, value: Value) -> Result<Value, String> {
    let wrong = |value: &Value| Err(format!("is no {name}: {}", brief(value)));
    match schema.named(name) {
        Some(Named::Enum(values)) => match &value {
            Value::String(word) if values.contains(word) => Ok(value),
            other => wrong(other),
        },
        Some(Named::Input(fields, one_of)) => {
            let Value::Object(mut members) = value else {
                return wrong(&value);
            };
            let mut taken = Map::new();
            for (field, input) in fields {
                match members.remove(field) {
                    Some(value) => {
                        let value = one(schema, &input.of, value)
                            .map_err(|why| format!("at .{field} {why}"))?;
                        taken.insert(field.clone(), value);
                    }
                    None if matches!(input.of, Type::NonNull(_)) && !input.has_default => {
                        return Err(format!("lacks {field} of type {}", shown(&input.of)));
                    }
                    None => {}
                }
            }
            if let Some(unknown) = members.keys().next() {
                return Err(format!("has a field {unknown} that {name} has not"));
            }
            if *one_of && (taken.len() != 1 || taken.values().any(Value::is_null)) {
                return Err(format!("must say exactly one field of {name}"));
            }
            Ok(Value::Object(taken))
        }
        Some(Named::Scalar) => match (name, &value) {
            ("Int", Value::Number(n)) if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
                Ok(value)
            }
            ("Float", Value::Number(_))
            | ("String" | "ID", Value::String(_))
            | ("Boolean", Value::Bool(_)) => Ok(value),
            ("ID", Value::Number(n)) if n.is_i64() || n.is_u64() => Ok(n.to_string().into()),
            ("Int" | "Float" | "String" | "Boolean" | "ID", other) => wrong(other),
            // What another scalar looks like, its service knows.
            _ => Ok(value),
        },
        _ => Err(format!("has a type that is not taken in: {name}")),
    }
}

/// A value, short enough for a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A literal without variables as JSON, which is how a default is sent.
pub fn json(literal: &Literal<'static, String>) -> Value {
    match literal {
        Literal::Variable(_) | Literal::Null => Value::Null,
        Literal::Int(n) => n.as_i64().into(),
        Literal::Float(n) => (*n).into(),
        Literal::String(text) | Literal::Enum(text) => text.clone().into(),
        Literal::Boolean(value) => (*value).into(),
        Literal::List(items) => Value::Array(items.iter().map(json).collect()),
        Literal::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), json(value)));
            Value::Object(members.collect())
        }
    }
}
