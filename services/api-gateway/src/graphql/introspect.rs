//! The schema as an answer (GraphQL, section 4).

use std::{cell::Cell, collections::HashMap};

use graphql_tools::parser::{
    query::Value as Literal,
    schema::{
        Definition, Directive, DirectiveDefinition, EnumValue, Field as AstField, InputValue, Type,
        TypeDefinition,
    },
};
use serde_json::Map;

use super::{
    error::Refused,
    schema::Schema,
    select::{Field, Kind, Selection},
    value::{Object, Value},
};

type Ty = Type<'static, String>;
type Def = TypeDefinition<'static, String>;
type Literals = [(String, Literal<'static, String>)];

/// Something of the schema.
#[derive(Clone, Copy)]
enum Thing<'a> {
    Schema,
    Named(&'a Def),
    /// A list or what is never null.
    Wrapped(&'a Ty),
    Field(&'a AstField<'static, String>),
    Input(&'a InputValue<'static, String>),
    Word(&'a EnumValue<'static, String>),
    Directive(&'a DirectiveDefinition<'static, String>),
}

enum Found<'a> {
    Value(Value<'static>),
    One(Option<Thing<'a>>),
    Many(Option<Vec<Thing<'a>>>),
}

/// Objects and members that an answer about the schema may have: aliases and fragments multiply them.
const MOST: usize = 100_000;

/// Answers questions about a schema.
pub struct Teller<'a> {
    schema: &'a Schema,
    types: HashMap<&'a str, &'a Def>,
    directives: Vec<&'a DirectiveDefinition<'static, String>>,
    variables: &'a Map<String, serde_json::Value>,
    /// How many more there may be.
    left: Cell<usize>,
}

impl<'a> Teller<'a> {
    /// With the variables of a query.
    pub fn new(schema: &'a Schema, variables: &'a Map<String, serde_json::Value>) -> Self {
        let mut types = HashMap::new();
        let mut directives = Vec::new();
        for definition in &schema.consumer().document.definitions {
            match definition {
                Definition::TypeDefinition(def) => {
                    types.insert(name_of(def), def);
                }
                Definition::DirectiveDefinition(directive) => directives.push(directive),
                _ => {}
            }
        }
        Self {
            schema,
            types,
            directives,
            variables,
            left: Cell::new(MOST),
        }
    }

    /// What a field at the top of a query asks.
    ///
    /// # Errors
    /// [`Refused::Limit`], when that comes to too much with what was asked before.
    pub fn answer(&self, field: &Field) -> Result<Value<'static>, Refused> {
        let Kind::Schema(selection, arguments) = &field.kind else {
            return Ok(Value::Null);
        };
        if *field.name == *"__schema" {
            return self.show(Thing::Schema, selection);
        }
        let name = self.argument(arguments, "name");
        let named = name.as_str().and_then(|name| self.types.get(name));
        match named {
            Some(def) => self.show(Thing::Named(def), selection),
            None => Ok(Value::Null),
        }
    }

    fn argument(&self, arguments: &Literals, name: &str) -> serde_json::Value {
        match arguments.iter().find(|(of, _)| of == name) {
            Some((_, Literal::Variable(variable))) => {
                self.variables.get(variable).cloned().unwrap_or_default()
            }
            Some((_, literal)) => super::variables::json(literal),
            None => serde_json::Value::Null,
        }
    }

    fn show(&self, thing: Thing<'a>, selection: &Selection) -> Result<Value<'static>, Refused> {
        let Some((type_name, fields)) = selection.of(None) else {
            return Ok(Value::Null);
        };
        let left = self.left.get().checked_sub(1 + fields.len());
        self.left.set(left.ok_or(Refused::Limit {
            what: "objects and members of the schema",
            most: MOST,
            found: MOST + 1,
        })?);
        let mut object = Object::default();
        for field in fields.iter() {
            let value = match &field.kind {
                Kind::TypeName => Value::text(type_name),
                Kind::Schema(below, arguments) => {
                    self.member(thing, &field.name, arguments, Some(below))?
                }
                _ => self.member(thing, &field.name, &[], None)?,
            };
            object.0.push((field.called.to_string().into(), value));
        }
        Ok(Value::Object(object))
    }

    fn member(
        &self,
        thing: Thing<'a>,
        name: &str,
        arguments: &Literals,
        below: Option<&Selection>,
    ) -> Result<Value<'static>, Refused> {
        let all = self.argument(arguments, "includeDeprecated").as_bool() == Some(true);
        match (self.find(thing, name, all), below) {
            (Found::Value(value), _) => Ok(value),
            (Found::One(Some(thing)), Some(below)) => self.show(thing, below),
            (Found::Many(Some(things)), Some(below)) => {
                let things = things.into_iter().map(|thing| self.show(thing, below));
                Ok(Value::List(things.collect::<Result<_, _>>()?))
            }
            _ => Ok(Value::Null),
        }
    }

    fn find(&self, thing: Thing<'a>, name: &str, all: bool) -> Found<'a> {
        match thing {
            Thing::Schema => self.of_schema(name),
            Thing::Named(def) => self.of_type(def, name, all),
            Thing::Wrapped(of) => match (of, name) {
                (Type::ListType(_), "kind") => Found::Value(Value::text("LIST")),
                (_, "kind") => Found::Value(Value::text("NON_NULL")),
                (Type::ListType(inner) | Type::NonNullType(inner), "ofType") => {
                    Found::One(self.typed(inner))
                }
                _ => Found::Value(Value::Null),
            },
            Thing::Field(field) => match name {
                "args" => Found::Many(Some(shown(
                    &field.arguments,
                    all,
                    |a| &a.directives,
                    Thing::Input,
                ))),
                "type" => Found::One(self.typed(&field.field_type)),
                _ => described(
                    name,
                    &field.name,
                    field.description.as_ref(),
                    &field.directives,
                ),
            },
            Thing::Input(input) => match name {
                "type" => Found::One(self.typed(&input.value_type)),
                "defaultValue" => Found::Value(optional(
                    input.default_value.as_ref().map(|v| v.to_string()),
                )),
                _ => described(
                    name,
                    &input.name,
                    input.description.as_ref(),
                    &input.directives,
                ),
            },
            Thing::Word(word) => described(
                name,
                &word.name,
                word.description.as_ref(),
                &word.directives,
            ),
            Thing::Directive(directive) => match name {
                "args" => Found::Many(Some(directive.arguments.iter().map(Thing::Input).collect())),
                "locations" => {
                    let locations = directive.locations.iter();
                    Found::Value(Value::List(
                        locations.map(|l| Value::text(l.as_str())).collect(),
                    ))
                }
                "isRepeatable" => Found::Value(Value::Bool(directive.repeatable)),
                _ => described(name, &directive.name, directive.description.as_ref(), &[]),
            },
        }
    }

    fn of_schema(&self, name: &str) -> Found<'a> {
        let root = |name: Option<&str>| {
            Found::One(
                name.and_then(|name| self.types.get(name))
                    .map(|def| Thing::Named(def)),
            )
        };
        match name {
            "types" => {
                let mut types: Vec<_> = self.types.iter().collect();
                types.sort_by_key(|(name, _)| **name);
                Found::Many(Some(
                    types
                        .into_iter()
                        .map(|(_, def)| Thing::Named(def))
                        .collect(),
                ))
            }
            "queryType" => root(Some(&self.schema.query)),
            "mutationType" => root(self.schema.mutation.as_deref()),
            "directives" => Found::Many(Some(
                self.directives
                    .iter()
                    .map(|d| Thing::Directive(d))
                    .collect(),
            )),
            _ => Found::Value(Value::Null),
        }
    }

    fn of_type(&self, def: &'a Def, name: &str, all: bool) -> Found<'a> {
        let named = |names: &mut dyn Iterator<Item = &str>| {
            let things = names.filter_map(|name| self.types.get(name));
            Found::Many(Some(things.map(|def| Thing::Named(def)).collect()))
        };
        match (name, def) {
            ("kind", _) => Found::Value(Value::text(kind_of(def))),
            ("name", _) => Found::Value(Value::text(name_of(def))),
            ("description", _) => Found::Value(optional(description_of(def).cloned())),
            ("specifiedByURL", Def::Scalar(scalar)) => {
                Found::Value(optional(text_of(&scalar.directives, "specifiedBy", "url")))
            }
            ("fields", Def::Object(object)) => Found::Many(Some(fields(&object.fields, all))),
            ("fields", Def::Interface(of)) => Found::Many(Some(fields(&of.fields, all))),
            ("interfaces", Def::Object(object)) => {
                named(&mut object.implements_interfaces.iter().map(String::as_str))
            }
            ("interfaces", Def::Interface(of)) => {
                named(&mut of.implements_interfaces.iter().map(String::as_str))
            }
            ("possibleTypes", Def::Interface(_) | Def::Union(_)) => {
                let possible = self.schema.possible(name_of(def));
                named(&mut possible.iter().map(|name| &**name))
            }
            ("enumValues", Def::Enum(of)) => {
                Found::Many(Some(shown(&of.values, all, |v| &v.directives, Thing::Word)))
            }
            ("inputFields", Def::InputObject(of)) => Found::Many(Some(shown(
                &of.fields,
                all,
                |f| &f.directives,
                Thing::Input,
            ))),
            ("isOneOf", Def::InputObject(of)) => {
                Found::Value(Value::Bool(of.directives.iter().any(|d| d.name == "oneOf")))
            }
            _ => Found::Value(Value::Null),
        }
    }

    fn typed(&self, of: &'a Ty) -> Option<Thing<'a>> {
        match of {
            Type::NamedType(name) => self.types.get(name.as_str()).map(|def| Thing::Named(def)),
            wrapped => Some(Thing::Wrapped(wrapped)),
        }
    }
}

fn fields<'a>(fields: &'a [AstField<'static, String>], all: bool) -> Vec<Thing<'a>> {
    let mut things = shown(fields, all, |f| &f.directives, Thing::Field);
    things.retain(|thing| !matches!(thing, Thing::Field(f) if f.name.starts_with("__")));
    things
}

/// Those that are not deprecated, or all.
fn shown<'a, T>(
    of: &'a [T],
    all: bool,
    directives: impl Fn(&T) -> &[Directive<'static, String>],
    thing: impl Fn(&'a T) -> Thing<'a>,
) -> Vec<Thing<'a>> {
    let kept = of
        .iter()
        .filter(|one| all || !directives(one).iter().any(|d| d.name == "deprecated"));
    kept.map(thing).collect()
}

fn described<'a>(
    asked: &str,
    name: &str,
    description: Option<&String>,
    directives: &[Directive<'static, String>],
) -> Found<'a> {
    let deprecated = directives.iter().any(|d| d.name == "deprecated");
    Found::Value(match asked {
        "name" => Value::text(name),
        "description" => optional(description.cloned()),
        "isDeprecated" => Value::Bool(deprecated),
        "deprecationReason" if deprecated => {
            let reason = text_of(directives, "deprecated", "reason");
            Value::text(reason.as_deref().unwrap_or("No longer supported"))
        }
        _ => Value::Null,
    })
}

fn optional(text: Option<String>) -> Value<'static> {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

fn text_of(directives: &[Directive<'static, String>], name: &str, of: &str) -> Option<String> {
    let directive = directives.iter().find(|d| d.name == name)?;
    directive
        .arguments
        .iter()
        .find_map(|(name, value)| match value {
            Literal::String(text) if name == of => Some(text.clone()),
            _ => None,
        })
}

fn kind_of(def: &Def) -> &'static str {
    match def {
        Def::Scalar(_) => "SCALAR",
        Def::Object(_) => "OBJECT",
        Def::Interface(_) => "INTERFACE",
        Def::Union(_) => "UNION",
        Def::Enum(_) => "ENUM",
        Def::InputObject(_) => "INPUT_OBJECT",
    }
}

fn name_of(def: &Def) -> &str {
    match def {
        Def::Scalar(of) => &of.name,
        Def::Object(of) => &of.name,
        Def::Interface(of) => &of.name,
        Def::Union(of) => &of.name,
        Def::Enum(of) => &of.name,
        Def::InputObject(of) => &of.name,
    }
}

fn description_of(def: &Def) -> Option<&String> {
    match def {
        Def::Scalar(of) => of.description.as_ref(),
        Def::Object(of) => of.description.as_ref(),
        Def::Interface(of) => of.description.as_ref(),
        Def::Union(of) => of.description.as_ref(),
        Def::Enum(of) => of.description.as_ref(),
        Def::InputObject(of) => of.description.as_ref(),
    }
}
